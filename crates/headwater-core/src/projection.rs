//! Projections: the two ways to write code that turns events into read models.

use async_trait::async_trait;

use crate::{Event, FailurePolicy, Lifecycle, ReadModel, Recorded, Result, Row, RowTx, Value};

/// A projection as a pure function: the default kind.
///
/// The runner takes events in batches, loads the rows they touch in one query, folds in memory, and
/// writes the changed rows and the checkpoint in one transaction.
///
/// A fold sees only rows and events. It must not look at a clock, at the environment or at another
/// table: a rebuild runs it again and must come to the same rows.
pub trait Fold: ReadModel {
    /// What it reads: an event enum, or an enum of event enums for several categories.
    type Event: Event;

    /// Raise it when the code of the fold changes, so that the read model must be rebuilt.
    const VERSION: u32 = 1;

    /// What becomes of an event that cannot be applied.
    const ON_FAILURE: FailurePolicy = FailurePolicy::STOP;

    /// When the read model changes. An inline one that stands still, or has set events aside, is changed
    /// after the appends until that is mended; an append that it cannot apply is refused where it would
    /// stand still, and goes on without it where it would set the event aside.
    const LIFECYCLE: Lifecycle = Lifecycle::Async;

    /// In how many parts its rows are kept up to date, each by an instance of its own: for a fold that one
    /// instance cannot keep up with, and not for an inline one. Where another number is declared, the read
    /// model is built anew.
    const PARTITIONS: u32 = 1;

    /// The keys of the rows that the event touches; none where it does not matter here. One that is
    /// named twice is folded once.
    fn keys(event: &Recorded<Self::Event>) -> Vec<Self::Key>;

    /// The row after the event, from the row before; `None` stands for no row.
    fn fold(row: Option<Self>, key: &Self::Key, event: &Recorded<Self::Event>) -> Option<Self>;
}

/// A projection as SQL of the user's in the batch's transaction, for what does not fit a fold.
#[async_trait]
pub trait SqlProjection: Send + Sync + 'static {
    /// What it reads.
    type Event: Event;

    /// The name of the projection: a plain lower-case identifier.
    const NAME: &'static str;

    /// Raise it when the code changes, so that the read model must be rebuilt.
    const VERSION: u32 = 1;

    /// What becomes of an event that cannot be applied.
    const ON_FAILURE: FailurePolicy = FailurePolicy::STOP;

    /// When the read model changes. An inline one that stands still, or has set events aside, is changed
    /// after the appends until that is mended; an append that it cannot apply is refused where it would
    /// stand still, and goes on without it where it would set the event aside.
    const LIFECYCLE: Lifecycle = Lifecycle::Async;

    /// Each table with the statement that makes it: `create table {name} (...)`, in SQL that both
    /// databases understand.
    const TABLES: &'static [(&'static str, &'static str)];

    /// Applies a batch of events, in their order. SQLite has one writer: nobody else writes to the database
    /// until the batch has ended.
    ///
    /// # Errors
    ///
    /// Any error rolls the batch back. One of kind [`Retry`](crate::ErrorKind::Retry) is tried again; after
    /// another one the events are applied one by one. [`ON_FAILURE`](Self::ON_FAILURE) says what becomes of one
    /// that your code cannot take ([`Error::InvalidInput`](crate::Error::InvalidInput), or a panic) or whose
    /// values the database refuses. What is wrong with the code, its tables or its rights would fail with
    /// every event: the projection stands still.
    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<Self::Event>]) -> Result<()>;
}

/// The transaction of one batch, in which the checkpoint moves as well.
///
/// In its SQL `{name}` stands for the projection's own table, in the generation that is being
/// written, and `$1`, `$2` ... for the parameters.
pub struct BatchTx<'a> {
    tx: &'a mut dyn RowTx,
    generation: u32,
}

impl<'a> BatchTx<'a> {
    /// The batch's view of a transaction; the runner makes it.
    pub fn new(tx: &'a mut dyn RowTx, generation: u32) -> Self {
        Self { tx, generation }
    }

    /// Runs a statement, and yields how many rows it changed.
    ///
    /// # Errors
    ///
    /// [`Error::Database`](crate::Error::Database) where the statement is wrong.
    pub async fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64> {
        self.tx.execute(self.generation, sql, parameters).await
    }

    /// Runs a query.
    ///
    /// # Errors
    ///
    /// [`Error::Database`](crate::Error::Database) where the query is wrong.
    pub async fn fetch(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>> {
        self.tx.fetch(self.generation, sql, parameters).await
    }
}

impl std::fmt::Debug for BatchTx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchTx").field("generation", &self.generation).finish_non_exhaustive()
    }
}
