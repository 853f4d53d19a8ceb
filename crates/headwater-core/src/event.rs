//! An event as the log holds it: what was stored, and when, where and why.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{Position, StreamName};

/// An event of the log with its place and circumstances; `E` is the payload.
///
/// Reading yields [`StoredEvent`]s, whose payload is still bytes; a [`Decoder`](crate::Decoder)
/// turns them into the reader's own type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<E> {
    /// The place in the whole log.
    pub position: Position,
    /// The stream that the event belongs to.
    pub stream: StreamName,
    /// The place in the stream: 1, 2, 3 ... without holes.
    pub version: u64,
    /// The event's own id, by which an append is recognised when it is tried again.
    pub id: Uuid,
    /// What happened.
    pub event: E,
    /// A JSON object that the writer added, byte for byte.
    pub metadata: Option<String>,
    /// The conversation that the event belongs to.
    pub correlation_id: Option<Uuid>,
    /// The message that caused the event.
    pub causation_id: Option<Uuid>,
    /// When it happened, by the writer's account, or `recorded_at` where there is none. Orders nothing.
    pub occurred_at: DateTime<Utc>,
    /// When the store wrote it, by the database's clock. Orders nothing.
    pub recorded_at: DateTime<Utc>,
}

impl<E> Recorded<E> {
    /// How long after it happened it was recorded, by the two clocks; less than nothing where the writer's is ahead.
    ///
    /// A fold that leaves out what came too late decides by this. It is kept with the event: a rebuild, and any other
    /// order of arrival, decide in the same way.
    pub fn delay(&self) -> TimeDelta {
        self.recorded_at - self.occurred_at
    }

    /// The same event with another payload.
    pub fn with<F>(self, event: F) -> Recorded<F> {
        Recorded {
            position: self.position,
            stream: self.stream,
            version: self.version,
            id: self.id,
            event,
            metadata: self.metadata,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            occurred_at: self.occurred_at,
            recorded_at: self.recorded_at,
        }
    }
}

/// A payload as it is stored: the name and schema version of its type, and its JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The name of the event's type, such as `cart.item_added`.
    pub event_type: String,
    /// The version of that type's schema when the event was written.
    pub schema_version: u32,
    /// The JSON that the writer gave, byte for byte.
    pub data: String,
}

// An event's content never reaches a log or an error, not even through `{:?}`.
impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { event_type, schema_version, data } = self;
        write!(f, "{event_type} v{schema_version} ({} bytes)", data.len())
    }
}

/// An event as it was read: place and circumstances, with the payload still in bytes.
pub type StoredEvent = Recorded<Stored>;

impl StoredEvent {
    /// The bytes of its data and metadata.
    pub fn size(&self) -> usize {
        self.event.data.len() + self.metadata.as_ref().map_or(0, String::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_from_what_happened_to_what_was_recorded() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let recorded = |occurred_at, recorded_at| Recorded {
            position: Position(1),
            stream: StreamName::new("cart", 1).unwrap(),
            version: 1,
            id: Uuid::nil(),
            event: (),
            metadata: None,
            correlation_id: None,
            causation_id: None,
            occurred_at: at(occurred_at),
            recorded_at: at(recorded_at),
        };
        assert_eq!(recorded(10, 70).delay(), TimeDelta::minutes(1));
        assert_eq!(recorded(70, 10).delay(), -TimeDelta::minutes(1), "the writer's clock is ahead");
    }
}
