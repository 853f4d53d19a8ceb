//! Checkpoints: where each generation of each projection stands, and why it stands still.

use headwater_core::{
    Checkpoint, Error, Failure, GenerationState, Position, Result, task::shielded,
};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{errors::of_statement, rows::fetch_all, store::SqliteStore, values::time};

impl SqliteStore {
    pub(crate) async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>> {
        let mut connection = self.inner.connections.reader().await?;
        let all = (None::<&str>, None::<u32>);
        let statement = sqlx::query(include_str!("checkpoints.sql")).bind(all.0).bind(all.1);
        let rows = fetch_all(&mut connection, statement).await?;
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
    }

    pub(crate) async fn note_failure(
        &self,
        at: &Checkpoint,
        failure: Option<&Failure>,
    ) -> Result<()> {
        let (store, at, failure) = (self.clone(), at.clone(), failure.cloned());
        shielded(async move {
            let connections = &store.inner.connections;
            let transaction = connections.begin(connections.turn().await).await?;
            let mut connection = transaction.connection().await?;
            sqlx::query(include_str!("checkpoint_fail.sql"))
                .bind(at.projection)
                .bind(at.generation)
                .bind(at.epoch)
                .bind(failure.as_ref().map(|failure| failure.position.to_i64()))
                .bind(failure.as_ref().and_then(|failure| failure.event_id))
                .bind(failure.as_ref().map(|failure| failure.error.clone()))
                .bind(at.position.to_i64())
                .bind(failure.map(|failure| failure.code))
                .execute(&mut *connection)
                .await
                .map_err(of_statement)?;
            transaction.commit(connection).await
        })
        .await
    }
}

/// Reads a row of `checkpoints.sql`.
pub(crate) fn decode(row: &SqliteRow) -> Result<Checkpoint, sqlx::Error> {
    let state: &str = row.try_get(2)?;
    let (failed_position, failed_event_id) = (row.try_get::<Option<i64>, _>(8)?, row.try_get(9)?);
    let (error, code): (Option<String>, Option<String>) = (row.try_get(10)?, row.try_get(18)?);
    Ok(Checkpoint {
        projection: row.try_get(0)?,
        generation: row.try_get(1)?,
        state: GenerationState::from_store(state),
        position: Position::from_i64(row.try_get(3)?),
        event_id: row.try_get(4)?,
        event_position: Position::from_i64(row.try_get(5)?),
        epoch: row.try_get(6)?,
        fingerprint: row.try_get(7)?,
        failure: error.map(|error| Failure {
            position: Position::from_i64(failed_position.unwrap_or(0)),
            event_id: failed_event_id,
            code: code.unwrap_or_else(|| "unknown".into()),
            error,
        }),
        updated_at: time(row.try_get(11)?),
        paused: row.try_get(12)?,
        held_back: row.try_get(13)?,
        rebuild_asked: row.try_get(14)?,
        of_this_log: row.try_get(15)?,
        parked: u64::try_from(row.try_get::<i64, _>(16)?).unwrap_or(0),
        inline: row.try_get(17)?,
        skips: u64::try_from(row.try_get::<i64, _>(19)?).unwrap_or(0),
    })
}

/// Another runner was here.
pub(crate) fn moved(projection: &str) -> Error {
    Error::CheckpointMoved { projection: projection.into() }
}
