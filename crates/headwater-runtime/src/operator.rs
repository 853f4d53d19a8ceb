//! What an operator does to projections and subscriptions, beside the instances that run: each act is one
//! transaction with its record.
//!
//! Nobody has to stop anything: an act moves the checkpoint to its next epoch and revokes the lease, so
//! that the instance that worked on it looks anew, within a second.

use std::{future::ready, mem};

use futures_util::TryStreamExt as _;
use headwater_core::{
    BuiltBy, Checkpoint, Definition, Direction, Error, Filter, GenerationState, Leases, Log,
    Operation, Parked, Position, Reading, Result, StoreTx, StreamName, Work, limits,
};
use uuid::Uuid;

use crate::{app::App, generation};

/// How many positions a build may be behind the log to be put into service.
const NEAR: u64 = 10_000;

/// An operator of the projections over a log.
#[derive(Clone, Debug)]
pub struct Operator {
    log: Log,
    by: String,
    /// The definitions that the operator's own program has.
    code: Vec<Uuid>,
}

/// What an operator does to one generation, with all its partitions.
struct Act<'a> {
    name: &'static str,
    projection: &'a str,
    /// The generation that it concerns, by its state.
    on: GenerationState,
    effect: Effect,
}

/// What an act does beside the checkpoint.
enum Effect {
    Plain,
    /// Appends change the read model no more.
    LeaveAppends,
    /// The next generation is built, perhaps to be held back.
    Build {
        hold: bool,
    },
    /// The events that were set aside are tried again.
    RetryParked,
    /// An event is left out; where it was set aside, those of its stream are tried again.
    LeaveOut {
        event: Uuid,
        parked_in: Option<StreamName>,
    },
    /// The projection goes on from here.
    MoveTo(Position),
}

impl<'a> Act<'a> {
    fn new(name: &'static str, projection: &'a str, on: GenerationState) -> Self {
        Self { name, projection, on, effect: Effect::Plain }
    }

    fn on_live(name: &'static str, projection: &'a str) -> Self {
        Self::new(name, projection, GenerationState::Live)
    }

    fn with(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }
}

impl Effect {
    /// In words, for the record.
    fn detail(&self, units: &[Checkpoint]) -> Option<String> {
        match self {
            Self::Plain | Self::LeaveAppends | Self::RetryParked => None,
            Self::Build { hold } => hold.then(|| "to be held back".into()),
            Self::LeaveOut { event, .. } => Some(Operation::left_out(*event)),
            Self::MoveTo(to) => {
                let from = units.iter().map(|unit| unit.position).min()?;
                Some(Operation::moved(from, *to))
            }
        }
    }

    /// Whether it leaves events out or has them applied again, which the checkpoint tells from then on. Of another
    /// log nobody knows which.
    fn skips(&self, units: &[Checkpoint]) -> bool {
        match self {
            Self::Plain | Self::LeaveAppends | Self::Build { .. } | Self::RetryParked => false,
            Self::LeaveOut { .. } => true,
            Self::MoveTo(to) => units.iter().any(|unit| unit.position != *to || !unit.of_this_log),
        }
    }
}

impl Operator {
    /// An operator; the record of each act says that it was done `by` them.
    pub fn new(log: &Log, by: impl Into<String>) -> Self {
        Self { log: log.clone(), by: by.into(), code: Vec::new() }
    }

    /// With the code of the operator's own program, which then does by [`App::rebuild`] what no instance
    /// that runs can do.
    #[must_use]
    pub fn with_code(self, app: &App) -> Self {
        Self { code: app.definition_ids(), ..self }
    }

    /// Lets a projection stand still, until it is resumed. Queries go on, and so do rebuilds; where it is
    /// inline, appends wait for it no more, also where nobody has its code any more.
    ///
    /// # Errors
    ///
    /// As for all acts: [`Error::UnknownProjection`] and [`Error::NoGeneration`] (give another name),
    /// [`Error::CheckpointMoved`] and [`Error::Unavailable`] (try again), [`Error::Database`].
    pub async fn pause(&self, projection: &str) -> Result<Checkpoint> {
        let act = Act::on_live("pause", projection).with(Effect::LeaveAppends);
        self.change(act, |at| Ok(Checkpoint { paused: true, ..at })).await
    }

