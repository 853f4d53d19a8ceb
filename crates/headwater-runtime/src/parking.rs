//! Parking: what a projection does about events that it cannot apply, by its declared policy.
//!
//! A parked event is written in the transaction that moves the checkpoint over it, so that none is ever
//! passed over without a trace.

use std::{collections::HashSet, future::ready, iter::once, time::Duration};

use chrono::Utc;
use futures_util::TryStreamExt as _;
use headwater_core::{
    Checkpoint, Error, FailurePolicy, Log, OnFailure, Parked, Position, Result, StoredEvent,
    StreamName,
};
use uuid::Uuid;

use crate::{
    batch, generation,
    projector::{Projector, guarded},
};

/// The pauses between tries of one event: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// What one generation of a projection has set aside.
pub(crate) struct Parking {
    policy: FailurePolicy,
    /// The streams whose events wait behind one that is parked.
    waiting: HashSet<StreamName>,
    /// Those that are passed over.
    left_out: HashSet<Uuid>,
    /// The event that is tried by itself.
    tried: Option<(Position, Uuid)>,
}

impl Parking {
    /// Nothing is parked.
    pub(crate) fn new(policy: FailurePolicy) -> Self {
        Self { policy, waiting: HashSet::new(), left_out: HashSet::new(), tried: None }
    }

    /// Nothing is parked, and these are left out: what is compared with the rows in service lacks what they lack by
    /// an operator's word.
    pub(crate) fn without(policy: FailurePolicy, left_out: HashSet<Uuid>) -> Self {
        Self { left_out, ..Self::new(policy) }
    }

    /// Whether every event is tried, and the first that cannot be applied ends it.
    pub(crate) fn stops(&self) -> bool {
        self.policy.then == OnFailure::Stop && self.is_empty()
    }

    /// The event that was tried by itself, and at which it has ended.
    pub(crate) fn tried(&self) -> Option<(Position, Uuid)> {
        self.tried
    }

    /// What was parked at this generation before.
    pub(crate) async fn load(&mut self, log: &Log, at: &Checkpoint) -> Result<()> {
        self.waiting.clear();
        self.tried = None;
        // Also under a policy that has changed since: what waits must not be overtaken.
        if self.policy.then != OnFailure::ParkAlone {
            let streams = log.parked(at).map_ok(|parked| parked.stream);
            self.waiting = streams.try_collect().await?;
        }
        Ok(())
    }

    /// Whether every event is tried: none is left out, and none waits behind a parked one.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.left_out.is_empty()
    }

    /// Takes those out of a batch that are left out, and those that wait behind a parked event of their stream, which it
    /// yields.
    pub(crate) fn hold_back(&self, events: &mut Vec<StoredEvent>) -> Vec<Parked> {
        if self.is_empty() {
            return Vec::new();
        }
        events.retain(|event| !self.left_out.contains(&event.id));
        let waits = |event: &mut StoredEvent| self.waiting.contains(&event.stream);
        let behind = "waits behind an event of its stream that is parked";
        events
            .extract_if(.., waits)
            .map(|event| parked(&event, 0, "waits", behind.into()))
            .collect()
    }

    /// How long to wait before an event is tried for another time; `None` where it is not to be.
    pub(crate) fn pause(&self, error: &Error, tries: u32) -> Option<Duration> {
        let again = !matches!(error, Error::Decode { .. }) && tries <= self.policy.retries;
        let doubled = PAUSE.0 * 2_u32.saturating_pow(tries.saturating_sub(1).min(16));
        again.then(|| doubled.min(PAUSE.1))
    }

    /// Whether an event at which this error came is set aside.
    pub(crate) fn takes(&self, error: &Error) -> bool {
        self.policy.then != OnFailure::Stop && is_of_event(error)
    }

    /// Sets an event aside, and moves the checkpoint over it.
    pub(crate) async fn park(
        &mut self,
        log: &Log,
        from: &Checkpoint,
        held: &[Parked],
        event: Parked,
    ) -> Result<Checkpoint> {
        let to = event.position;
        // Those of its batch that wait lie between, and must not be passed over either.
        let before = held.iter().filter(|held| held.position < to).cloned();
        let all: Vec<_> = before.chain(once(event.clone())).collect();
        let mut tx = log.store().begin().await?;
        let next = tx.advance(from, to).await?;
        tx.park(from, &all).await?;
        tx.commit().await?;
        log.checkpoint_moved();
        tracing::warn!(
            projection = %from.projection, position = %to, event_id = %event.event_id,
            error = %event.error, "an event is parked"
        );
        if self.policy.then == OnFailure::Park {
            self.waiting.insert(event.stream);
        }
        Ok(next)
    }

    /// Applies the events of a failed batch one by one, and sets aside those that fail, or ends at the first of them.
    pub(crate) async fn apply_singly(
        &mut self,
        log: &Log,
        projector: &dyn Projector,
        from: &Checkpoint,
        to: Position,
        events: impl Iterator<Item = StoredEvent>,
    ) -> Result<Checkpoint> {
        let name = &projector.definition().name;
        let mut at = from.clone();
        for event in events {
            let (position, mut tries) = (event.position, 0);
            self.tried = Some((position, event.id));
            at = loop {
                let mut events = vec![event.clone()];
                let held = self.hold_back(&mut events);
                let mut applier = projector.begin(false);
                let applied = batch::apply(log, &mut *applier, &at, position, events, &held);
                let error = match guarded(name, applied).await {
                    Ok(next) => break next,
                    Err(error) => error,
                };
                tries += 1;
                match self.pause(&error, tries) {
                    Some(pause) if is_of_event(&error) => tokio::time::sleep(pause).await,
                    _ if self.takes(&error) => {
                        let parked = parked(&event, tries, error.code(), error.to_string());
                        break self.park(log, &at, &held, parked).await?;
                    }
                    _ => return Err(error),
                }
            };
        }
        self.tried = None;
        if at.position < to {
            let mut applier = projector.begin(false);
            at = batch::apply(log, &mut *applier, &at, to, Vec::new(), &[]).await?;
        }
        Ok(at)
    }
}

