//! Generations: which build of a read model is in service, and which one is being built.

use futures_util::TryStreamExt as _;
use headwater_core::{
    BuiltBy, Checkpoint, Definition, Direction, Error, Filter, GenerationState, Log, Position,
    Reading, Result,
};

/// The generations of one projection.
pub(crate) struct Generations {
    all: Vec<Checkpoint>,
}

impl Generations {
    pub(crate) async fn of(log: &Log, definition: &Definition) -> Result<Self> {
        let mut all = log.store().checkpoints().await?;
        all.retain(|checkpoint| checkpoint.projection == definition.name);
        Ok(Self { all })
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

    /// The number of a new one.
    pub(crate) fn next(&self) -> u32 {
        self.all.iter().map(|checkpoint| checkpoint.generation).max().unwrap_or(0) + 1
    }

    /// Those that were in service before the one that is kept for a rollback.
    pub(crate) fn outdated(&self) -> impl Iterator<Item = u32> {
        let retired = |c: &&Checkpoint| c.state == GenerationState::Retired;
        let kept = self.all.iter().filter(retired).map(|c| c.generation).max();
        self.all
            .iter()
            .filter(retired)
            .map(|checkpoint| checkpoint.generation)
            .filter(move |generation| Some(*generation) != kept)
    }
}

/// The generation in service, made now where there is none.
pub(crate) async fn live(log: &Log, definition: &Definition) -> Result<Checkpoint> {
    let generations = Generations::of(log, definition).await?;
    match generations.live() {
        Some(live) => Ok(live.clone()),
        None => create(log, definition, generations.next(), GenerationState::Live).await,
    }
}

/// Checks that this code may go on with a generation: that it, or code that differs in nothing that
/// has mattered yet, has built it, and from this log.
pub(crate) async fn check(log: &Log, definition: &Definition, at: &Checkpoint) -> Result<()> {
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
    check_log(log, at).await
}

/// Checks a generation, and takes it over where code has built it that knew fewer types of event.
pub(crate) async fn take_over(
    log: &Log,
    definition: &Definition,
    at: Checkpoint,
) -> Result<Checkpoint> {
    if at.fingerprint == definition.fingerprint {
        check(log, definition, &at).await?;
        return Ok(at);
    }
    let mut tx = log.store().begin().await?;
    // Held, so that an older process moves it past no event that it does not know meanwhile.
    let held = tx.hold(&definition.name, at.generation).await?;
    let moved = || Error::CheckpointMoved { projection: definition.name.clone() };
    let held = held.ok_or_else(moved)?;
    check(log, definition, &held).await?;
    tx.adopt(&held, &definition.fingerprint).await?;
    tx.commit().await?;
    tracing::info!(projection = %definition.name, "the projection reads more types of event now");
    Ok(Checkpoint { epoch: held.epoch + 1, fingerprint: definition.fingerprint.clone(), ..held })
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

/// Makes the tables and the checkpoint of a generation.
pub(crate) async fn create(
    log: &Log,
    definition: &Definition,
    generation: u32,
    state: GenerationState,
) -> Result<Checkpoint> {
    let mut tx = log.store().begin().await?;
    let created = tx.create_generation(definition, generation, state).await?;
    tx.commit().await?;
    Ok(created)
}

/// Removes the tables and the checkpoint of a generation.
pub(crate) async fn remove(log: &Log, definition: &Definition, generation: u32) -> Result<()> {
    let mut tx = log.store().begin().await?;
    tx.drop_generation(definition, generation).await?;
    tx.commit().await
}

/// Checks that the log still holds the event that the checkpoint names, where it names it. After a
/// restore it may not, and going on would skip what came in its place.
///
/// It asks the store directly: this process's ceiling may not have come so far yet.
pub(crate) async fn check_log(log: &Log, checkpoint: &Checkpoint) -> Result<()> {
    let Some(event_id) = checkpoint.event_id else { return Ok(()) };
    let position = checkpoint.event_position;
    let reading = Reading::Log {
        filter: Filter::all().event_id(event_id),
        after: Position(position.0.saturating_sub(1)),
        until: position,
        direction: Direction::Forward,
    };
    match log.store().read(reading).try_next().await? {
        Some(_) => Ok(()),
        None => {
            let projection = checkpoint.projection.clone();
            Err(Error::ForeignCheckpoint { projection, position, event_id })
        }
    }
}
