//! The store itself: what its acts share, and the trait through which the runtime uses it.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use headwater_core::{
    Append, Appended, Checkpoint, Error, EventStream, Failure, Fault, Finding, Instance, Leases,
    Limits, Look, Migrated, Operation, Parked, Position, ProjectionStore, Reading, Result, Row,
    Settings, Snapshot, Store, StoreTx, StreamInfo, StreamInfos, StreamName,
    SubscriptionCheckpoint, SubscriptionStore, Value, Work,
    batcher::{Batcher, Bounds},
    inline::Inlines,
};
use sqlx::SqlitePool;
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use crate::{
    connect::{self, Place},
    connections::Connections,
    migrate,
};

/// How much one group of appends takes, beyond its first.
const GROUP: Bounds = Bounds { events: 2_000, bytes: 4 << 20 };

/// A log in an SQLite file, or in memory. Cloning is cheap and shares the connections.
///
/// The store owns its writing connection, and each unit of work that writes runs in a task of its
/// own: a caller that goes away (a `select!`, a time-out) cannot leave a transaction half-way.
/// Several processes may open one file at the same moment.
#[derive(Clone)]
pub struct SqliteStore {
    pub(crate) inner: Arc<Inner>,
}

/// What the acts of this crate work with.
pub(crate) struct Inner {
    pub(crate) connections: Arc<Connections>,
    pub(crate) batcher: Batcher,
    pub(crate) limits: Limits,
    pub(crate) inlines: Arc<Inlines>,
    hints: watch::Sender<Instant>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteStore")
    }
}

impl SqliteStore {
    /// Opens the log at `url`: `sqlite://path` or `sqlite:path`, both with `?mode=ro` where it is
    /// only read, or `sqlite::memory:` for one that ends with the store.
    ///
    /// A file that does not exist is made, for its owner alone; its directory is not.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a URL that cannot be read or a schema other than the default,
    /// [`Error::Unavailable`] where the file cannot be opened, [`Error::Database`] where it is not a
    /// database or SQLite is older than 3.51.3, [`Error::SchemaTooNew`] and [`Error::SchemaTooOld`].
    pub async fn connect(url: &str, settings: Settings) -> Result<Self> {
        if settings.schema != Settings::default().schema {
            return Err(Error::InvalidInput(format!(
                "SQLite has no schemas: {} cannot be used, give each log a file of its own",
                settings.schema
            )));
        }
        settings.check()?;
        let place = Place::parse(url)?;
        if settings.migrate {
            place.create()?;
        } else if !place.exists() {
            return Err(Error::SchemaTooOld { found: 0, known: migrate::known() });
        }
        let options = place.options();
        let writer = place.open(&options).await?;
        let anchor = match place {
            Place::Memory => Some(connect::open(&options).await?),
            Place::File { .. } => None,
        };
        let store = Self {
            inner: Arc::new(Inner {
                connections: Arc::new(Connections::new(writer, anchor, options)),
                batcher: Batcher::new(GROUP, 1, settings.queue),
                limits: settings.limits,
                inlines: Arc::default(),
                hints: watch::Sender::new(Instant::now()),
            }),
        };
        if settings.migrate {
            store.run_migrations().await?;
        } else {
            store.check_schema().await?;
        }
        Ok(store)
    }

    /// Tells readers that the log has grown, after a transaction with
    /// [`append_in`](SqliteStore::append_in) was committed.
    pub fn hint(&self) {
        headwater_core::send_hint(&self.inner.hints);
    }

    /// Connections to the same database for the user's own transactions, such as those with
    /// [`append_in`](SqliteStore::append_in).
    ///
    /// The store's readers use them too: give them back soon. While a transaction that writes is
    /// open, all other writers wait, for at most 5 seconds; in a database in memory readers as well.
    pub fn pool(&self) -> &SqlitePool {
        self.inner.connections.pool()
    }
}

/// The clock of the store, as precise as it keeps times.
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

#[async_trait]
impl Store for SqliteStore {
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

    async fn examine(&self, thorough: bool) -> Result<Vec<Finding>> {
        self.examine_all(thorough).await
    }

    async fn migrate(&self) -> Result<Migrated> {
        self.run_migrations().await
    }

    async fn check(&self) -> Result<()> {
        self.check_schema().await
    }

    async fn close(&self) {
        self.inner.connections.close().await;
    }

    async fn describe(&self) -> Result<String> {
        let mut connection = self.inner.connections.log_reader().await?;
        Ok(format!("SQLite {}", connect::library(&mut connection).await?))
    }
}

#[async_trait]
impl ProjectionStore for SqliteStore {
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
impl SubscriptionStore for SqliteStore {
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
