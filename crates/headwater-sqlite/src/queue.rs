//! Group commit: appends that wait for the writer go into one transaction, and share its sync.
//!
//! There is no writer task that could die with its runtime. Each append puts itself into the queue
//! and spawns a task that waits for the writer, takes what is waiting then, and answers. So there
//! are never more appends in the queue than tasks to come, and an append that finds the writer idle
//! goes at once.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use headwater_core::{Append, Appended, Result};
use tokio::sync::oneshot;

/// How much one transaction takes, beyond its first append.
const GROUP_EVENTS: usize = 2_000;
const GROUP_BYTES: usize = 4 << 20;

/// An append, and the caller who waits for its outcome.
pub(crate) struct Waiting {
    pub(crate) appends: Vec<Append>,
    pub(crate) reply: oneshot::Sender<Result<Appended>>,
}

/// The appends that wait for the writer, in the order of their arrival.
#[derive(Default)]
pub(crate) struct Queue(Mutex<VecDeque<Waiting>>);

impl Queue {
    pub(crate) fn push(&self, waiting: Waiting) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(waiting);
    }

    /// Takes the next group: at least one append, unless the queue is empty.
    ///
    /// A group never holds an event id twice, so that a retry finds its first try in the log.
    pub(crate) fn take_group(&self) -> Vec<Waiting> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut count, mut bytes, mut ids) = (0, 0, HashSet::new());
        let mut group = Vec::new();
        while let Some(next) = queue.front() {
            let events = || next.appends.iter().flat_map(|append| &append.events);
            count += events().count();
            bytes += events().map(|event| event.data.len()).sum::<usize>();
            let full = count > GROUP_EVENTS || bytes > GROUP_BYTES;
            if !group.is_empty() && (full || events().any(|event| ids.contains(&event.id))) {
                break;
            }
            ids.extend(events().map(|event| event.id));
            group.extend(queue.pop_front());
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::{ExpectedVersion, NewEvent, StreamName};

    use super::*;

    fn push(queue: &Queue, events: Vec<NewEvent>) {
        let stream = StreamName::new("cart", 1).unwrap();
        let appends = vec![Append::new(stream, ExpectedVersion::Any, events)];
        queue.push(Waiting { appends, reply: oneshot::channel().0 });
    }

    #[test]
    fn a_group_is_cut_before_an_event_id_comes_again() {
        let (queue, event) = (Queue::default(), NewEvent::from_json("a", 1, "{}"));
        push(&queue, vec![event.clone()]);
        push(&queue, vec![NewEvent::from_json("a", 1, "{}")]);
        push(&queue, vec![event]);
        assert_eq!(queue.take_group().len(), 2);
        assert_eq!(queue.take_group().len(), 1);
        assert!(queue.take_group().is_empty());
    }

    #[test]
    fn a_group_takes_one_append_however_large() {
        let queue = Queue::default();
        let large = || NewEvent::from_json("a", 1, "x".repeat(GROUP_BYTES + 1));
        push(&queue, vec![large()]);
        push(&queue, vec![large()]);
        assert_eq!(queue.take_group().len(), 1);
        assert_eq!(queue.take_group().len(), 1);
    }
}
