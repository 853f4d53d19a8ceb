//! The store itself: its pools, and who gets a connection.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use headwater_core::{
    Append, Appended, Ceiling, Checkpoint, Error, EventStream, Failure, Limits, Migrated, Reading,
    Result, Row, Settings, Store, StoreTx, StreamInfo, StreamInfos, StreamName, Value, limits,
};
use sqlx::{
    ConnectOptions as _, PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{Mutex, watch};

use crate::{
    ceiling::Settling,
    errors::{of_statement, unavailable},
    hints::Hints,
    sql::Statements,
};

/// How many connections each kind of work may use: together well below PostgreSQL's default of 100.
const WRITERS: u32 = 8;
const READERS: u32 = 16;
const LOOKS: u32 = 4;
const QUERIES: u32 = 8;
const HINTS: u32 = 2;

/// How long a unit of work waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The oldest server that works, as `server_version_num`.
const OLDEST_SERVER: i32 = 150_000;

/// A log in one schema of a PostgreSQL database. Cloning is cheap and shares the connections.
///
/// The store owns its connections, and each unit of work runs in a task of its own: a caller that
/// goes away (a `select!`, a time-out) cannot leave one in the middle of a transaction.
#[derive(Clone)]
pub struct PostgresStore {
    pub(crate) inner: Arc<Inner>,
}

/// What the acts of this crate work with.
pub(crate) struct Inner {
    pub(crate) schema: String,
    pub(crate) statements: Statements,
    pub(crate) limits: Limits,
    pub(crate) writers: PgPool,
    /// For readings, which hold a connection for as long as their reader takes.
    pub(crate) readers: PgPool,
    /// For short looks (ceiling, checkpoints, streams), which must never wait for anyone slow.
    pub(crate) looks: PgPool,
    /// For queries of the user's, which may take as long as they like.
    pub(crate) queries: PgPool,
    pub(crate) hints: Hints,
    pub(crate) settling: Arc<Mutex<Settling>>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.inner.schema).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects to the database at `url`, `postgres://user:password@host:port/database`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where the URL cannot be read, [`Error::InvalidName`] for the schema,
    /// [`Error::Unavailable`] where no server answers, [`Error::Database`] where it refuses,
    /// [`Error::Unsupported`] where it is older than PostgreSQL 15, [`Error::SchemaTooNew`] and
    /// [`Error::SchemaTooOld`].
    pub async fn connect(url: &str, settings: Settings) -> Result<Self> {
        // The parser's own message may quote the URL, and so a password.
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            Error::InvalidInput(
                "the database URL cannot be read: postgres://user:password@host:port/database"
                    .into(),
            )
        })?;
        Self::connect_with(options, settings).await
    }

    /// Connects with the driver's own options.
    ///
    /// # Errors
    ///
    /// As for [`PostgresStore::connect`].
    pub async fn connect_with(options: PgConnectOptions, settings: Settings) -> Result<Self> {
        limits::check_identifier("schema", &settings.schema)?;
        // A statement of the driver's log would say at warning level how long a rebuild reads.
        let options = options.application_name("headwater").disable_statement_logging();
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(PATIENCE)
                .connect_lazy_with(options.clone())
        };
        let store = Self {
            inner: Arc::new(Inner {
                statements: Statements::new(&settings.schema),
                limits: settings.limits,
                writers: pool(WRITERS),
                readers: pool(READERS),
                looks: pool(LOOKS),
                queries: pool(QUERIES),
                hints: Hints::new(&settings.schema, pool(HINTS)),
                settling: Arc::default(),
                schema: settings.schema,
            }),
        };
        store.check_server().await?;
        if settings.migrate {
            store.run_migrations().await?;
        } else {
            store.check_schema().await?;
        }
        Ok(store)
    }

    /// Tells readers that the log has grown, after a transaction with
    /// [`append_in`](PostgresStore::append_in) was committed.
    pub fn hint(&self) {
        self.inner.hints.raise();
    }

    async fn check_server(&self) -> Result<()> {
        // One try without the pool's patience: a server that is not there is told at once.
        let first = sqlx::query("select current_setting('server_version_num')::int");
        let number: i32 = match self.inner.looks.try_acquire() {
            Some(mut connection) => first.fetch_one(&mut *connection).await,
            None => {
                let mut connection =
                    self.inner.looks.connect_options().connect().await.map_err(unavailable)?;
                first.fetch_one(&mut connection).await
            }
        }
        .and_then(|row| row.try_get(0))
        .map_err(of_statement)?;
        if number < OLDEST_SERVER {
            let found = number / 10_000;
            let reason = format!("PostgreSQL 15 or later is needed, and this is {found}");
            return Err(Error::Unsupported { reason });
        }
        Ok(())
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn append(&self, appends: Vec<Append>) -> Result<Appended> {
        self.append_checked(appends).await
    }

    fn read(&self, reading: Reading) -> EventStream {
        self.run_reading(reading)
    }

    async fn ceiling(&self) -> Result<Ceiling> {
        self.look_at_ceiling().await
    }

    fn hints(&self) -> watch::Receiver<u64> {
        self.inner.hints.subscribe()
    }

    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        self.find_stream(stream).await
    }

    fn streams(&self, category: Option<&str>) -> StreamInfos {
        self.list_streams(category)
    }

    async fn migrate(&self) -> Result<Migrated> {
        self.run_migrations().await
    }

    async fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        self.list_checkpoints().await
    }

    async fn record_failure(&self, at: &Checkpoint, failure: Option<&Failure>) -> Result<()> {
        self.note_failure(at, failure).await
    }

    async fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>> {
        self.query_read_models(sql, parameters).await
    }

    async fn begin(&self) -> Result<Box<dyn StoreTx>> {
        self.begin_transaction().await
    }

    async fn close(&self) {
        tokio::join!(
            self.inner.hints.close(),
            self.inner.writers.close(),
            self.inner.readers.close(),
            self.inner.looks.close(),
            self.inner.queries.close()
        );
    }

    async fn describe(&self) -> Result<String> {
        let version: String = sqlx::query("select current_setting('server_version')")
            .fetch_one(&self.inner.looks)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(of_statement)?;
        Ok(format!("PostgreSQL {version}"))
    }
}
