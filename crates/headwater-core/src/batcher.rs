//! Group commit: appends that wait go into one batch, and share its round trip and its sync.
//!
//! There is no writer task that could die with its runtime. Each append puts itself into the queue
//! and spawns a task that waits for a connection, takes what is waiting then, and answers; it ends
//! where another one has taken its append along. So each append in the queue has a task that comes for
//! it, there are no others, and an append that finds a connection idle goes at once.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    /// While it waits in the queue.
    queued: Option<oneshot::Sender<()>>,
    /// Given back once the append is answered.
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    /// Answers the caller, who may be gone.
    pub fn answer(self, outcome: Result<Appended>) {
        let _caller_gone = self.reply.send(outcome);
    }
}

/// What an append in the queue has to expect.
pub struct Queued {
    /// Its outcome.
    pub outcome: oneshot::Receiver<Result<Appended>>,
    /// Its place in the queue.
    pub place: Place,
}

/// An append's place in the queue, for the task that comes for it.
pub struct Place(oneshot::Receiver<()>);

impl Place {
    /// Waits for a turn to take the next batch; [`None`] once the append has left the queue, be it that
    /// another task took it along. One turn may not be enough: what lies before it may fill a batch.
    pub async fn unless_left<T>(&mut self, turn: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = &mut self.0 => None,
            turn = turn => Some(turn),
        }
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
    waiting: Arc<Mutex<Places>>,
    bounds: Bounds,
    queue: Queue,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Places {
    /// Those whose streams have no lane.
    queue: VecDeque<Waiting>,
    /// By the name of a stream that is held elsewhere: what waits for it.
    lanes: HashMap<String, VecDeque<Waiting>>,
}

impl Batcher {
    /// An empty queue.
    pub fn new(bounds: Bounds, queue: Queue) -> Self {
        let room = Arc::new(Semaphore::new(queue.events));
        Self { waiting: Arc::default(), bounds, queue, room }
    }

    /// Puts an append into the queue; the outcome comes once a batch with it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] where the queue is full, and the caller is not to wait.
    pub async fn push(&self, appends: Vec<Append>) -> Result<Queued> {
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
        let (queued, left) = oneshot::channel();
        let (since, queued) = (Instant::now(), Some(queued));
        let waiting = Waiting { appends, reply, since, queued, _room: room };
        lock(&self.waiting).push(waiting);
        Ok(Queued { outcome, place: Place(left) })
    }

    /// Takes the next batch, of those who do not wait for a stream that is held elsewhere: at least one
    /// append, unless there is none.
    ///
    /// A batch never holds an event id twice, so that a retry finds its first try in the log.
    pub fn take(&self) -> Vec<Waiting> {
        self.bounds.cut(&mut lock(&self.waiting).queue)
    }

    /// Sets those of a batch apart who append to one of the streams in `held`, and whoever comes after
    /// them, until their lane is empty. Yields the rest of the batch, and the lanes that are new.
    pub fn set_apart(&self, batch: Vec<Waiting>, held: Vec<String>) -> (Vec<Waiting>, Vec<Lane>) {
        let mut places = lock(&self.waiting);
        let mut lanes = Vec::new();
        for stream in held {
            places.lanes.entry(stream.clone()).or_insert_with(|| {
                lanes.push(Lane {
                    places: self.waiting.clone(),
                    bounds: self.bounds,
                    stream,
                    open: true,
                });
                VecDeque::new()
            });
        }
        let rest = batch.into_iter().filter_map(|waiting| places.unless_held(waiting)).collect();
        std::mem::take(&mut places.queue).into_iter().for_each(|waiting| places.push(waiting));
        (rest, lanes)
    }

    /// Refuses everybody who came until then.
    pub fn refuse(&self, until: Instant, error: &Error) {
        let queue = &mut lock(&self.waiting).queue;
        while queue.front().is_some_and(|first| first.since <= until)
            && let Some(first) = queue.pop_front()
        {
            first.answer(Err(error.clone()));
        }
    }
}

impl Places {
    fn push(&mut self, waiting: Waiting) {
        let waiting = self.unless_held(waiting);
        self.queue.extend(waiting);
    }

