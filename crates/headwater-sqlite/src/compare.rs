//! Compare: the rows of two generations, side by side in the database.

use headwater_core::{Definition, Difference, Result, physical_name, quoted};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use crate::{
    errors::of_statement,
    rows::{fetch_all, fetch_one},
};

/// How each table of two generations differs.
pub(crate) async fn compare(
    connection: &mut SqliteConnection,
    definition: &Definition,
    first: u32,
    second: u32,
) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for table in &definition.tables {
        let (columns, key) = columns(connection, &physical_name(table.name(), first)).await?;
        let rows = |times: i8, generation| {
            format!(
                "select {} as content, {} as key, {times} as times from {}",
                together(columns.iter().map(|name| format!("quote({})", quoted(name)))),
                together(
                    key.iter().map(|name| format!("coalesce(cast({} as text), '')", quoted(name)))
                ),
                quoted(&physical_name(table.name(), generation)),
            )
        };
        let sql = format!(
            "select min(key), coalesce(sum(max(times, 0)), 0), coalesce(sum(max(-times, 0)), 0) \
             from (select min(key) as key, sum(times) as times from ({} union all {}) \
                   group by content having sum(times) <> 0)",
            rows(1, first),
            rows(-1, second)
        );
        let found = fetch_one(connection, sqlx::query(AssertSqlSafe(sql)), |row| {
            let count = |index| row.try_get::<i64, _>(index).map(|n| u64::try_from(n).unwrap_or(0));
            Ok((row.try_get::<Option<String>, _>(0)?, count(1)?, count(2)?))
        });
        let (key, only_first, only_second) = found.await?;
        if only_first + only_second > 0 {
            let (table, key) = (table.name().to_owned(), key.unwrap_or_default());
            differences.push(Difference { table, key, only_first, only_second });
        }
    }
    Ok(differences)
}

/// All columns of a table, and those of its key.
async fn columns(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<(Vec<String>, Vec<String>)> {
    let rows = fetch_all(connection, sqlx::query(include_str!("table_columns.sql")).bind(table));
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    for row in rows.await? {
        let name: String = row.try_get(0).map_err(of_statement)?;
        if row.try_get::<bool, _>(1).map_err(of_statement)? {
            key.push(name.clone());
        }
        columns.push(name);
    }
    Ok((columns, key))
}

/// One text of all of them, with commas.
fn together(values: impl Iterator<Item = String>) -> String {
    let values: Vec<_> = values.collect();
    if values.is_empty() { "''".into() } else { values.join(" || ', ' || ") }
}
