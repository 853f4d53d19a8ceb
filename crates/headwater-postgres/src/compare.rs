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
        let key: Vec<_> =
            key.iter().map(|name| format!("compared.{}::text", quoted(name))).collect();
        let key = if key.is_empty() { "''".to_owned() } else { key.join(", ") };
        // Rows are compared as text, since there are types without an equality, such as json.
        let rows = |generation| {
            format!(
                "select (compared.*)::text as content, min(concat_ws(', ', {key}) collate \"C\") as key, \
                        count(*) as times \
                 from {}{} as compared group by 1",
                statements.prefix,
                physical_name(table.name(), generation)
            )
        };
        let sql = format!(
            "select min(coalesce(a.key, b.key) collate \"C\"), \
                    coalesce(sum(greatest(coalesce(a.times, 0) - coalesce(b.times, 0), 0)), 0)::bigint, \
                    coalesce(sum(greatest(coalesce(b.times, 0) - coalesce(a.times, 0), 0)), 0)::bigint \
             from ({}) as a full join ({}) as b using (content) \
             where a.times is distinct from b.times",
            rows(first),
            rows(second)
        );
        let rows = connection.fetch_all(sqlx::query(AssertSqlSafe(sql))).await;
        let found = rows.and_then(|rows| rows.first().map(difference).transpose());
        let (key, only_first, only_second) = found.map_err(of_statement)?.unwrap_or_default();
        if only_first + only_second > 0 {
            let (table, key) = (table.name().to_owned(), key.unwrap_or_default());
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
