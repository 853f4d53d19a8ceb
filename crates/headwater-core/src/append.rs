//! What a writer hands to the log, and what comes back.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Error, Event, ExpectedVersion, Position, Result, StreamName, codec};

/// An event that is to be appended.
///
/// Its id is a fresh UUIDv7 unless [`NewEvent::id`] gives one. An append that is tried again with
/// the same ids and the same content yields the first result, for ever.
#[derive(Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The event's own id.
    pub id: Uuid,
    /// The name of the event's type.
    pub event_type: String,
    /// The version of that type's schema.
    pub schema_version: u32,
    /// The payload as JSON, stored byte for byte.
    pub data: String,
    /// A JSON object of the writer's, stored byte for byte.
    pub metadata: Option<String>,
    /// The conversation that the event belongs to.
    pub correlation_id: Option<Uuid>,
    /// The message that causes the event.
    pub causation_id: Option<Uuid>,
    /// When it happened; the moment of recording where it is not given. Kept to the microsecond.
    pub occurred_at: Option<DateTime<Utc>>,
}

// As for `Stored`: content stays out of logs.
impl std::fmt::Debug for NewEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{} ({} bytes)", self.event_type, self.schema_version, self.data.len())
    }
}

impl NewEvent {
    /// Encodes a typed event.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] where the type's `Serialize` fails, as for a map with keys that are no
    /// strings: change the type.
    pub fn of<E: Event>(event: &E) -> Result<Self> {
        codec::encode(event)
    }

    /// Takes an event whose JSON exists already; the log checks it when it is appended.
    pub fn from_json(
        event_type: impl Into<String>,
        schema_version: u32,
        data: impl Into<String>,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            event_type: event_type.into(),
            schema_version,
            data: data.into(),
            metadata: None,
            correlation_id: None,
            causation_id: None,
            occurred_at: None,
        }
    }

    /// Gives the event an id of the caller's, by which a retry is recognised.
    #[must_use]
    pub fn id(mut self, id: Uuid) -> Self {
        self.id = id;
        self
    }

    /// Adds metadata, a JSON object.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    /// Names the conversation that the event belongs to.
    #[must_use]
    pub fn correlation_id(mut self, id: Uuid) -> Self {
        self.correlation_id = Some(id);
        self
    }

    /// Names the message that causes the event.
    #[must_use]
    pub fn causation_id(mut self, id: Uuid) -> Self {
        self.causation_id = Some(id);
        self
    }

    /// Says when the event happened, where that is not the moment of recording.
    #[must_use]
    pub fn occurred_at(mut self, at: DateTime<Utc>) -> Self {
        self.occurred_at = Some(at);
        self
    }

    /// Its data and metadata, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.data.len() + self.metadata.as_ref().map_or(0, String::len)
    }

    /// `occurred_at` in microseconds since 1970, as precise as both stores keep it.
    pub fn occurred_at_micros(&self) -> Option<i64> {
        self.occurred_at.map(|at| at.timestamp_micros())
    }
}

/// Events for one stream, and what their writer believes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream to append to.
    pub stream: StreamName,
    /// What the writer believes the stream's version to be.
    pub expected: ExpectedVersion,
    /// The events, in the order of their versions.
    pub events: Vec<NewEvent>,
}

impl Append {
    /// Events for `stream`, at the version that the writer expects.
    pub fn new(
        stream: StreamName,
        expected: ExpectedVersion,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Self {
        Self { stream, expected, events: events.into_iter().collect() }
    }

    /// The conflict to report where the stream was found at version `actual`.
    pub fn conflict(&self, actual: u64) -> Error {
        Error::VersionConflict { stream: self.stream.clone(), expected: self.expected, actual }
    }
}

/// An applied append: where its events lie now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One entry for each part of the append, in its order; a stream that it names twice has two.
    pub streams: Vec<AppendedStream>,
    /// Whether the log held these events already, and this is their first result: from an
    /// earlier call, or from this one where the answer to its first try was lost.
    pub repeated: bool,
}

/// The part of an applied append that went to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedStream {
    /// The version of the last event of this part.
    pub version: u64,
    /// The position of each event, in the order of the append.
    pub positions: Vec<Position>,
}

impl Appended {
    /// Cuts the positions and versions of all events, in the order of the append, into streams.
    pub fn from_rows(
        appends: &[Append],
        positions: &[i64],
        versions: &[i64],
        repeated: bool,
    ) -> Self {
        let mut next = 0;
        let streams = appends
            .iter()
            .map(|append| {
                let range = next..next + append.events.len();
                next = range.end;
                AppendedStream {
                    version: u64::try_from(versions[range.end - 1]).unwrap_or(0),
                    positions: positions[range].iter().map(|p| Position::from_i64(*p)).collect(),
                }
            })
            .collect();
        Self { streams, repeated }
    }

    /// The version of the last stream's last event.
    pub fn version(&self) -> u64 {
        self.streams.last().map_or(0, |stream| stream.version)
    }

    /// The position of the last event.
    pub fn position(&self) -> Position {
        self.streams
            .last()
            .and_then(|stream| stream.positions.last())
            .copied()
            .unwrap_or(Position::START)
    }
}
