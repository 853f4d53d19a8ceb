//! Streams whose ids are derived from the data, so that a second import finds what the first one
//! wrote, and sort by its times, so that the log's indexes grow at their ends: twice as fast as with
//! ids that are hashes alone.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use headwater::{Append, Event, ExpectedVersion, NewEvent, Result, StreamName};
use uuid::Uuid;

/// The ids of one data set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids(Uuid);

impl Ids {
    /// Those of the data set with this name. The name of its file plays no part.
    pub(super) fn of(dataset: &str) -> Self {
        let shop = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://headwater.rs/examples/shop/import");
        Self(Uuid::new_v5(&shop, dataset.as_bytes()))
    }

    /// The id of a cart, an order, a session: from its kind, the data set's own name for it, and the time
    /// at which it began.
    pub(super) fn id(self, kind: &str, name: impl Display, at: DateTime<Utc>) -> Uuid {
        dated(at, self.0, &format!("{kind}/{name}"))
    }
}

/// A UUIDv8: the time in milliseconds, as in UUIDv7, and where that has random bits, a hash of the name.
fn dated(at: DateTime<Utc>, namespace: Uuid, name: &str) -> Uuid {
    let mut bytes = Uuid::new_v5(&namespace, name.as_bytes()).into_bytes();
    bytes[..6].copy_from_slice(&at.timestamp_millis().to_be_bytes()[2..]);
    Uuid::new_v8(bytes)
}

/// The whole history of a stream, each event with the time at which it happened.
pub(super) fn begin<E: Event>(
    category: &str,
    id: Uuid,
    history: impl IntoIterator<Item = (DateTime<Utc>, E)>,
) -> Result<Append> {
    let event = |(ordinal, (at, event)): (usize, (DateTime<Utc>, E))| {
        let event_id = dated(at, id, &ordinal.to_string());
        Ok(NewEvent::of(&event)?.id(event_id).occurred_at(at))
    };
    let events: Result<Vec<_>> = history.into_iter().enumerate().map(event).collect();
    Ok(Append::new(StreamName::new(category, id)?, ExpectedVersion::None, events?))
}
