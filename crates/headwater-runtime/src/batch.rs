//! One batch: read model and checkpoint change in one transaction, or neither does.

use headwater_core::{Checkpoint, Log, Parked, Position, Result, StoreTx, StoredEvent};
use tracing::{
    Instrument as _,
    field::{Empty, display},
};
use uuid::Uuid;

use crate::{parking::Parking, projector::Applier};

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
    let span = tracing::info_span!(
        "batch",
        projection = %from.projection,
        generation = from.generation,
        position = to.0,
        events = Empty,
        correlation_id = Empty,
    );
    let taken = span.in_scope(|| take_in(applier, to, events.into_iter()))?;
    span.record("events", taken.events);
    if let Some(id) = taken.correlation_id {
        span.record("correlation_id", display(id));
    }
    write(log, applier, from, taken, parked).instrument(span).await
}

async fn write(
    log: &Log,
    applier: &mut dyn Applier,
    from: &Checkpoint,
    taken: TakenIn,
    parked: &[Parked],
) -> Result<Checkpoint> {
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

/// A batch that an applier has taken in, and where it ends.
pub(crate) struct TakenIn {
    to: Position,
    /// How many events there are to apply.
    events: u64,
    /// The conversation that all of them belong to, if it is one.
    correlation_id: Option<Uuid>,
}

/// Hands the events behind a checkpoint, up to the position `to`, to the applier.
pub(crate) fn take_in(
    applier: &mut dyn Applier,
    to: Position,
    events: impl Iterator<Item = StoredEvent>,
) -> Result<TakenIn> {
    let (mut count, mut shared) = (0, None);
    applier.decode(&mut events.inspect(|event| {
        let correlation_id = event.correlation_id;
        shared =
            if count == 0 { correlation_id } else { shared.filter(|_| shared == correlation_id) };
        count += 1;
        trace(event);
    }))?;
    Ok(TakenIn { to, events: count, correlation_id: shared })
}

/// Tells of an event of the batch, without its content.
fn trace(event: &StoredEvent) {
    tracing::trace!(
        position = event.position.0,
        event_id = %event.id,
        event_type = event.event.event_type,
        correlation_id = event.correlation_id.map(display),
        "an event of the batch"
    );
}

/// Applies the events behind a checkpoint, up to the position `to`, in a transaction that does more; yields the
/// checkpoint after them, and those that wait behind a parked event.
pub(crate) async fn apply_behind(
    tx: &mut dyn StoreTx,
    applier: &mut dyn Applier,
    parking: &Parking,
    from: &Checkpoint,
    to: Position,
    mut events: Vec<StoredEvent>,
) -> Result<(Checkpoint, Vec<Parked>)> {
    let held = parking.hold_back(&mut events);
    let taken = take_in(applier, to, events.into_iter())?;
    Ok((apply_in(tx, applier, from, taken, &held).await?, held))
}

/// Moves the checkpoint and applies the batch, inside a transaction.
///
/// The checkpoint first: it holds off a rival before any row is written.
pub(crate) async fn apply_in(
    tx: &mut dyn StoreTx,
    applier: &mut dyn Applier,
    from: &Checkpoint,
    TakenIn { to, events, .. }: TakenIn,
    parked: &[Parked],
) -> Result<Checkpoint> {
    let checkpoint = tx.advance(from, to).await?;
    if !parked.is_empty() {
        tx.park(from, parked).await?;
    }
    if events > 0 {
        applier.apply(tx, from.generation).await?;
    }
    Ok(checkpoint)
}
