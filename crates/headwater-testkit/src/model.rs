//! A log in memory without any cleverness, to compare a store with.
//!
//! It states the rules of an append in plain code: ids that are known come first, then expected
//! versions, then the events. The property tests run random steps on it and on a store.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use headwater::{
    Append, Direction, Error, Filter, Limits, NewEvent, Result, StoredEvent, StreamName,
};
use uuid::Uuid;

/// A log in memory.
#[derive(Clone, Debug, Default)]
pub struct Model {
    events: Vec<Kept>,
}

/// An event that the model holds. Its place in the model stands for its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The stream.
    pub stream: StreamName,
    /// The version in the stream.
    pub version: u64,
    /// The event as it was appended.
    pub event: NewEvent,
}

/// What an append came to: for each stream the last version and the events' places in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// One entry a stream, in the order of the append.
    pub streams: Vec<(u64, Vec<usize>)>,
    /// Whether it was applied before.
    pub repeated: bool,
}

impl Model {
    /// Appends, all or nothing.
    ///
    /// # Errors
    ///
    /// Those of a store: for bad input, ids that are taken, and versions that do not hold.
    pub fn append(&mut self, appends: &[Append]) -> Result<Outcome> {
        Limits::default().check(appends)?;
        let ids = appends.iter().flat_map(|append| append.events.iter().map(|event| event.id));
        if let Some(event_id) = ids.into_iter().find(|id| self.place(*id).is_some()) {
            return self.repeated(appends).ok_or(Error::IdempotencyConflict { event_id });
        }
        for append in appends {
            let actual = self.version(&append.stream);
            if !append.expected.holds_at(actual) {
                return Err(append.conflict(actual));
            }
        }
        Ok(Outcome { streams: appends.iter().map(|a| self.apply(a)).collect(), repeated: false })
    }

    fn apply(&mut self, append: &Append) -> (u64, Vec<usize>) {
        let mut version = self.version(&append.stream);
        let first = self.events.len();
        for event in &append.events {
            version += 1;
            let (stream, event) = (append.stream.clone(), event.clone());
            self.events.push(Kept { stream, version, event });
        }
        (version, (first..self.events.len()).collect())
    }

    /// The first result of an append whose events are all there, in this order and with this content.
    fn repeated(&self, appends: &[Append]) -> Option<Outcome> {
        let mut streams = Vec::new();
        for append in appends {
            let places: Vec<_> =
                append.events.iter().map(|e| self.place(e.id)).collect::<Option<_>>()?;
            let kept: Vec<_> = places.iter().map(|place| &self.events[*place]).collect();
            let same = kept.iter().zip(&append.events).all(|(kept, event)| {
                kept.stream == append.stream && content(&kept.event) == content(event)
            });
            let contiguous = kept.windows(2).all(|pair| pair[0].version + 1 == pair[1].version);
            if !same || !contiguous {
                return None;
            }
            streams.push((kept.last()?.version, places));
        }
        Some(Outcome { streams, repeated: true })
    }

    fn place(&self, id: Uuid) -> Option<usize> {
        self.events.iter().position(|kept| kept.event.id == id)
    }

    /// The version of a stream; 0 where there is none.
    pub fn version(&self, stream: &StreamName) -> u64 {
        self.read_stream(stream, 1, Direction::Forward).last().map_or(0, |kept| kept.version)
    }

    /// Every stream with its version, by name.
    pub fn streams(&self) -> BTreeMap<StreamName, u64> {
        let names: BTreeSet<_> = self.events.iter().map(|kept| &kept.stream).collect();
        names.into_iter().map(|name| (name.clone(), self.version(name))).collect()
    }

    /// Every event.
    pub fn events(&self) -> &[Kept] {
        &self.events
    }

    /// The events of a stream from a version on, in either direction.
    pub fn read_stream(&self, stream: &StreamName, from: u64, direction: Direction) -> Vec<&Kept> {
        let own = self.events.iter().filter(|kept| kept.stream == *stream);
        match direction {
            Direction::Forward => own.filter(|kept| kept.version >= from).collect(),
            Direction::Backward => own.rev().filter(|kept| kept.version <= from).collect(),
        }
    }

    /// The events that a filter lets through; it must not ask for times of recording.
    pub fn read(&self, filter: &Filter) -> Vec<&Kept> {
        self.events.iter().filter(|kept| lets_through(filter, kept)).collect()
    }
}

fn lets_through(filter: &Filter, kept: &Kept) -> bool {
    fn named<T: PartialEq<U>, U: ?Sized>(names: &[T], name: &U) -> bool {
        names.is_empty() || names.iter().any(|wanted| wanted == name)
    }
    named(&filter.categories, kept.stream.category())
        && named(&filter.streams, &kept.stream)
        && named(&filter.types, &*kept.event.event_type)
        && filter.correlation_id.is_none_or(|id| kept.event.correlation_id == Some(id))
        && filter.event_id.is_none_or(|id| kept.event.id == id)
}

type Content<'a> =
    (&'a str, u32, &'a str, Option<&'a str>, Option<Uuid>, Option<Uuid>, Option<i64>);

/// All that an append is recognised by, as precise as a store keeps it.
fn content(event: &NewEvent) -> Content<'_> {
    (
        &event.event_type,
        event.schema_version,
        &event.data,
        event.metadata.as_deref(),
        event.correlation_id,
        event.causation_id,
        event.occurred_at_micros(),
    )
}

impl Kept {
    /// Whether a store has read back exactly this event.
    pub fn is(&self, read: &StoredEvent) -> bool {
        let written = self.event.occurred_at_micros().map(|_| read.occurred_at);
        let as_written = NewEvent {
            id: read.id,
            event_type: read.event.event_type.clone(),
            schema_version: read.event.schema_version,
            data: read.event.data.clone(),
            metadata: read.metadata.clone(),
            correlation_id: read.correlation_id,
            causation_id: read.causation_id,
            occurred_at: written,
        };
        let place = (&read.stream, read.version, read.id);
        place == (&self.stream, self.version, self.event.id)
            && content(&as_written) == content(&self.event)
            && self.stands_in(read.occurred_at, read.recorded_at)
    }

    // Where the writer gave no time, that of the recording stands in.
    fn stands_in(&self, occurred_at: DateTime<Utc>, recorded_at: DateTime<Utc>) -> bool {
        self.event.occurred_at.is_some() || occurred_at == recorded_at
    }
}