/// Tries the parked events again that an operator wants to be, in the order of the log. Behind one that
/// fails again, those of its stream wait on.
///
/// Each that is applied raises the epoch: others keep rows in memory for as long as it stays as it is.
pub(crate) async fn retry(
    log: &Log,
    projector: &dyn Projector,
    mut at: Checkpoint,
    owner: Uuid,
) -> Result<Checkpoint> {
    let name = &projector.definition().name;
    let mut failed = HashSet::new();
    let mut all = log.parked(&at).try_filter(|parked| ready(parked.retry));
    while let Some(parked) = all.try_next().await? {
        let tried = if failed.contains(&parked.stream) {
            Err(None)
        } else {
            let applied = apply_parked(log, projector, &at, owner, &parked);
            guarded(name, applied).await.map_err(Some)
        };
        let (attempts, code, error) = match tried {
            Ok(next) => {
                at = next;
                continue;
            }
            Err(Some(error)) if !is_of_event(&error) => return Err(error),
            Err(Some(error)) => (parked.attempts + 1, error.code().into(), error.to_string()),
            Err(None) => (parked.attempts, parked.code.clone(), parked.error.clone()),
        };
        failed.insert(parked.stream.clone());
        let again = Parked { attempts, code, error, retry: false, ..parked };
        let mut tx = log.store().begin().await?;
        at = tx.amend(&at, &at, Some(owner)).await?;
        tx.park(&at, &[again]).await?;
        tx.commit().await?;
    }
    Ok(at)
}

/// Applies one parked event, and takes it back, in one transaction that the owner alone can commit.
async fn apply_parked(
    log: &Log,
    projector: &dyn Projector,
    at: &Checkpoint,
    owner: Uuid,
    parked: &Parked,
) -> Result<Checkpoint> {
    let event = generation::event_at(log, parked.position, parked.event_id).await?;
    let event = event.ok_or_else(|| generation::diverged(at))?;
    let mut applier = projector.begin(false);
    applier.decode(&mut once(event))?;
    let mut tx = log.store().begin().await?;
    let next = tx.amend(at, at, Some(owner)).await?;
    applier.apply(&mut *tx, at.generation).await?;
    tx.unpark(at, parked.event_id).await?;
    tx.commit().await?;
    tracing::info!(
        projection = %at.projection, position = %parked.position, event_id = %parked.event_id,
        "a parked event is applied"
    );
    Ok(next)
}

/// An event as it is parked.
pub(crate) fn parked(event: &StoredEvent, attempts: u32, code: &str, error: String) -> Parked {
    Parked {
        position: event.position,
        event_id: event.id,
        stream: event.stream.clone(),
        event_type: event.event.event_type.clone(),
        bytes: u64::try_from(event.event.data.len()).unwrap_or(u64::MAX),
        attempts,
        code: code.into(),
        error,
        retry: false,
        parked_at: Utc::now(),
    }
}

/// Whether an error is of the event at hand, and not of the store, the log or the deployment.
pub(crate) fn is_of_event(error: &Error) -> bool {
    match error {
        Error::Decode { .. } | Error::Panicked { .. } | Error::InvalidInput(_) => true,
        Error::Database { code, .. } => is_of_values(code),
        _ => false,
    }
}

/// Whether a database has refused values, and not a right, a table or itself: SQLSTATE's classes of data
/// exceptions and violated constraints, and what a function of the user's raises; SQLite's constraint,
/// mismatch and too big.
fn is_of_values(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => [18, 19, 20].contains(&(number & 0xff)),
        _ => ["22", "23"].iter().any(|class| code.starts_with(class)) || code == "P0001",
    }
}
