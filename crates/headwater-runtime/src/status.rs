//! What an operator sees of projections: where they stand, and how a rebuild goes on.

use std::time::Duration;

use headwater_core::{
    Checkpoint, Definition, Difference, Error, ErrorKind, Failure, GenerationState, Leases, Log,
    Position, Result, Work, partition,
};

use crate::{app::App, generation};

/// Where one projection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectionStatus {
    /// Its name; `sales/1` is the second partition of `sales`.
    pub projection: String,
    /// Which build of the read model; 0 where none was begun.
    pub generation: u32,
    /// What that build is for.
    pub state: GenerationState,
    /// Everything at or below this position is in the read model.
    pub position: Position,
    /// The ceiling of the log.
    pub head: Position,
    /// Why it stands still, if it does.
    pub failure: Option<Failure>,
    /// Whether an operator wants it to stand still.
    pub paused: bool,
    /// Whether it changes with the appends, in their own transactions.
    pub inline: bool,
    /// Whether it is a build that waits for an operator to put it into service.
    pub held_back: bool,
    /// The instance that works on it.
    pub owner: Option<String>,
    /// How many events it has set aside.
    pub parked: u64,
    /// How often an operator had it leave events out, or moved it so that some are left out or applied again: its
    /// rows may no longer be those that a rebuild makes.
    pub skips: u64,
}

impl ProjectionStatus {
    /// Whether it belongs to this projection, as a whole or as one of its partitions.
    pub fn is_of(&self, projection: &str) -> bool {
        partition::projection_of(&self.projection) == projection
    }

    /// How many positions it is behind the log; holes count.
    pub fn lag(&self) -> u64 {
        self.head.0.saturating_sub(self.position.0)
    }
}

/// How a rebuild goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The projection.
    pub projection: String,
    /// The generation that is being built.
    pub generation: u32,
    /// What it is doing.
    pub phase: Phase,
    /// Everything at or below this position is in the new generation.
    pub position: Position,
    /// Where the log ended when it last looked.
    pub target: Position,
    /// How many events it has applied in this run.
    pub events: u64,
    /// How long this run has taken so far.
    pub elapsed: Duration,
}

/// What a rebuild is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Applying events to the new generation.
    Building,
    /// Comparing its rows with those in service.
    Comparing,
    /// Waiting for readers that hold the old generation, to swap.
    Swapping,
    /// The new generation is complete, and waits for an operator to put it into service.
    Held,
    /// The new generation is in service, or was compared.
    Done,
}

/// A rebuild that ended well, or a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// The projection.
    pub projection: String,
    /// The generation that was built; of a verification, the one in service that it was compared with.
    pub generation: u32,
    /// How many events this run applied.
    pub events: u64,
    /// How long this run took.
    pub elapsed: Duration,
    /// Whether it went on with a build that an earlier run had left.
    pub resumed: bool,
    /// Whether it is complete and held back, so that the generation before is still in service.
    pub held_back: bool,
    /// How many events it has set aside, since it cannot apply them.
    pub parked: u64,
    /// How its rows differ from those in service before, where it was asked; nothing where they do not.
    pub verified: Option<Vec<Difference>>,
}

impl App {
    /// Where each projection stands; in an app without projections, each that the store knows. A
    /// generation that is being built has an entry of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn status(&self, log: &Log) -> Result<Vec<ProjectionStatus>> {
        self.check()?;
        let checkpoints = log.checkpoints().await?;
        let leases = log.store().leases().await?;
        let head = log.ceiling().await?.position;
        let entry = |checkpoint: &Checkpoint| entry(checkpoint, head, &leases);
        if self.projectors.is_empty() {
            return Ok(checkpoints.iter().map(entry).collect());
        }
        let mut status = Vec::new();
        for definition in self.projectors.iter().map(|projector| projector.definition()) {
            let known = status.len();
            for checkpoint in checkpoints.iter().filter(|c| c.is_of(&definition.name)) {
                let mut entry = entry(checkpoint);
                if checkpoint.state == GenerationState::Live && entry.failure.is_none() {
                    entry.failure = misfit(log, definition, checkpoint).await?;
                }
                status.push(entry);
            }
            if status.len() == known {
                status.push(not_begun(&definition.name, head));
            }
        }
        Ok(status)
    }
}

fn entry(checkpoint: &Checkpoint, head: Position, leases: &Leases) -> ProjectionStatus {
    let work = Work { projection: checkpoint.projection.clone(), on: checkpoint.state };
    ProjectionStatus {
        projection: checkpoint.projection.clone(),
        generation: checkpoint.generation,
        state: checkpoint.state,
        position: checkpoint.position,
        head: head.max(checkpoint.position),
        failure: checkpoint.failure.clone().or_else(|| diverged(checkpoint)),
        paused: checkpoint.paused,
        inline: checkpoint.inline,
        held_back: checkpoint.held_back && checkpoint.state == GenerationState::Building,
        owner: leases.held(&work).map(|lease| leases.name_of(lease.owner)),
        parked: checkpoint.parked,
        skips: checkpoint.skips,
    }
}

/// What is wrong with a checkpoint of another log, which nobody may have tried yet.
fn diverged(checkpoint: &Checkpoint) -> Option<Failure> {
    let error = generation::check_identity(checkpoint).err()?;
    Some(stands_still(checkpoint.position, &error))
}

/// Why this code cannot go on with a generation that stands still for no other cause.
async fn misfit(
    log: &Log,
    definition: &Definition,
    checkpoint: &Checkpoint,
) -> Result<Option<Failure>> {
    match generation::check(log, definition, checkpoint).await {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Retry => Err(error),
        Err(error) => Ok(Some(stands_still(checkpoint.position, &error))),
    }
}

fn stands_still(position: Position, error: &Error) -> Failure {
    Failure { position, event_id: None, code: error.code().into(), error: error.to_string() }
}

fn not_begun(name: &str, head: Position) -> ProjectionStatus {
    ProjectionStatus {
        projection: name.into(),
        generation: 0,
        state: GenerationState::Building,
        position: Position::START,
        head,
        failure: None,
        paused: false,
        inline: false,
        held_back: false,
        owner: None,
        parked: 0,
        skips: 0,
    }
}
