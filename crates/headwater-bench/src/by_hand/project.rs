//! Projections, an upsert a row, a page of events and their checkpoint in one transaction.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::read::{self, Event, PAGE};
use crate::shared::job::Outcome;

/// The tables, in the order in which they are taken.
pub const TABLES: [&str; 4] = ["customer_totals", "product_totals", "day_totals", "cart_totals"];

/// The key of the row that an event touches.
pub fn key<'a>(table: &str, event: &'a Event) -> &'a str {
    match table {
        "customer_totals" => &event.sale.customer,
        "product_totals" => &event.sale.sku,
        "day_totals" => &event.sale.day,
        _ => &event.stream,
    }
}

/// Empties the read models.
pub async fn forget(pool: &PgPool) -> Outcome<()> {
    for table in TABLES.into_iter().chain(["checkpoints"]) {
        let truncate = format!("truncate by_hand.{table}");
        sqlx::query(AssertSqlSafe(truncate)).execute(pool).await?;
    }
    Ok(())
}

/// Builds the first tables from zero.
pub async fn row_by_row(pool: &PgPool, read_models: usize) -> Outcome<()> {
    let statements: Vec<_> = TABLES.iter().take(read_models).map(|table| upsert(table)).collect();
    let mut after = 0;
    loop {
        let events = read::page(pool, after, PAGE).await?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.position;
        let mut tx = pool.begin().await?;
        for event in &events {
            for (table, statement) in TABLES.iter().zip(&statements) {
                sqlx::query(AssertSqlSafe(statement.as_str()))
                    .bind(key(table, event))
                    .bind(event.sale.quantity)
                    .bind(event.sale.value())
                    .execute(&mut *tx)
                    .await?;
            }
        }
        check_point(&mut tx, after).await?;
        tx.commit().await?;
    }
}

fn upsert(table: &str) -> String {
    format!(
        "insert into by_hand.{table} as t values ($1, $2, $3) on conflict (key) do update
         set pieces = t.pieces + excluded.pieces, value = t.value + excluded.value"
    )
}

/// Moves the checkpoint.
pub async fn check_point(connection: &mut PgConnection, position: i64) -> sqlx::Result<()> {
    sqlx::query(
        "insert into by_hand.checkpoints values ('totals', $1)
         on conflict (name) do update set position = excluded.position",
    )
    .bind(position)
    .execute(connection)
    .await?;
    Ok(())
}

/// The pieces of all customers.
pub async fn pieces(pool: &PgPool) -> Outcome<i64> {
    let sum = "select sum(pieces)::bigint from by_hand.customer_totals";
    Ok(sqlx::query_scalar(sum).fetch_one(pool).await?)
}
