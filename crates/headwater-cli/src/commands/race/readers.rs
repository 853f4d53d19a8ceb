//! The readers: followers of the log, one that joins late, one that reads it all when it is over, and
//! beside them one by hand that asks for `position > last`.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::TryStreamExt as _;
use headwater::{Filter, Log, Position, StoredEvent, StreamName};
use tokio::sync::watch;

use super::place::Connection;
use crate::Failure;

/// How often the reader by hand asks.
const POLL: Duration = Duration::from_millis(10);

const BATCH: usize = 500;

/// What a reader was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The position of each event and the moment it came, in the order in which they came.
    pub(super) events: Vec<(u64, Instant)>,
    /// Events that came behind a later one, of the log or of their stream.
    pub(super) inverted: u64,
    highest: u64,
    versions: HashMap<StreamName, u64>,
}

impl Seen {
    /// Notes the next event.
    pub(super) fn note(&mut self, position: u64, place: Option<(&StreamName, u64)>, at: Instant) {
        let mut inverted = position < self.highest;
        self.highest = self.highest.max(position);
        if let Some((stream, version)) = place {
            match self.versions.get_mut(stream) {
                Some(last) => {
                    inverted |= version < *last;
                    *last = version.max(*last);
                }
                None => {
                    self.versions.insert(stream.clone(), version);
                }
            }
        }
        self.inverted += u64::from(inverted);
        self.events.push((position, at));
    }

    fn note_event(&mut self, event: &StoredEvent, at: Instant) {
        self.note(event.position.0, Some((&event.stream, event.version)), at);
    }
}

/// How far readers are to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// On and on.
    Open,
    /// To this position.
    Position(u64),
    /// No further: time is up.
    Here,
}

impl Goal {
    fn is_reached_at(self, position: u64) -> bool {
        match self {
            Self::Open => false,
            Self::Position(goal) => position >= goal,
            Self::Here => true,
        }
    }
}

/// Follows the log from its beginning to the goal; `count` tells others how many events it has.
pub(super) async fn follow(
    log: Log,
    mut goal: watch::Receiver<Goal>,
    count: Arc<AtomicU64>,
) -> Result<Seen, Failure> {
    let mut cursor = log.subscribe(Filter::all(), Position::START);
    let mut seen = Seen::default();
    while !goal.borrow_and_update().is_reached_at(cursor.position().0) {
        let batch = tokio::select! {
            batch = cursor.next_batch(BATCH) => batch?,
            _ = goal.changed() => continue,
        };
        let now = Instant::now();
        batch.events.iter().for_each(|event| seen.note_event(event, now));
        count.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
    }
    Ok(seen)
}

/// What one would write first: everything above the highest position seen.
pub(super) async fn by_hand(
    mut connection: Box<dyn Connection>,
    goal: watch::Receiver<Goal>,
) -> Result<Seen, Failure> {
    let (mut seen, mut last) = (Seen::default(), 0);
    while !goal.borrow().is_reached_at(last) {
        let positions = connection.above(last).await?;
        let now = Instant::now();
        for position in positions {
            last = position;
            seen.note(position, None, now);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(seen)
}

/// Reads everything that the log holds now.
pub(super) async fn read_all(log: &Log) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let mut events = log.read(Filter::all(), Position::START);
    while let Some(event) = events.try_next().await? {
        seen.note_event(&event, Instant::now());
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_behind_a_later_one_is_inverted() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let (a, b) = (StreamName::parse("a-1").unwrap(), StreamName::parse("b-1").unwrap());
        seen.note(1, Some((&a, 1)), now);
        seen.note(3, Some((&b, 1)), now);
        assert_eq!(seen.inverted, 0);
        seen.note(2, Some((&a, 2)), now);
        assert_eq!(seen.inverted, 1, "by its position");
        seen.note(4, Some((&a, 1)), now);
        assert_eq!(seen.inverted, 2, "by its version");
        seen.note(5, Some((&b, 2)), now);
        assert_eq!((seen.inverted, seen.events.len()), (2, 5));
    }
}
