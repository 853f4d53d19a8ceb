//! The schema of the file: numbered steps, each in a transaction of its own.
//!
//! Any number of processes may start at the same moment: each step looks again, with the writer's
//! lock held, which number the file is at.

use headwater_core::{Error, Migrated, Result, task::shielded};
use headwater_migrations::{Migration, SQLITE};
use sqlx::{Row as _, SqliteConnection};

use crate::{
    errors::of_statement,
    rows::fetch_one,
    store::{SqliteStore, now},
};

/// The newest schema that this program knows.
pub(crate) fn known() -> u32 {
    SQLITE.last().map_or(0, |migration| migration.number)
}

impl SqliteStore {
    pub(crate) async fn run_migrations(&self) -> Result<Migrated> {
        let store = self.clone();
        shielded(async move {
            // Without the writer's lock: an up-to-date file may be opened while somebody writes.
            let from = store.schema_number().await?;
            let mut at = from;
            while at < known() {
                at = store.take_step().await?;
            }
            Ok(Migrated { from, to: at })
        })
        .await
    }

    /// Refuses a file whose schema is not the one that this program knows.
    pub(crate) async fn check_schema(&self) -> Result<()> {
        match self.schema_number().await? {
            found if found < known() => Err(Error::SchemaTooOld { found, known: known() }),
            _ => Ok(()),
        }
    }

    async fn schema_number(&self) -> Result<u32> {
        let mut connection = self.inner.connections.reader().await?;
        number(&mut connection).await
    }

    /// Applies the next step, if another process has not; yields the number after it.
    async fn take_step(&self) -> Result<u32> {
        let connections = &self.inner.connections;
        let transaction = connections.begin(connections.turn().await).await?;
        let mut connection = transaction.connection().await?;
        let at = number(&mut connection).await?;
        let Some(step) = SQLITE.iter().find(|migration| migration.number > at) else {
            return Ok(at);
        };
        apply(&mut connection, step).await.map_err(of_statement)?;
        transaction.commit(connection).await?;
        Ok(step.number)
    }
}

/// The number that the file is at, 0 for a new one.
async fn number(connection: &mut SqliteConnection) -> Result<u32> {
    let exist = sqlx::query(include_str!("migrations_exist.sql"));
    if !fetch_one(connection, exist, |row| row.try_get(0)).await? {
        return Ok(0);
    }
    let number = sqlx::query(include_str!("migrations_number.sql"));
    let found: u32 = fetch_one(connection, number, |row| row.try_get(0)).await?;
    if found > known() {
        return Err(Error::SchemaTooNew { found, known: known() });
    }
    Ok(found)
}

async fn apply(connection: &mut SqliteConnection, step: &Migration) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("migrations_table.sql")).execute(&mut *connection).await?;
    sqlx::raw_sql(step.sql).execute(&mut *connection).await?;
    sqlx::query(include_str!("migrations_insert.sql"))
        .bind(step.number)
        .bind(step.name)
        .bind(now().timestamp_micros())
        .execute(connection)
        .await
        .map(drop)
}
