//! The runner: keeps one projection up to date, through every fault that waiting can cure.

use std::{sync::Arc, time::Duration};

use headwater_core::{
    Batch, Checkpoint, Cursor, Error, ErrorKind, Failure, Lifecycle, Log, Parked, Position, Result,
    StoredEvent,
};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::{
    batch,
    gauges::BatchMeter,
    generation::{self, Generations},
    inline,
    parking::{self, Parking},
    patience::Patience,
    projector::{Applier, Projector, guarded},
};

/// How many events one transaction applies at most.
const BATCH: usize = 5_000;

/// How long a checkpoint may lag behind events that its projection does not read.
const QUIET: Duration = Duration::from_millis(100);

/// How often a projection that stands still looks whether it may go on.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is looked whether appends have left out what an inline projection reads.
const INLINE: Duration = Duration::from_millis(50);

/// How long one that could not begin to change inline waits before it tries again.
const JOIN_AGAIN: Duration = Duration::from_secs(2);

/// How long catching up waits for a store that is away.
const PATIENCE: Duration = Duration::from_secs(120);

/// Keeps the projection up to date for as long as `owner` has the lease on it; ends only where it is
/// dropped, or where this code is not the one that can.
///
/// A projection that fails stands still, with its failure noted in the store, until a rebuild or
/// another program has put a generation without failure into service.
pub(crate) async fn run(log: Log, projector: Arc<dyn Projector>, owner: Uuid) -> Error {
    let name = &projector.definition().name;
    loop {
        let error = match persist(&log, &*projector, None, Some(owner)).await {
            Ok(()) => continue,
            Err(error) => error,
        };
        match error {
            Error::ProjectionTooNew { .. } | Error::ProjectionChanged { .. } => return error,
            Error::ProjectionPaused { .. } => tracing::info!(projection = %name, "it is paused"),
            _ => tracing::error!(projection = %name, %error, "the projection stands still"),
        }
        sleep(LOOK).await;
        while !mended(&log, &*projector).await {
            sleep(LOOK).await;
        }
        tracing::info!(projection = %name, "the projection goes on");
    }
}

/// Brings the projection up to `target`, beside whoever has the lease on it; yields its failure where
/// it fails.
pub(crate) async fn catch_up(log: &Log, projector: &dyn Projector, target: Position) -> Result<()> {
    persist(log, projector, Some(target), None).await
}

/// Whether a failed projection may be tried again: a generation of this code, without a failure, is
/// in service.
async fn mended(log: &Log, projector: &dyn Projector) -> bool {
    let definition = projector.definition();
    let generations = Generations::of(log, definition).await;
    generations.is_ok_and(|generations| {
        generations.live().is_some_and(|live| {
            live.failure.is_none() && !live.paused && live.fingerprint == definition.fingerprint
        })
    })
}

/// Goes on through faults that waiting cures; notes the failure that ends it.
async fn persist(
    log: &Log,
    projector: &dyn Projector,
    target: Option<Position>,
    owner: Option<Uuid>,
) -> Result<()> {
    let name = &projector.definition().name;
    let mut patience = Patience::new(name, target.map_or(Duration::MAX, |_| PATIENCE));
    let mut run = Run {
        log,
        projector,
        target,
        owner,
        owned: None,
        parking: Parking::new(projector.on_failure()),
        tries: (Position::START, 0),
        singly_until: Position::START,
        at: None,
        meter: BatchMeter::new(name),
    };
    loop {
        let before = run.position();
        let Err(error) = guarded(name, run.go()).await else { return Ok(()) };
        if run.position() > before {
            patience.renew();
        }
        let Err(error) = patience.wait_out(error).await else { continue };
        if error.kind() == ErrorKind::Retry {
            return Err(error);
        }
        if !run.isolate() && !run.try_again_or_park(&error).await? {
            run.note(&error).await;
            return Err(error);
        }
    }
}

/// One run of a projection, over as many tries as it takes.
struct Run<'a> {
    log: &'a Log,
    projector: &'a dyn Projector,
    target: Option<Position>,
    /// The instance that has the lease on the projection.
    owner: Option<Uuid>,
    /// The generation and the epoch in which this owner has it.
    owned: Option<(u32, i64)>,
    parking: Parking,
    /// How often the event at this position was tried.
    tries: (Position, u32),
    /// Up to here events are applied one by one, to find the one that fails.
    singly_until: Position,
    /// The checkpoint, and the batch that is being applied to it.
    at: Option<(Checkpoint, Option<Applying>)>,
    meter: BatchMeter,
}

