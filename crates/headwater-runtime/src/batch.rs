//! One batch: read model and checkpoint change in one transaction, or neither does.

use headwater_core::{Checkpoint, Log, Parked, Position, Result, StoreTx, StoredEvent};
use uuid::Uuid;

use crate::projector::Applier;

/// Applies the events up to the position `to` to the generation of `from`, sets those in `parked` aside,
/// and yields the checkpoint after them.
pub(crate) async fn apply(
    log: &Log,
    applier: &mut dyn Applier,
    from: &Checkpoint,
    to: Position,
    events: impl IntoIterator<Item = StoredEvent>,
    parked: &[Parked],
) -> Result<Checkpoint> {
    let taken = take_in(applier, to, events.into_iter(), parked)?;
    let mut tx = log.store().begin().await?;
    match apply_in(&mut *tx, applier, from, taken, parked).await {
        Ok(checkpoint) => {
            tx.commit().await?;
            log.checkpoint_moved();
            Ok(checkpoint)
        }
        Err(error) => {
            // The error of the batch says more than one of its rollback.
            let _rolled_back = tx.rollback().await;
            Err(error)
        }
    }
}

/// A batch that an applier has taken in: where it ends, and its last event.
pub(crate) struct TakenIn {
    to: Position,
    last: Option<(Position, Uuid)>,
    /// Whether there are events to apply.
    any: bool,
}

/// Hands the events behind a checkpoint, up to the position `to`, to the applier; those in `parked` lie
/// between them.
pub(crate) fn take_in(
    applier: &mut dyn Applier,
    to: Position,
    events: impl Iterator<Item = StoredEvent>,
    parked: &[Parked],
) -> Result<TakenIn> {
    let mut last = None;
    applier.decode(&mut events.inspect(|event| last = Some((event.position, event.id))))?;
    let any = last.is_some();
    let last = last.max(parked.last().map(|parked| (parked.position, parked.event_id)));
    Ok(TakenIn { to, last, any })
}

/// Moves the checkpoint and applies the batch, inside a transaction.
///
/// The checkpoint first: it holds off a rival before any row is written.
pub(crate) async fn apply_in(
    tx: &mut dyn StoreTx,
    applier: &mut dyn Applier,
    from: &Checkpoint,
    TakenIn { to, last, any }: TakenIn,
    parked: &[Parked],
) -> Result<Checkpoint> {
    tx.advance(from, to, last).await?;
    let mut checkpoint = Checkpoint { position: to, failure: None, ..from.clone() };
    if !parked.is_empty() {
        tx.park(from, parked).await?;
    }
    if any {
        applier.apply(tx, from.generation).await?;
    }
    if let Some((position, id)) = last {
        (checkpoint.event_position, checkpoint.event_id) = (position, Some(id));
    }
    Ok(checkpoint)
}
