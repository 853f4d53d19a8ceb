//! A savepoint in the user's own transaction, wholly kept or wholly undone, even when it is dropped.
//!
//! It is plain SQL and not one of the driver's, which knows only the transactions that it began
//! itself: the user may as well have sent `begin immediate`.

use futures_util::FutureExt as _;
use headwater_core::Result;
use sqlx::SqliteConnection;

use crate::errors::of_statement;

/// A savepoint. Dropped before it ended, it is undone.
pub(crate) struct Savepoint<'c> {
    connection: &'c mut SqliteConnection,
    open: bool,
}

impl<'c> Savepoint<'c> {
    pub(crate) async fn begin(connection: &'c mut SqliteConnection) -> Result<Self> {
        let savepoint = Self { connection, open: true };
        sqlx::query("savepoint headwater_append")
            .execute(&mut *savepoint.connection)
            .await
            .map_err(of_statement)?;
        Ok(savepoint)
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        self.connection
    }

    pub(crate) async fn keep(mut self) -> Result<()> {
        self.end("release headwater_append").await
    }

    pub(crate) async fn undo(mut self) -> Result<()> {
        self.end("rollback to headwater_append; release headwater_append").await
    }

    async fn end(&mut self, sql: &'static str) -> Result<()> {
        sqlx::raw_sql(sql).execute(&mut *self.connection).await.map_err(of_statement)?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        if self.open {
            // The first poll hands the statement to the connection's thread, which runs it behind
            // what is under way and before whatever the user sends next. It fails, harmlessly,
            // where the savepoint was not yet made or is already released.
            for sql in ["rollback to headwater_append", "release headwater_append"] {
                let _ = sqlx::raw_sql(sql).execute(&mut *self.connection).now_or_never();
            }
        }
    }
}
