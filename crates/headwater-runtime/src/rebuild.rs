//! A rebuild: the next generation, built beside the one in service, and swapped in.
//!
//! Each batch of the new generation is a transaction with its checkpoint, so a rebuild that was
//! killed goes on where it was when it is started again. The last events, the swap and the
//! checkpoint are one transaction: readers see the old generation, then the new one.

mod verification;

use std::{
    num::NonZero,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use headwater_core::{
    BuiltBy, Checkpoint, Difference, Error, ErrorKind, Failure, GenerationState, Log, Position,
    Result, StoredEvent,
};
use metrics::Counter;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, mpsc::UnboundedSender},
    time::sleep,
};
use uuid::Uuid;

use crate::{
    batch,
    builds::RebuildOptions,
    gauges,
    generation::{self, Generations},
    parking::{self, Parking},
    patience::Patience,
    projector::{Applier, Projector, guarded},
    shared_reading::{Part, SharedReading},
    status::{Phase, Progress, Rebuilt},
    units::{Units, few_events},
};

/// How many projections decode, fold and write at once, at least and at most: each fills a processor, and
/// takes one of the few connections for transactions.
const AT_ONCE: (usize, usize) = (2, 3);

/// How long a rebuild waits in all for a store that is away, and for readers of the old generation.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a rebuild that is not near enough to swap waits before it goes on.
const AGAIN: Duration = Duration::from_millis(20);

/// How often one that is held back is brought up to date, and looks whether it still is.
const HELD: Duration = Duration::from_millis(250);

/// Turns to work, for projections that are rebuilt together: as many as there are processors, within bounds.
pub(crate) fn turns() -> Arc<Semaphore> {
    let processors = thread::available_parallelism().map_or(AT_ONCE.0, NonZero::get);
    Arc::new(Semaphore::new(processors.clamp(AT_ONCE.0, AT_ONCE.1)))
}

/// What becomes of a build that is complete and held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenHeld {
    /// It is left there, for the instances of the service to keep it up to date.
    Leave,
    /// It is kept up to date until an operator puts it into service.
    KeepUpToDate,
}

/// One projection that is rebuilt, perhaps with others.
pub(crate) struct Rebuild {
    log: Log,
    reading: SharedReading,
    turns: Arc<Semaphore>,
    projector: Arc<dyn Projector>,
    /// The instance that has the lease on it.
    owner: Uuid,
    how: RebuildOptions,
    /// What is built: the next generation, or one to compare the one in service with.
    state: GenerationState,
    parking: Parking,
    /// Of a verification: how often an operator had the one in service leave events out, when it began.
    skips: u64,
    /// Where the part ends that was applied last, and up to where events are applied one by one, since a part has
    /// failed.
    applying: Position,
    singly_until: Position,
    /// How many events were applied when the swap last failed.
    swap_failed: Option<u64>,
    /// How the rows differ from those in service, once it was looked.
    verified: Option<Vec<Difference>>,
    /// Of a verification: the generation in service that it has looked at.
    compared: Option<u32>,
    when_held: WhenHeld,
    progress: Option<UnboundedSender<Progress>>,
    started: Instant,
    /// Applied in this run: events, and batches of them before it was first at the ceiling.
    events: u64,
    batches: u64,
    applied: Counter,
    /// Whether it has been at the ceiling: what is left it reads by itself.
    caught_up: bool,
    /// Whether this run found a build that an earlier one had left.
    resumed: Option<bool>,
    /// The generation that this run is building.
    generation: Option<u32>,
}

impl Rebuild {
    pub(crate) fn new(
        log: Log,
        reading: SharedReading,
        turns: Arc<Semaphore>,
        projector: Arc<dyn Projector>,
        owner: Uuid,
    ) -> Self {
        let parking = Parking::new(projector.on_failure());
        let applied = gauges::rebuilt(&projector.definition().name);
        Self {
            log,
            reading,
            turns,
            projector,
            owner,
            how: RebuildOptions::default(),
            state: GenerationState::Building,
            parking,
            skips: 0,
            applying: Position::START,
            singly_until: Position::START,
            swap_failed: None,
            verified: None,
            compared: None,
            when_held: WhenHeld::Leave,
            progress: None,
            started: Instant::now(),
            events: 0,
            applied,
            batches: 0,
            caught_up: false,
            resumed: None,
            generation: None,
        }
    }

    /// Tells how it goes on.
    pub(crate) fn report_to(self, progress: UnboundedSender<Progress>) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// With these options.
    pub(crate) fn how(self, how: RebuildOptions) -> Self {
        Self { how, ..self }
    }

    /// Builds and swaps. A failure is noted at what was built so far.
    pub(crate) async fn run(mut self, when_held: WhenHeld) -> Result<Rebuilt> {
        self.when_held = when_held;
        self.go_on().await
    }

