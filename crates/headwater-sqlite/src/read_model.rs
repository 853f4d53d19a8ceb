//! Tables of read models: made, read and written in bulk.
//!
//! The statements are put together from names that were checked when the generation was made. The
//! values are bound one by one and not as one JSON array, since SQLite's reading of a JSON number
//! is off by one in the last place for 8 % of all floating point numbers.

use headwater_core::{
    Column, ColumnType, Definition, Error, Position, Result, Table, TableDefinition, Value,
    expand_generation, physical_name, quoted,
};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use crate::{
    errors::of_statement,
    rows::{fetch_all, fetch_one},
    values::{bind, check, decode_typed},
};

/// How many rows a statement takes: few texts, which the driver keeps prepared, and few round trips.
const ROWS: [usize; 3] = [64, 8, 1];

/// How many parameters a statement takes; SQLite's own limit is 32,766.
const PARAMETERS: usize = 8_192;

/// Makes the tables of a generation.
pub(crate) async fn create(
    connection: &mut SqliteConnection,
    definition: &Definition,
    generation: u32,
) -> Result<()> {
    for table in &definition.tables {
        let sql = match table {
            TableDefinition::Columns(table) => create_statement(table, generation),
            TableDefinition::Sql { create, .. } => expand_generation(create, "", generation),
        };
        run(connection, sql).await?;
        let exists = sqlx::query(include_str!("read_model_exists.sql"))
            .bind(physical_name(table.name(), generation));
        if !fetch_one(connection, exists, |row| row.try_get(0)).await? {
            return Err(Error::InvalidInput(format!(
                "the statement for table {name} makes no table {{{name}}}",
                name = table.name()
            )));
        }
    }
    Ok(())
}

fn create_statement(table: &Table, generation: u32) -> String {
    let columns: String = table.columns.iter().map(describe).collect();
    format!(
        "create table {} ({columns}position integer not null, primary key ({})) strict",
        physical(table, generation),
        names(table.key()),
    )
}

fn describe(column: &Column) -> String {
    let kind = match column.column_type {
        ColumnType::Bool | ColumnType::Int => "integer",
        ColumnType::Float => "real",
        ColumnType::Text
        | ColumnType::Uuid
        | ColumnType::Time
        | ColumnType::Date
        | ColumnType::Json => "text",
    };
    let null = if column.nullable { "" } else { " not null" };
    format!("{} {kind}{null}, ", quoted(column.name))
}

/// Removes the tables of a generation.
pub(crate) async fn drop(
    connection: &mut SqliteConnection,
    definition: &Definition,
    generation: u32,
) -> Result<()> {
    for table in &definition.tables {
        let physical = quoted(&physical_name(table.name(), generation));
        run(connection, format!("drop table if exists {physical}")).await?;
    }
    Ok(())
}

/// Points the views, under which users query, at the tables of a generation.
pub(crate) async fn show(
    connection: &mut SqliteConnection,
    definition: &Definition,
    generation: u32,
) -> Result<()> {
    for table in &definition.tables {
        let (view, physical) =
            (quoted(table.name()), quoted(&physical_name(table.name(), generation)));
        let columns = match table {
            TableDefinition::Columns(table) => format!("{}, position", names(table.columns.iter())),
            TableDefinition::Sql { .. } => "*".into(),
        };
        run(connection, format!("drop view if exists {view}")).await?;
        run(connection, format!("create view {view} as select {columns} from {physical}")).await?;
    }
    Ok(())
}

/// The rows with these keys.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    table: &Table,
    generation: u32,
    keys: Vec<Vec<Value>>,
) -> Result<Vec<Vec<Value>>> {
    let types: Vec<_> = table.columns.iter().map(|column| column.column_type).collect();
    let sql = |tuples: &str| {
        format!(
            "select {} from {} where ({}) in (values {tuples})",
            names(table.columns.iter()),
            physical(table, generation),
            names(table.key()),
        )
    };
    let mut loaded = Vec::with_capacity(keys.len());
    for (sql, values) in statements(keys, sql) {
        let query = values.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), bind);
        let rows = fetch_all(connection, query).await?;
        for row in &rows {
            loaded.push(decode_typed(row, &types).map_err(of_statement)?);
        }
    }
    Ok(loaded)
}

