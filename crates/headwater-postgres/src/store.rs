//! The store itself: its pools, and who gets a connection.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use headwater_core::{
    Append, Appended, Checkpoint, Error, EventStream, Failure, Fault, Finding, Instance, Leases,
    Limits, Look, Migrated, Operation, Parked, Pooler, Pools, Position, ProjectionStore, Reading,
    Result, Row, Settings, Snapshot, Store, StoreTx, StreamInfo, StreamInfos, StreamName,
    SubscriptionCheckpoint, SubscriptionStore, Value, Work,
    batcher::{Batcher, Bounds},
    inline::Inlines,
    metrics::CEILING_LAG_POSITIONS,
    task::shielded,
};
use metrics::Gauge;
use sqlx::{ConnectOptions as _, Row as _, postgres::PgConnectOptions};
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    ceiling::Settling,
    connections::{Connections, Route},
    errors::of_statement,
    hints::Hints,
    pooler,
    sql::Statements,
};

/// How much one group of appends takes, beyond its first.
const GROUP: Bounds = Bounds { events: 1_000, bytes: 4 << 20 };

/// How long a connection may rest and is still taken to live, where little depends on it.
const TRUST: Duration = Duration::from_secs(1);

/// The oldest server that works, as `server_version_num`.
const OLDEST_SERVER: i32 = 150_000;

/// The parameters of a URL that the driver knows.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

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
    pub(crate) batcher: Batcher,
    /// Whether a pooler lends the server's sessions for a transaction each.
    pub(crate) pooled: bool,
    pub(crate) statement_timeout: Duration,
    pub(crate) appends: Connections,
    /// For appends to streams that another transaction holds.
    pub(crate) held_appends: Connections,
    pub(crate) transactions: Connections,
    pub(crate) readings: Connections,
    /// For short looks (ceiling, checkpoints, streams), which must never wait for anyone slow.
    pub(crate) looks: Connections,
    /// For queries of the user's.
    pub(crate) queries: Connections,
    pub(crate) hints: Hints,
    pub(crate) settling: Arc<Mutex<Settling>>,
    pub(crate) ceiling_lag: Gauge,
    pub(crate) inlines: Arc<Inlines>,
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
        Self::connect_with(Self::options(url)?, settings).await
    }

    /// The driver's options for a URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where it cannot be read, or has a parameter that the driver does not know.
    pub fn options(url: &str) -> Result<PgConnectOptions> {
        let invalid = |reason: String| Error::InvalidInput(reason);
        // The driver would log its value, which may be a password.
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters).split('&');
        let mut names = parameters.map(|one| one.split('=').next().unwrap_or_default());
        let known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
        if names.any(|name| !name.is_empty() && !known(name)) {
            let known = PARAMETERS.join(", ");
            return Err(invalid(format!(
                "the database URL has an unknown parameter; there are {known}"
            )));
        }
        // The parser's own message may quote the URL, and so a password.
        PgConnectOptions::from_str(url).map_err(|_| {
            invalid(
                "the database URL cannot be read: postgres://user:password@host:port/database"
                    .into(),
            )
        })
    }

    /// Connects with the driver's own options.
    ///
    /// # Errors
    ///
    /// As for [`PostgresStore::connect`].
    pub async fn connect_with(options: PgConnectOptions, settings: Settings) -> Result<Self> {
        settings.check()?;
        // A statement of the driver's log would say at warning level how long a rebuild reads.
        // Poolers refuse to pass on how floats are written, which is of no use for binary ones.
        let options = options
            .application_name("headwater")
            .disable_statement_logging()
            .extra_float_digits(None);
        let Settings { schema, migrate, limits, statement_timeout, pools, pooler, queue } =
            settings;
        let Pools { appends, held_appends, transactions, readings, looks, queries } = pools;
        let first = pooler::connect(&options).await?;
        let (pooled, first) = match pooler {
            Pooler::Absent => (false, Some(first)),
            Pooler::Present => (true, Some(first)),
            Pooler::Detect => pooler::stands_before(&options, first).await,
        };
        let route = Route { options, deadline: statement_timeout, pooled };
        let pool = |kind, size| Connections::new(kind, route.clone(), size, Duration::ZERO);
        // What is tried again where its connection was dead: an append by its ids, a look by itself.
        let trusting = |kind, size| Connections::new(kind, route.clone(), size, TRUST);
        let looks = trusting("looks", looks);
        first.into_iter().for_each(|first| looks.adopt(first));
        let store = Self {
            inner: Arc::new(Inner {
                statements: Statements::new(&schema),
                limits,
                batcher: Batcher::new(GROUP, appends as usize, queue),
                pooled,
                statement_timeout,
                appends: trusting("appends", appends),
                held_appends: pool("held_appends", held_appends),
                transactions: pool("transactions", transactions),
                readings: pool("readings", readings),
                queries: pool("queries", queries),
                hints: Hints::new(&schema, route, looks.clone()),
                looks,
                settling: Arc::default(),
                inlines: Arc::default(),
                ceiling_lag: CEILING_LAG_POSITIONS.gauge(&[]),
                schema,
            }),
        };
        store.check_server().await?;
        if migrate {
            store.run_migrations().await?;
        } else {
            store.check_schema().await?;
        }
        Ok(store)
    }

    /// Tells readers that the log has grown, after a transaction with
    /// [`append_in`](PostgresStore::append_in) was committed.
    pub fn hint(&self) {
        self.inner.hints.send();
    }

    async fn check_server(&self) -> Result<()> {
        let number = sqlx::query("select current_setting('server_version_num')::int");
        let row =
            self.inner.looks.acquire().await?.fetch_one(number).await.map_err(of_statement)?;
        let number: i32 = row.try_get(0).map_err(of_statement)?;
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

    async fn look(&self, after: Option<Position>) -> Result<Look> {
        self.look_at_newest(after).await
    }

    fn hints(&self) -> watch::Receiver<Instant> {
        self.inner.hints.subscribe()
    }

    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        self.find_stream(stream).await
    }

    fn streams(&self, category: Option<&str>) -> StreamInfos {
        self.list_streams(category)
    }

    async fn snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>> {
        self.find_snapshot(stream).await
    }

    async fn save_snapshot(&self, stream: &StreamName, snapshot: Snapshot) -> Result<()> {
        self.put_snapshot(stream, snapshot).await
    }

    async fn faults(&self, limit: u32) -> Result<Vec<Fault>> {
        self.find_faults(limit).await
    }

    async fn examine(&self, _thorough: bool) -> Result<Vec<Finding>> {
        self.examine_all().await
    }

    async fn migrate(&self) -> Result<Migrated> {
        self.run_migrations().await
    }

    async fn check(&self) -> Result<()> {
        let store = self.clone();
        // A caller with little patience must not cost a connection each time.
        shielded(async move { store.check_schema().await }).await
    }

    async fn close(&self) {
        self.inner.hints.close();
        tokio::join!(
            self.inner.appends.close(),
            self.inner.held_appends.close(),
            self.inner.transactions.close(),
            self.inner.readings.close(),
            self.inner.looks.close(),
            self.inner.queries.close()
        );
    }

    async fn describe(&self) -> Result<String> {
        let store = self.clone();
        let version: String = shielded(async move {
            let version = sqlx::query("select current_setting('server_version')");
            let row = store.inner.looks.acquire().await?.fetch_one(version).await;
            row.and_then(|row| row.try_get(0)).map_err(of_statement)
        })
        .await?;
        let pooler = if self.inner.pooled { " behind a pooler" } else { "" };
        Ok(format!("PostgreSQL {version}{pooler}"))
    }
}

