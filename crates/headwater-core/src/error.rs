//! What can go wrong, sorted by what the caller can do about it.

use uuid::Uuid;

use crate::{ExpectedVersion, Position, StreamName, partition::projection_of};

/// The result of everything that talks to a log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whatever can go wrong with a log, its readers and its projections.
///
/// [`Error::kind`] says what the caller can do and [`Error::code`] is a stable name for machines;
/// `docs/errors.md` has a paragraph on each. No message ever holds an event's content or a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream is not where the writer believed; nothing was written.
    #[error("expected {expected} of stream {stream}, but it is at {actual}")]
    VersionConflict {
        /// The stream in question.
        stream: StreamName,
        /// What the writer believed.
        expected: ExpectedVersion,
        /// The stream's version as it was read under its lock; 0 where there is no stream.
        actual: u64,
    },

    /// The ids of these events are taken by events with another content; nothing was written.
    #[error("event {event_id} is already in the log with other content or in another append")]
    IdempotencyConflict {
        /// The first id that is taken.
        event_id: Uuid,
    },

    /// A part of the append is over its limit; nothing was written.
    #[error("{what} has {size}, and the limit is {limit}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// How large it may be.
        limit: usize,
    },

    /// A name is empty, too long, or holds what a name must not hold.
    #[error("{what} name {name:?} cannot be used: {reason}")]
    InvalidName {
        /// What the name is for.
        what: &'static str,
        /// The name, cut to 80 characters.
        name: String,
        /// Why it is refused.
        reason: &'static str,
    },

    /// Input that is refused for another reason; nothing was written.
    #[error("{0}")]
    InvalidInput(String),

    /// The connection broke while something was being committed: it may be there or not.
    ///
    /// For an append, trying again with the same event ids settles it; for an operator's act, a look at where
    /// the projection or subscription stands.
    #[error(
        "it is unknown whether it was committed ({reason}): an append may be tried again with the same event ids; \
         of anything else, see whether it was done"
    )]
    OutcomeUnknown {
        /// What broke.
        reason: String,
    },

    /// The store cannot be reached or is too busy now; nothing was written.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What the driver said.
        reason: String,
    },

    /// The store's schema was made by a newer version of Headwater.
    #[error(
        "the store has schema {found}, and this program knows {known}: start a newer version of the program"
    )]
    SchemaTooNew {
        /// The schema of the store.
        found: u32,
        /// The newest schema that this program knows.
        known: u32,
    },

    /// The store's schema is missing or older than this program needs.
    #[error("{}", too_old(*found, *known))]
    SchemaTooOld {
        /// The schema of the store; 0 where there is none.
        found: u32,
        /// The schema that this program needs.
        known: u32,
    },

    /// A declared event type cannot be used: a name declared twice, or a broken chain of upcasters.
    #[error("event type {event_type} cannot be used: {reason}")]
    EventDeclaration {
        /// The name of the type.
        event_type: String,
        /// What is wrong with its declaration.
        reason: String,
    },

    /// A stored event does not fit the reader's type.
    #[error(
        "event {event_id} at position {position} ({event_type} v{schema_version}) cannot be decoded: {reason}"
    )]
    Decode {
        /// Where the event lies in the log.
        position: Position,
        /// The event's id.
        event_id: Uuid,
        /// The name of its type.
        event_type: String,
        /// The schema version it was written with.
        schema_version: u32,
        /// What does not fit, without the content.
        reason: String,
    },

    /// An event of the caller cannot be turned into JSON; nothing was written.
    #[error("an event of type {event_type} cannot be encoded as JSON")]
    Encode {
        /// The name of its type.
        event_type: String,
    },

    /// The code of a projection panicked; its batch was rolled back.
    #[error("the code of {projection} panicked")]
    Panicked {
        /// The projection.
        projection: String,
    },

    /// Another runner moved this checkpoint; the batch was rolled back.
    #[error(
        "the checkpoint of {projection} was moved by another runner; this batch was rolled back"
    )]
    CheckpointMoved {
        /// The projection.
        projection: String,
    },

    /// The projection's code changed since its read model was built, or older code passed over
    /// events that it reads.
    #[error(
        "{projection} changed since its read model was built: run `projections rebuild {projection}`"
    )]
    ProjectionChanged {
        /// The projection.
        projection: String,
    },

    /// The read model was built by newer code: of a higher version, or that reads more types of event.
    #[error(
        "the read model of {projection} was built by newer code than this program's: start the newer program; \
         to go back for good, run `projections rebuild {projection}` with this one"
    )]
    ProjectionTooNew {
        /// The projection.
        projection: String,
    },

    /// There is no projection of this name.
    #[error("there is no projection {projection}; known: {known}")]
    UnknownProjection {
        /// The name asked for.
        projection: String,
        /// The names that exist, with commas.
        known: String,
    },

    /// There is no subscription of this name.
    #[error("there is no subscription {subscription}; known: {known}")]
    UnknownSubscription {
        /// The name asked for.
        subscription: String,
        /// The names that exist, with commas.
        known: String,
    },

    /// An operator has moved the subscription since it was opened; nothing was acknowledged.
    #[error("an operator has moved the subscription {subscription}: open it again")]
    SubscriptionMoved {
        /// The subscription.
        subscription: String,
    },

    /// The place of a subscription is not of this log, as for [`Error::LogDiverged`].
    #[error(
        "the subscription {subscription} at position {position} is not of this log, which was restored or is another one: \
         run `subscriptions seek {subscription}` with the position behind which it is to go on"
    )]
    SubscriptionDiverged {
        /// The subscription.
        subscription: String,
        /// Its position.
        position: Position,
    },

    /// The checkpoint does not belong to this log: the log was restored to an earlier moment, or is
    /// another one. Nothing was written.
    #[error(
        "the checkpoint of {projection} at position {position} is not of this log, which was restored or is another one: \
         run `projections rebuild {projection}`, or restore the log to what the read model was made of"
    )]
    LogDiverged {
        /// The projection.
        projection: String,
        /// The position of its checkpoint.
        position: Position,
    },

    /// An operator has paused the projection.
    #[error("{projection} is paused: run `projections resume {projection}`")]
    ProjectionPaused {
        /// The projection.
        projection: String,
    },

    /// Another instance is building a generation of this projection.
    #[error(
        "another generation of {projection} is being built{}: `projections status` shows how far it is, `projections drop` gives it up",
        .owner.as_ref().map(|owner| format!(" by {owner}")).unwrap_or_default()
    )]
    RebuildUnderWay {
        /// The projection.
        projection: String,
        /// What an operator knows the instance by that builds it; nothing where none does now.
        owner: Option<String>,
    },

    /// A build of this projection is there that goes on by an operator's word alone.
    #[error(
        "generation {generation} of {projection} {}, and the service's own `projections drop {projection} --generation {generation}` gives it up",
        waits(*failed)
    )]
    BuildWaits {
        /// The projection.
        projection: String,
        /// The generation that was built.
        generation: u32,
        /// Whether it has failed; otherwise it is held back.
        failed: bool,
    },

    /// No instance is running that has the code to do this.
    #[error(
        "no instance is running that has the code of generation {generation} of {projection}: start it, and try again"
    )]
    NoInstance {
        /// The projection.
        projection: String,
        /// The generation that is to be worked on.
        generation: u32,
    },

    /// The projection has no generation of this kind.
    #[error("{projection} has no generation that {lacks}")]
    NoGeneration {
        /// The projection.
        projection: String,
        /// What the generation would have to be.
        lacks: &'static str,
    },

    /// An inline projection cannot apply what was to be appended; nothing was written.
    #[error("{projection}, which changes with each append, cannot apply this one: {reason}")]
    InlineRefused {
        /// The projection.
        projection: String,
        /// What it cannot do, without the events' content.
        reason: String,
    },

    /// The build is too far behind the log to be put into service.
    #[error(
        "the build of {projection} is still {behind} positions behind the log: wait until it has caught up"
    )]
    NotCaughtUp {
        /// The projection.
        projection: String,
        /// How many positions it is behind; holes count.
        behind: u64,
    },

    /// A finished rebuild could not be put into service, since readers held the old read model.
    #[error(
        "{projection} is rebuilt but could not be swapped in: {reason}; run the same command again"
    )]
    PromoteBlocked {
        /// The projection.
        projection: String,
        /// What stood in the way.
        reason: String,
    },

    /// The code and what the database holds do not fit each other; nothing was written.
    #[error("{reason}")]
    Mismatch {
        /// What does not fit, without the content.
        reason: String,
    },

    /// So many appends wait for the database that this one was not taken; nothing was written.
    #[error("too many appends wait for the database")]
    Overloaded,

    /// The database is too old, or cannot do what a log needs.
    #[error("{reason}")]
    Unsupported {
        /// What it lacks.
        reason: String,
    },

    /// The database refused a statement, for a cause that trying again does not cure.
    #[error("the database refused ({code}): {message}")]
    Database {
        /// The database's own code: an SQLSTATE, or SQLite's extended result code.
        code: String,
        /// The database's primary message.
        message: String,
    },
}

