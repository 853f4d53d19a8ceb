//! Snapshots: the newest state of an aggregate, one for each stream.

use headwater_core::{Position, Result, Snapshot, StreamName, task::shielded};
use sqlx::Row as _;

use crate::{errors::of_statement, sql::checked, store::PostgresStore};

impl PostgresStore {
    pub(crate) async fn find_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>> {
        let (store, stream) = (self.clone(), stream.clone());
        shielded(async move {
            let find = sqlx::query(checked(&store.inner.statements.snapshot)).bind(stream.as_str());
            let row = store.inner.looks.acquire().await?.fetch_optional(find).await;
            let Some(row) = row.map_err(of_statement)? else { return Ok(None) };
            let version: i64 = row.try_get(0).map_err(of_statement)?;
            Ok(Some(Snapshot {
                version: u64::try_from(version).unwrap_or(0),
                position: Position::from_i64(row.try_get(1).map_err(of_statement)?),
                event_id: row.try_get(2).map_err(of_statement)?,
                fingerprint: row.try_get(3).map_err(of_statement)?,
                state: row.try_get(4).map_err(of_statement)?,
            }))
        })
        .await
    }

    pub(crate) async fn put_snapshot(&self, stream: &StreamName, snapshot: Snapshot) -> Result<()> {
        let (store, stream) = (self.clone(), stream.clone());
        shielded(async move {
            let save = sqlx::query(checked(&store.inner.statements.snapshot_save))
                .bind(stream.as_str())
                .bind(i64::try_from(snapshot.version).unwrap_or(i64::MAX))
                .bind(snapshot.position.to_i64())
                .bind(snapshot.event_id)
                .bind(snapshot.fingerprint)
                .bind(snapshot.state);
            let done = store.inner.transactions.acquire().await?.execute(save).await;
            done.map(drop).map_err(of_statement)
        })
        .await
    }
}