#[async_trait]
impl ProjectionStore for PostgresStore {
    async fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        self.list_checkpoints().await
    }

    async fn record_failure(&self, at: &Checkpoint, failure: Option<&Failure>) -> Result<()> {
        self.note_failure(at, failure).await
    }

    async fn leases(&self) -> Result<Leases> {
        self.list_leases().await
    }

    async fn keep_leases(
        &self,
        instance: &Instance,
        wanted: &[Work],
        lease: Duration,
    ) -> Result<Vec<Work>> {
        self.keep(instance, wanted, lease).await
    }

    async fn parked(&self, at: &Checkpoint, after: Position, limit: u32) -> Result<Vec<Parked>> {
        self.list_parked(at, after, limit).await
    }

    fn inlines(&self) -> Arc<Inlines> {
        self.inner.inlines.clone()
    }

    async fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>> {
        self.query_read_models(sql, parameters).await
    }

    async fn begin(&self) -> Result<Box<dyn StoreTx>> {
        self.begin_transaction().await
    }
}

#[async_trait]
impl SubscriptionStore for PostgresStore {
    async fn subscriptions(&self, name: Option<&str>) -> Result<Vec<SubscriptionCheckpoint>> {
        self.list_subscriptions(name).await
    }

    async fn make_subscription(&self, name: &str, start: Position) -> Result<()> {
        self.add_subscription(name, start).await
    }

    async fn acknowledge(
        &self,
        at: &SubscriptionCheckpoint,
        to: Position,
        seen: Option<(Position, Uuid)>,
    ) -> Result<Option<SubscriptionCheckpoint>> {
        self.move_subscription_on(at, to, seen).await
    }

    async fn change_subscription(
        &self,
        to: Option<Position>,
        operation: &Operation,
    ) -> Result<bool> {
        self.operate_subscription(to, operation).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_only_parameters_that_the_driver_knows() {
        let all =
            "postgres://h/d?sslmode=prefer&statement-cache-capacity=10&options[search_path]=a";
        for url in ["postgres://h/d", "postgres://h/d?", all] {
            assert!(PostgresStore::options(url).is_ok(), "{url}");
        }
        for url in ["postgres://h/d?Password=s3cret", "postgres://h/d?user=u&optionsx=s3cret"] {
            let refused = PostgresStore::options(url).expect_err("the driver would ignore it");
            assert!(!refused.to_string().contains("s3cret"), "{refused}");
        }
    }
}
