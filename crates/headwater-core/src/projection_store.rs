//! What a store must be able to do beside the log: checkpoints, read models, and who works on them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    Checkpoint, Definition, Difference, Failure, GenerationState, Instance, Leases, Operation,
    Parked, Position, Result, Row, StoredEvent, StreamName, Table, Value, Work, inline::Inlines,
};

/// The checkpoints and read models beside a log.
///
/// Every method may be dropped before it ends; no connection is left in a strange state.
#[async_trait]
pub trait ProjectionStore: Send + Sync + 'static {
    /// Every generation of every projection, sorted by name and generation.
    async fn checkpoints(&self) -> Result<Vec<Checkpoint>>;

    /// Notes why a generation stands still, or that it no longer does.
    async fn record_failure(&self, at: &Checkpoint, failure: Option<&Failure>) -> Result<()>;

    /// Who works on what now.
    async fn leases(&self) -> Result<Leases>;

    /// Says that an instance is there, and that it does the work in `wanted` and no other: what it has
    /// is renewed, what nobody has is taken, and what it had besides is given up. Yields what it has
    /// now, each for the time `lease`; after no time at all the instance has taken its leave.
    async fn keep_leases(
        &self,
        instance: &Instance,
        wanted: &[Work],
        lease: Duration,
    ) -> Result<Vec<Work>>;

    /// The first events behind `after` that were set aside at a generation, in the order of the log.
    async fn parked(&self, at: &Checkpoint, after: Position, limit: u32) -> Result<Vec<Parked>>;

    /// The projections that this process applies in the transactions of its appends.
    fn inlines(&self) -> Arc<Inlines>;

    /// Runs a query over read models and the public views; `{name}` stands for a table's full name.
    async fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>>;

    /// Begins a transaction over checkpoints and read models.
    async fn begin(&self) -> Result<Box<dyn StoreTx>>;
}

/// What a batch does to the rows of a read model.
#[async_trait]
pub trait RowTx: Send {
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
}

/// A transaction over checkpoints and read models. Dropped without a commit, it changes nothing.
#[async_trait]
pub trait StoreTx: RowTx {
    /// Makes the tables and the checkpoint of a new generation, at position 0; one that is in service at once
    /// has a checkpoint for each partition.
    async fn create_generation(
        &mut self,
        definition: &Definition,
        generation: u32,
        state: GenerationState,
    ) -> Result<Checkpoint>;

    /// Removes the tables and the checkpoints of a generation that is not in service.
    async fn drop_generation(&mut self, definition: &Definition, generation: u32) -> Result<()>;

    /// Reads a checkpoint and holds it: no other transaction moves it until this one ends.
    async fn hold(&mut self, projection: &str, generation: u32) -> Result<Option<Checkpoint>>;

    /// The checkpoint in service as it is now, without holding it.
    async fn live(&mut self, projection: &str) -> Result<Option<Checkpoint>>;

    /// Reads and holds the checkpoint in service.
    async fn hold_live(&mut self, projection: &str) -> Result<Option<Checkpoint>>;

    /// The first events behind `after`, also those that this transaction has written. While it holds appends
    /// off, none can be committed between them later.
    async fn events_behind(&mut self, after: Position, limit: u32) -> Result<Vec<StoredEvent>>;

    /// Lets appends wait for each other, so that a projection can change in their transactions, or no longer.
    /// To begin with it waits for those under way and holds all others off until this transaction ends.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) where an append does not end within a moment.
    async fn set_inline(&mut self, projection: &str, inline: bool) -> Result<()>;

    /// Moves the checkpoint `from` to `to`, if it is still where `from` says and may be written; yields it as it
    /// is then.
    ///
    /// # Errors
    ///
    /// [`Error::CheckpointMoved`](crate::Error::CheckpointMoved) where it is not: roll back.
    async fn advance(&mut self, from: &Checkpoint, to: Position) -> Result<Checkpoint>;

    /// Changes the checkpoint `from` into `to`, which may differ in everything but its name, and raises
    /// its epoch: whoever worked on it before finds that it moved. For an `owner` it does so only while
    /// that instance has the lease on the work; without one it revokes the projection's leases, so that
    /// their owners look anew.
    ///
    /// # Errors
    ///
    /// [`Error::CheckpointMoved`](crate::Error::CheckpointMoved) where it is no longer at `from`, or the
    /// lease is another's.
    async fn amend(
        &mut self,
        from: &Checkpoint,
        to: &Checkpoint,
        owner: Option<Uuid>,
    ) -> Result<Checkpoint>;

    /// Removes the checkpoints of a generation's partitions but the first, which stands for all of them then.
    async fn merge_partitions(&mut self, definition: &Definition, generation: u32) -> Result<()>;

    /// Keeps what an operator did.
    async fn record(&mut self, operation: &Operation) -> Result<()>;

    /// Compares all rows of two generations, which is the work of the database: a table that does not
    /// differ yields nothing.
    async fn compare(
        &mut self,
        definition: &Definition,
        first: u32,
        second: u32,
    ) -> Result<Vec<Difference>>;

    /// Puts a generation that was built into service, with a checkpoint for each partition, and retires the one
    /// before.
    ///
    /// # Errors
    ///
    /// [`Error::PromoteBlocked`](crate::Error::PromoteBlocked) where readers hold the old one for
    /// longer than a moment: roll back and try again.
    async fn promote(&mut self, definition: &Definition, generation: u32) -> Result<()>;

    /// Sets events aside at the generation of `at`, each with why, or notes that one was tried again.
    async fn park(&mut self, at: &Checkpoint, events: &[Parked]) -> Result<()>;

    /// Marks the events that were set aside to be tried again: all, or those of a stream.
    async fn retry_parked(&mut self, at: &Checkpoint, stream: Option<&StreamName>) -> Result<()>;

    /// Takes an event that was set aside back, since it was applied or is given up; `false` where it was
    /// not there.
    async fn unpark(&mut self, at: &Checkpoint, event: Uuid) -> Result<bool>;

    /// Whether every statement so far has ended well: otherwise only the rollback is left.
    fn is_whole(&self) -> bool;

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
