//! What can be read from a log, and in which order it comes.

use std::pin::Pin;

use chrono::{DateTime, Utc};
use futures_util::Stream;
use uuid::Uuid;

use crate::{Position, Result, StoredEvent, StreamName};

/// Events as they are read, with back-pressure: a reader that does not ask holds the store back.
///
/// Dropping it ends the reading and gives its connection up.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<StoredEvent>> + Send>>;

/// Streams as they are listed, with back-pressure.
pub type StreamInfos = Pin<Box<dyn Stream<Item = Result<StreamInfo>> + Send>>;

/// The direction of a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// Which events of the log are wanted; an empty list means all.
///
/// ```
/// use headwater_core::Filter;
/// let filter = Filter::all().category("cart").event_type("cart.item_added");
/// assert_eq!(filter.categories, ["cart"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only streams of these categories.
    pub categories: Vec<String>,
    /// Only these streams.
    pub streams: Vec<StreamName>,
    /// Only events of these types.
    pub types: Vec<String>,
    /// Only events of this conversation.
    pub correlation_id: Option<Uuid>,
    /// Only the event of this id.
    pub event_id: Option<Uuid>,
    /// Only events recorded at or after this time.
    pub recorded_from: Option<DateTime<Utc>>,
    /// Only events recorded before this time.
    pub recorded_until: Option<DateTime<Utc>>,
}

impl Filter {
    /// Every event.
    pub fn all() -> Self {
        Self::default()
    }

    /// Adds a category.
    #[must_use]
    pub fn category(mut self, category: impl Into<String>) -> Self {
        self.categories.push(category.into());
        self
    }

    /// Adds a stream.
    #[must_use]
    pub fn stream(mut self, stream: StreamName) -> Self {
        self.streams.push(stream);
        self
    }

    /// Adds a type of event.
    #[must_use]
    pub fn event_type(mut self, name: impl Into<String>) -> Self {
        self.types.push(name.into());
        self
    }

    /// Wants only the events of one conversation.
    #[must_use]
    pub fn correlation_id(mut self, id: Uuid) -> Self {
        self.correlation_id = Some(id);
        self
    }

    /// Wants only the event of this id.
    #[must_use]
    pub fn event_id(mut self, id: Uuid) -> Self {
        self.event_id = Some(id);
        self
    }

    /// Wants only events recorded at or after `time`.
    #[must_use]
    pub fn recorded_from(mut self, time: DateTime<Utc>) -> Self {
        self.recorded_from = Some(time);
        self
    }

    /// Wants only events recorded before `time`.
    #[must_use]
    pub fn recorded_until(mut self, time: DateTime<Utc>) -> Self {
        self.recorded_until = Some(time);
        self
    }

    /// Whether it wants an event.
    pub fn lets_through(&self, event: &StoredEvent) -> bool {
        let Self { categories, streams, types, .. } = self;
        let category = event.stream.category();
        (categories.is_empty() || categories.iter().any(|wanted| wanted == category))
            && (streams.is_empty() || streams.contains(&event.stream))
            && (types.is_empty() || types.contains(&event.event.event_type))
            && self.correlation_id.is_none_or(|wanted| event.correlation_id == Some(wanted))
            && self.event_id.is_none_or(|wanted| event.id == wanted)
            && self.recorded_from.is_none_or(|from| event.recorded_at >= from)
            && self.recorded_until.is_none_or(|until| event.recorded_at < until)
    }
}

/// One reading, as a store runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The events of one stream.
    Stream {
        /// The stream; one that does not exist yields nothing.
        stream: StreamName,
        /// The first version to yield, in the direction of the reading.
        from: u64,
        /// The direction.
        direction: Direction,
    },
    /// Events of the whole log.
    Log {
        /// Which events.
        filter: Filter,
        /// Only events above this position.
        after: Position,
        /// Only events at or below this position, which must not lie above the ceiling.
        until: Position,
        /// The direction.
        direction: Direction,
    },
}

/// A stream as the log lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The stream.
    pub stream: StreamName,
    /// The version of its last event, which is also the count of its events.
    pub version: u64,
    /// When its first event was recorded.
    pub first_at: DateTime<Utc>,
    /// When its last event was recorded.
    pub last_at: DateTime<Utc>,
}
