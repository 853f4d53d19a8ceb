//! What a store must be able to do; the runtime speaks to databases through these two traits alone.
//!
//! Users meet a store as a [`Log`](crate::Log). To write one, implement the traits and run the
//! conformance suite of `headwater-testkit` over it.

use async_trait::async_trait;
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use crate::{
    Append, Appended, Ceiling, Checkpoint, Definition, EventStream, Failure, GenerationState,
    Position, Reading, Result, Row, Snapshot, StoredEvent, StreamInfo, StreamInfos, StreamName,
    Table, Value,
};

/// An append-only log in a database, with the checkpoints and read models beside it.
///
/// Every method may be dropped before it ends: an append that was begun is then applied or not, as
/// a whole, and no connection is left in a strange state.
#[async_trait]
pub trait Store: Send + Sync + 'static {
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

    /// Brings the schema up to date; safe to call from many processes at the same moment.
    async fn migrate(&self) -> Result<Migrated>;

    /// Every generation of every projection, sorted by name and generation.
    async fn checkpoints(&self) -> Result<Vec<Checkpoint>>;

    /// Notes why a generation stands still, or that it no longer does.
    async fn record_failure(&self, at: &Checkpoint, failure: Option<&Failure>) -> Result<()>;

    /// Runs a query over read models and the public views; `{name}` stands for a table's full name.
    async fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>>;

    /// Begins a transaction over checkpoints and read models.
    async fn begin(&self) -> Result<Box<dyn StoreTx>>;

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

/// A transaction over checkpoints and read models. Dropped without a commit, it changes nothing.
#[async_trait]
pub trait StoreTx: Send {
    /// Makes the tables and the checkpoint of a new generation, at position 0.
    async fn create_generation(
        &mut self,
        definition: &Definition,
        generation: u32,
        state: GenerationState,
    ) -> Result<Checkpoint>;

    /// Removes the tables and the checkpoint of a generation that is not in service.
    async fn drop_generation(&mut self, definition: &Definition, generation: u32) -> Result<()>;

    /// Reads a checkpoint and holds it: no other transaction moves it until this one ends.
    async fn hold(&mut self, projection: &str, generation: u32) -> Result<Option<Checkpoint>>;

    /// Moves the checkpoint `from` to `to`, if it is still where `from` says and may be written.
    ///
    /// # Errors
    ///
    /// [`Error::CheckpointMoved`](crate::Error::CheckpointMoved) where it is not: roll back.
    async fn advance(
        &mut self,
        from: &Checkpoint,
        to: Position,
        last_event: Option<(Position, Uuid)>,
    ) -> Result<()>;

    /// Hands the generation at `from` to code with another fingerprint, in its next epoch: whoever
    /// worked on it before finds its checkpoint moved.
    ///
    /// # Errors
    ///
    /// [`Error::CheckpointMoved`](crate::Error::CheckpointMoved) where it is no longer there.
    async fn adopt(&mut self, from: &Checkpoint, fingerprint: &str) -> Result<()>;

    /// Puts a generation that was built into service and retires the one before.
    ///
    /// # Errors
    ///
    /// [`Error::PromoteBlocked`](crate::Error::PromoteBlocked) where readers hold the old one for
    /// longer than a moment: roll back and try again.
    async fn promote(&mut self, definition: &Definition, generation: u32) -> Result<()>;

    /// The rows with these keys, without the column `position`, in any order.
    async fn load(
        &mut self,
        table: &Table,
        generation: u32,
        keys: Vec<Vec<Value>>,
    ) -> Result<Vec<Vec<Value>>>;

    /// Writes rows, each with the position that last touched it, over those with the same keys.
    async fn save(
        &mut self,
        table: &Table,
        generation: u32,
        rows: Vec<(Vec<Value>, Position)>,
    ) -> Result<()>;

    /// Removes the rows with these keys.
    async fn remove(&mut self, table: &Table, generation: u32, keys: Vec<Vec<Value>>)
    -> Result<()>;

    /// Runs a statement of the user's; `{name}` stands for a table in this generation.
    async fn execute(&mut self, generation: u32, sql: &str, parameters: &[Value]) -> Result<u64>;

    /// Runs a query of the user's; `{name}` stands for a table in this generation.
    async fn fetch(&mut self, generation: u32, sql: &str, parameters: &[Value])
    -> Result<Vec<Row>>;

    /// Commits. Once begun, it is not undone by dropping the future.
    ///
    /// # Errors
    ///
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) where the answer was lost: look at
    /// the checkpoint. After a statement that was refused or dropped it rolls back, and is
    /// [`Error::Mismatch`](crate::Error::Mismatch).
    async fn commit(self: Box<Self>) -> Result<()>;

    /// Rolls back. Behind a network that is silent the locks may last until the server ends the transaction.
    async fn rollback(self: Box<Self>) -> Result<()>;
}

/// What [`Store::migrate`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The number of the schema before; 0 where there was none.
    pub from: u32,
    /// The number of the schema now.
    pub to: u32,
}
