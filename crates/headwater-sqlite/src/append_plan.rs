//! The judgement on an append, apart from all I/O: write it, it was written before, or refuse it.
//!
//! Ids come before versions: an append that is tried again finds its stream moved on by itself.

use std::collections::{HashMap, HashSet};

use headwater_core::{Append, Appended, Error, NewEvent};
use uuid::Uuid;

/// An event of the log that has an id of the append.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) position: i64,
    pub(crate) stream: String,
    pub(crate) version: i64,
    pub(crate) event: NewEvent,
}

/// What to do with an append.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Write its events, with these versions.
    Write { versions: Vec<i64> },
    /// Nothing: it was applied before.
    Repeated(Appended),
    /// Nothing: it must not be applied.
    Refused(Error),
}

/// Judges an append by the events found and the streams' versions, which move on with it.
pub(crate) fn plan(
    appends: &[Append],
    found: &HashMap<Uuid, Found>,
    current: &mut HashMap<String, i64>,
) -> Plan {
    let mut ids = appends.iter().flat_map(|append| &append.events).map(|event| event.id);
    if let Some(event_id) = ids.find(|id| found.contains_key(id)) {
        return match repeated(appends, found) {
            Some(appended) => Plan::Repeated(appended),
            None => Plan::Refused(Error::IdempotencyConflict { event_id }),
        };
    }
    for append in appends {
        let actual = current.get(append.stream.as_str()).copied().unwrap_or(0);
        let actual = u64::try_from(actual).unwrap_or(0);
        if !append.expected.holds_at(actual) {
            return Plan::Refused(append.conflict(actual));
        }
    }
    let mut versions = Vec::new();
    for append in appends {
        let version = current.entry(append.stream.as_str().into()).or_default();
        for _ in &append.events {
            *version += 1;
            versions.push(*version);
        }
    }
    Plan::Write { versions }
}

/// The first result of this append, if the log holds each of its events with the same content, and
/// those of a stream in one run and in the same order.
fn repeated(appends: &[Append], found: &HashMap<Uuid, Found>) -> Option<Appended> {
    let (mut positions, mut versions) = (Vec::new(), Vec::new());
    for append in appends {
        let mut starts = HashSet::new();
        for (event, ordinal) in append.events.iter().zip(1..) {
            let found = found.get(&event.id)?;
            if found.stream != append.stream.as_str() || !same(&found.event, event) {
                return None;
            }
            starts.insert(found.version - ordinal);
            positions.push(found.position);
            versions.push(found.version);
        }
        if starts.len() != 1 {
            return None;
        }
    }
    Some(Appended::from_rows(appends, &positions, &versions, true))
}

fn same(stored: &NewEvent, given: &NewEvent) -> bool {
    stored.event_type == given.event_type
        && stored.schema_version == given.schema_version
        && stored.data == given.data
        && stored.metadata == given.metadata
        && stored.correlation_id == given.correlation_id
        && stored.causation_id == given.causation_id
        && stored.occurred_at_micros() == given.occurred_at_micros()
}

#[cfg(test)]
mod tests {
    use headwater_core::{ExpectedVersion, StreamName};

    use super::*;

    fn append(id: u32, expected: ExpectedVersion, events: &[NewEvent]) -> Append {
        Append::new(StreamName::new("cart", id).unwrap(), expected, events.to_vec())
    }

    fn events(count: usize) -> Vec<NewEvent> {
        (0..count).map(|_| NewEvent::from_json("cart.opened", 1, "{}")).collect()
    }

    fn stored(events: &[NewEvent], versions: &[i64]) -> HashMap<Uuid, Found> {
        events
            .iter()
            .zip(versions)
            .map(|(event, version)| {
                let (stream, event) = ("cart-1".to_owned(), event.clone());
                (event.id, Found { position: version + 10, stream, version: *version, event })
            })
            .collect()
    }

    #[test]
    fn the_first_stream_that_is_elsewhere_is_reported() {
        let mut current = HashMap::from([("cart-1".into(), 3), ("cart-2".into(), 5)]);
        let appends = [
            append(1, ExpectedVersion::Exact(3), &events(1)),
            append(2, ExpectedVersion::None, &events(1)),
        ];
        let plan = plan(&appends, &HashMap::new(), &mut current);
        assert_eq!(plan, Plan::Refused(appends[1].conflict(5)));
        assert_eq!(current["cart-1"], 3, "a refused append moved a version");
    }

    #[test]
    fn versions_go_on_from_one_append_of_a_group_to_the_next() {
        let mut current = HashMap::new();
        let first = [append(1, ExpectedVersion::None, &events(2))];
        let second = [append(1, ExpectedVersion::Exact(2), &events(1))];
        assert_eq!(
            plan(&first, &HashMap::new(), &mut current),
            Plan::Write { versions: vec![1, 2] }
        );
        assert_eq!(plan(&second, &HashMap::new(), &mut current), Plan::Write { versions: vec![3] });
    }

    #[test]
    fn the_same_append_is_recognised_whatever_its_expected_version() {
        let events = events(2);
        let found = stored(&events, &[4, 5]);
        let mut current = HashMap::from([("cart-1".into(), 9)]);
        let appends = [append(1, ExpectedVersion::Exact(3), &events)];
        let Plan::Repeated(appended) = plan(&appends, &found, &mut current) else {
            panic!("it was not recognised")
        };
        assert!(appended.repeated);
        assert_eq!((appended.version(), appended.position().0), (5, 15));
    }

    #[test]
    fn anything_else_under_a_known_id_is_refused() {
        let events = events(2);
        let found = stored(&events, &[4, 5]);
        let mut other = events.clone();
        other[1].data = "[]".into();
        let swapped = [events[1].clone(), events[0].clone()];
        let more = [events.clone(), self::events(1)].concat();
        for appends in [
            append(1, ExpectedVersion::Any, &other),
            append(1, ExpectedVersion::Any, &swapped),
            append(1, ExpectedVersion::Any, &more),
            append(2, ExpectedVersion::Any, &events),
        ] {
            let event_id = appends.events[0].id;
            assert_eq!(
                plan(&[appends], &found, &mut HashMap::new()),
                Plan::Refused(Error::IdempotencyConflict { event_id })
            );
        }
    }
}
