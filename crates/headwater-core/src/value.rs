//! Values of read models, as both databases store them, and the Rust types that become such values.

use std::{fmt, sync::Arc};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use uuid::Uuid;

/// A value in a read model, or a parameter of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL's null.
    Null,
    /// A truth value; 0 and 1 in SQLite.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// Text.
    Text(String),
    /// A UUID; text in SQLite.
    Uuid(Uuid),
    /// A point in time, to the microsecond; text in RFC 3339 in SQLite.
    Time(DateTime<Utc>),
    /// A calendar day; text in SQLite.
    Date(NaiveDate),
    /// A JSON document; text in SQLite.
    Json(String),
}

/// Why a value of a row is not of the wanted type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} holds no {wanted}")]
pub struct ValueError {
    /// The column.
    pub column: String,
    /// The Rust type that was wanted.
    pub wanted: &'static str,
}

/// A Rust type that can stand in a column of a read model or in a query.
///
/// Newtypes need no implementation: mark their field `#[column(text)]`, which stores what `Display`
/// prints and reads it with `FromStr`, or `#[column(json)]`, which goes through serde.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a column of a read model as it is",
    note = "mark the field `#[column(text)]` or `#[column(json)]`, or implement `ColumnValue`"
)]
pub trait ColumnValue: Sized {
    /// The type of the column.
    const TYPE: crate::ColumnType;
    /// Whether null is a value of this type.
    const NULLABLE: bool = false;

    /// The value as the databases store it.
    fn to_value(&self) -> Value;

    /// Reads a stored value; `None` where it is of another type.
    fn from_value(value: Value) -> Option<Self>;
}

/// A row that a query found: values under the names of their columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The names of the columns, shared by all rows of a result.
    pub columns: Arc<[String]>,
    /// The values, in the order of the columns.
    pub values: Vec<Value>,
}

impl Row {
    /// Reads one column.
    ///
    /// # Errors
    ///
    /// [`ValueError`] where there is no such column or its value is of another type: mend the query.
    pub fn get<T: ColumnValue>(&self, column: &str) -> Result<T, ValueError> {
        let error = || ValueError { column: column.into(), wanted: std::any::type_name::<T>() };
        let index = self.columns.iter().position(|name| name == column).ok_or_else(error)?;
        T::from_value(self.values[index].clone()).ok_or_else(error)
    }
}

impl From<ValueError> for crate::Error {
    fn from(error: ValueError) -> Self {
        Self::Mismatch { reason: error.to_string() }
    }
}

impl Value {
    /// A time as SQLite stores it: RFC 3339 in UTC with six digits, so that text order is time order.
    pub fn time_text(time: DateTime<Utc>) -> String {
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// The value in JSON: times, days and UUIDs are text, and a number that JSON has no word for is null.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
            Self::Json(value) => {
                serde_json::from_str(value).unwrap_or_else(|_| value.as_str().into())
            }
            Self::Uuid(_) | Self::Time(_) | Self::Date(_) => self.to_string().into(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) | Self::Json(value) => value.fmt(f),
            Self::Uuid(value) => value.fmt(f),
            Self::Time(value) => Self::time_text(*value).fmt(f),
            Self::Date(value) => value.fmt(f),
        }
    }
}

macro_rules! column_values {
    ($($type:ty: $column:ident, |$own:ident| $to:expr, { $($from:pat => $read:expr),+ $(,)? };)+) => {$(
        impl ColumnValue for $type {
            const TYPE: crate::ColumnType = crate::ColumnType::$column;

            fn to_value(&self) -> Value {
                let $own = self;
                $to
            }

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    $($from => $read,)+
                    _ => None,
                }
            }
        }

        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                value.to_value()
            }
        }
    )+};
}

column_values! {
    bool: Bool, |own| Value::Bool(*own), {
        Value::Bool(value) => Some(value),
        Value::Int(value) => Some(value != 0),
    };
    i64: Int, |own| Value::Int(*own), { Value::Int(value) => Some(value) };
    i32: Int, |own| Value::Int((*own).into()), { Value::Int(value) => value.try_into().ok() };
    i16: Int, |own| Value::Int((*own).into()), { Value::Int(value) => value.try_into().ok() };
    u16: Int, |own| Value::Int((*own).into()), { Value::Int(value) => value.try_into().ok() };
    u32: Int, |own| Value::Int((*own).into()), { Value::Int(value) => value.try_into().ok() };
    f64: Float, |own| Value::Float(*own), {
        Value::Float(value) => Some(value),
        // SQLite gives a whole number back as an integer where the column has no declared type.
        Value::Int(value) => value.to_string().parse().ok(),
    };
    String: Text, |own| Value::Text(own.clone()), {
        Value::Text(value) | Value::Json(value) => Some(value),
    };
    Uuid: Uuid, |own| Value::Uuid(*own), {
        Value::Uuid(value) => Some(value),
        Value::Text(value) => value.parse().ok(),
    };
    DateTime<Utc>: Time, |own| Value::Time(*own), {
        Value::Time(value) => Some(value),
        Value::Text(value) => value.parse().ok(),
    };
    NaiveDate: Date, |own| Value::Date(*own), {
        Value::Date(value) => Some(value),
        Value::Text(value) => value.parse().ok(),
    };
}

impl ColumnValue for u64 {
    const TYPE: crate::ColumnType = crate::ColumnType::Int;

    // What does not fit 63 bits stands as text, which no column of numbers takes: a wrong number
    // would be found by nobody.
    fn to_value(&self) -> Value {
        i64::try_from(*self).map_or_else(|_| Value::Text(self.to_string()), Value::Int)
    }

    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl<T: ColumnValue> ColumnValue for Option<T> {
    const TYPE: crate::ColumnType = T::TYPE;
    const NULLABLE: bool = true;

    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        value.to_value()
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl<T> From<Option<T>> for Value
where
    Value: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Value::from)
    }
}