/// What the caller of a failed operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Try the same again, after a pause; for a conflict, decide anew first, and open a subscription anew.
    Retry,
    /// Change the input; trying the same again fails the same way.
    FixInput,
    /// Nothing that the program can do helps: the code and the log do not fit each other.
    GiveUp,
    /// Somebody must look at the database or at the deployment.
    CallOperator,
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::VersionConflict { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Unavailable { .. }
            | Self::Overloaded
            | Self::CheckpointMoved { .. }
            | Self::SubscriptionMoved { .. }
            | Self::RebuildUnderWay { .. }
            | Self::NotCaughtUp { .. }
            | Self::NoInstance { .. }
            | Self::PromoteBlocked { .. } => ErrorKind::Retry,
            Self::IdempotencyConflict { .. }
            | Self::TooLarge { .. }
            | Self::InvalidName { .. }
            | Self::InvalidInput(_)
            | Self::UnknownProjection { .. }
            | Self::UnknownSubscription { .. }
            | Self::NoGeneration { .. }
            | Self::BuildWaits { .. }
            | Self::InlineRefused { .. }
            | Self::Encode { .. } => ErrorKind::FixInput,
            Self::EventDeclaration { .. }
            | Self::Decode { .. }
            | Self::Panicked { .. }
            | Self::Mismatch { .. } => ErrorKind::GiveUp,
            Self::SchemaTooNew { .. }
            | Self::SchemaTooOld { .. }
            | Self::ProjectionChanged { .. }
            | Self::ProjectionTooNew { .. }
            | Self::LogDiverged { .. }
            | Self::SubscriptionDiverged { .. }
            | Self::ProjectionPaused { .. }
            | Self::Unsupported { .. }
            | Self::Database { .. } => ErrorKind::CallOperator,
        }
    }

    /// The stable name of this kind of failure, used by the CLI's `--json` and by the documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::VersionConflict { .. } => "version-conflict",
            Self::IdempotencyConflict { .. } => "idempotency-conflict",
            Self::TooLarge { .. } => "too-large",
            Self::InvalidName { .. } => "invalid-name",
            Self::InvalidInput(_) => "invalid-input",
            Self::OutcomeUnknown { .. } => "outcome-unknown",
            Self::Unavailable { .. } => "unavailable",
            Self::Overloaded => "overloaded",
            Self::SchemaTooNew { .. } => "schema-too-new",
            Self::SchemaTooOld { .. } => "schema-too-old",
            Self::EventDeclaration { .. } => "event-declaration",
            Self::Decode { .. } => "decode",
            Self::Encode { .. } => "encode",
            Self::Panicked { .. } => "panicked",
            Self::CheckpointMoved { .. } => "checkpoint-moved",
            Self::ProjectionChanged { .. } => "projection-changed",
            Self::ProjectionTooNew { .. } => "projection-too-new",
            Self::UnknownProjection { .. } => "unknown-projection",
            Self::LogDiverged { .. } => "log-diverged",
            Self::UnknownSubscription { .. } => "unknown-subscription",
            Self::SubscriptionMoved { .. } => "subscription-moved",
            Self::SubscriptionDiverged { .. } => "subscription-diverged",
            Self::ProjectionPaused { .. } => "projection-paused",
            Self::RebuildUnderWay { .. } => "rebuild-under-way",
            Self::NoGeneration { .. } => "no-generation",
            Self::BuildWaits { .. } => "build-waits",
            Self::NoInstance { .. } => "no-instance",
            Self::NotCaughtUp { .. } => "not-caught-up",
            Self::InlineRefused { .. } => "inline-refused",
            Self::PromoteBlocked { .. } => "promote-blocked",
            Self::Mismatch { .. } => "mismatch",
            Self::Unsupported { .. } => "unsupported",
            Self::Database { .. } => "database",
        }
    }

    /// A transaction with a statement that was refused, or dropped half-way, and a commit after it.
    pub fn unfinished() -> Self {
        let reason = "a statement of this transaction was refused or did not end, so that it cannot \
                      be committed";
        Self::Mismatch { reason: reason.into() }
    }

    /// A name that no projection has; the nearest of those that are known comes first, and each once.
    pub fn unknown_projection(projection: &str, known: &[&str]) -> Self {
        let known = known.iter().map(|unit| projection_of(unit));
        let known = nearest_first(projection, known.collect());
        Self::UnknownProjection { projection: projection.into(), known }
    }

    /// The same for a subscription.
    pub fn unknown_subscription(subscription: &str, known: &[&str]) -> Self {
        let known = nearest_first(subscription, known.to_vec());
        Self::UnknownSubscription { subscription: subscription.into(), known }
    }

    /// A refused name, cut so that it cannot fill a log.
    pub fn invalid_name(what: &'static str, name: &str, reason: &'static str) -> Self {
        Self::InvalidName { what, name: name.chars().take(80).collect(), reason }
    }
}

/// The names that are known, each once, the nearest to a wrong one first.
fn nearest_first(wrong: &str, mut known: Vec<&str>) -> String {
    known.sort_by(|a, b| {
        let near = |name| strsim::jaro_winkler(wrong, name);
        near(b).total_cmp(&near(a)).then_with(|| a.cmp(b))
    });
    known.dedup();
    if known.is_empty() { "none".into() } else { known.join(", ") }
}

/// Why a build waits, and for which word.
fn waits(failed: bool) -> &'static str {
    if failed {
        "has failed: `projections retry` tries it again"
    } else {
        "is held back: `projections promote` puts it into service, `projections rebuild --hold` completes one that was broken off"
    }
}

fn too_old(found: u32, known: u32) -> String {
    match found {
        // Often a slip in the name: a second, empty log would help nobody.
        0 => "there is no log at this place: see that the URL is right, or make one with \
              `headwater migrate`"
            .into(),
        _ => format!(
            "the store has schema {found}, and this program needs {known}: run `headwater migrate`"
        ),
    }
}
