//! Readings: pages, or one query whose rows are taken as they come. Both decode into the same struct,
//! with all that an event of Headwater bears.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use sqlx::{PgPool, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::shared::{job::Outcome, sale::Sale};

/// How many events a page holds.
pub const PAGE: i64 = 500;

/// An event that was read.
#[derive(Debug)]
#[allow(dead_code, reason = "a reader has them all, whether it looks at them or not")]
pub struct Event {
    pub position: i64,
    pub stream: String,
    pub version: i64,
    pub id: Uuid,
    pub kind: String,
    pub schema_version: i32,
    pub sale: Sale,
    pub metadata: Option<String>,
    pub correlation_id: Option<Uuid>,
    pub causation_id: Option<Uuid>,
    pub occurred_at: Option<DateTime<Utc>>,
    pub recorded_at: DateTime<Utc>,
}

/// A cart that was loaded.
#[derive(Default)]
pub struct Loaded {
    pub pieces: i64,
    pub value: i64,
    pub version: i64,
}

impl Loaded {
    fn take_in(&mut self, event: &Event) {
        self.pieces += event.sale.quantity;
        self.value += event.sale.value();
        self.version = event.version;
    }
}

/// Loads a cart by pages.
pub async fn load(pool: &PgPool, stream: &str) -> Outcome<Loaded> {
    let mut loaded = Loaded::default();
    loop {
        let rows = sqlx::query(
            "select position, stream, version, id, type, schema_version, data, metadata::text,
                    correlation_id, causation_id, occurred_at, recorded_at
             from by_hand.events where stream = $1 and version > $2 order by version limit $3",
        )
        .bind(stream)
        .bind(loaded.version)
        .bind(PAGE)
        .fetch_all(pool)
        .await?;
        let full = i64::try_from(rows.len())? == PAGE;
        for row in rows {
            loaded.take_in(&decode(&row)?);
        }
        if !full {
            return Ok(loaded);
        }
    }
}

/// Loads a cart by one query.
pub async fn load_streaming(pool: &PgPool, stream: &str) -> Outcome<Loaded> {
    let mut loaded = Loaded::default();
    let mut rows = sqlx::query(
        "select position, stream, version, id, type, schema_version, data, metadata::text,
                correlation_id, causation_id, occurred_at, recorded_at
         from by_hand.events where stream = $1 order by version",
    )
    .bind(stream)
    .fetch(pool);
    while let Some(row) = rows.try_next().await? {
        loaded.take_in(&decode(&row)?);
    }
    Ok(loaded)
}

/// Reads a page of the whole log.
pub async fn page(pool: &PgPool, after: i64, limit: i64) -> Outcome<Vec<Event>> {
    let rows = sqlx::query(
        "select position, stream, version, id, type, schema_version, data, metadata::text,
                correlation_id, causation_id, occurred_at, recorded_at
         from by_hand.events where position > $1 order by position limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.iter().map(decode).collect::<sqlx::Result<_>>()?)
}

/// Reads the whole log by pages, and counts its events.
pub async fn replay(pool: &PgPool) -> Outcome<u64> {
    let (mut after, mut count) = (0, 0);
    loop {
        let page = page(pool, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after = last.position;
        count += page.iter().map(|event| u64::from(event.sale.quantity > 0)).sum::<u64>();
    }
}

/// Reads the whole log by one query.
pub async fn replay_streaming(pool: &PgPool) -> Outcome<u64> {
    let mut count = 0;
    let mut rows = sqlx::query(
        "select position, stream, version, id, type, schema_version, data, metadata::text,
                correlation_id, causation_id, occurred_at, recorded_at
         from by_hand.events order by position",
    )
    .fetch(pool);
    while let Some(row) = rows.try_next().await? {
        count += u64::from(decode(&row)?.sale.quantity > 0);
    }
    Ok(count)
}

fn decode(row: &PgRow) -> sqlx::Result<Event> {
    let Json(sale) = row.try_get(6)?;
    Ok(Event {
        position: row.try_get(0)?,
        stream: row.try_get(1)?,
        version: row.try_get(2)?,
        id: row.try_get(3)?,
        kind: row.try_get(4)?,
        schema_version: row.try_get(5)?,
        sale,
        metadata: row.try_get(7)?,
        correlation_id: row.try_get(8)?,
        causation_id: row.try_get(9)?,
        occurred_at: row.try_get(10)?,
        recorded_at: row.try_get(11)?,
    })
}
