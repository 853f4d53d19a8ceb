//! Streams whose ids are derived from the data (UUIDv5), so that a second import finds what the
//! first one wrote.

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

    /// The id of a cart, an order, a session: from its kind and the data set's own name for it.
    pub(super) fn id(self, kind: &str, name: impl Display) -> Uuid {
        Uuid::new_v5(&self.0, format!("{kind}/{name}").as_bytes())
    }
}

/// The whole history of a stream, each event with the time at which it happened.
pub(super) fn begin<E: Event>(
    category: &str,
    id: Uuid,
    history: impl IntoIterator<Item = (DateTime<Utc>, E)>,
) -> Result<Append> {
    let event = |(ordinal, (at, event)): (usize, (DateTime<Utc>, E))| {
        let event_id = Uuid::new_v5(&id, ordinal.to_string().as_bytes());
        Ok(NewEvent::of(&event)?.id(event_id).occurred_at(at))
    };
    let events: Result<Vec<_>> = history.into_iter().enumerate().map(event).collect();
    Ok(Append::new(StreamName::new(category, id)?, ExpectedVersion::None, events?))
}
