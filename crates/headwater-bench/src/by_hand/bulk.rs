//! Many rows in one statement, from arrays: what an engineer writes who has measured.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgPool, types::Json};
use uuid::Uuid;

use super::{
    Row,
    project::{TABLES, check_point, key},
    read::{self, Event},
};
use crate::shared::job::Outcome;

/// How many events are folded at a time.
const BATCH: i64 = 2_000;

/// Appends in one statement, which is a transaction by itself.
pub async fn insert(pool: &PgPool, rows: &[Row]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into by_hand.events (stream, version, id, type, data)
         select * from unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::json[])",
    )
    .bind(rows.iter().map(|row| row.stream.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
    .bind(rows.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
    .bind(vec!["cart.item_added"; rows.len()])
    .bind(rows.iter().map(|row| Json(&row.sale)).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(())
}

/// Builds the first tables from zero: folds a batch in memory and upserts each row once.
pub async fn project(pool: &PgPool, read_models: usize) -> Outcome<()> {
    let statements: Vec<_> = TABLES.iter().take(read_models).map(|table| upsert(table)).collect();
    let mut after = 0;
    loop {
        let events = read::page(pool, after, BATCH).await?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.position;
        let mut tx = pool.begin().await?;
        for (table, statement) in TABLES.iter().zip(&statements) {
            let (keys, pieces, values) = folded(table, &events);
            sqlx::query(AssertSqlSafe(statement.as_str()))
                .bind(keys)
                .bind(pieces)
                .bind(values)
                .execute(&mut *tx)
                .await?;
        }
        check_point(&mut tx, after).await?;
        tx.commit().await?;
    }
}

fn folded<'a>(table: &str, events: &'a [Event]) -> (Vec<&'a str>, Vec<i64>, Vec<i64>) {
    let mut totals: HashMap<&str, (i64, i64)> = HashMap::new();
    for event in events {
        let (pieces, value) = totals.entry(key(table, event)).or_default();
        *pieces += event.sale.quantity;
        *value += event.sale.value();
    }
    let (mut keys, mut pieces, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (key, total) in totals {
        keys.push(key);
        pieces.push(total.0);
        values.push(total.1);
    }
    (keys, pieces, values)
}

fn upsert(table: &str) -> String {
    format!(
        "insert into by_hand.{table} as t
         select * from unnest($1::text[], $2::bigint[], $3::bigint[])
         on conflict (key) do update
         set pieces = t.pieces + excluded.pieces, value = t.value + excluded.value"
    )
}
