//! A log in PostgreSQL, and transactions over it that a test holds open.

use headwater::{Append, Appended, Log, Settings, postgres::PostgresStore};
use headwater_testkit::postgres::{TestDatabase, database, direct, direct_database};
use sqlx::{AssertSqlSafe, PgConnection};

/// A database with a log.
pub struct Place {
    pub url: String,
    pub store: PostgresStore,
    pub log: Log,
    _database: Option<TestDatabase>,
}

impl Place {
    pub async fn fresh() -> Self {
        Self::of(database().await).await
    }

    /// Without a pooler, whatever the other tests have.
    pub async fn direct() -> Self {
        Self::of(direct_database().await).await
    }

    async fn of(database: TestDatabase) -> Self {
        Self::open(database.url().to_owned(), Settings::default(), Some(database)).await
    }

    /// The same log, as another process holds it.
    pub async fn again(&self) -> Self {
        Self::open(self.url.clone(), Settings::default(), None).await
    }

    /// A second log in the same database.
    pub async fn in_schema(&self, schema: &str) -> Self {
        let settings = Settings { schema: schema.into(), ..Settings::default() };
        Self::open(self.url.clone(), settings, None).await
    }

    async fn open(url: String, settings: Settings, database: Option<TestDatabase>) -> Self {
        let store = PostgresStore::connect(&url, settings).await.expect("the log opens");
        let log = Log::new(store.clone());
        Self { url, store, log, _database: database }
    }

    /// Draws positions that no event will ever have.
    pub async fn draw_positions(&self, count: u32) {
        let sequence = "pg_get_serial_sequence('headwater.events', 'position')";
        let mut connection = direct(&self.url).await;
        let sql = format!("select count(nextval({sequence})) from generate_series(1, {count})");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("it may draw");
    }

    /// Whether a condition holds, in SQL.
    pub async fn holds(&self, condition: &str) -> Option<()> {
        let mut connection = direct(&self.url).await;
        let sql = AssertSqlSafe(format!("select {condition}"));
        let holds: bool =
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("the query is sound");
        holds.then_some(())
    }
}

/// A transaction that the test holds open; dropping it closes its connection.
pub struct Open {
    connection: PgConnection,
    store: PostgresStore,
}

impl Open {
    pub async fn begin(place: &Place) -> Self {
        Self::begin_at(&place.url, place).await
    }

    pub async fn begin_at(url: &str, place: &Place) -> Self {
        let connection = direct(url).await;
        let mut open = Self { connection, store: place.store.clone() };
        open.execute("begin").await;
        open
    }

    pub async fn execute(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut self.connection).await.expect("the statement is sound");
    }

    /// Makes connections to come look for everything in this schema first.
    pub async fn look_first_in(&mut self, schema: &str) {
        let sql = format!(
            "do $$ begin execute format('alter database %I set search_path = {schema}, pg_catalog',
                                        current_database()); end $$"
        );
        self.execute(&sql).await;
    }

    pub async fn append(&mut self, append: Append) -> Appended {
        self.store.append_in(&mut self.connection, vec![append]).await.expect("it is applied")
    }

    pub async fn commit(mut self) {
        self.execute("commit").await;
        self.store.hint();
    }

    pub async fn rollback(mut self) {
        self.execute("rollback").await;
    }
}