    async fn go_on(mut self) -> Result<Rebuilt> {
        let projector = self.projector.clone();
        let name = &projector.definition().name;
        let mut patience = Patience::new(name, PATIENCE);
        loop {
            let before = self.batches;
            let error = match guarded(name, self.go()).await {
                Ok(rebuilt) => return Ok(rebuilt),
                // Other code may take any time to come.
                Err(error @ Error::NoInstance { .. }) => return Err(error),
                Err(error) => error,
            };
            if self.batches > before {
                patience.renew();
            }
            let before = self.swap_failed.replace(self.events);
            let of_event = parking::is_of_event(&error);
            if self.caught_up && of_event && before != Some(self.events) {
                // One of the last events, in the swap: it is dealt with where it is met without one.
                self.caught_up = false;
                continue;
            }
            if of_event && self.singly_until < self.applying {
                // Those before it are applied, so that it is known by itself.
                self.singly_until = self.applying;
                continue;
            }
            if let Err(error) = patience.wait_out(error).await {
                self.note(&error).await;
                return Err(error);
            }
        }
    }
}

impl Rebuild {
    async fn go(&mut self) -> Result<Rebuilt> {
        if self.state == GenerationState::Building
            && let Some(live) = self.swapped_unheard().await?
        {
            return Ok(self.done(&live, Phase::Done).await);
        }
        let mut building = match self.state {
            GenerationState::Verifying => self.prepare_to_verify().await?,
            _ => self.prepare().await?,
        };
        self.generation = Some(building.generation);
        self.parking.load(&self.log, &building).await?;
        let mut applier = self.projector.begin(building.position == Position::START);
        if !self.caught_up {
            let parts = self.reading.join(self.projector.filter(), building.position);
            self.caught_up = self.catch_up(&mut building, &mut applier, parts).await?;
        }
        if self.how.verify && self.verified.is_none() {
            self.verified = Some(self.compare(&mut building, &mut applier).await?);
        }
        if self.state == GenerationState::Verifying {
            return Ok(self.done(&building, Phase::Done).await);
        }
        loop {
            let held = self.caught_up && self.is_held_back(&building).await?;
            if held && self.when_held == WhenHeld::Leave {
                return Ok(self.done(&building, Phase::Held).await);
            }
            if self.caught_up && !held && self.swap(&building, &mut *applier).await? {
                return Ok(self.done(&building, Phase::Done).await);
            }
            // It is held back, others did not wait for it, or the one in service is ahead of what this
            // process may read yet.
            sleep(if held { HELD } else { AGAIN }).await;
            let parts = self.reading.alone(self.projector.filter(), building.position);
            self.caught_up = self.catch_up(&mut building, &mut applier, parts).await?;
            if !self.caught_up {
                return Err(Error::Unavailable { reason: "the reading broke off".into() });
            }
        }
    }

    /// Whether an operator has still to put it into service.
    async fn is_held_back(&self, building: &Checkpoint) -> Result<bool> {
        if !building.held_back {
            return Ok(false);
        }
        let generations = Generations::of(&self.log, self.projector.definition()).await?;
        let now = generations.building().filter(|now| now.epoch == building.epoch);
        let moved = || Error::CheckpointMoved { projection: building.projection.clone() };
        now.map(|now| now.held_back).ok_or_else(moved)
    }

    /// The generation in service, where it is the one that this run was building: the answer to its
    /// swap was lost, or another rebuild of the same has swapped it in.
    async fn swapped_unheard(&self) -> Result<Option<Checkpoint>> {
        let Some(generation) = self.generation else { return Ok(None) };
        let generations = Generations::of(&self.log, self.projector.definition()).await?;
        Ok(generations.live().filter(|live| live.generation == generation).cloned())
    }

    async fn done(&self, built: &Checkpoint, phase: Phase) -> Rebuilt {
        self.report(built, phase, built.position);
        // It is done: whatever happens to the database now is no failure of it.
        let generations = Generations::of(&self.log, self.projector.definition()).await.ok();
        if let Some(generations) = &generations
            && phase == Phase::Done
            && self.state == GenerationState::Building
        {
            self.clean_up(generations).await;
        }
        Rebuilt {
            projection: built.projection.clone(),
            generation: self.compared.unwrap_or(built.generation),
            events: self.events,
            elapsed: self.started.elapsed(),
            resumed: self.resumed.unwrap_or(false),
            held_back: phase == Phase::Held,
            parked: generations.map_or(built.parked, |all| all.parked(built.generation)),
            verified: self.verified.clone(),
        }
    }

