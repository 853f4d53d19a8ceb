//! Parked events: what projections have set aside.

use headwater_core::{Checkpoint, Parked, Position, Result, StreamName};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    errors::of_statement,
    rows::fetch_all,
    store::{SqliteStore, now},
    values::time,
};

impl SqliteStore {
    pub(crate) async fn list_parked(
        &self,
        at: &Checkpoint,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Parked>> {
        let mut connection = self.inner.connections.reader().await?;
        let list = sqlx::query(include_str!("parked.sql"))
            .bind(&at.projection)
            .bind(at.generation)
            .bind(after.to_i64())
            .bind(limit);
        let rows = fetch_all(&mut connection, list).await?;
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
    }
}

/// Sets events aside, or notes that they were tried again.
pub(crate) async fn park(
    connection: &mut SqliteConnection,
    at: &Checkpoint,
    events: &[Parked],
) -> Result<()> {
    for event in events {
        let park = sqlx::query(include_str!("parked_save.sql"))
            .bind(&at.projection)
            .bind(at.generation)
            .bind(event.position.to_i64())
            .bind(event.event_id)
            .bind(event.stream.as_str())
            .bind(&event.event_type)
            .bind(i64::try_from(event.bytes).unwrap_or(i64::MAX))
            .bind(event.attempts)
            .bind(&event.error)
            .bind(event.retry)
            .bind(now().timestamp_micros())
            .bind(&event.code);
        park.execute(&mut *connection).await.map_err(of_statement)?;
    }
    Ok(())
}

/// Takes one back.
pub(crate) async fn unpark(
    connection: &mut SqliteConnection,
    at: &Checkpoint,
    event: Uuid,
) -> Result<bool> {
    let unpark = sqlx::query(include_str!("parked_remove.sql"))
        .bind(&at.projection)
        .bind(at.generation)
        .bind(event);
    let unparked = unpark.execute(connection).await.map_err(of_statement)?;
    Ok(unparked.rows_affected() > 0)
}

fn decode(row: &SqliteRow) -> Result<Parked, sqlx::Error> {
    let stream = StreamName::parse(row.try_get(2)?);
    Ok(Parked {
        position: Position::from_i64(row.try_get(0)?),
        event_id: row.try_get(1)?,
        stream: stream.map_err(|error| sqlx::Error::Decode(error.into()))?,
        event_type: row.try_get(3)?,
        bytes: u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or(0),
        attempts: row.try_get(5)?,
        error: row.try_get(6)?,
        retry: row.try_get(7)?,
        parked_at: time(row.try_get(8)?),
        code: row.try_get(9)?,
    })
}
