//! One batch: read model and checkpoint change in one transaction, or neither does.

use headwater_core::{Batch, Checkpoint, Log, Position, Result, StoreTx, StoredEvent};
use uuid::Uuid;

use crate::projector::Applier;

/// Applies a batch to the generation of `from`, and yields the checkpoint after it.
pub(crate) async fn apply(
    log: &Log,
    applier: &mut dyn Applier,
    from: &Checkpoint,
    batch: Batch,
) -> Result<Checkpoint> {
    let mut tx = log.store().begin().await?;
    match apply_in(&mut *tx, applier, from, batch.position, batch.events).await {
        Ok(checkpoint) => {
            tx.commit().await?;
            Ok(checkpoint)
        }
        Err(error) => {
            // The error of the batch says more than one of its rollback.
            let _rolled_back = tx.rollback().await;
            Err(error)
        }
    }
}

/// Moves the checkpoint and applies the events, inside a transaction.
///
/// The checkpoint first: it holds off a rival before any row is written.
pub(crate) async fn apply_in(
    tx: &mut dyn StoreTx,
    applier: &mut dyn Applier,
    from: &Checkpoint,
    to: Position,
    events: Vec<StoredEvent>,
) -> Result<Checkpoint> {
    let last: Option<(Position, Uuid)> = events.last().map(|event| (event.position, event.id));
    tx.advance(from, to, last).await?;
    if !events.is_empty() {
        applier.apply(tx, from.generation, events).await?;
    }
    let mut checkpoint = Checkpoint { position: to, failure: None, ..from.clone() };
    if let Some((position, id)) = last {
        (checkpoint.event_position, checkpoint.event_id) = (position, Some(id));
    }
    Ok(checkpoint)
}
