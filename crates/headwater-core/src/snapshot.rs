//! Snapshots: states that are kept beside the log, so that a long stream loads fast. A cache: what does
//! not fit is ignored, and all of them may be thrown away at any time.

use std::{any::type_name, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{Aggregate, Decoder, Loaded, Log, Position, StreamName, known::Known};

/// When snapshots of an aggregate are taken; see [`Repository::snapshots`](crate::Repository::snapshots).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshots {
    /// After how many events; 0 is taken for 1. 100 by default.
    pub every: u64,
    /// The version of what `apply` does, 1 by default: raise it when the same events come to another
    /// state. Other fields of the state and other schemas of its events are noticed without it, since a
    /// state is written again when it is loaded and must be as it was. One exception: a new field that
    /// serde leaves out where it has its default (`skip_serializing_if`).
    pub schema: u32,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { every: 100, schema: 1 }
    }
}

/// A state as a store keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the stream that it was taken at.
    pub version: u64,
    /// The position of the event at that version.
    pub position: Position,
    /// The id of that event.
    pub event_id: Uuid,
    /// Of the code that folded the state, and of all else in here: what was changed does not bear it.
    pub fingerprint: Uuid,
    /// The state, as JSON.
    pub state: String,
}

// Content stays out of logs.
impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "snapshot at version {} ({} bytes)", self.version, self.state.len())
    }
}

/// Takes the snapshots of one kind of aggregate, and finds them again.
#[derive(Clone)]
pub(crate) struct Snapshotter<A> {
    every: u64,
    /// Stands for the code that folds.
    code: Uuid,
    encode: fn(&A) -> serde_json::Result<String>,
    decode: fn(&str) -> serde_json::Result<A>,
    /// Those that are being written: whoever finds no room tries again after his next events.
    room: Arc<Semaphore>,
}

/// How many snapshots of a kind of aggregate are written at once.
const AT_ONCE: usize = 2;

impl<A: Aggregate> Snapshotter<A> {
    pub(crate) fn new(snapshots: Snapshots, events: &Decoder<A::Event>) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        let Snapshots { every, schema } = snapshots;
        // A state that cannot be written never is, so that nothing has to be told apart.
        let shape = serde_json::to_string(&A::default()).unwrap_or_default();
        let types = events.types().into_iter().map(|kind| (kind.name, kind.version));
        let folded_by =
            format!("{schema} {} {shape} {:?}", type_name::<A>(), Vec::from_iter(types));
        Self {
            every: every.max(1),
            code: Uuid::new_v5(&Uuid::NAMESPACE_OID, folded_by.as_bytes()),
            encode: |state| serde_json::to_string(state),
            decode: |state| serde_json::from_str(state),
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// What was kept of a stream, not beyond `until`, or nothing. Whether it still fits the log shows
    /// when its last event is read again.
    pub(crate) async fn find(&self, log: &Log, stream: &StreamName, until: u64) -> Known<A> {
        let aside = |reason: &dyn std::fmt::Display| {
            tracing::warn!(%stream, "a snapshot is left aside: {reason}");
            Known { replaces: true, ..Known::nothing() }
        };
        let snapshot = match log.store().snapshot(stream).await {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return Known::nothing(),
            Err(error) => {
                tracing::warn!(%stream, %error, "a snapshot could not be read: all events are");
                return Known::nothing();
            }
        };
        if snapshot.fingerprint != self.fingerprint(&snapshot) {
            return aside(&"it was folded by other code, or has been changed");
        }
        let Ok(state) = (self.decode)(&snapshot.state) else {
            return aside(&"it cannot be read");
        };
        // What the fingerprint does not show: the fields of what stands in a list or a map.
        if !(self.encode)(&state).is_ok_and(|again| same_bytes(&again, &snapshot.state)) {
            return aside(&"it does not read back as it was written");
        }
        let Snapshot { version, position, .. } = snapshot;
        if version > until {
            return Known::nothing();
        }
        let bytes = snapshot.state.len();
        let loaded = Loaded { state, version, position };
        let last = Some(snapshot.event_id);
        Known { loaded, last, bytes, kept: version, replaces: false }
    }

    fn fingerprint(&self, snapshot: &Snapshot) -> Uuid {
        let Snapshot { version, position, event_id, state, .. } = snapshot;
        Uuid::new_v5(&self.code, format!("{version} {position} {event_id} {state}").as_bytes())
    }

    /// Keeps a state, where it is time to, in a task of its own.
    pub(crate) fn keep(&self, log: &Log, stream: &StreamName, known: &mut Known<A>) {
        let version = known.loaded.version;
        let due = known.replaces || version >= known.kept.saturating_add(self.every);
        let (Some(event_id), true) = (known.last, due) else { return };
        let Ok(room) = self.room.clone().try_acquire_owned() else { return };
        (known.kept, known.replaces) = (version, false);
        let Loaded { state, position, .. } = known.loaded.clone();
        let (log, stream, snapshotter) = (log.clone(), stream.clone(), self.clone());
        tokio::spawn(async move {
            let _room = room;
            let Ok(state) = (snapshotter.encode)(&state) else {
                tracing::warn!(%stream, "a state cannot be written as JSON: there is no snapshot of it");
                return;
            };
            let fingerprint = Uuid::nil();
            let mut snapshot = Snapshot { version, position, event_id, fingerprint, state };
            snapshot.fingerprint = snapshotter.fingerprint(&snapshot);
            if let Err(error) = log.store().save_snapshot(&stream, snapshot).await {
                tracing::warn!(%stream, %error, "a snapshot could not be kept");
            }
        });
    }
}

/// Whether two texts are of the same bytes, in whatever order: that of a map or a set may be another each
/// time. It shows a field that came or went, and no two that changed places.
fn same_bytes(a: &str, b: &str) -> bool {
    let counted = |text: &str| {
        let mut counts = [0_usize; 256];
        text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
        counts
    };
    a == b || counted(a) == counted(b)
}
