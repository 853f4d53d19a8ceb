//! The suite over SQLite: a file in a temporary directory, or a database in memory.

use std::sync::Mutex;

use async_trait::async_trait;
use headwater::{Append, Appended, Log, Result, Settings, sqlite::SqliteStore};
use sqlx::{AssertSqlSafe, Sqlite as Driver, SqlitePool, Transaction, pool::PoolConnection};
use tempfile::TempDir;

use super::{Dialect, Harness, UserTransaction};

const MEMORY: &str = "sqlite::memory:";

/// A log in a file of SQLite's.
#[derive(Debug)]
pub struct SqliteFile;

/// A log in memory.
#[derive(Debug)]
pub struct SqliteMemory;

impl SqliteFile {
    /// A fresh log in a file.
    pub async fn fresh() -> Box<dyn Harness> {
        let (url, directory) = fresh_file();
        Sqlite::open(Some(url), Some(directory)).await
    }
}

impl SqliteMemory {
    /// A fresh log in memory.
    pub async fn fresh() -> Box<dyn Harness> {
        Sqlite::open(None, None).await
    }
}

struct Sqlite {
    /// Not for a database in memory, which is opened once.
    url: Option<String>,
    store: SqliteStore,
    log: Log,
    directories: Mutex<Vec<TempDir>>,
}

impl Sqlite {
    async fn open(url: Option<String>, directory: Option<TempDir>) -> Box<dyn Harness> {
        let store = SqliteStore::connect(url.as_deref().unwrap_or(MEMORY), Settings::default())
            .await
            .expect("a fresh database takes the schema");
        let log = Log::new(store.clone());
        let directories = Mutex::new(directory.into_iter().collect());
        Box::new(Self { url, store, log, directories })
    }

    /// Past the store; in memory there is no other way than through its pool.
    async fn connect(&self) -> PoolConnection<Driver> {
        let pool = match &self.url {
            Some(url) => &SqlitePool::connect(url).await.expect("the database opens"),
            None => self.store.pool(),
        };
        pool.acquire().await.expect("the database opens")
    }
}

fn fresh_file() -> (String, TempDir) {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    (format!("sqlite://{}/log.db", directory.path().display()), directory)
}

#[async_trait]
impl Harness for Sqlite {
    fn log(&self) -> &Log {
        &self.log
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn table(&self, name: &str) -> String {
        name.into()
    }

    fn is_shared(&self) -> bool {
        self.url.is_some()
    }

    async fn reopen(&self, settings: Settings) -> Result<Log> {
        self.reopen_in(settings).await
    }

    async fn reopen_in(&self, settings: Settings) -> Result<Log> {
        let url = self.url.as_ref().expect("a database in memory is opened once");
        Ok(Log::new(SqliteStore::connect(url, settings).await?))
    }

    async fn open_empty(&self, settings: Settings, times: usize) -> Vec<Result<Log>> {
        let (url, directory) = fresh_file();
        let open = || async { Ok(Log::new(SqliteStore::connect(&url, settings.clone()).await?)) };
        let opened = futures_util::future::join_all((0..times).map(|_| open())).await;
        self.directories.lock().expect("no test panics in here").push(directory);
        opened
    }

    async fn execute_raw(&self, sql: &str) -> Result<(), String> {
        let mut connection = self.connect().await;
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *connection).await;
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn number_raw(&self, sql: &str) -> Result<i64, String> {
        let mut connection = self.connect().await;
        let found = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut *connection);
        found.await.map_err(|error| error.to_string())
    }

    async fn pretend_schema(&self, number: u32) {
        let sql = format!(
            "delete from migrations where number > {number}; \
             insert into migrations (number, name, applied_at) \
             select {number}, 'pretended', 0 where {number} > 0 on conflict do nothing"
        );
        self.execute_raw(&sql).await.expect("the table of migrations is as expected");
    }

    async fn begin(&self) -> Box<dyn UserTransaction> {
        let tx = self.store.pool().begin_with("begin immediate").await;
        let tx = tx.expect("a transaction begins");
        Box::new(DriverTx { tx, store: self.store.clone() })
    }

    async fn begin_in_sql(&self) -> Box<dyn UserTransaction> {
        let mut tx = SqlTx { connection: self.connect().await, store: self.store.clone() };
        tx.execute("begin immediate").await.expect("a transaction begins");
        Box::new(tx)
    }
}

struct DriverTx {
    tx: Transaction<'static, Driver>,
    store: SqliteStore,
}

#[async_trait]
impl UserTransaction for DriverTx {
    async fn execute(&mut self, sql: &str) -> Result<(), String> {
        let sql = AssertSqlSafe(sql.to_owned());
        let done = sqlx::raw_sql(sql).execute(&mut *self.tx).await;
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn append(&mut self, appends: Vec<Append>) -> Result<Appended> {
        self.store.append_in(&mut self.tx, appends).await
    }

    async fn commit(self: Box<Self>) {
        self.tx.commit().await.expect("a sound transaction commits");
        self.store.hint();
    }

    async fn rollback(self: Box<Self>) {
        self.tx.rollback().await.expect("a transaction rolls back");
    }
}

struct SqlTx {
    connection: PoolConnection<Driver>,
    store: SqliteStore,
}

#[async_trait]
impl UserTransaction for SqlTx {
    async fn execute(&mut self, sql: &str) -> Result<(), String> {
        let sql = AssertSqlSafe(sql.to_owned());
        let done = sqlx::raw_sql(sql).execute(&mut *self.connection).await;
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn append(&mut self, appends: Vec<Append>) -> Result<Appended> {
        self.store.append_in(&mut self.connection, appends).await
    }

    async fn commit(mut self: Box<Self>) {
        self.execute("commit").await.expect("a sound transaction commits");
    }

    async fn rollback(mut self: Box<Self>) {
        self.execute("rollback").await.expect("a transaction rolls back");
    }
}