    /// Lets a paused projection go on where it stood.
    ///
    /// # Errors
    ///
    /// As for [`Operator::pause`].
    pub async fn resume(&self, projection: &str) -> Result<Checkpoint> {
        let act = Act::on_live("resume", projection);
        self.change(act, |at| Ok(Checkpoint { paused: false, ..at })).await
    }

    /// Lets a projection that stands still try the same event again, and one that has set events aside
    /// try all of them, in the order of the log; also a build that failed.
    ///
    /// # Errors
    ///
    /// As for [`Operator::pause`]; [`Error::NoGeneration`] where there is nothing to try again.
    pub async fn retry(&self, projection: &str) -> Result<Checkpoint> {
        let generations = self.generations(projection).await?;
        let failed = |state| generations.iter().any(|g| g.state == state && g.failure.is_some());
        let change = |at| Ok(Checkpoint { failure: None, ..at });
        let mut tried = None;
        if failed(GenerationState::Building) {
            let act = Act::new("retry", projection, GenerationState::Building);
            tried = Some(self.change(act, change).await?);
        }
        let in_service = generations.iter().filter(|g| g.state == GenerationState::Live);
        let parked = in_service.map(|live| live.parked).sum::<u64>() > 0;
        if parked || failed(GenerationState::Live) {
            let act = Act::on_live("retry", projection).with(Effect::RetryParked);
            tried = Some(self.change(act, change).await?);
        }
        tried.ok_or_else(|| lacks(projection, "stands still or has set events aside"))
    }

    /// Leaves out the event at which a projection stands still, or its next build, or one that it has set aside.
    /// The event is named, so that it is this one and no other that is missing in the read model.
    ///
    /// # Errors
    ///
    /// As for [`Operator::pause`]; [`Error::InvalidInput`] where it is no such event.
    pub async fn skip(&self, projection: &str, event: Uuid) -> Result<Checkpoint> {
        let act = |on, parked_in| {
            Act::new("skip", projection, on).with(Effect::LeaveOut { event, parked_in })
        };
        let generations = self.generations(projection).await?;
        let in_service = |generation: &&Checkpoint| generation.state == GenerationState::Live;
        for unit in generations.iter().filter(in_service) {
            let named = |parked: &Parked| ready(parked.event_id == event);
            if let Some(parked) = self.log.parked(unit).try_filter(named).try_next().await? {
                // What waited behind it is tried now.
                return self.change(act(GenerationState::Live, Some(parked.stream)), Ok).await;
            }
        }
        let fails_at = |at: &Checkpoint| {
            let failure = at.failure.as_ref().filter(|failure| failure.event_id == Some(event))?;
            Some(failure.position)
        };
        let over = |at: Checkpoint| {
            // Another partition may not have come to it.
            let Some(position) = fails_at(&at) else { return Ok(at) };
            let (event_id, event_position) = (Some(event), position);
            Ok(Checkpoint { position, event_id, event_position, failure: None, ..at })
        };
        let fails =
            |state| generations.iter().any(|at| at.state == state && fails_at(at).is_some());
        let mut left_out = None;
        // The next build may have come to it as well, or alone.
        for on in [GenerationState::Building, GenerationState::Live] {
            if fails(on) {
                left_out = Some(self.change(act(on, None), over).await?);
            }
        }
        left_out.ok_or_else(|| {
            let wrong =
                format!("{projection} neither stands still at event {event} nor has set it aside");
            Error::InvalidInput(wrong)
        })
    }

