//! How far a projection has come, and in which build of its read model.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Definition, Position, partition};

/// How far one generation of a projection has come.
///
/// It changes in the same transaction as the read model, by compare-and-set on state, epoch and
/// position, so it is never ahead of or behind the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The projection, or the [partition](crate::partition) of one.
    pub projection: String,
    /// Which build of the read model; counted from 1.
    pub generation: u32,
    /// What this generation is for.
    pub state: GenerationState,
    /// Everything at or below this position is in the read model.
    pub position: Position,
    /// The last event of the log at or below the position: by it a log is recognised that was restored to an
    /// earlier moment.
    pub event_id: Option<Uuid>,
    /// The position of that event.
    pub event_position: Position,
    /// Counts the owners, from the microsecond in which it was made, so that another one of the same number has others:
    /// the write of an earlier owner is refused.
    pub epoch: i64,
    /// The definition that this generation was built from.
    pub fingerprint: String,
    /// Why the projection stands still, if it does.
    pub failure: Option<Failure>,
    /// When the checkpoint last moved.
    pub updated_at: DateTime<Utc>,
    /// Whether an operator wants it to stand still.
    pub paused: bool,
    /// Whether a build that is complete waits for an operator to put it into service.
    pub held_back: bool,
    /// Of a generation in service: by which operation a rebuild was asked for that nobody has begun. Of a build: that it
    /// was in service before, and by which operation somebody goes back to it.
    pub rebuild_asked: Option<Uuid>,
    /// Whether it was made in this log and not in another one.
    pub of_this_log: bool,
    /// Whether it moves with the appends, in their own transactions.
    pub inline: bool,
    /// How many events are set aside.
    pub parked: u64,
    /// How often an operator had this generation leave events out, or moved it; the first partition counts for all.
    pub skips: u64,
}

impl Checkpoint {
    /// Whether it belongs to this projection, as a whole or as one of its partitions.
    pub fn is_of(&self, projection: &str) -> bool {
        partition::projection_of(&self.projection) == projection
    }

    /// The id of the definition that this generation was built from.
    pub fn definition_id(&self) -> Uuid {
        Definition::id_of(partition::projection_of(&self.projection), &self.fingerprint)
    }
}

/// What a generation of a read model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GenerationState {
    /// Being built by a rebuild.
    Building,
    /// In service: queries see it and the running projection writes it.
    Live,
    /// Was in service before the last rebuild, and is kept for a rollback.
    Retired,
    /// Built to be compared with the one in service, and removed after that, however it ends.
    Verifying,
}

impl GenerationState {
    /// The word that the store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Live => "live",
            Self::Retired => "retired",
            Self::Verifying => "verifying",
        }
    }

    /// Reads the word that the store keeps.
    pub fn from_store(word: &str) -> Self {
        match word {
            "building" => Self::Building,
            "live" => Self::Live,
            "verifying" => Self::Verifying,
            _ => Self::Retired,
        }
    }
}

impl fmt::Display for GenerationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a projection stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The position of the event that could not be applied.
    pub position: Position,
    /// The id of that event.
    pub event_id: Option<Uuid>,
    /// The [code](crate::Error::code) of what went wrong: `decode`, `panicked`, `database` and so on.
    pub code: String,
    /// What went wrong, without the event's content.
    pub error: String,
}
