//! Appends, an INSERT an event.

use sqlx::{PgExecutor, PgPool, types::Json};
use uuid::Uuid;

use super::Row;

/// Each event by itself, without a transaction around it.
pub async fn bare(pool: &PgPool, rows: &[Row]) -> sqlx::Result<()> {
    for row in rows {
        insert(pool, row).await?;
    }
    Ok(())
}

/// All events in one transaction.
pub async fn one_by_one(pool: &PgPool, rows: &[Row]) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    for row in rows {
        insert(&mut *tx, row).await?;
    }
    tx.commit().await
}

async fn insert(executor: impl PgExecutor<'_>, row: &Row) -> sqlx::Result<()> {
    sqlx::query(
        "insert into by_hand.events (stream, version, id, type, data) values ($1, $2, $3, $4, $5)",
    )
    .bind(&row.stream)
    .bind(row.version)
    .bind(Uuid::now_v7())
    .bind("cart.item_added")
    .bind(Json(&row.sale))
    .execute(executor)
    .await?;
    Ok(())
}