/// A batch that is being applied: its first event as it would be parked, and where it ends.
struct Applying {
    first: Parked,
    last: Position,
    /// Those of it that wait behind a parked event.
    held: Vec<Parked>,
}

impl Run<'_> {
    fn position(&self) -> Position {
        self.at.as_ref().map_or(Position::START, |(checkpoint, _)| checkpoint.position)
    }

    async fn go(&mut self) -> Result<()> {
        let definition = self.projector.definition();
        self.at = None;
        let live = generation::live(self.log, definition).await?;
        self.at = Some((live.clone(), None));
        if live.paused {
            return Err(Error::ProjectionPaused { projection: definition.name.clone() });
        }
        let known = self.owned == Some((live.generation, live.epoch));
        let owner = self.owner.filter(|_| !known);
        let mut checkpoint = generation::take_over(self.log, definition, live, owner).await?;
        self.owned = Some((checkpoint.generation, checkpoint.epoch));
        // A failure that names no event was of the code or of the log, and both are right now.
        if checkpoint.failure.as_ref().is_some_and(|failure| failure.event_id.is_none()) {
            self.log.store().record_failure(&checkpoint, None).await?;
            checkpoint.failure = None;
        }
        if let Some(owner) = self.owner {
            checkpoint = parking::retry(self.log, self.projector, checkpoint, owner).await?;
            self.owned = Some((checkpoint.generation, checkpoint.epoch));
        }
        self.parking.load(self.log, &checkpoint).await?;
        let empty = checkpoint.position == Position::START;
        let mut applier = self.projector.begin(empty);
        let mut cursor = self.log.subscribe(self.projector.filter().clone(), checkpoint.position);
        if checkpoint.inline && self.projector.lifecycle() == Lifecycle::Async {
            checkpoint = inline::leave(self.log, checkpoint).await?;
        }
        let joins = self.projector.lifecycle() == Lifecycle::Inline
            && self.owner.is_some()
            && self.parking.is_empty();
        let mut join_at = (joins && !checkpoint.inline).then(Instant::now);
        let mut is_inline = checkpoint.inline;
        self.at = Some((checkpoint, None));
        while self.target.is_none_or(|target| self.position() < target) {
            let batch = self.next_batch(&mut cursor, join_at).await?;
            let at_the_end = batch.as_ref().is_none_or(|batch| batch.caught_up);
            match batch {
                Some(batch) if is_inline => {
                    if self.apply_what_appends_left(batch).await? && joins {
                        join_at = Some(Instant::now());
                    }
                    sleep(INLINE).await;
                }
                Some(batch) => self.apply(&mut *applier, batch).await?,
                None => {}
            }
            if at_the_end && join_at.is_some_and(|due| due <= Instant::now()) {
                is_inline = self.join().await?;
                join_at = (!is_inline).then(|| Instant::now() + JOIN_AGAIN);
            }
        }
        Ok(())
    }

    /// Lets it change with the appends from now on; `false` where that must wait.
    async fn join(&mut self) -> Result<bool> {
        let Some((checkpoint, _)) = &mut self.at else { return Ok(false) };
        let Some(joined) = inline::join(self.log, self.projector, checkpoint).await? else {
            return Ok(false);
        };
        *checkpoint = joined;
        Ok(true)
    }

    /// Applies what of a batch was not applied in the appends' own transactions, such as the events of a
    /// program that does not know the projection; `true` where appends may leave more, since they go on with it
    /// only where it is at the log's end.
    async fn apply_what_appends_left(&mut self, batch: Batch) -> Result<bool> {
        let definition = self.projector.definition();
        loop {
            let generations = Generations::of(self.log, definition).await?;
            let live = generations.live().filter(|c| Some((c.generation, c.epoch)) == self.owned);
            let moved = || Error::CheckpointMoved { projection: definition.name.clone() };
            let live = live.cloned().ok_or_else(moved)?;
            generation::check_identity(&live)?;
            let (at, is_inline) = (live.position, live.inline);
            self.at = Some((live, None));
            if at >= batch.position {
                return Ok(!is_inline);
            }
            let mut left = batch.clone();
            left.events.retain(|event| event.position > at);
            // The rows have changed since this runner wrote them.
            let mut applier = self.projector.begin(false);
            match self.apply(&mut *applier, left).await {
                Err(Error::CheckpointMoved { .. }) => {}
                applied => return applied.map(|()| true),
            }
        }
    }

    async fn apply(&mut self, applier: &mut dyn Applier, batch: Batch) -> Result<()> {
        let Some((checkpoint, applying)) = &mut self.at else { return Ok(()) };
        let Batch { mut events, position, .. } = batch;
        let held = self.parking.hold_back(&mut events);
        let first = |event: &StoredEvent| parking::parked(event, 0, "", String::new());
        *applying = events.first().map(|event| Applying {
            first: first(event),
            last: position,
            held: held.clone(),
        });
        let (count, begun) = (events.len(), Instant::now());
        *checkpoint = batch::apply(self.log, applier, checkpoint, position, events, &held).await?;
        self.meter.committed(count, begun.elapsed());
        *applying = None;
        Ok(())
    }

    /// The next batch; `None` where there is none before `until`. One without events is held back for a
    /// moment, so that a projection that reads little does not commit for each event that it does not read.
    async fn next_batch(
        &self,
        cursor: &mut Cursor,
        until: Option<Instant>,
    ) -> Result<Option<Batch>> {
        let limit = if self.position() < self.singly_until { 1 } else { BATCH };
        let next = match until {
            None => Some(cursor.next_batch(limit).await?),
            Some(until) if until <= Instant::now() => cursor.available(limit).await?,
            Some(until) => timeout_at(until, cursor.next_batch(limit)).await.ok().transpose()?,
        };
        let Some(mut batch) = next else { return Ok(None) };
        let deadline = Instant::now() + QUIET;
        while batch.events.is_empty() && batch.caught_up {
            match timeout_at(deadline, cursor.next_batch(limit)).await {
                Ok(next) => batch = next?,
                Err(_elapsed) => break,
            }
        }
        Ok(Some(batch))
    }

    /// After a failed batch: whether its events can be tried one by one.
    fn isolate(&mut self) -> bool {
        let Some((_, Some(applying))) = &self.at else { return false };
        let last = applying.last;
        let many = applying.first.position < last && self.singly_until < last;
        if many {
            self.singly_until = last;
        }
        many
    }

    /// After an event has failed by itself: whether its projection goes on, with another try of it or over
    /// it, as it has declared.
    async fn try_again_or_park(&mut self, error: &Error) -> Result<bool> {
        let Some((checkpoint, Some(Applying { first, held, .. }))) = &self.at else {
            return Ok(false);
        };
        if !parking::is_of_event(error) && !matches!(error, Error::Database { .. }) {
            return Ok(false);
        }
        if self.tries.0 != first.position {
            self.tries = (first.position, 0);
        }
        self.tries.1 += 1;
        if let Some(pause) = self.parking.pause(error, self.tries.1) {
            sleep(pause).await;
            return Ok(true);
        }
        if !self.parking.takes(error) {
            return Ok(false);
        }
        let (attempts, code) = (self.tries.1, error.code().into());
        let event = Parked { attempts, code, error: error.to_string(), ..first.clone() };
        match self.parking.park(self.log, checkpoint, held, event).await {
            // Where the store is away, the event is tried again and fails again.
            Err(error) if error.kind() != ErrorKind::Retry => Err(error),
            _ => Ok(true),
        }
    }

    /// Notes at the checkpoint why it stands still.
    async fn note(&self, error: &Error) {
        // Other code is right about its read model; `App::status` of this one says what is wrong.
        if matches!(
            error,
            Error::ProjectionTooNew { .. }
                | Error::ProjectionChanged { .. }
                | Error::ProjectionPaused { .. }
        ) {
            return;
        }
        let Some((checkpoint, applying)) = &self.at else { return };
        let event = applying.as_ref().map(|applying| &applying.first);
        let failure = Failure {
            position: event.map_or(checkpoint.position, |event| event.position),
            event_id: event.map(|event| event.event_id),
            code: error.code().into(),
            error: error.to_string(),
        };
        if let Err(unnoted) = self.log.store().record_failure(checkpoint, Some(&failure)).await {
            tracing::warn!(%unnoted, "the failure of a projection could not be noted");
        }
    }
}
