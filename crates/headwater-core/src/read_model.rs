//! Read models: typed rows in tables that users query with plain SQL.

use std::hash::Hash;

use crate::{Error, Result, Value, ValueError, limits};

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

/// What a projection builds: the tables of each of its generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The name of the projection.
    pub name: String,
    /// Changes when the projection's code changes in a way that asks for a rebuild.
    pub fingerprint: String,
    /// The tables.
    pub tables: Vec<TableDefinition>,
}

/// How a table of a generation is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableDefinition {
    /// From typed columns.
    Columns(Table),
    /// By the user's own statement, in which `{name}` stands for the table.
    Sql {
        /// The name under which users query the table.
        name: String,
        /// A `create table {name} (...)` that both databases understand.
        create: String,
    },
}

impl TableDefinition {
    /// The name under which users query the table.
    pub fn name(&self) -> &str {
        match self {
            Self::Columns(table) => table.name,
            Self::Sql { name, .. } => name,
        }
    }
}

impl Definition {
    /// The definition of a projection into `tables`; `version` is the user's count of code changes.
    pub fn new(name: &str, version: u32, tables: Vec<TableDefinition>) -> Self {
        let mut fingerprint = format!("v{version}");
        for table in &tables {
            match table {
                TableDefinition::Columns(table) => {
                    let columns: Vec<_> = table.columns.iter().map(describe).collect();
                    fingerprint += &format!(" {}({})", table.name, columns.join(", "));
                }
                TableDefinition::Sql { create, .. } => fingerprint += &format!(" {create}"),
            }
        }
        Self { name: name.into(), fingerprint, tables }
    }

    /// Whether a generation with this fingerprint was built by newer code than this.
    pub fn is_older_than(&self, fingerprint: &str) -> bool {
        let version = |fingerprint: &str| -> Option<u32> {
            fingerprint.strip_prefix('v')?.split(' ').next()?.parse().ok()
        };
        version(&self.fingerprint) < version(fingerprint)
    }

    /// Checks the names of the projection, its tables and its columns.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] where one is not a plain lower-case identifier, or a table has the
    /// name of one of Headwater's own: give another name.
    pub fn check(&self) -> Result<()> {
        limits::check_identifier("projection", &self.name)?;
        for table in &self.tables {
            limits::check_identifier("table", table.name())?;
            if RESERVED.contains(&table.name()) {
                let reason = "a table or view of Headwater's own has it";
                return Err(Error::invalid_name("table", table.name(), reason));
            }
            if let TableDefinition::Columns(table) = table {
                for column in &table.columns {
                    limits::check_identifier("column", column.name)?;
                }
            }
        }
        Ok(())
    }
}

/// What lies in the schema beside the read models.
const RESERVED: [&str; 7] =
    ["streams", "events", "checkpoints", "migrations", "settled", "all_events", "all_checkpoints"];

fn describe(column: &Column) -> String {
    let Column { name, column_type, key, nullable } = column;
    format!(
        "{name} {column_type:?}{}{}",
        if *key { " key" } else { "" },
        if *nullable { " null" } else { "" }
    )
}

/// A checked identifier as it stands in SQL: it may still be a keyword, such as `order`.
pub fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// The name of the table that holds one generation of a read model.
pub fn physical_name(table: &str, generation: u32) -> String {
    format!("{table}__{generation}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_name_of_its_own() {
        let definition = |table: &str| {
            let table = TableDefinition::Sql { name: table.into(), create: String::new() };
            Definition::new("sales", 1, vec![table]).check()
        };
        definition("sales").unwrap();
        for name in ["events", "all_checkpoints", "Sales", "sales-1", ""] {
            assert!(matches!(definition(name), Err(Error::InvalidName { .. })), "{name}");
        }
    }

    #[test]
    fn older_code_is_told_by_its_version() {
        let definition = |version| Definition::new("sales", version, Vec::new());
        assert!(definition(9).is_older_than(&definition(10).fingerprint));
        assert!(!definition(10).is_older_than(&definition(10).fingerprint));
        assert!(!definition(10).is_older_than(&definition(9).fingerprint));
        assert!(!definition(1).is_older_than("made by somebody else"));
    }
}
