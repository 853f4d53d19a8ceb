//! Group commit: appends that wait go into one batch, and share its round trip and its sync.
//!
//! There is no writer task that could die with its runtime. Each append puts itself into the queue
//! and spawns a task that waits for a connection, takes what is waiting then, and answers. So there
//! are never more appends in the queue than tasks to come, and an append that finds a connection
//! idle goes at once.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};

use crate::{Append, Appended, Error, Result, settings::Queue};

/// An append, and the caller who waits for its outcome.
pub struct Waiting {
    /// To one or many streams, all or nothing.
    pub appends: Vec<Append>,
    reply: oneshot::Sender<Result<Appended>>,
    since: Instant,
    /// Given back once the append is answered.
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    /// Answers the caller, who may be gone.
    pub fn answer(self, outcome: Result<Appended>) {
        let _caller_gone = self.reply.send(outcome);
    }
}

/// How much a batch takes, beyond its first append.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In events.
    pub events: usize,
    /// In bytes of data and metadata.
    pub bytes: usize,
}

/// The appends that wait, in the order of their arrival.
pub struct Batcher {
    waiting: Mutex<VecDeque<Waiting>>,
    bounds: Bounds,
    queue: Queue,
    room: Arc<Semaphore>,
}

impl Batcher {
    /// An empty queue.
    pub fn new(bounds: Bounds, queue: Queue) -> Self {
        let room = Arc::new(Semaphore::new(queue.events));
        Self { waiting: Mutex::default(), bounds, queue, room }
    }

    /// Puts an append into the queue; the outcome comes once a batch with it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] where the queue is full, and the caller is not to wait.
    pub async fn push(&self, appends: Vec<Append>) -> Result<oneshot::Receiver<Result<Appended>>> {
        // An append that is larger than the queue waits until it has all of it.
        let events = count(&appends).min(self.queue.events);
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let room = match self.room.clone().try_acquire_many_owned(events) {
            Ok(room) => room,
            Err(_) if self.queue.refuse_when_full => return Err(Error::Overloaded),
            Err(_) => {
                let room = self.room.clone().acquire_many_owned(events).await;
                room.expect("the queue is never closed")
            }
        };
        let (reply, outcome) = oneshot::channel();
        self.lock().push_back(Waiting { appends, reply, since: Instant::now(), _room: room });
        Ok(outcome)
    }

    /// Takes the next batch: at least one append, unless the queue is empty.
    ///
    /// A batch never holds an event id twice, so that a retry finds its first try in the log.
    pub fn take(&self) -> Vec<Waiting> {
        let mut queue = self.lock();
        let (mut events, mut bytes, mut ids) = (0, 0, HashSet::new());
        let mut batch = Vec::new();
        while let Some(next) = queue.front() {
            let of_next = || next.appends.iter().flat_map(|append| &append.events);
            events += count(&next.appends);
            bytes += of_next().map(|event| event.size()).sum::<usize>();
            let full = events > self.bounds.events || bytes > self.bounds.bytes;
            if !batch.is_empty() && (full || of_next().any(|event| ids.contains(&event.id))) {
                break;
            }
            ids.extend(of_next().map(|event| event.id));
            batch.extend(queue.pop_front());
        }
        batch
    }

    /// Refuses everybody who came until then.
    pub fn refuse(&self, until: Instant, error: &Error) {
        let mut queue = self.lock();
        while queue.front().is_some_and(|first| first.since <= until)
            && let Some(first) = queue.pop_front()
        {
            first.answer(Err(error.clone()));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(appends: &[Append]) -> usize {
    appends.iter().map(|append| append.events.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::{ExpectedVersion, NewEvent, StreamName};

    fn batcher(events: usize, refuse_when_full: bool) -> Batcher {
        let bounds = Bounds { events: 10, bytes: 1_000 };
        Batcher::new(bounds, Queue { events, refuse_when_full })
    }

    fn append(events: Vec<NewEvent>) -> Vec<Append> {
        let stream = StreamName::new("cart", 1).unwrap();
        vec![Append::new(stream, ExpectedVersion::Any, events)]
    }

    fn push(batcher: &Batcher, events: Vec<NewEvent>) {
        let pushed = batcher.push(append(events)).now_or_never();
        drop(pushed.expect("there is room").unwrap());
    }

    fn event() -> NewEvent {
        NewEvent::from_json("a", 1, "{}")
    }

    #[test]
    fn a_batch_is_cut_before_an_event_id_comes_again() {
        let (batcher, again) = (batcher(100, false), event());
        push(&batcher, vec![again.clone()]);
        push(&batcher, vec![event()]);
        push(&batcher, vec![again]);
        assert_eq!(batcher.take().len(), 2);
        assert_eq!(batcher.take().len(), 1);
        assert!(batcher.take().is_empty());
    }

    #[test]
    fn a_batch_takes_one_append_however_large() {
        let batcher = batcher(100, false);
        let large = || NewEvent::from_json("a", 1, "x".repeat(1_001));
        push(&batcher, vec![large()]);
        push(&batcher, vec![large()]);
        assert_eq!(batcher.take().len(), 1);
        push(&batcher, (0..20).map(|_| event()).collect());
        push(&batcher, vec![event()]);
        for _ in 0..3 {
            assert_eq!(batcher.take().len(), 1);
        }
    }

    #[test]
    fn a_full_queue_makes_its_callers_wait_until_an_append_is_answered() {
        let batcher = batcher(2, false);
        push(&batcher, vec![event(), event()]);
        let mut second = Box::pin(batcher.push(append(vec![event()])));
        assert!((&mut second).now_or_never().is_none());
        let taken = batcher.take();
        assert!((&mut second).now_or_never().is_none(), "it is not answered yet");
        drop(taken);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_came_before_a_moment_is_refused() {
        let batcher = batcher(100, false);
        let first = batcher.push(append(vec![event()])).await.unwrap();
        let until = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let _second = batcher.push(append(vec![event()])).await.unwrap();
        batcher.refuse(until, &Error::Overloaded);
        assert_eq!(first.await.unwrap(), Err(Error::Overloaded));
        assert_eq!(batcher.take().len(), 1);
    }

    #[test]
    fn a_full_queue_refuses_where_its_callers_are_not_to_wait() {
        let batcher = batcher(2, true);
        // Larger than the queue, and alone in it.
        push(&batcher, vec![event(), event(), event()]);
        let refused = batcher.push(append(vec![event()])).now_or_never().expect("at once");
        assert_eq!(refused.unwrap_err(), Error::Overloaded);
    }
}
