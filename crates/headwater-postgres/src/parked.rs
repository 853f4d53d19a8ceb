//! Parked events: what projections have set aside.

use headwater_core::{Checkpoint, Parked, Position, Result, StreamName, task::shielded};
use sqlx::{Row as _, postgres::PgRow};

use crate::{checkpoint::generation, errors::of_statement, sql::checked, store::PostgresStore};

impl PostgresStore {
    pub(crate) async fn list_parked(
        &self,
        at: &Checkpoint,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Parked>> {
        let (store, at) = (self.clone(), at.clone());
        shielded(async move {
            let list = sqlx::query(checked(&store.inner.statements.parked))
                .bind(at.projection)
                .bind(generation(at.generation))
                .bind(after.to_i64())
                .bind(i64::from(limit));
            let rows = store.inner.looks.acquire().await?.fetch_all(list).await;
            let rows = rows.map_err(of_statement)?;
            rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
        })
        .await
    }
}

fn decode(row: &PgRow) -> Result<Parked, sqlx::Error> {
    let (bytes, attempts): (i64, i32) = (row.try_get("bytes")?, row.try_get("attempts")?);
    let stream = StreamName::parse(row.try_get("stream")?);
    Ok(Parked {
        position: Position::from_i64(row.try_get("position")?),
        event_id: row.try_get("event_id")?,
        stream: stream.map_err(|error| sqlx::Error::Decode(error.into()))?,
        event_type: row.try_get("type")?,
        bytes: u64::try_from(bytes).unwrap_or(0),
        attempts: u32::try_from(attempts).unwrap_or(0),
        error: row.try_get("error")?,
        retry: row.try_get("retry")?,
        parked_at: row.try_get("parked_at")?,
        code: row.try_get("error_code")?,
    })
}
