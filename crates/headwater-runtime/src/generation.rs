//! Generations: which build of a read model is in service, and which one is being built.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use headwater_core::{
    BuiltBy, Checkpoint, Definition, Direction, Error, Filter, GenerationState, Log, Operation,
    Position, Reading, Result, StoreTx, StoredEvent, partition::projection_of,
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long writers that are under way may hide the end of the log, and how often it looks again.
const SETTLING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(5));

/// The generations of one projection.
pub(crate) struct Generations {
    all: Vec<Checkpoint>,
}

impl Generations {
    pub(crate) async fn of(log: &Log, definition: &Definition) -> Result<Self> {
        Ok(Self::among(&log.store().checkpoints().await?, definition))
    }

    /// Those of one projection among all.
    pub(crate) fn among(all: &[Checkpoint], definition: &Definition) -> Self {
        let own = all.iter().filter(|checkpoint| checkpoint.projection == definition.name);
        Self { all: own.cloned().collect() }
    }

    /// Whether one of them was built by exactly this code.
    pub(crate) fn any_by(&self, definition: &Definition) -> bool {
        self.all.iter().any(|checkpoint| checkpoint.fingerprint == definition.fingerprint)
    }

    fn in_state(&self, state: GenerationState) -> Option<&Checkpoint> {
        self.all.iter().find(|checkpoint| checkpoint.state == state)
    }

    /// The one that queries see.
    pub(crate) fn live(&self) -> Option<&Checkpoint> {
        self.in_state(GenerationState::Live)
    }

    /// The one that a rebuild makes.
    pub(crate) fn building(&self) -> Option<&Checkpoint> {
        self.in_state(GenerationState::Building)
    }

    /// The one that the one in service is compared with.
    pub(crate) fn verifying(&self) -> Option<&Checkpoint> {
        self.in_state(GenerationState::Verifying)
    }

    /// How many events this one has set aside.
    pub(crate) fn parked(&self, generation: u32) -> u64 {
        self.all.iter().find(|at| at.generation == generation).map_or(0, |at| at.parked)
    }

    /// The number of a new one: none that an operator's record names already, since such a record is of one build.
    pub(crate) async fn next_number(&self, log: &Log, definition: &Definition) -> Result<u32> {
        let sql = "select cast(coalesce(max(generation), 0) as bigint) as last from {all_operations} where projection = $1";
        let recorded = log.query(sql, &[definition.name.as_str().into()]).await?;
        let recorded = recorded.first().map_or(Ok(0), |row| row.get::<i64>("last"))?;
        let there = self.all.iter().map(|checkpoint| checkpoint.generation).max();
        Ok(there.unwrap_or(0).max(u32::try_from(recorded).unwrap_or(0)) + 1)
    }

    /// Those that were in service before the last one, which is kept for a rollback.
    pub(crate) fn outdated(
        &self,
        is_kept: impl Fn(&Checkpoint) -> bool,
    ) -> impl Iterator<Item = u32> {
        let retired = |c: &&Checkpoint| c.state == GenerationState::Retired;
        let kept = last_in_service(&self.all).map(|last| last.generation);
        self.all
            .iter()
            .filter(retired)
            .filter(move |checkpoint| !is_kept(checkpoint))
            .map(|checkpoint| checkpoint.generation)
            .filter(move |generation| Some(*generation) != kept)
    }
}

/// The generation among these that was in service last, before the one that is.
pub(crate) fn last_in_service(all: &[Checkpoint]) -> Option<&Checkpoint> {
    let retired = all.iter().filter(|checkpoint| checkpoint.state == GenerationState::Retired);
    // Numbers do not tell: somebody may have gone back. Each was moved when it came into service; where the database's
    // clock was set back meanwhile, an older one may be taken for the last.
    retired.max_by_key(|checkpoint| checkpoint.updated_at)
}

/// The generation in service, made now where there is none.
pub(crate) async fn live(log: &Log, definition: &Definition) -> Result<Checkpoint> {
    let generations = Generations::of(log, definition).await?;
    match generations.live() {
        Some(live) => Ok(live.clone()),
        // Another partition than the first begins with its projection.
        None if projection_of(&definition.name) != definition.name => {
            Err(Error::CheckpointMoved { projection: definition.name.clone() })
        }
        None => {
            let next = generations.next_number(log, definition).await?;
            create(log, definition, next).await
        }
    }
}

/// Checks that this code may go on with a generation: that it, or code that differs in nothing that
/// has mattered yet, has built it, and from this log.
pub(crate) async fn check(log: &Log, definition: &Definition, at: &Checkpoint) -> Result<()> {
    check_code(log, definition, at).await?;
    check_log(log, at).await
}

/// Checks that this code may go on with what the other has built. It waits for nobody.
async fn check_code(log: &Log, definition: &Definition, at: &Checkpoint) -> Result<()> {
    let projection = || definition.name.clone();
    match definition.built_by(&at.fingerprint) {
        BuiltBy::SameCode => {}
        BuiltBy::NewerCode => return Err(Error::ProjectionTooNew { projection: projection() }),
        BuiltBy::OtherCode => return Err(Error::ProjectionChanged { projection: projection() }),
        BuiltBy::CodeWithout(types) => {
            if holds_any(log, types, at.position).await? {
                return Err(Error::ProjectionChanged { projection: projection() });
            }
        }
    }
    Ok(())
}