    /// The append itself, unless one of its streams has a lane: then it goes into that.
    fn unless_held(&mut self, mut waiting: Waiting) -> Option<Waiting> {
        if self.lanes.is_empty() {
            return Some(waiting);
        }
        let mut names = waiting.appends.iter().map(|append| append.stream.as_str());
        let Some(held) = names.find(|name| self.lanes.contains_key(*name)).map(str::to_owned)
        else {
            return Some(waiting);
        };
        waiting.queued = None;
        self.lanes.entry(held).or_default().push_back(waiting);
        None
    }
}

impl Bounds {
    /// Takes the next batch from a queue: at least one append, unless it is empty.
    fn cut(self, queue: &mut VecDeque<Waiting>) -> Vec<Waiting> {
        let (mut events, mut bytes, mut ids) = (0, 0, HashSet::new());
        let mut batch = Vec::new();
        while let Some(next) = queue.front() {
            let of_next = || next.appends.iter().flat_map(|append| &append.events);
            events += count(&next.appends);
            bytes += of_next().map(|event| event.size()).sum::<usize>();
            let full = events > self.events || bytes > self.bytes;
            if !batch.is_empty() && (full || of_next().any(|event| ids.contains(&event.id))) {
                break;
            }
            ids.extend(of_next().map(|event| event.id));
            batch.extend(queue.pop_front());
        }
        batch.iter_mut().for_each(|waiting| waiting.queued = None);
        batch
    }
}

/// The appends that wait for one stream, which is held elsewhere. Dropped, it refuses them.
pub struct Lane {
    places: Arc<Mutex<Places>>,
    bounds: Bounds,
    stream: String,
    open: bool,
}

impl Lane {
    /// The stream that is held.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Takes the next batch; [`None`] where nobody waits any more, and the lane is closed.
    pub fn take(&mut self) -> Option<Vec<Waiting>> {
        let mut places = lock(&self.places);
        let lane = places.lanes.get_mut(&self.stream)?;
        if lane.is_empty() {
            places.lanes.remove(&self.stream);
            self.open = false;
            return None;
        }
        Some(self.bounds.cut(lane))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Once it is closed, another one may be open for the same stream.
        if !self.open {
            return;
        }
        let left = lock(&self.places).lanes.remove(&self.stream);
        for waiting in left.into_iter().flatten() {
            let reason = "the program is shutting down".into();
            waiting.answer(Err(Error::Unavailable { reason }));
        }
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn who_has_left_the_queue_is_told() {
        let batcher = batcher(100, false);
        let push = || {
            let events = (0..6).map(|_| event()).collect();
            batcher.push(append(events)).now_or_never().unwrap().unwrap().place
        };
        let (mut first, mut second) = (push(), push());
        let left =
            |place: &mut Place| place.unless_left(std::future::pending::<()>()).now_or_never();
        let batch = batcher.take();
        assert_eq!(left(&mut first), Some(None));
        assert_eq!(left(&mut second), None, "it is over the bound");
        drop((batch, batcher.take()));
        assert_eq!(left(&mut second), Some(None));
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
        let first = batcher.push(append(vec![event()])).await.unwrap().outcome;
        let until = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let _second = batcher.push(append(vec![event()])).await.unwrap();
        batcher.refuse(until, &Error::Overloaded);
        assert_eq!(first.await.unwrap(), Err(Error::Overloaded));
        assert_eq!(batcher.take().len(), 1);
    }

    #[test]
    fn what_goes_to_a_held_stream_waits_in_its_lane_and_nothing_else_does() {
        let batcher = batcher(100, false);
        let to = |name: &str| {
            let stream = StreamName::new(name, 1).unwrap();
            vec![Append::new(stream, ExpectedVersion::Any, [event()])]
        };
        let send = |appends| batcher.push(appends).now_or_never().unwrap().unwrap();
        let streams = |batch: Vec<Waiting>| -> Vec<_> {
            batch.into_iter().map(|w| w.appends[0].stream.to_string()).collect()
        };
        for name in ["held", "free", "held"] {
            drop(send(to(name)));
        }
        let (rest, mut lanes) = batcher.set_apart(batcher.take(), vec!["held-1".into()]);
        assert_eq!(streams(rest), ["free-1"]);
        assert_eq!(lanes.len(), 1);
        drop(send([to("other"), to("held")].concat()));
        drop(send(to("free")));
        assert_eq!(streams(batcher.take()), ["free-1"]);
        let (_, again) = batcher.set_apart(Vec::new(), vec!["held-1".into()]);
        assert!(again.is_empty(), "a stream has one lane");
        let mut lane = lanes.remove(0);
        assert_eq!(streams(lane.take().unwrap()), ["held-1", "held-1", "other-1"]);
        let last = send(to("held"));
        assert!(batcher.take().is_empty());
        drop(lane);
        let refused = last.outcome.now_or_never().unwrap().unwrap();
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        drop(send(to("held")));
        assert_eq!(streams(batcher.take()), ["held-1"], "the lane is gone");
    }

    #[test]
    fn a_closed_lane_leaves_the_next_one_of_its_stream_alone() {
        let batcher = batcher(100, false);
        let open = || batcher.set_apart(Vec::new(), vec!["cart-1".into()]).1.remove(0);
        let mut first = open();
        assert!(first.take().is_none());
        let mut second = open();
        push(&batcher, vec![event()]);
        assert!(batcher.take().is_empty());
        drop(first);
        assert_eq!(second.take().map(|batch| batch.len()), Some(1));
    }

    #[test]
    fn a_full_queue_refuses_where_its_callers_are_not_to_wait() {
        let batcher = batcher(2, true);
        // Larger than the queue, and alone in it.
        push(&batcher, vec![event(), event(), event()]);
        let refused = batcher.push(append(vec![event()])).now_or_never().expect("at once");
        assert_eq!(refused.err(), Some(Error::Overloaded));
    }
}
