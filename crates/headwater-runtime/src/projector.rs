//! A projection without its types: what the runner and the rebuild work with.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use headwater_core::{
    Definition, Error, FailurePolicy, Filter, Lifecycle, Log, Position, Result, RowTx, StoredEvent,
};

use crate::row_changes::RowChanges;

/// The events of a batch.
pub(crate) type Events<'a> = &'a mut dyn Iterator<Item = StoredEvent>;

/// A projection of either kind.
pub(crate) trait Projector: Send + Sync {
    /// Its name and its tables.
    fn definition(&self) -> &Definition;

    /// The events it reads.
    fn filter(&self) -> &Filter;

    /// What becomes of an event that it cannot apply.
    fn on_failure(&self) -> FailurePolicy;

    /// When it changes its read model.
    fn lifecycle(&self) -> Lifecycle;

    /// Its partitions, each with a definition of its own; none where it has one checkpoint for all.
    fn partitions(&self) -> Vec<Arc<dyn Projector>>;

    /// Follows the rows that change behind `after`; `None` where only its own code knows what its rows are.
    fn changes(&self, log: &Log, after: Position) -> Result<Option<RowChanges>>;

    /// Begins to apply events to one generation; `empty` says that its tables hold nothing yet.
    fn begin(&self, empty: bool) -> Box<dyn Applier>;
}

/// What keeps the generation in service up to date: the partitions, or the projection itself.
pub(crate) fn units(projector: &Arc<dyn Projector>) -> Vec<Arc<dyn Projector>> {
    let partitions = projector.partitions();
    if partitions.is_empty() { vec![projector.clone()] } else { partitions }
}

/// Applies events to one generation of a projection.
#[async_trait]
pub(crate) trait Applier: Send {
    /// Takes the events of a batch in, before its transaction, which is held for a shorter time then.
    fn decode(&mut self, events: Events<'_>) -> Result<()>;

    /// Applies the events taken in, in the batch's transaction.
    ///
    /// After an error, and where the transaction is rolled back, the applier must not be used again.
    async fn apply(&mut self, tx: &mut dyn RowTx, generation: u32) -> Result<()>;
}

/// Runs work that calls code of the user's; where that panics, its projection stops and the others
/// go on. The transaction is dropped then, by which it is rolled back.
pub(crate) async fn guarded<T>(
    projection: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let panicked = || Error::Panicked { projection: projection.into() };
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
}
