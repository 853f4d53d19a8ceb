//! The databases of a run: a fresh one for each measurement that writes, and one for each log that is
//! only read, filled once.

use std::collections::HashMap;

use headwater_testkit::postgres::{self, TestDatabase};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::{
    shared::job::{Filled, Outcome},
    subjects::Store,
};

/// A database, which goes when this is dropped.
pub enum Database {
    Postgres(TestDatabase),
    Sqlite(TempDir),
}

impl Database {
    /// An empty one.
    pub async fn fresh(store: Store) -> Outcome<Self> {
        Ok(match store {
            Store::Sqlite => Self::Sqlite(tempfile::tempdir()?),
            _ => Self::Postgres(postgres::database().await),
        })
    }

    /// Where it is; with its password.
    pub fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url().into(),
            Self::Sqlite(folder) => {
                format!("sqlite://{}", folder.path().join("bench.db").display())
            }
        }
    }

    /// Writes out what earlier work has left in memory, so that a measurement pays for its own alone.
    pub async fn settle(&self) -> Outcome<()> {
        self.run("checkpoint").await
    }

    /// What autovacuum would do to a log that has been there for a while.
    pub async fn tidy(&self) -> Outcome<()> {
        self.run("vacuum analyze").await
    }

    /// Runs a statement on PostgreSQL.
    pub async fn run(&self, sql: &'static str) -> Outcome<()> {
        if let Self::Postgres(database) = self {
            let mut connection = PgConnection::connect(database.url()).await?;
            connection.execute(sql).await?;
            connection.close().await?;
        }
        Ok(())
    }
}

/// The logs that are only read.
#[derive(Default)]
pub struct Logs {
    logs: HashMap<(Store, Filled), Database>,
}

impl Logs {
    /// The log that was filled so, if there is one.
    pub fn get(&self, store: Store, filled: Filled) -> Option<&Database> {
        self.logs.get(&(store, filled))
    }

    /// Keeps a log.
    pub fn keep(&mut self, store: Store, filled: Filled, database: Database) {
        self.logs.insert((store, filled), database);
    }
}
