//! What a store must be able to do for a log; what lies beside the log is in `projection_store.rs`
//! and `subscription_store.rs`.
//!
//! Users meet a store as a [`Log`](crate::Log). To write one, implement the traits here and there, and run the
//! conformance suite of `headwater-testkit` over it.

use async_trait::async_trait;
use tokio::{sync::watch, time::Instant};

use crate::{
    Append, Appended, Ceiling, EventStream, Fault, Finding, Position, ProjectionStore, Reading,
    Result, Snapshot, StoredEvent, StreamInfo, StreamInfos, StreamName, SubscriptionStore,
};

/// An append-only log in a database.
///
/// Every method may be dropped before it ends: an append that was begun is then applied or not, as
/// a whole, and no connection is left in a strange state.
#[async_trait]
pub trait Store: ProjectionStore + SubscriptionStore {
    /// Appends to one or many streams, all or nothing, after the limits were checked.
    ///
    /// # Errors
    ///
    /// See [`Log::append_all`](crate::Log::append_all).
    async fn append(&self, appends: Vec<Append>) -> Result<Appended>;

    /// Runs one reading.
    fn read(&self, reading: Reading) -> EventStream;

    /// The ceiling now, and what is new below it for a reader who has everything up to `after`. It never
    /// waits for a writer, and falls only where the server that told it is gone and its successor holds
    /// less.
    async fn look(&self, after: Option<Position>) -> Result<Look>;

    /// When [`send_hint`] last said that the ceiling may have risen. A hint only saves time.
    fn hints(&self) -> watch::Receiver<Instant>;

    /// A stream's version and times; `None` where there is no such stream.
    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>>;

    /// The streams of a category, or all, sorted by name.
    fn streams(&self, category: Option<&str>) -> StreamInfos;

    /// The snapshot of a stream's aggregate, if there is one.
    async fn snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>>;

    /// Puts a snapshot in the place of the stream's last one.
    async fn save_snapshot(&self, stream: &StreamName, snapshot: Snapshot) -> Result<()>;

    /// What the tables of the log contradict each other in, each kind at most `limit` times: versions,
    /// positions within a stream, the streams beside their events, ids. It goes through the whole log, and
    /// leaves to the database what must be sorted.
    async fn faults(&self, limit: u32) -> Result<Vec<Fault>>;

    /// What is wrong with the database that holds the log, or will be. It changes nothing, and takes a few
    /// seconds at most, unless it is to be thorough.
    async fn examine(&self, thorough: bool) -> Result<Vec<Finding>>;

    /// Brings the schema up to date; safe to call from many processes at the same moment.
    async fn migrate(&self) -> Result<Migrated>;

    /// Whether the database answers, and has the schema that this program needs.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable), [`Error::SchemaTooOld`](crate::Error::SchemaTooOld) or
    /// [`Error::SchemaTooNew`](crate::Error::SchemaTooNew).
    async fn check(&self) -> Result<()>;

    /// Closes every connection, after what is under way has ended.
    async fn close(&self);

    /// The database in words, such as `PostgreSQL 15.18`; never a password.
    async fn describe(&self) -> Result<String>;
}

/// Tells the holders of a store's [hints](Store::hints) that appends were committed. A store calls it once a
/// look can see them; one that begins later is taken to have seen them.
pub fn send_hint(hints: &watch::Sender<Instant>) {
    // The time is taken under the lock, so that it never goes back.
    hints.send_modify(|sent| *sent = Instant::now());
}

/// What a look at a log finds.
#[derive(Clone, Debug)]
pub struct Look {
    /// The ceiling.
    pub ceiling: Ceiling,
    /// All events above the position that was asked for, up to the ceiling. Where they are many, or
    /// large, there are none: those are for a reading of their own.
    pub newest: Vec<StoredEvent>,
}

/// What [`Store::migrate`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The number of the schema before; 0 where there was none.
    pub from: u32,
    /// The number of the schema now.
    pub to: u32,
}
