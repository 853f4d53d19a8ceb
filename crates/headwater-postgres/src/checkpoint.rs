//! Checkpoints: where each generation of each projection stands, and why it stands still.

use headwater_core::{Checkpoint, Failure, GenerationState, Position, Result, task::shielded};
use sqlx::{Row as _, postgres::PgRow};

use crate::{
    connections::Statement,
    errors::of_statement,
    sql::{Statements, checked},
    store::PostgresStore,
};

impl PostgresStore {
    pub(crate) async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>> {
        let store = self.clone();
        shielded(async move {
            let list = read(&store.inner.statements, None, None);
            let rows = store.inner.looks.acquire().await?.fetch_all(list).await;
            let rows = rows.map_err(of_statement)?;
            rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
        })
        .await
    }

    pub(crate) async fn note_failure(
        &self,
        at: &Checkpoint,
        failure: Option<&Failure>,
    ) -> Result<()> {
        let (store, at, failure) = (self.clone(), at.clone(), failure.cloned());
        shielded(async move {
            let fail = sqlx::query(checked(&store.inner.statements.checkpoint_fail))
                .bind(at.projection)
                .bind(generation(at.generation))
                .bind(at.epoch)
                .bind(failure.as_ref().map(|failure| failure.position.to_i64()))
                .bind(failure.as_ref().and_then(|failure| failure.event_id))
                .bind(failure.as_ref().map(|failure| failure.error.clone()))
                .bind(at.position.to_i64())
                .bind(failure.map(|failure| failure.code));
            store.inner.looks.acquire().await?.execute(fail).await.map(drop).map_err(of_statement)
        })
        .await
    }
}

/// A generation's number as the database stores it.
pub(crate) fn generation(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Reads all checkpoints, or of one projection a generation, the one in service where none is given.
pub(crate) fn read<'q>(
    statements: &'q Statements,
    projection: Option<&str>,
    generation: Option<i32>,
) -> Statement<'q> {
    let query = sqlx::query(checked(&statements.checkpoints));
    query.bind(projection.map(str::to_owned)).bind(generation)
}

/// Reads a row of `checkpoints.sql`.
pub(crate) fn decode(row: &PgRow) -> Result<Checkpoint, sqlx::Error> {
    let generation: i32 = row.try_get("generation")?;
    let error: Option<String> = row.try_get("error")?;
    let failed_position: Option<i64> = row.try_get("failed_position")?;
    let failed_event_id = row.try_get("failed_event_id")?;
    let code: Option<String> = row.try_get("error_code")?;
    Ok(Checkpoint {
        projection: row.try_get("projection")?,
        generation: u32::try_from(generation).unwrap_or(0),
        state: GenerationState::from_store(row.try_get("state")?),
        position: Position::from_i64(row.try_get("position")?),
        event_id: row.try_get("event_id")?,
        event_position: Position::from_i64(row.try_get("event_position")?),
        epoch: row.try_get("epoch")?,
        fingerprint: row.try_get("fingerprint")?,
        failure: error.map(|error| Failure {
            position: Position::from_i64(failed_position.unwrap_or(0)),
            event_id: failed_event_id,
            code: code.unwrap_or_else(|| "unknown".into()),
            error,
        }),
        updated_at: row.try_get("updated_at")?,
        paused: row.try_get("paused")?,
        held_back: row.try_get("held_back")?,
        rebuild_asked: row.try_get("rebuild_asked")?,
        of_this_log: row.try_get("of_this_log")?,
        inline: row.try_get("inline")?,
        parked: u64::try_from(row.try_get::<i64, _>("parked")?).unwrap_or(0),
        skips: u64::try_from(row.try_get::<i64, _>("skips")?).unwrap_or(0),
    })
}
