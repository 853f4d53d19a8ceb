//! Faults: what the tables of the log contradict each other in. The server sorts, on its disk where it must.

use std::sync::Arc;

use headwater_core::{Fault, Position, Result, StreamName, task::shielded};
use sqlx::{Row as _, postgres::PgRow};

use crate::{errors::of_statement, sql::checked, store::PostgresStore};

impl PostgresStore {
    pub(crate) async fn find_faults(&self, limit: u32) -> Result<Vec<Fault>> {
        let statements = &self.inner.statements;
        let mut faults = self.list_faults(&statements.faults_versions, limit, of_step).await?;
        faults.extend(self.list_faults(&statements.faults_streams, limit, of_stream).await?);
        faults.extend(self.list_faults(&statements.faults_ids, limit, of_id).await?);
        Ok(faults)
    }

    async fn list_faults(
        &self,
        sql: &Arc<str>,
        limit: u32,
        decode: fn(&PgRow) -> Result<Fault, sqlx::Error>,
    ) -> Result<Vec<Fault>> {
        let (store, sql) = (self.clone(), sql.clone());
        shielded(async move {
            let list = sqlx::query(checked(&sql)).bind(i64::from(limit)).persistent(false);
            let rows = store.inner.readings.acquire().await?.fetch_all(list).await;
            let rows = rows.map_err(of_statement)?;
            rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
        })
        .await
    }
}

fn of_step(row: &PgRow) -> Result<Fault, sqlx::Error> {
    let place = (row.try_get(1)?, row.try_get(2)?);
    Ok(Fault::of_step(row.try_get(0)?, place, (row.try_get(3)?, row.try_get(4)?)))
}

fn of_stream(row: &PgRow) -> Result<Fault, sqlx::Error> {
    let number = |stored: i64| u64::try_from(stored).unwrap_or(0);
    Ok(Fault::Stream {
        stream: StreamName::from_store(row.try_get(0)?),
        said: number(row.try_get(1)?),
        last: number(row.try_get(2)?),
    })
}

fn of_id(row: &PgRow) -> Result<Fault, sqlx::Error> {
    Ok(Fault::Id {
        event_id: row.try_get(0)?,
        first: Position::from_i64(row.try_get(1)?),
        last: Position::from_i64(row.try_get(2)?),
    })
}
