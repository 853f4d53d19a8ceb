//! What a log can contradict itself in, where somebody changed its tables or a disk lied.

use uuid::Uuid;

use crate::{Position, StreamName};

/// A contradiction in a log. No message holds an event's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The versions of a stream are not 1, 2, 3 and so on.
    #[error(
        "version {version} of stream {stream}, at position {position}, follows version {before}"
    )]
    Version {
        /// The stream.
        stream: StreamName,
        /// The version that does not follow.
        version: u64,
        /// Where it lies.
        position: Position,
        /// The version before it; 0 where there is none.
        before: u64,
    },

    /// A later version of a stream lies before an earlier one.
    #[error(
        "version {version} of stream {stream}, at position {position}, lies before the version \
            in front of it, at {before}"
    )]
    Order {
        /// The stream.
        stream: StreamName,
        /// The version that lies too early.
        version: u64,
        /// Where it lies.
        position: Position,
        /// Where the version before it lies.
        before: Position,
    },

    /// The table of streams says another version than the stream's last event has.
    #[error(
        "stream {stream} is said to be at version {said}, and its last event has version {last}"
    )]
    Stream {
        /// The stream.
        stream: StreamName,
        /// What the table of streams says; 0 where it says nothing.
        said: u64,
        /// The version of the last event; 0 where there is none.
        last: u64,
    },

    /// Two events have one id.
    #[error("event id {event_id} is there more than once, at position {first} and at {last}")]
    Id {
        /// The id.
        event_id: Uuid,
        /// Where it comes first.
        first: Position,
        /// Where it comes last.
        last: Position,
    },

    /// Data or metadata of an event are not JSON.
    #[error("the {part} of the event at position {position}, of stream {stream}, are not JSON")]
    Json {
        /// The stream.
        stream: StreamName,
        /// Where the event lies.
        position: Position,
        /// `data` or `metadata`.
        part: &'static str,
    },
}

impl Fault {
    /// The stable name of this kind of fault.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Order { .. } => "order",
            Self::Stream { .. } => "stream",
            Self::Id { .. } => "id",
            Self::Json { .. } => "json",
        }
    }

    /// The position of the event in question, where there is one.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Version { position, .. }
            | Self::Order { position, .. }
            | Self::Json { position, .. } => Some(*position),
            Self::Id { first, .. } => Some(*first),
            Self::Stream { .. } => None,
        }
    }

    /// A step from one version of a stream to the next that cannot be, from what a store keeps.
    pub fn of_step(stream: &str, place: (i64, i64), before: (i64, i64)) -> Self {
        let stream = StreamName::from_store(stream);
        let number = |stored: i64| u64::try_from(stored).unwrap_or(0);
        let (version, position) = (number(place.0), Position::from_i64(place.1));
        if place.0 == before.0 + 1 {
            Self::Order { stream, version, position, before: Position::from_i64(before.1) }
        } else {
            Self::Version { stream, version, position, before: number(before.0) }
        }
    }
}
