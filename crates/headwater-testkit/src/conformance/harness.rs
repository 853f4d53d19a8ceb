//! What the suite needs of a store besides its log: a second look at the same database, from outside.

use async_trait::async_trait;
use headwater::{Append, Appended, Log, Result, Settings};

/// A fresh, empty log of one test, and the database it lies in.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The log.
    fn log(&self) -> &Log;

    /// Which of the two dialects of SQL the database speaks.
    fn dialect(&self) -> Dialect;

    /// The full name of a table of the log in SQL, such as `headwater.events`.
    fn table(&self, name: &str) -> String;

    /// Whether the database can be opened a second time, and read beside an open transaction. One
    /// in memory cannot, so a few behaviours have nothing to prove there.
    fn is_shared(&self) -> bool {
        true
    }

    /// Opens the same database as another process would, with these settings; the schema's name is
    /// the harness's own.
    async fn reopen(&self, settings: Settings) -> Result<Log>;

    /// Opens the same database with exactly these settings, the schema's name among them.
    async fn reopen_in(&self, settings: Settings) -> Result<Log>;

    /// Opens one database that has never been opened before, so many times at the same moment.
    async fn open_empty(&self, settings: Settings, times: usize) -> Vec<Result<Log>>;

    /// Runs SQL on the database, past the store; several statements run in one session.
    async fn execute_raw(&self, sql: &str) -> Result<(), String>;

    /// Runs a query that yields one whole number, past the store.
    async fn number_raw(&self, sql: &str) -> Result<i64, String>;

    /// Makes the database look as if a program with this schema number had made it.
    async fn pretend_schema(&self, number: u32);

    /// Begins a transaction of the user's, in the driver's way.
    async fn begin(&self) -> Box<dyn UserTransaction>;

    /// Begins a transaction of the user's by a statement, of which the driver knows nothing. Its
    /// commit raises no hint.
    async fn begin_in_sql(&self) -> Box<dyn UserTransaction>;
}

/// A transaction of the user's, in which events can be appended beside other statements.
///
/// Dropped without a commit, it changes nothing.
#[async_trait]
pub trait UserTransaction: Send {
    /// Runs a statement of the user's.
    async fn execute(&mut self, sql: &str) -> Result<(), String>;

    /// Appends in this transaction.
    async fn append(&mut self, appends: Vec<Append>) -> Result<Appended>;

    /// Commits.
    async fn commit(self: Box<Self>);

    /// Rolls back.
    async fn rollback(self: Box<Self>);
}

/// A dialect of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL's.
    Postgres,
    /// SQLite's.
    Sqlite,
}