/// Writes rows over those with the same keys.
pub(crate) async fn save(
    connection: &mut SqliteConnection,
    table: &Table,
    generation: u32,
    rows: Vec<(Vec<Value>, Position)>,
) -> Result<()> {
    let set: Vec<_> = table
        .columns
        .iter()
        .filter(|column| !column.key)
        .map(|column| column.name)
        .chain(["position"])
        .map(|name| format!("{name} = excluded.{name}", name = quoted(name)))
        .collect();
    let sql = |tuples: &str| {
        format!(
            "insert into {} ({}, position) values {tuples} on conflict ({}) do update set {}",
            physical(table, generation),
            names(table.columns.iter()),
            names(table.key()),
            set.join(", "),
        )
    };
    for (row, _) in &rows {
        check(row)?;
    }
    let rows = rows.into_iter().map(|(mut row, position)| {
        row.push(Value::Int(position.to_i64()));
        row
    });
    execute(connection, rows.collect(), sql).await
}

/// Removes the rows with these keys.
pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    table: &Table,
    generation: u32,
    keys: Vec<Vec<Value>>,
) -> Result<()> {
    let sql = |tuples: &str| {
        format!(
            "delete from {} where ({}) in (values {tuples})",
            physical(table, generation),
            names(table.key()),
        )
    };
    execute(connection, keys, sql).await
}

async fn execute(
    connection: &mut SqliteConnection,
    rows: Vec<Vec<Value>>,
    sql: impl Fn(&str) -> String,
) -> Result<()> {
    for (sql, values) in statements(rows, sql) {
        let query = values.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), bind);
        query.execute(&mut *connection).await.map_err(of_statement)?;
    }
    Ok(())
}

/// Cuts rows into statements: as many of the largest as there can be, then of the next.
fn statements(
    mut rows: Vec<Vec<Value>>,
    sql: impl Fn(&str) -> String,
) -> Vec<(String, Vec<Value>)> {
    let width = rows.first().map_or(1, Vec::len);
    let mut statements = Vec::new();
    for size in ROWS {
        let text = sql(&tuples(size, width));
        let fits = size == 1 || size * width <= PARAMETERS;
        while fits && rows.len() >= size {
            let rest = rows.split_off(rows.len() - size);
            statements.push((text.clone(), rest.into_iter().flatten().collect()));
        }
    }
    statements
}

/// `(?, ?), (?, ?)`. Without numbers: the driver looks each numbered one up among all of them.
fn tuples(rows: usize, width: usize) -> String {
    let tuple = format!("({})", vec!["?"; width].join(", "));
    vec![tuple; rows].join(", ")
}

fn physical(table: &Table, generation: u32) -> String {
    quoted(&physical_name(table.name, generation))
}

fn names<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(|column| quoted(column.name)).collect::<Vec<_>>().join(", ")
}

async fn run(connection: &mut SqliteConnection, sql: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ()).map_err(of_statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_statement() {
        let rows = (0..75).map(|row| vec![Value::Int(row), Value::Null]).collect();
        let statements = statements(rows, |tuples| tuples.into());
        let sizes: Vec<_> = statements.iter().map(|(_, values)| values.len() / 2).collect();
        assert_eq!(sizes, [64, 8, 1, 1, 1]);
        assert_eq!(statements[2].0, "(?, ?)");
        let mut rows: Vec<_> =
            statements.iter().flat_map(|(_, values)| values.iter().step_by(2)).cloned().collect();
        rows.sort_by_key(|value| match value {
            Value::Int(row) => *row,
            _ => -1,
        });
        assert_eq!(rows, (0..75).map(Value::Int).collect::<Vec<_>>());
    }
}
