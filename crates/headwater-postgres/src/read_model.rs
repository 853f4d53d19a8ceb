//! Tables of read models: made, read and written in bulk, one statement for any number of rows.
//!
//! The statements are put together from names that were checked when the generation was made; the
//! values travel as arrays, one for each column.

use headwater_core::{
    Column, ColumnType, Definition, Error, GenerationState, Position, Result, Table,
    TableDefinition, Value, expand_generation, physical_name, quoted,
};
use sqlx::AssertSqlSafe;

use crate::{
    connections::{Held, Statement},
    errors::{has_code, of_statement},
    sql::Statements,
    values,
};

/// How long the swap of a view or the removal of a table waits for readers, before it lets everybody
/// else pass and tries again.
const LOCK_WAIT: &str = "set local lock_timeout = '200ms'";

fn column_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Bool => "boolean",
        ColumnType::Int => "bigint",
        ColumnType::Float => "double precision",
        ColumnType::Text => "text",
        ColumnType::Uuid => "uuid",
        ColumnType::Time => "timestamptz",
        ColumnType::Date => "date",
        ColumnType::Json => "json",
    }
}

fn names<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(|column| quoted(column.name)).collect::<Vec<_>>().join(", ")
}

async fn run(connection: &mut Held, sql: String) -> Result<()> {
    connection.execute(sqlx::query(AssertSqlSafe(sql))).await.map(|_| ()).map_err(of_statement)
}

/// Makes the tables of a generation, and the views where it goes into service at once.
pub(crate) async fn create(
    connection: &mut Held,
    statements: &Statements,
    definition: &Definition,
    generation: u32,
    state: GenerationState,
) -> Result<()> {
    let prefix = &statements.prefix;
    for table in &definition.tables {
        let create = match table {
            TableDefinition::Sql { create, .. } => expand_generation(create, prefix, generation),
            TableDefinition::Columns(table) => {
                let physical = physical_name(table.name, generation);
                let columns: String = table.columns.iter().map(describe).collect();
                format!(
                    "create table {prefix}{physical} ({columns} position bigint not null, primary key ({}))",
                    names(table.key())
                )
            }
        };
        run(connection, create).await?;
    }
    if state == GenerationState::Live {
        show(connection, statements, definition, generation).await?;
    }
    Ok(())
}

fn describe(column: &Column) -> String {
    let collate = if column.column_type == ColumnType::Text { " collate \"C\"" } else { "" };
    let null = if column.nullable { "" } else { " not null" };
    format!("{} {}{collate}{null}, ", quoted(column.name), column_type(column.column_type))
}

/// Removes the tables of a generation.
pub(crate) async fn drop(
    connection: &mut Held,
    statements: &Statements,
    definition: &Definition,
    generation: u32,
) -> Result<()> {
    run(connection, LOCK_WAIT.into()).await?;
    for table in &definition.tables {
        let physical = physical_name(table.name(), generation);
        run(connection, format!("drop table if exists {}{physical}", statements.prefix)).await?;
    }
    Ok(())
}

/// Points the views at the tables of a generation. Readers wait at them until the commit.
pub(crate) async fn show(
    connection: &mut Held,
    statements: &Statements,
    definition: &Definition,
    generation: u32,
) -> Result<()> {
    run(connection, LOCK_WAIT.into()).await?;
    let prefix = &statements.prefix;
    for table in &definition.tables {
        let view = table.name();
        let columns = match table {
            TableDefinition::Columns(table) => format!("{}, position", names(table.columns.iter())),
            TableDefinition::Sql { .. } => "*".into(),
        };
        let query = format!("select {columns} from {prefix}{}", physical_name(view, generation));
        let replaced = async {
            savepoint(connection, "savepoint headwater_view").await?;
            let replace = format!("create or replace view {prefix}{view} as {query}");
            let replaced = connection.execute(sqlx::query(AssertSqlSafe(replace))).await;
            // Other columns than before: the view cannot be replaced, only made anew.
            if replaced.as_ref().is_err_and(|error| has_code(error, "42P16")) {
                savepoint(connection, "rollback to savepoint headwater_view").await?;
                for anew in [
                    format!("drop view {prefix}{view}"),
                    format!("create view {prefix}{view} as {query}"),
                ] {
                    connection.execute(sqlx::query(AssertSqlSafe(anew))).await?;
                }
            } else {
                replaced?;
            }
            savepoint(connection, "release savepoint headwater_view").await
        };
        replaced.await.map_err(|error| blocked(error, &definition.name))?;
    }
    Ok(())
}

async fn savepoint(connection: &mut Held, sql: &'static str) -> Result<(), sqlx::Error> {
    connection.control(sql).await
}

