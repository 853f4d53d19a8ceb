//! Inline projections: how one begins to change with the appends, and what an append does for it.
//!
//! It begins in a transaction that no append is under way in, and applies there what is left to apply. From
//! then on each append applies its own events, where nothing else lies between. What others have appended,
//! who do not know the projection, is applied by the runner.

use std::sync::Arc;

use async_trait::async_trait;
use headwater_core::{
    Checkpoint, Error, Inline, Lifecycle, Log, OnFailure, Result, StoreTx, StoredEvent,
    inline::Written,
};

use crate::{
    batch,
    projector::{Projector, guarded},
};

/// How many events may be left to apply where a projection begins to change inline: appends wait meanwhile.
const LEFT: u32 = 256;

/// A projection as appends apply it.
pub(crate) struct InlineProjection(Arc<dyn Projector>);

impl InlineProjection {
    /// Those of these projections that are declared so.
    pub(crate) fn among(projectors: &[Arc<dyn Projector>]) -> Vec<Arc<dyn Inline>> {
        let declared = projectors.iter().filter(|p| p.lifecycle() == Lifecycle::Inline);
        declared.map(|p| Arc::new(Self(p.clone())) as Arc<dyn Inline>).collect()
    }
}

#[async_trait]
impl Inline for InlineProjection {
    fn name(&self) -> &str {
        &self.0.definition().name
    }

    fn goes_without(&self) -> bool {
        self.0.on_failure().then != OnFailure::Stop
    }

    async fn apply(&self, tx: &mut dyn StoreTx, written: &mut Written) -> Result<()> {
        // Whoever works on one that cannot go on here must not hold up the append.
        let looked = tx.live(self.name()).await?;
        if !looked.is_some_and(|at| self.can_go_on(&at)) {
            return Ok(());
        }
        let Some(at) = tx.hold_live(self.name()).await? else { return Ok(()) };
        let to = written.last();
        if !self.can_go_on(&at) || at.position >= to {
            return Ok(());
        }
        let Some(events) = written.behind(tx, at.position).await? else { return Ok(()) };
        let events = events.to_vec();
        guarded(self.name(), apply(tx, &*self.0, &at, events)).await.map(drop)
    }
}

impl InlineProjection {
    /// Whether all is well with the generation in service, so that it can be changed here.
    fn can_go_on(&self, at: &Checkpoint) -> bool {
        let well = at.of_this_log && !at.paused && at.failure.is_none() && at.parked == 0;
        at.inline && well && at.fingerprint == self.0.definition().fingerprint
    }
}

/// Applies all events behind a checkpoint, in a transaction that holds it.
async fn apply(
    tx: &mut dyn StoreTx,
    projector: &dyn Projector,
    at: &Checkpoint,
    events: Vec<StoredEvent>,
) -> Result<Checkpoint> {
    let Some(to) = events.last().map(|event| event.position) else { return Ok(at.clone()) };
    let mut applier = projector.begin(false);
    let own = events.into_iter().filter(|event| projector.filter().lets_through(event));
    let taken = batch::take_in(&mut *applier, to, own)?;
    batch::apply_in(tx, &mut *applier, at, taken, &[]).await
}

/// Lets a projection that has come to the log's end change with the appends from now on; `None` where that
/// must wait.
pub(crate) async fn join(
    log: &Log,
    projector: &dyn Projector,
    at: &Checkpoint,
) -> Result<Option<Checkpoint>> {
    let name = &projector.definition().name;
    let mut tx = log.store().begin().await?;
    let joined = async {
        // First, since an append under way may be about to hold the checkpoint.
        tx.set_inline(name, true).await?;
        let held = tx.hold(name, at.generation).await?;
        let held = held.filter(|held| held.epoch == at.epoch);
        let held = held.ok_or_else(|| Error::CheckpointMoved { projection: name.clone() })?;
        let events = tx.events_behind(held.position, LEFT).await?;
        let few = u32::try_from(events.len()).is_ok_and(|count| count < LEFT);
        if few { apply(&mut *tx, projector, &held, events).await.map(Some) } else { Ok(None) }
    };
    match guarded(name, joined).await {
        Ok(Some(joined)) => {
            tx.commit().await?;
            log.checkpoint_moved();
            tracing::info!(projection = %name, position = %joined.position, "it changes with the appends now");
            Ok(Some(Checkpoint { inline: true, ..joined }))
        }
        Ok(None) => tx.rollback().await.map(|()| None),
        Err(moved @ Error::CheckpointMoved { .. }) => {
            let _rolled_back = tx.rollback().await;
            Err(moved)
        }
        // An event that it cannot apply is met again, and told, where it is not in the way of appends.
        Err(error) => {
            tracing::debug!(projection = %name, %error, "it cannot change with the appends yet");
            tx.rollback().await.map(|()| None)
        }
    }
}

/// Lets appends go on without a projection that is not declared inline any more.
pub(crate) async fn leave(log: &Log, at: Checkpoint) -> Result<Checkpoint> {
    let mut tx = log.store().begin().await?;
    tx.set_inline(&at.projection, false).await?;
    tx.commit().await?;
    tracing::info!(projection = %at.projection, "it changes after the appends now");
    Ok(Checkpoint { inline: false, ..at })
}
