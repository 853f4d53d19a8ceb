//! Compare: the rows of two generations, side by side in the database.

use headwater_core::{Definition, Difference, Result, TableDefinition, physical_name, quoted};
use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};

use crate::{connections::Held, errors::of_statement, sql::Statements};

/// How each table of two generations differs.
pub(crate) async fn compare(
    connection: &mut Held,
    statements: &Statements,
    definition: &Definition,
    first: u32,
    second: u32,
) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for table in &definition.tables {
        let key = match table {
            TableDefinition::Columns(table) => table.key().map(|c| c.name.to_owned()).collect(),
            TableDefinition::Sql { name, .. } => key(connection, statements, name, first).await?,
        };
        let key: Vec<_> = key.iter().map(|name| format!("{}::text", quoted(name))).collect();
        let rows = |generation| {
            format!(
                "select t::text as content, concat_ws(', ', {}) as key from {}{} as t",
                if key.is_empty() { "''".into() } else { key.join(", ") },
                statements.prefix,
                physical_name(table.name(), generation)
            )
        };
        let sql = format!(
            "select min(coalesce(a.key, b.key) collate \"C\"), \
                    count(*) filter (where b.content is null), \
                    count(*) filter (where a.content is null) \
             from ({}) as a full join ({}) as b using (content) \
             where a.content is null or b.content is null",
            rows(first),
            rows(second)
        );
        let rows = connection.fetch_all(sqlx::query(AssertSqlSafe(sql))).await;
        let found = rows.and_then(|rows| rows.first().map(difference).transpose());
        if let Some((Some(key), only_first, only_second)) = found.map_err(of_statement)? {
            let table = table.name().to_owned();
            differences.push(Difference { table, key, only_first, only_second });
        }
    }
    Ok(differences)
}

/// The first key that differs, if one does, and how many rows are in one generation alone.
fn difference(row: &PgRow) -> Result<(Option<String>, u64, u64), sqlx::Error> {
    let count = |index| row.try_get::<i64, _>(index).map(|n| u64::try_from(n).unwrap_or(0));
    Ok((row.try_get(0)?, count(1)?, count(2)?))
}

/// The columns of the primary key of a table that the user's own statement has made.
async fn key(
    connection: &mut Held,
    statements: &Statements,
    table: &str,
    generation: u32,
) -> Result<Vec<String>> {
    let table = format!("{}{}", statements.prefix, quoted(&physical_name(table, generation)));
    let query = sqlx::query(include_str!("table_key.sql")).bind(table);
    let rows = connection.fetch_all(query).await.map_err(of_statement)?;
    rows.iter().map(|row| row.try_get(0).map_err(of_statement)).collect()
}
