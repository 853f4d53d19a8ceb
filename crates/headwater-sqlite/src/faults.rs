//! Faults: what the tables of the log contradict each other in. The indexes are read in their order, so that
//! nothing is sorted in memory.

use headwater_core::{Fault, Position, Result, StreamName};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{errors::of_statement, rows::fetch_all, store::SqliteStore};

impl SqliteStore {
    pub(crate) async fn find_faults(&self, limit: u32) -> Result<Vec<Fault>> {
        let mut faults =
            self.list_faults(include_str!("faults_versions.sql"), limit, of_step).await?;
        faults
            .extend(self.list_faults(include_str!("faults_streams.sql"), limit, of_stream).await?);
        faults.extend(self.list_faults(include_str!("faults_ids.sql"), limit, of_id).await?);
        Ok(faults)
    }

    async fn list_faults(
        &self,
        sql: &'static str,
        limit: u32,
        decode: fn(&SqliteRow) -> Result<Fault, sqlx::Error>,
    ) -> Result<Vec<Fault>> {
        let mut connection = self.inner.connections.log_reader().await?;
        let rows = fetch_all(&mut connection, sqlx::query(sql).bind(limit)).await?;
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
    }
}

fn of_step(row: &SqliteRow) -> Result<Fault, sqlx::Error> {
    let place = (row.try_get(1)?, row.try_get(2)?);
    Ok(Fault::of_step(row.try_get(0)?, place, (row.try_get(3)?, row.try_get(4)?)))
}

fn of_stream(row: &SqliteRow) -> Result<Fault, sqlx::Error> {
    let number = |stored: i64| u64::try_from(stored).unwrap_or(0);
    Ok(Fault::Stream {
        stream: StreamName::from_store(row.try_get(0)?),
        said: number(row.try_get(1)?),
        last: number(row.try_get(2)?),
    })
}

fn of_id(row: &SqliteRow) -> Result<Fault, sqlx::Error> {
    Ok(Fault::Id {
        event_id: row.try_get(0)?,
        first: Position::from_i64(row.try_get(1)?),
        last: Position::from_i64(row.try_get(2)?),
    })
}
