//! Read models: typed rows in tables that users query with plain SQL.

use std::hash::Hash;

use crate::{Value, ValueError};

/// A row of a read model; usually written by `#[derive(ReadModel)]`.
///
/// The derive makes the table for both databases. Users query it under its name; behind that name
/// stands the table of the generation in service.
pub trait ReadModel: Sized + Send + Sync + 'static {
    /// What tells rows apart: the type of the `#[key]` field, or a tuple where there are several.
    type Key: Clone + Eq + Hash + Send + Sync + 'static;

    /// The table, with its columns in the order of [`ReadModel::to_values`].
    fn table() -> Table;

    /// The key of this row.
    fn key(&self) -> Self::Key;

    /// A key as the databases store it, in the order of the key columns.
    fn key_values(key: &Self::Key) -> Vec<Value>;

    /// The row as the databases store it.
    fn to_values(&self) -> Vec<Value>;

    /// Reads a row.
    ///
    /// # Errors
    ///
    /// [`ValueError`] where a value is not of its column's type.
    fn from_values(values: Vec<Value>) -> Result<Self, ValueError>;
}

/// A table of a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name under which users query it.
    pub name: &'static str,
    /// The columns; the store adds `position`, the position of the event that last touched the row.
    pub columns: Vec<Column>,
}

/// A column of a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name.
    pub name: &'static str,
    /// The type.
    pub column_type: ColumnType,
    /// Whether it is a part of the primary key.
    pub key: bool,
    /// Whether it may be null.
    pub nullable: bool,
}

/// What a column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// A truth value.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A floating point number of 64 bits.
    Float,
    /// Text, compared byte by byte.
    Text,
    /// A UUID.
    Uuid,
    /// A point in time, to the microsecond.
    Time,
    /// A calendar day.
    Date,
    /// A JSON document.
    Json,
}

impl Table {
    /// The columns of the primary key, in their order.
    pub fn key(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.key)
    }
}

/// A checked identifier as it stands in SQL: it may still be a keyword, such as `order`.
pub fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// The name of the table that holds one generation of a read model.
pub fn physical_name(table: &str, generation: u32) -> String {
    format!("{table}__{generation}")
}