    /// Finds the build that an earlier run has left, or begins one.
    async fn prepare(&mut self) -> Result<Checkpoint> {
        let definition = self.projector.definition();
        let generations = Generations::of(&self.log, definition).await?;
        if let Some(left) = generations.building() {
            let (owner, number) = (Some(self.owner), left.generation);
            let gone_back_to = left.rebuild_asked.is_some();
            // What was in service before is not what a rebuild makes.
            if let Some(waits) = generation::waits(left).filter(|_| gone_back_to) {
                return Err(waits);
            }
            let usable = left.fingerprint == definition.fingerprint;
            let taken_over = async {
                let left = self.merged(left.clone()).await?;
                generation::take_over(&self.log, definition, left, owner).await
            };
            match taken_over.await {
                Ok(usable) if self.resumed.is_some() => return Ok(usable),
                Ok(usable) => {
                    let (hold, by) = (self.how.hold, self.how.by.clone());
                    let build = generation::go_on(&self.log, usable, hold, by, self.owner).await?;
                    self.resumed = Some(true);
                    return Ok(build);
                }
                // A store that is away for a moment is no reason to begin anew.
                Err(error) if usable && !matches!(error, Error::LogDiverged { .. }) => {
                    return Err(error);
                }
                // It was in service before, and an operator goes back to it: by its own code. Or it is of newer code.
                Err(error)
                    if !usable
                        && (matches!(error, Error::ProjectionTooNew { .. }) || gone_back_to) =>
                {
                    let (projection, generation) = (definition.name.clone(), number);
                    return Err(Error::NoInstance { projection, generation });
                }
                Err(_) => {
                    generation::remove_build(&self.log, definition, number, self.owner).await?;
                }
            }
        }
        self.resumed.get_or_insert(false);
        let asked_to_hold = generations.live().is_some_and(|live| live.held_back);
        let (hold, by) = (self.how.hold || asked_to_hold, self.how.by.clone());
        let next = generations.next_number(&self.log, definition).await?;
        generation::build(&self.log, definition, next, hold, by, self.owner).await
    }

    /// The one checkpoint of a build, also where it was in service before, with one for each partition.
    async fn merged(&self, left: Checkpoint) -> Result<Checkpoint> {
        let definition = self.projector.definition();
        loop {
            let state = GenerationState::Building;
            let mut units = Units::load(&self.log, &self.projector, state).await?;
            if units.count() < 2 {
                return Ok(left);
            }
            // Each of them stands at another place, which other code cannot go on from.
            if !units.are_by(definition) {
                return Err(Error::ProjectionChanged { projection: definition.name.clone() });
            }
            let mut tx = self.log.store().begin().await?;
            if !units.hold(&mut *tx).await? {
                tx.rollback().await?;
                continue;
            }
            let to = units.furthest(left.position);
            if units.bring_to(&mut *tx, to).await? {
                if !units.have_parked_the_same() {
                    let reason = format!(
                        "some partitions alone of generation {} of {} have set events aside: drop it",
                        left.generation, definition.name
                    );
                    return Err(Error::Mismatch { reason });
                }
                tx.merge_partitions(definition, left.generation).await?;
                let merged = tx.hold(&definition.name, left.generation).await?;
                tx.commit().await?;
                let moved = || Error::CheckpointMoved { projection: definition.name.clone() };
                return merged.ok_or_else(moved);
            }
            tx.rollback().await?;
            units.catch_up(to).await?;
        }
    }

    /// Notes at what was built so far why it is not built on.
    async fn note(&self, error: &Error) {
        if error.kind() == ErrorKind::Retry || self.state != GenerationState::Building {
            return;
        }
        let definition = self.projector.definition();
        let Ok(generations) = Generations::of(&self.log, definition).await else { return };
        let own = |building: &&Checkpoint| building.fingerprint == definition.fingerprint;
        let Some(building) = generations.building().filter(own) else { return };
        let event = self.parking.tried().filter(|_| parking::is_of_event(error));
        let failure = Failure {
            position: event.map_or(building.position, |(position, _)| position),
            event_id: event.map(|(_, id)| id),
            code: error.code().into(),
            error: error.to_string(),
        };
        if let Err(unnoted) = self.log.store().record_failure(building, Some(&failure)).await {
            tracing::warn!(%unnoted, "the failure of a rebuild could not be noted");
        }
    }

    /// Waits for the right to work, until it is dropped.
    async fn turn(&self) -> OwnedSemaphorePermit {
        self.turns.clone().acquire_owned().await.expect("nobody closes it")
    }

