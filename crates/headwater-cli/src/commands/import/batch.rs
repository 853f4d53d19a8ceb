//! A batch: what goes into the log as one append.

use std::collections::{HashMap, HashSet};

use headwater::{Append, ExpectedVersion, Limits, NewEvent, StoredEvent, StreamName};
use uuid::Uuid;

use super::settings;
use crate::line;

/// How many bytes of payload a batch has before it goes off.
const BYTES: usize = 4 << 20;

/// An event on its way into the log.
pub(super) struct Arriving {
    pub(super) line: u64,
    pub(super) stream: StreamName,
    pub(super) version: u64,
    pub(super) event: NewEvent,
}

impl Arriving {
    /// Whether the log holds just this event in its place. When it happened is what readers see: of an
    /// event whose writer said nothing, the time at which it was first recorded.
    pub(super) fn is(&self, there: &StoredEvent) -> bool {
        let Self { stream, version, event, .. } = self;
        let happened = event.occurred_at.map(|time| time.timestamp_micros());
        (stream, *version, event.id) == (&there.stream, there.version, there.id)
            && event.event_type == there.event.event_type
            && event.schema_version == there.event.schema_version
            && event.data == there.event.data
            && event.metadata == there.metadata
            && event.correlation_id == there.correlation_id
            && event.causation_id == there.causation_id
            && happened == Some(there.occurred_at.timestamp_micros())
    }
}

/// Events in the order of their lines, as many as one append takes.
pub(super) struct Batch {
    events: Vec<Arriving>,
    ids: HashSet<Uuid>,
    /// Where each stream is behind the batch.
    versions: HashMap<StreamName, u64>,
    bytes: usize,
    read: u64,
    limits: Limits,
}

impl Batch {
    pub(super) fn new() -> Self {
        let limits = settings().limits;
        let (events, ids, versions) = (Vec::new(), HashSet::new(), HashMap::new());
        Self { events, ids, versions, bytes: 0, read: 0, limits }
    }

    /// Takes the event of a line in; an error says what is wrong with the line.
    pub(super) fn add(&mut self, line: u64, event: StoredEvent) -> Result<(), String> {
        let (stream, version) = (event.stream.clone(), event.version);
        if version == 0 || i64::try_from(version).is_err() {
            return Err("has a version that no stream can have".into());
        }
        let size = event.size();
        let append = Append::new(stream.clone(), ExpectedVersion::Any, [line::new_event(event)]);
        let append = [append];
        self.limits.check(&append).map_err(|error| format!("cannot be appended: {error}"))?;
        let [Append { events, .. }] = append;
        if let Some(before) = self.versions.insert(stream.clone(), version)
            && version != before + 1
        {
            let reason =
                format!("has version {version} of stream {stream}, which follows {before}");
            return Err(reason);
        }
        for event in events {
            if !self.ids.insert(event.id) {
                return Err(format!("has the event id {} of a line before", event.id));
            }
            self.events.push(Arriving { line, stream: stream.clone(), version, event });
        }
        self.bytes += size;
        Ok(())
    }

    /// Whether it goes off before it takes another event.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= self.limits.events || self.bytes >= BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Notes how many bytes of the input are read.
    pub(super) fn at(mut self, read: u64) -> Self {
        self.read = read;
        self
    }

    pub(super) fn read_so_far(&self) -> u64 {
        self.read
    }

    pub(super) fn into_events(self) -> Vec<Arriving> {
        self.events
    }
}

/// The append of these events, in their order: a part for each run of one stream. The first part of a
/// stream expects the version before it, so that each event gets its own or none does.
pub(super) fn appends(events: &[Arriving]) -> Vec<Append> {
    let mut begun = HashSet::new();
    let runs = events.chunk_by(|a, b| a.stream == b.stream);
    runs.map(|run| {
        let Arriving { stream, version, .. } = &run[0];
        let expected = if begun.insert(stream) {
            ExpectedVersion::Exact(version - 1)
        } else {
            ExpectedVersion::Any
        };
        Append::new(stream.clone(), expected, run.iter().map(|arriving| arriving.event.clone()))
    })
    .collect()
}