fn blocked(error: sqlx::Error, projection: &str) -> Error {
    if has_code(&error, "55P03") || has_code(&error, "40P01") {
        let reason = "a query over the read model that is being replaced has not ended".into();
        return Error::PromoteBlocked { projection: projection.into(), reason };
    }
    of_statement(error)
}

/// The rows with these keys.
pub(crate) async fn load(
    connection: &mut Held,
    statements: &Statements,
    table: &Table,
    generation: u32,
    keys: Vec<Vec<Value>>,
) -> Result<Vec<Vec<Value>>> {
    let sql = format!(
        "select {} from {} as keys ({key}) join {}{} using ({key})",
        names(table.columns.iter()),
        unnest(table.key().map(|column| column.column_type)),
        statements.prefix,
        physical_name(table.name, generation),
        key = names(table.key()),
    );
    let query = arrays(sql, table.key().map(|column| column.column_type), keys)?;
    let rows = connection.fetch_all(query).await.map_err(of_statement)?;
    Ok(values::decode(rows)?.into_iter().map(|row| row.values).collect())
}

/// Writes rows over those with the same keys.
pub(crate) async fn save(
    connection: &mut Held,
    statements: &Statements,
    table: &Table,
    generation: u32,
    rows: Vec<(Vec<Value>, Position)>,
) -> Result<()> {
    let types = || table.columns.iter().map(|c| c.column_type).chain([ColumnType::Int]);
    let set: Vec<_> = table
        .columns
        .iter()
        .filter(|column| !column.key)
        .map(|column| column.name)
        .chain(["position"])
        .map(|name| format!("{name} = excluded.{name}", name = quoted(name)))
        .collect();
    let sql = format!(
        "insert into {}{} ({}, position) select * from {} on conflict ({}) do update set {}",
        statements.prefix,
        physical_name(table.name, generation),
        names(table.columns.iter()),
        unnest(types()),
        names(table.key()),
        set.join(", "),
    );
    let rows = rows.into_iter().map(|(mut row, position)| {
        row.push(Value::Int(position.to_i64()));
        row
    });
    let query = arrays(sql, types(), rows.collect())?;
    connection.execute(query).await.map(|_| ()).map_err(of_statement)
}

/// Removes the rows with these keys.
pub(crate) async fn remove(
    connection: &mut Held,
    statements: &Statements,
    table: &Table,
    generation: u32,
    keys: Vec<Vec<Value>>,
) -> Result<()> {
    let key = names(table.key());
    let sql = format!(
        "delete from {}{} where ({key}) in (select * from {})",
        statements.prefix,
        physical_name(table.name, generation),
        unnest(table.key().map(|column| column.column_type)),
    );
    let query = arrays(sql, table.key().map(|column| column.column_type), keys)?;
    connection.execute(query).await.map(|_| ()).map_err(of_statement)
}

/// `unnest($1::bigint[], $2::text[])`, a parameter for each column.
fn unnest(types: impl Iterator<Item = ColumnType>) -> String {
    let arrays: Vec<_> = types
        .zip(1..)
        .map(|(kind, index)| match kind {
            ColumnType::Json => format!("${index}::text[]::json[]"),
            other => format!("${index}::{}[]", column_type(other)),
        })
        .collect();
    format!("unnest({})", arrays.join(", "))
}

/// Binds rows as one array for each column.
fn arrays<'q>(
    sql: String,
    types: impl Iterator<Item = ColumnType>,
    rows: Vec<Vec<Value>>,
) -> Result<Statement<'q>> {
    let types: Vec<_> = types.collect();
    let mut columns: Vec<Vec<Value>> =
        types.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (kind, column) in types.into_iter().zip(columns) {
        query = match kind {
            ColumnType::Bool => query.bind(typed::<bool>(column)?),
            ColumnType::Int => query.bind(typed::<i64>(column)?),
            ColumnType::Float => query.bind(typed::<f64>(column)?),
            ColumnType::Text | ColumnType::Json => query.bind(typed::<String>(column)?),
            ColumnType::Uuid => query.bind(typed::<uuid::Uuid>(column)?),
            ColumnType::Time => query.bind(typed::<chrono::DateTime<chrono::Utc>>(column)?),
            ColumnType::Date => query.bind(typed::<chrono::NaiveDate>(column)?),
        };
    }
    Ok(query)
}

/// The values of one column; one of another type than the column's would stand as null.
fn typed<T: headwater_core::ColumnValue>(column: Vec<Value>) -> Result<Vec<Option<T>>> {
    let typed = |value: Value| match value {
        Value::Null => Ok(None),
        value => T::from_value(value).map(Some).ok_or_else(|| Error::Mismatch {
            reason: format!("a value for a column of {:?} is of another type", T::TYPE),
        }),
    };
    column.into_iter().map(typed).collect()
}