    /// Applies what comes; `true` where it comes up to the ceiling.
    async fn catch_up(
        &mut self,
        building: &mut Checkpoint,
        applier: &mut Box<dyn Applier>,
        mut parts: mpsc::Receiver<Result<Part>>,
    ) -> Result<bool> {
        while let Some(part) = parts.recv().await {
            let Part { events, position, caught_up } = part?;
            if position > building.position {
                let target = self.log.ceiling().await?.position;
                self.report(building, Phase::Building, target);
                let count = count(events.len());
                let turn = self.turn().await;
                *building = self.apply(building, applier, position, events).await?;
                drop(turn);
                self.have_applied(count);
                self.keep_to_rate().await;
                // Events that come while readers hold the old generation are no progress of the swap.
                self.batches += u64::from(!self.caught_up);
            }
            if caught_up {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits as long as the rate asks for; from when it has been at the ceiling it is at the log's own.
    async fn keep_to_rate(&self) {
        let Some(rate) = self.how.max_rate.filter(|_| !self.caught_up) else { return };
        let events = u32::try_from(self.events).unwrap_or(u32::MAX);
        let due = Duration::from_secs(1) / rate.get() * events;
        sleep(due.saturating_sub(self.started.elapsed())).await;
    }

    /// Applies a part; where the projection sets aside what it cannot apply, event by event if need be.
    async fn apply(
        &mut self,
        building: &Checkpoint,
        applier: &mut Box<dyn Applier>,
        to: Position,
        events: Vec<Arc<StoredEvent>>,
    ) -> Result<Checkpoint> {
        let singly = building.position < self.singly_until;
        self.applying = to;
        if !singly && self.parking.stops() {
            let events = events.into_iter().map(Arc::unwrap_or_clone);
            return batch::apply(&self.log, &mut **applier, building, to, events, &[]).await;
        }
        let mut these: Vec<_> = events.iter().map(|event| StoredEvent::clone(event)).collect();
        let held = self.parking.hold_back(&mut these);
        let applied = batch::apply(&self.log, &mut **applier, building, to, these, &held);
        match guarded(&self.projector.definition().name, applied).await {
            Err(error) if self.parking.takes(&error) || singly && parking::is_of_event(&error) => {
                let events = events.into_iter().map(Arc::unwrap_or_clone);
                let (log, projector) = (self.log.clone(), self.projector.clone());
                let applied =
                    self.parking.apply_singly(&log, &*projector, building, to, events).await?;
                // The other one has taken in what was rolled back.
                *applier = self.projector.begin(false);
                Ok(applied)
            }
            applied => applied,
        }
    }

    /// Applies the last events and swaps, in one transaction; `false` where too many have come, or another
    /// generation came into service meanwhile.
    async fn swap(&mut self, building: &Checkpoint, applier: &mut dyn Applier) -> Result<bool> {
        self.report(building, Phase::Swapping, building.position);
        let _turn = self.turn().await;
        let definition = self.projector.definition();
        let mut live = Units::load(&self.log, &self.projector, GenerationState::Live).await?;
        let mut tx = self.log.store().begin().await?;
        // Holds the running projection still: it must not be ahead of the new generation.
        if !live.hold(&mut *tx).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        let target = live.furthest(self.log.ceiling().await?.position.max(building.position));
        let Some(events) = self.last_events(building.position, target).await? else {
            tx.rollback().await?;
            return Ok(false);
        };
        let count = count(events.len());
        let parking = &self.parking;
        batch::apply_behind(&mut *tx, applier, parking, building, target, events).await?;
        tx.promote(definition, building.generation).await?;
        tx.commit().await?;
        self.log.checkpoint_moved();
        self.have_applied(count);
        Ok(true)
    }

    /// The events behind `after` up to `until`; `None` where they are too many for the swap.
    async fn last_events(
        &self,
        after: Position,
        until: Position,
    ) -> Result<Option<Vec<StoredEvent>>> {
        few_events(&self.log, self.projector.filter(), after, until).await
    }

    /// Removes what was in service before the generation that is kept for a rollback.
    async fn clean_up(&self, generations: &Generations) {
        let definition = self.projector.definition();
        // One of newer code is kept: it tells that code that an operator has gone back from it.
        let newer = |c: &Checkpoint| definition.built_by(&c.fingerprint) == BuiltBy::NewerCode;
        for outdated in generations.outdated(newer) {
            // Where a reader still holds it, the next rebuild removes it.
            if let Err(error) = generation::remove(&self.log, definition, outdated).await {
                tracing::debug!(projection = %definition.name, outdated, %error, "kept for now");
            }
        }
    }

    fn have_applied(&mut self, events: u64) {
        self.events += events;
        self.applied.increment(events);
    }

    fn report(&self, building: &Checkpoint, phase: Phase, target: Position) {
        let Some(listener) = &self.progress else { return };
        // Nobody listening is no reason to stop.
        let _listener_gone = listener.send(Progress {
            projection: building.projection.clone(),
            generation: building.generation,
            phase,
            position: building.position,
            target: target.max(building.position),
            events: self.events,
            elapsed: self.started.elapsed(),
        });
    }
}

fn count(events: usize) -> u64 {
    u64::try_from(events).unwrap_or(u64::MAX)
}
