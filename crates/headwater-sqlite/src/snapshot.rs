//! Snapshots: the newest state of an aggregate, one for each stream.

use headwater_core::{Position, Result, Snapshot, StreamName, task::shielded};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    errors::of_statement,
    rows::fetch_all,
    store::{SqliteStore, now},
};

impl SqliteStore {
    pub(crate) async fn find_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>> {
        let mut connection = self.inner.connections.log_reader().await?;
        let statement = sqlx::query(include_str!("snapshot.sql")).bind(stream.as_str());
        let rows = fetch_all(&mut connection, statement).await?;
        rows.first().map(decode).transpose().map_err(of_statement)
    }

    pub(crate) async fn put_snapshot(&self, stream: &StreamName, snapshot: Snapshot) -> Result<()> {
        let (store, stream) = (self.clone(), stream.clone());
        shielded(async move {
            let connections = &store.inner.connections;
            let transaction = connections.begin(connections.turn().await).await?;
            let mut connection = transaction.connection().await?;
            sqlx::query(include_str!("snapshot_save.sql"))
                .bind(stream.as_str())
                .bind(i64::try_from(snapshot.version).unwrap_or(i64::MAX))
                .bind(snapshot.position.to_i64())
                .bind(snapshot.event_id)
                .bind(snapshot.fingerprint)
                .bind(snapshot.state)
                .bind(now().timestamp_micros())
                .execute(&mut *connection)
                .await
                .map_err(of_statement)?;
            transaction.commit(connection).await
        })
        .await
    }
}

fn decode(row: &SqliteRow) -> Result<Snapshot, sqlx::Error> {
    let version: i64 = row.try_get(0)?;
    Ok(Snapshot {
        version: u64::try_from(version).unwrap_or(0),
        position: Position::from_i64(row.try_get(1)?),
        event_id: row.try_get(2)?,
        fingerprint: row.try_get(3)?,
        state: row.try_get(4)?,
    })
}