    /// Moves a projection to a position: what lies between is left out, or applied a second time. For a
    /// projection whose rows are a function of the log a rebuild is what mends it.
    ///
    /// # Errors
    ///
    /// As for [`Operator::pause`]; [`Error::InvalidInput`] for a position above the ceiling,
    /// and for the start of the log.
    pub async fn seek(&self, projection: &str, to: Position) -> Result<Checkpoint> {
        if to == Position::START {
            let rebuild =
                format!("from the start it is built anew: run `projections rebuild {projection}`");
            return Err(Error::InvalidInput(rebuild));
        }
        self.log.refuse_above_ceiling(to).await?;
        let (filter, after, direction) = (Filter::all(), Position::START, Direction::Backward);
        let reading = Reading::Log { filter, after, until: to, direction };
        let last = self.log.store().read(reading).try_next().await?;
        let act = Act::on_live("seek", projection).with(Effect::MoveTo(to));
        self.change(act, |at| {
            let event_id = last.as_ref().map(|event| event.id);
            let event_position = last.as_ref().map_or(Position::START, |event| event.position);
            let of_this_log = true;
            Ok(Checkpoint {
                position: to,
                event_id,
                event_position,
                failure: None,
                of_this_log,
                ..at
            })
        })
        .await
    }

    /// Asks the instances that run for a rebuild; one of them begins within a second, and
    /// [`Log::checkpoints`](headwater_core::Log::checkpoints) shows how far it is. With `hold` what is
    /// built waits for [`Operator::promote`].
    ///
    /// # Errors
    ///
    /// As for [`Operator::pause`]; [`Error::RebuildUnderWay`] where one is being built already,
    /// [`Error::BuildWaits`] where one is held back, and where a rollback has failed; [`Error::NoInstance`] where nobody
    /// runs who has the code.
    pub async fn rebuild(&self, projection: &str, hold: bool) -> Result<Checkpoint> {
        let generations = self.generations(projection).await?;
        let leases = self.log.store().leases().await?;
        let effect = Effect::Build { hold };
        let live = generations.iter().find(|g| g.state == GenerationState::Live);
        if let Some(building) = generations.iter().find(|g| g.state == GenerationState::Building) {
            // One that was in service before is not built anew: nor is it what a rebuild makes.
            if building.failure.is_none() || building.rebuild_asked.is_some() {
                return Err(under_way(building, &leases));
            }
            // Otherwise the reason would be forgotten, and nobody would try.
            let by_its_code = self.needs_code(&leases, building);
            if by_its_code.is_ok() {
                let act = Act::new("rebuild", projection, building.state).with(effect);
                let again = |at| Ok(Checkpoint { failure: None, held_back: hold, ..at });
                return self.change(act, again).await;
            }
            // The code of the one in service gives up a build of other code, and begins its own; never one of
            // newer code.
            let newer = |live: &Checkpoint| {
                Definition::compare(&live.fingerprint, &building.fingerprint) == BuiltBy::NewerCode
            };
            if live.is_none_or(newer) {
                by_its_code?;
            }
        }
        if let Some(live) = live {
            self.needs_code(&leases, live)?;
        }
        let act = Act::on_live("rebuild", projection).with(effect);
        let asked = Some(Uuid::now_v7());
        self.change(act, |at| Ok(Checkpoint { rebuild_asked: asked, held_back: hold, ..at })).await
    }

    /// Puts a build that was held back into service; the instance that keeps it up to date swaps it in
    /// within a second.
    ///
    /// # Errors
    ///
    /// As for [`Operator::pause`]; [`Error::NoGeneration`] where none is held back,
    /// [`Error::NotCaughtUp`] where it is too far behind, [`Error::NoInstance`] where nobody runs who has
    /// the code.
    pub async fn promote(&self, projection: &str) -> Result<Checkpoint> {
        let ceiling = self.log.ceiling().await?.position;
        let on = GenerationState::Building;
        if let Some(building) = self.generations(projection).await?.iter().find(|g| g.state == on) {
            self.needs_code(&self.log.store().leases().await?, building)?;
        }
        let act = Act::new("promote", projection, on);
        self.change(act, |at| {
            if !at.held_back {
                return Err(lacks(projection, "is held back"));
            }
            let behind = ceiling.0.saturating_sub(at.position.0);
            if behind > NEAR {
                return Err(Error::NotCaughtUp { projection: projection.into(), behind });
            }
            Ok(Checkpoint { held_back: false, ..at })
        })
        .await
    }

