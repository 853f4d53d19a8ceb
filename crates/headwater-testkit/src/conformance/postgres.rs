//! The suite over PostgreSQL: a database for each test, in the default schema or another one.

use std::{str::FromStr as _, sync::Mutex};

use async_trait::async_trait;
use headwater::{Append, Appended, Log, Result, Settings, postgres::PostgresStore};
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres as Driver, Transaction,
    postgres::PgConnectOptions,
};

use super::{Dialect, Harness, UserTransaction};
use crate::postgres::{TestDatabase, direct_database, plainly, pooled};

/// A log in PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    database: TestDatabase,
    /// Through which its users reach it.
    url: String,
    pooled: bool,
    others: Mutex<Vec<TestDatabase>>,
    schema: &'static str,
    store: PostgresStore,
    log: Log,
}

impl Postgres {
    /// A fresh log in the default schema.
    pub async fn fresh() -> Box<dyn Harness> {
        Self::open("headwater", false).await
    }

    /// A fresh log behind PgBouncer in transaction mode.
    pub async fn fresh_behind_a_pooler() -> Box<dyn Harness> {
        Self::open("headwater", true).await
    }

    /// A fresh log in a schema of another name, which is a word of SQL's as well.
    pub async fn fresh_in_other_schema() -> Box<dyn Harness> {
        Self::open("order", false).await
    }

    async fn open(schema: &'static str, pooled: bool) -> Box<dyn Harness> {
        let database = direct_database().await;
        let url = way(&database, pooled).await;
        let settings = Settings { schema: schema.into(), ..Settings::default() };
        let store = PostgresStore::connect(&url, settings)
            .await
            .expect("a fresh database takes the schema");
        let log = Log::new(store.clone());
        Box::new(Self { database, url, pooled, others: Mutex::default(), schema, store, log })
    }

    async fn connect(&self) -> PgConnection {
        let database = &self.database;
        let url = if self.pooled { plainly(database) } else { database.url().to_owned() };
        PgConnection::connect(&url).await.expect("the test server takes connections")
    }

    /// As a user of a pooler has to connect.
    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::from_str(&self.url).expect("a sound URL").extra_float_digits(None)
    }
}

/// The URL by which a database is reached.
async fn way(database: &TestDatabase, pooled: bool) -> String {
    if pooled { self::pooled(database).await } else { database.url().to_owned() }
}

#[async_trait]
impl Harness for Postgres {
    fn log(&self) -> &Log {
        &self.log
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn table(&self, name: &str) -> String {
        format!("\"{}\".{name}", self.schema)
    }

    async fn reopen(&self, settings: Settings) -> Result<Log> {
        self.reopen_in(Settings { schema: self.schema.into(), ..settings }).await
    }

    async fn reopen_in(&self, settings: Settings) -> Result<Log> {
        Ok(Log::new(PostgresStore::connect(&self.url, settings).await?))
    }

    async fn open_empty(&self, settings: Settings, times: usize) -> Vec<Result<Log>> {
        let fresh = direct_database().await;
        let url = way(&fresh, self.pooled).await;
        let settings = Settings { schema: self.schema.into(), ..settings };
        let open = || async { Ok(Log::new(PostgresStore::connect(&url, settings.clone()).await?)) };
        let opened = futures_util::future::join_all((0..times).map(|_| open())).await;
        self.others.lock().expect("no test panics in here").push(fresh);
        opened
    }

    async fn execute_raw(&self, sql: &str) -> Result<(), String> {
        let mut connection = self.connect().await;
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
        let _ = connection.close().await;
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn number_raw(&self, sql: &str) -> Result<i64, String> {
        let mut connection = self.connect().await;
        let found = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection);
        let found = found.await.map_err(|error| error.to_string());
        let _ = connection.close().await;
        found
    }

    async fn pretend_schema(&self, number: u32) {
        let migrations = self.table("migrations");
        let sql = format!(
            "delete from {migrations} where number > {number}; \
             insert into {migrations} (number, name) select {number}, 'pretended' where {number} > 0 \
             on conflict do nothing"
        );
        self.execute_raw(&sql).await.expect("the table of migrations is as expected");
    }

    async fn begin(&self) -> Box<dyn UserTransaction> {
        let pool = PgPool::connect_with(self.options()).await.expect("the test server answers");
        let tx = pool.begin().await.expect("a transaction begins");
        Box::new(DriverTx { tx, store: self.store.clone() })
    }

    async fn begin_in_sql(&self) -> Box<dyn UserTransaction> {
        let connection = PgConnection::connect_with(&self.options()).await;
        let connection = connection.expect("the test server takes connections");
        let mut tx = SqlTx { connection, store: self.store.clone() };
        tx.execute("begin").await.expect("a transaction begins");
        Box::new(tx)
    }
}

struct DriverTx {
    tx: Transaction<'static, Driver>,
    store: PostgresStore,
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

/// Closing the connection is a rollback.
struct SqlTx {
    connection: PgConnection,
    store: PostgresStore,
}

#[async_trait]
impl UserTransaction for SqlTx {
    async fn execute(&mut self, sql: &str) -> Result<(), String> {
        let sql = AssertSqlSafe(sql.to_owned());
        let done = sqlx::raw_sql(sql).execute(&mut self.connection).await;
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