/// Checks a generation, and takes it over: from code that knew fewer types of event, and, for an
/// `owner`, from the one before, whose writes are refused from then on.
pub(crate) async fn take_over(
    log: &Log,
    definition: &Definition,
    at: Checkpoint,
    owner: Option<Uuid>,
) -> Result<Checkpoint> {
    // Before anything is held: the end of the log may wait for an append that waits for the checkpoint.
    check(log, definition, &at).await?;
    let other_code = at.fingerprint != definition.fingerprint;
    if !other_code && owner.is_none() {
        return Ok(at);
    }
    let (name, moved) =
        (&definition.name, Error::CheckpointMoved { projection: at.projection.clone() });
    // The partitions go over from other code together.
    let units = log.store().checkpoints().await?.into_iter().filter(|unit| {
        let same = (unit.generation, unit.state) == (at.generation, at.state);
        same && (unit.projection == *name || other_code && unit.is_of(projection_of(name)))
    });
    let mut tx = log.store().begin().await?;
    let mut taken = None;
    for unit in units {
        // Held, so that an older process moves it past no event that it does not know meanwhile.
        let held = tx.hold(&unit.projection, unit.generation).await?;
        let held = held.filter(|held| held.state == at.state).ok_or_else(|| moved.clone())?;
        check_code(log, definition, &held).await?;
        check_identity(&held)?;
        let adopted = Checkpoint { fingerprint: definition.fingerprint.clone(), ..held.clone() };
        if unit.projection == *name {
            taken = Some(tx.amend(&held, &adopted, owner).await?);
        } else if held.fingerprint != definition.fingerprint {
            tx.amend(&held, &adopted, None).await?;
        }
    }
    let taken = taken.ok_or(moved)?;
    tx.commit().await?;
    if other_code {
        tracing::info!(projection = %name, "the projection reads more types of event now");
    }
    Ok(taken)
}