    /// Goes back to the generation that was in service before: an instance that has its code brings it up
    /// to date, and swaps it in.
    ///
    /// # Errors
    ///
    /// As for [`Operator::pause`]; [`Error::NoGeneration`] where none is kept;
    /// [`Error::RebuildUnderWay`] where another one is being built, [`Error::BuildWaits`] where that is held
    /// back or has failed, [`Error::NoInstance`] where nobody runs who has its code.
    pub async fn roll_back(&self, projection: &str) -> Result<Checkpoint> {
        let generations = self.generations(projection).await?;
        let leases = self.log.store().leases().await?;
        if let Some(building) = generations.iter().find(|g| g.state == GenerationState::Building) {
            return Err(under_way(building, &leases));
        }
        if let Some(kept) = generation::last_in_service(&generations) {
            self.needs_code(&leases, kept)?;
        }
        let act = Act::new("rollback", projection, GenerationState::Retired);
        let state = GenerationState::Building;
        // What once stopped it may be mended: it is tried anew.
        let rebuild_asked = Some(Uuid::now_v7());
        let to = |at| {
            let (paused, held_back, failure) = (false, false, None);
            Ok(Checkpoint { state, paused, held_back, failure, rebuild_asked, ..at })
        };
        self.change(act, to).await
    }

    /// Moves a subscription to a position: what was acknowledged behind it comes again, what lies between is
    /// left out. Whoever has it open is told within a second, or at its next acknowledgement, to open it again.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a position above the ceiling, [`Error::UnknownSubscription`] (give another
    /// name), [`Error::Unavailable`] (try again), [`Error::OutcomeUnknown`] (look where it stands),
    /// [`Error::Database`].
    pub async fn seek_subscription(&self, subscription: &str, to: Position) -> Result<()> {
        self.log.refuse_above_ceiling(to).await?;
        self.change_subscription("seek subscription", subscription, Some(to)).await
    }

    /// Removes a subscription: one that is opened under its name begins anew.
    ///
    /// # Errors
    ///
    /// As for [`Operator::seek_subscription`].
    pub async fn remove_subscription(&self, subscription: &str) -> Result<()> {
        self.change_subscription("remove subscription", subscription, None).await
    }

    async fn change_subscription(
        &self,
        action: &'static str,
        subscription: &str,
        to: Option<Position>,
    ) -> Result<()> {
        limits::check_name("subscription", subscription)?;
        let (id, by) = (Uuid::now_v7(), self.by.clone());
        let projection = subscription.to_owned();
        let operation = Operation { id, action, projection, generation: None, detail: None, by };
        if self.log.store().change_subscription(to, &operation).await? {
            return Ok(());
        }
        Err(self.log.unknown_subscription(subscription).await?)
    }

    /// Refuses where nobody could work on this generation.
    fn needs_code(&self, leases: &Leases, generation: &Checkpoint) -> Result<()> {
        let id = generation.definition_id();
        if self.code.contains(&id) || leases.has_code(id) {
            return Ok(());
        }
        let (projection, generation) = (generation.projection.clone(), generation.generation);
        Err(Error::NoInstance { projection, generation })
    }

    /// The generations of a projection.
    async fn generations(&self, projection: &str) -> Result<Vec<Checkpoint>> {
        let mut all = self.log.store().checkpoints().await?;
        if !all.iter().any(|checkpoint| checkpoint.is_of(projection)) {
            let mut known: Vec<_> = all.iter().map(|c| c.projection.as_str()).collect();
            known.dedup();
            return Err(Error::unknown_projection(projection, &known));
        }
        all.retain(|checkpoint| checkpoint.is_of(projection));
        Ok(all)
    }

