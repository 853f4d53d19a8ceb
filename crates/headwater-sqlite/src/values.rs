//! Values on their way to SQLite and back.
//!
//! SQLite has five storage classes, so a value comes back by its class: truth values as whole
//! numbers, ids of read models, times and days as text. `ColumnValue` of core reads both forms.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use headwater_core::{ColumnType, Error, Result, Row, Value, expand};
use serde::Serialize;
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Row as _, SqliteConnection, TypeInfo as _,
    ValueRef as _, sqlite::SqliteRow,
};
use uuid::Uuid;

use crate::{
    errors::of_statement,
    rows::{Statement, fetch_all},
    store::SqliteStore,
};

impl SqliteStore {
    pub(crate) async fn query_read_models(
        &self,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Vec<Row>> {
        let sql = expand(sql, |name| format!("\"{name}\""));
        let mut connection = self.inner.connections.reader().await?;
        // One snapshot for preparing and running it; see `fetch`.
        let mut snapshot = connection.begin().await.map_err(of_statement)?;
        let rows = fetch(&mut snapshot, sql, parameters).await?;
        snapshot.commit().await.map_err(of_statement)?;
        Ok(rows)
    }
}

/// Runs a query of the user's, inside a transaction.
pub(crate) async fn fetch(
    connection: &mut SqliteConnection,
    sql: String,
    parameters: &[Value],
) -> Result<Vec<Row>> {
    // The driver's thread panics where a result has more columns than the statement had when it was
    // prepared. A first statement makes the connection notice that another one swapped a view.
    sqlx::query(include_str!("values_schema.sql"))
        .execute(&mut *connection)
        .await
        .map_err(of_statement)?;
    let rows = fetch_all(connection, user_query(sql, parameters)?).await?;
    decode(&rows).map_err(of_statement)
}

/// A statement of the user's with its parameters; the names in its text were checked by `expand`.
pub(crate) fn user_query<'q>(sql: String, parameters: &[Value]) -> Result<Statement<'q>> {
    check(parameters)?;
    let query = sqlx::query(AssertSqlSafe(sql));
    // Prepared anew each time, as the driver remembers how many columns a statement had.
    Ok(parameters.iter().cloned().fold(query, bind).persistent(false))
}

/// Refuses text that PostgreSQL could not hold: code that runs on one store must run on the other.
///
/// # Errors
///
/// [`Error::InvalidInput`] where a text holds U+0000: give another text.
pub(crate) fn check(values: &[Value]) -> Result<()> {
    let holds_nul = |value: &Value| match value {
        Value::Text(text) | Value::Json(text) => text.contains('\0'),
        _ => false,
    };
    if values.iter().any(holds_nul) {
        return Err(Error::InvalidInput("text in a read model cannot hold U+0000".into()));
    }
    Ok(())
}

/// Binds one value in the form in which read models keep it.
pub(crate) fn bind(query: Statement<'_>, value: Value) -> Statement<'_> {
    match value {
        Value::Null => query.bind(None::<i64>),
        Value::Bool(value) => query.bind(value),
        Value::Int(value) => query.bind(value),
        Value::Float(value) => query.bind(value),
        Value::Text(value) | Value::Json(value) => query.bind(value),
        Value::Uuid(value) => query.bind(value.to_string()),
        Value::Time(value) => query.bind(Value::time_text(value)),
        Value::Date(value) => query.bind(value.to_string()),
    }
}

/// Rows of any query, each value by its storage class.
pub(crate) fn decode(rows: &[SqliteRow]) -> Result<Vec<Row>, sqlx::Error> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let columns: Arc<[String]> =
        first.columns().iter().map(|column| column.name().to_owned()).collect();
    rows.iter()
        .map(|row| {
            let values =
                (0..columns.len()).map(|index| value(row, index)).collect::<Result<_, _>>()?;
            Ok(Row { columns: columns.clone(), values })
        })
        .collect()
}

fn value(row: &SqliteRow, index: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    Ok(match raw.type_info().name() {
        "INTEGER" => Value::Int(row.try_get_unchecked(index)?),
        "REAL" => Value::Float(row.try_get_unchecked(index)?),
        "BLOB" => {
            let bytes: &[u8] = row.try_get_unchecked(index)?;
            // The log's own ids are blobs of 16 bytes. Read models hold no others.
            Uuid::from_slice(bytes).map_or_else(|_| Value::Text(hex(bytes)), Value::Uuid)
        }
        _ => Value::Text(row.try_get_unchecked(index)?),
    })
}

/// A row of a read model, each value by the type of its column.
pub(crate) fn decode_typed(
    row: &SqliteRow,
    types: &[ColumnType],
) -> Result<Vec<Value>, sqlx::Error> {
    types.iter().enumerate().map(|(index, kind)| Ok(typed(value(row, index)?, *kind))).collect()
}

// What does not read stays as it is; the reader's own type then says which column is wrong.
fn typed(value: Value, kind: ColumnType) -> Value {
    match (kind, value) {
        (ColumnType::Bool, Value::Int(value)) => Value::Bool(value != 0),
        (ColumnType::Json, Value::Text(value)) => Value::Json(value),
        (ColumnType::Uuid, Value::Text(value)) => {
            value.parse().map_or(Value::Text(value), Value::Uuid)
        }
        (ColumnType::Time, Value::Text(value)) => {
            value.parse::<DateTime<Utc>>().map_or(Value::Text(value), Value::Time)
        }
        (ColumnType::Date, Value::Text(value)) => {
            value.parse::<NaiveDate>().map_or(Value::Text(value), Value::Date)
        }
        (_, value) => value,
    }
}

/// Many values as one parameter, so that one statement serves any number of them.
pub(crate) fn json(values: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(values).expect("text and whole numbers are always JSON")
}

/// A time of the log, which keeps microseconds since 1970.
pub(crate) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
