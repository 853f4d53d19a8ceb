//! What a good engineer writes by hand with sqlx: a transaction, a unique key, one INSERT an event,
//! pages of 500, an upsert a row.

use futures_util::future::BoxFuture;
use sqlx::{PgPool, Row as _, types::Json};
use uuid::Uuid;

use crate::subject::{ItemAdded, Outcome, Subject, item};

/// How many events one page of a replay or one transaction of a projection holds.
const PAGE: i64 = 500;

/// Hand-written SQL in a schema of its own.
pub struct ByHand {
    pool: PgPool,
}

impl ByHand {
    /// Makes the tables.
    pub async fn open(url: &str) -> Outcome<Self> {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(16).connect(url).await?;
        sqlx::raw_sql(
            "create schema by_hand;
             create table by_hand.events (
                 position bigserial primary key, stream text not null, version bigint not null,
                 id uuid not null unique, type text not null, data jsonb not null,
                 recorded_at timestamptz not null default now(), unique (stream, version));
             create table by_hand.totals (sku text primary key, pieces bigint not null, value bigint not null);
             create table by_hand.checkpoints (name text primary key, position bigint not null)",
        )
        .execute(&pool)
        .await?;
        Ok(Self { pool })
    }

    async fn page(&self, after: i64) -> Outcome<Vec<(i64, ItemAdded)>> {
        let rows = sqlx::query(
            "select position, data from by_hand.events where position > $1 order by position limit $2",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let item: Json<ItemAdded> = row.try_get(1)?;
                Ok((row.try_get(0)?, item.0))
            })
            .collect()
    }

    async fn project_page(&self, after: i64, items: &[(i64, ItemAdded)]) -> Outcome<i64> {
        let mut tx = self.pool.begin().await?;
        let last = items.last().map_or(after, |(position, _)| *position);
        for (_, item) in items {
            sqlx::query(
                "insert into by_hand.totals values ($1, $2, $3) on conflict (sku) do update
                 set pieces = totals.pieces + excluded.pieces, value = totals.value + excluded.value",
            )
            .bind(&item.sku)
            .bind(item.quantity)
            .bind(item.quantity * item.unit_price)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query(
            "insert into by_hand.checkpoints values ('totals', $1)
             on conflict (name) do update set position = excluded.position",
        )
        .bind(last)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(last)
    }
}

impl Subject for ByHand {
    fn name(&self) -> &'static str {
        "sqlx"
    }

    fn append(&self, stream: u64, count: u64) -> BoxFuture<'_, Outcome<()>> {
        Box::pin(async move {
            let mut tx = self.pool.begin().await?;
            for number in 0..count {
                sqlx::query(
                    "insert into by_hand.events (stream, version, id, type, data) values ($1, $2, $3, $4, $5)",
                )
                .bind(format!("cart-{stream}"))
                .bind(i64::try_from(number)? + 1)
                .bind(Uuid::now_v7())
                .bind("cart.item_added")
                .bind(Json(item(number)))
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(())
        })
    }

    fn replay(&self) -> BoxFuture<'_, Outcome<u64>> {
        Box::pin(async move {
            let (mut after, mut count) = (0, 0);
            loop {
                let page = self.page(after).await?;
                let Some((last, _)) = page.last() else { return Ok(count) };
                after = *last;
                count += page.iter().map(|(_, item)| u64::from(item.quantity > 0)).sum::<u64>();
            }
        })
    }

    fn project(&self) -> BoxFuture<'_, Outcome<i64>> {
        Box::pin(async move {
            let mut after = 0;
            loop {
                let page = self.page(after).await?;
                if page.is_empty() {
                    break;
                }
                after = self.project_page(after, &page).await?;
            }
            let row = sqlx::query("select sum(pieces)::bigint from by_hand.totals")
                .fetch_one(&self.pool)
                .await?;
            Ok(row.try_get(0)?)
        })
    }
}