    /// Changes the generation in the act's state; of several that were in service, the last.
    async fn change(
        &self,
        act: Act<'_>,
        change: impl Fn(Checkpoint) -> Result<Checkpoint> + Send,
    ) -> Result<Checkpoint> {
        let Act { name: action, projection, on, effect } = act;
        let mut generations = self.generations(projection).await?;
        generations.retain(|generation| generation.state == on);
        let none = || lacks(projection, kind_of(on));
        let newest = match on {
            GenerationState::Retired => generation::last_in_service(&generations),
            _ => generations.iter().max_by_key(|generation| generation.generation),
        };
        let newest = newest.map(|newest| newest.generation).ok_or_else(none)?;
        generations.retain(|generation| generation.generation == newest);
        let mut tx = self.log.store().begin().await?;
        if matches!(effect, Effect::LeaveAppends) {
            // Before a checkpoint is held, as by an append.
            tx.set_inline(projection, false).await?;
        }
        let units = hold_all(&mut *tx, &generations).await?;
        let detail = effect.detail(&units);
        // The first counts for all: it is the one that stays when they are merged.
        let mut skips = u64::from(effect.skips(&units));
        let (mut changed, mut unparked) = (None, false);
        for held in units {
            let to = change(held.clone())?;
            let to = Checkpoint { skips: to.skips + mem::take(&mut skips), ..to };
            let now = tx.amend(&held, &to, None).await?;
            changed = Some(changed.unwrap_or(now));
            match &effect {
                Effect::RetryParked => tx.retry_parked(&held, None).await?,
                Effect::LeaveOut { event, parked_in: Some(stream) } => {
                    unparked |= tx.unpark(&held, *event).await?;
                    tx.retry_parked(&held, Some(stream)).await?;
                }
                Effect::Plain
                | Effect::LeaveAppends
                | Effect::Build { .. }
                | Effect::MoveTo(_)
                | Effect::LeaveOut { parked_in: None, .. } => {}
            }
        }
        if matches!(effect, Effect::LeaveOut { parked_in: Some(_), .. }) && !unparked {
            return Err(Error::CheckpointMoved { projection: projection.into() });
        }
        let (id, by) = (Uuid::now_v7(), self.by.clone());
        // One that is asked for has no number yet.
        let is_asked = matches!(effect, Effect::Build { .. }) && on == GenerationState::Live;
        let (projection, generation) = (projection.to_owned(), (!is_asked).then_some(newest));
        tx.record(&Operation { id, action, projection, generation, detail, by }).await?;
        tx.commit().await?;
        self.log.checkpoint_moved();
        changed.ok_or_else(none)
    }
}

/// Holds all partitions of a generation, as one.
async fn hold_all(tx: &mut dyn StoreTx, units: &[Checkpoint]) -> Result<Vec<Checkpoint>> {
    let mut all = Vec::new();
    for unit in units {
        let held = tx.hold(&unit.projection, unit.generation).await?;
        let held = held.filter(|held| held.state == unit.state);
        let moved = || Error::CheckpointMoved { projection: unit.projection.clone() };
        all.push(held.ok_or_else(moved)?);
    }
    Ok(all)
}

/// What a generation in this state is, in words.
fn kind_of(state: GenerationState) -> &'static str {
    match state {
        GenerationState::Live => "is in service",
        GenerationState::Building => "is being built",
        GenerationState::Retired => "was in service before",
        GenerationState::Verifying => "is being built to verify it",
    }
}

/// Why nothing else can be built beside this build.
fn under_way(building: &Checkpoint, leases: &Leases) -> Error {
    generation::waits(building).unwrap_or_else(|| {
        let held = leases.held(&Work::building(&building.projection));
        let owner = held.map(|lease| leases.name_of(lease.owner));
        Error::RebuildUnderWay { projection: building.projection.clone(), owner }
    })
}

fn lacks(projection: &str, lacks: &'static str) -> Error {
    Error::NoGeneration { projection: projection.into(), lacks }
}