/// Whether the log holds events of these types at or below `until`.
async fn holds_any(log: &Log, types: Vec<(String, String)>, until: Position) -> Result<bool> {
    for (category, name) in types {
        let filter = Filter::all().category(category).event_type(name);
        let (after, direction) = (Position::START, Direction::Forward);
        let reading = Reading::Log { filter, after, until, direction };
        if log.store().read(reading).try_next().await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes a generation that is in service at once.
async fn create(log: &Log, definition: &Definition, generation: u32) -> Result<Checkpoint> {
    let mut tx = log.store().begin().await?;
    let created = tx.create_generation(definition, generation, GenerationState::Live).await?;
    tx.commit().await?;
    Ok(created)
}

/// Why nothing goes on with a build but by an operator's word, where that is so.
pub(crate) fn waits(building: &Checkpoint) -> Option<Error> {
    let (projection, generation) = (building.projection.clone(), building.generation);
    let failed = building.failure.is_some();
    (failed || building.held_back).then_some(Error::BuildWaits { projection, generation, failed })
}

/// Makes a generation to compare the one in service with.
pub(crate) async fn build_to_verify(
    log: &Log,
    definition: &Definition,
    generation: u32,
    owner: Uuid,
) -> Result<Checkpoint> {
    let mut tx = log.store().begin().await?;
    let state = GenerationState::Verifying;
    let built = make(&mut *tx, definition, generation, state, false, owner).await?;
    tx.commit().await?;
    Ok(built)
}

/// Makes the next generation, which is held back when it is complete where `hold` says so. Where it is done `by`
/// somebody, that is recorded.
pub(crate) async fn build(
    log: &Log,
    definition: &Definition,
    generation: u32,
    hold: bool,
    by: Option<String>,
    owner: Uuid,
) -> Result<Checkpoint> {
    let mut tx = log.store().begin().await?;
    let state = GenerationState::Building;
    let built = make(&mut *tx, definition, generation, state, hold, owner).await?;
    record_build(&mut *tx, &built, "by a program beside the instances", by).await?;
    tx.commit().await?;
    Ok(built)
}

/// Makes a generation for who has the lease on it; refused where that is another's by now.
async fn make(
    tx: &mut dyn StoreTx,
    definition: &Definition,
    generation: u32,
    state: GenerationState,
    held_back: bool,
    owner: Uuid,
) -> Result<Checkpoint> {
    let made = tx.create_generation(definition, generation, state).await?;
    let amended = Checkpoint { held_back, ..made.clone() };
    tx.amend(&made, &amended, Some(owner)).await
}

/// Goes on with a build that an earlier run has left, perhaps begun without the word that holds it back.
pub(crate) async fn go_on(
    log: &Log,
    left: Checkpoint,
    hold: bool,
    by: Option<String>,
    owner: Uuid,
) -> Result<Checkpoint> {
    if by.is_none() && (left.held_back || !hold) {
        return Ok(left);
    }
    let mut tx = log.store().begin().await?;
    let amended = Checkpoint { held_back: left.held_back || hold, ..left.clone() };
    let left = tx.amend(&left, &amended, Some(owner)).await?;
    record_build(&mut *tx, &left, "of a build that was left", by).await?;
    tx.commit().await?;
    Ok(left)
}

/// Records whose word a build is, where it is somebody's.
async fn record_build(
    tx: &mut dyn StoreTx,
    build: &Checkpoint,
    what: &str,
    by: Option<String>,
) -> Result<()> {
    let Some(by) = by else { return Ok(()) };
    let held = if build.held_back { ", to be held back" } else { "" };
    let detail = Some(format!("{what}{held}"));
    let (id, action, generation) = (Uuid::now_v7(), "rebuild", Some(build.generation));
    let projection = build.projection.clone();
    tx.record(&Operation { id, action, projection, generation, detail, by }).await
}

/// Removes the tables and the checkpoint of a generation that was in service before.
pub(crate) async fn remove(log: &Log, definition: &Definition, generation: u32) -> Result<()> {
    let mut tx = log.store().begin().await?;
    tx.drop_generation(definition, generation).await?;
    tx.commit().await
}

/// Removes a build, by who has the lease on it; nothing where it is gone.
pub(crate) async fn remove_build(
    log: &Log,
    definition: &Definition,
    generation: u32,
    owner: Uuid,
) -> Result<()> {
    let mut tx = log.store().begin().await?;
    if let Some(build) = tx.hold(&definition.name, generation).await? {
        tx.amend(&build, &build, Some(owner)).await?;
        tx.drop_generation(definition, generation).await?;
    }
    tx.commit().await
}

/// Removes what was built to compare the one in service with, by who has the lease on it.
pub(crate) async fn remove_verified(log: &Log, definition: &Definition, owner: Uuid) -> Result<()> {
    let generations = Generations::of(log, definition).await?;
    match generations.verifying() {
        Some(left) => remove_build(log, definition, left.generation, owner).await,
        None => Ok(()),
    }
}

/// Removes a generation that is not in service, by an operator's word.
pub(crate) async fn discard(
    log: &Log,
    definition: &Definition,
    generation: u32,
    by: &str,
) -> Result<()> {
    let projection = definition.name.clone();
    let live = Generations::of(log, definition).await?.live().cloned();
    let mut tx = log.store().begin().await?;
    let held = tx.hold(&projection, generation).await?;
    let Some(held) = held.filter(|held| held.state != GenerationState::Live) else {
        let lacks = "has this number and is not in service";
        return Err(Error::NoGeneration { projection, lacks });
    };
    // Whoever builds it looks anew, and finds that nobody asks for it any more.
    tx.amend(&held, &held, None).await?;
    tx.drop_generation(definition, generation).await?;
    if held.state == GenerationState::Building
        && let Some(live) = live
        && let Some(live) = tx.hold(&projection, live.generation).await?
        && live.rebuild_asked.is_some()
    {
        let asked = Checkpoint { rebuild_asked: None, held_back: false, ..live.clone() };
        tx.amend(&live, &asked, None).await?;
    }
    let (id, generation, by) = (Uuid::now_v7(), Some(generation), by.to_owned());
    let action = "drop";
    tx.record(&Operation { id, action, projection, generation, detail: None, by }).await?;
    tx.commit().await
}

/// Checks that the checkpoint was made in this log, as far as the store has told with it.
pub(crate) fn check_identity(at: &Checkpoint) -> Result<()> {
    if at.of_this_log { Ok(()) } else { Err(diverged(at)) }
}

/// What is wrong with a checkpoint of another log.
pub(crate) fn diverged(at: &Checkpoint) -> Error {
    Error::LogDiverged { projection: at.projection.clone(), position: at.position }
}

/// Checks that the checkpoint is of this log, that the log reaches as far, and that it still holds the
/// event that the checkpoint names, where it names it. After a restore it may not, and going on would
/// skip what came in its place.
///
/// It asks the store directly: this process's ceiling may not have come so far yet.
pub(crate) async fn check_log(log: &Log, checkpoint: &Checkpoint) -> Result<()> {
    check_identity(checkpoint)?;
    let begun = Instant::now();
    loop {
        let ceiling = log.store().look(None).await?.ceiling;
        if ceiling.position >= checkpoint.position {
            break;
        }
        // Another process has seen writers end that this one still waits for: that is no other log.
        if !ceiling.unsettled {
            return Err(diverged(checkpoint));
        }
        if begun.elapsed() >= SETTLING.0 {
            let reason = "writers are under way, and the end of the log cannot be seen yet";
            return Err(Error::Unavailable { reason: reason.into() });
        }
        sleep(SETTLING.1).await;
    }
    Ok(())
}

/// The event of this id, where it lies at this position.
pub(crate) async fn event_at(
    log: &Log,
    position: Position,
    id: Uuid,
) -> Result<Option<StoredEvent>> {
    let reading = Reading::Log {
        filter: Filter::all().event_id(id),
        after: Position(position.0.saturating_sub(1)),
        until: position,
        direction: Direction::Forward,
    };
    log.store().read(reading).try_next().await
}
