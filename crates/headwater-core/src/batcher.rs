//! Group commit: appends that wait go into one group, and share its round trip and its sync.
//!
//! No writer task lives as long as the log, and could die with the runtime that it was started on. An
//! append that finds no writer at work starts one, and goes at once; it sends what is waiting for as long
//! as there is any. While a group is under way, further ones follow it beside it only where there is
//! enough for them, or the group takes its time: few large groups cost the database less than many small
//! ones.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::{Gauge, Histogram};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};

use crate::{
    Append, Appended, Error, NewEvent, Result,
    metrics::{APPEND_GROUP_EVENTS, APPEND_QUEUE_PLACES, number},
    settings::Queue,
};

/// How many appends that wait are enough for a group beside those that are under way.
const OVERLAP_APPENDS: usize = 16;

/// How long fewer wait for a group that is under way: about as long as a commit takes on a quick disk.
pub const OVERLAP_AFTER: Duration = Duration::from_millis(1);

/// What part of the queue those may fill who wait for streams that are held elsewhere.
const HELD_SHARE: usize = 4;

/// How many bytes of data and metadata take as much room in the queue as one event.
const ROOM: usize = 4 << 10;

type Outcome = oneshot::Receiver<Result<Appended>>;

/// An append, and the caller who waits for its outcome.
pub struct Waiting {
    /// To one or many streams, all or nothing.
    pub appends: Vec<Append>,
    /// When it came.
    pub since: Instant,
    reply: oneshot::Sender<Result<Appended>>,
    /// Given back when the append is answered.
    room: Room,
}

/// A part of the queue.
struct Room {
    permit: OwnedSemaphorePermit,
    taken: Gauge,
}

impl Room {
    fn new(permit: OwnedSemaphorePermit, taken: Gauge) -> Self {
        taken.increment(places(&permit));
        Self { permit, taken }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.decrement(places(&self.permit));
    }
}

fn places(permit: &OwnedSemaphorePermit) -> f64 {
    number(u64::try_from(permit.num_permits()).unwrap_or(u64::MAX))
}

impl Waiting {
    /// How much of the queue it takes.
    fn room(&self) -> usize {
        self.room.permit.num_permits()
    }

    /// Answers the caller, who may be gone.
    pub fn answer(self, outcome: Result<Appended>) {
        // First the room: the caller may come at once with his next append.
        drop(self.room);
        let _caller_gone = self.reply.send(outcome);
    }
}

/// How much a group takes, beyond its first append.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In events.
    pub events: usize,
    /// In bytes of data and metadata.
    pub bytes: usize,
}

/// The appends that wait, in the order of their arrival.
pub struct Batcher {
    places: Arc<Mutex<Places>>,
    bounds: Bounds,
    writers: usize,
    queue: Queue,
    room: Arc<Semaphore>,
    taken: Gauge,
}

struct Places {
    /// How many writers are at work.
    writers: usize,
    /// When one of them last took a group.
    taken: Option<Instant>,
    /// Those whose streams have no lane.
    queue: VecDeque<Waiting>,
    /// By the name of a stream that is held elsewhere: what waits for it.
    lanes: HashMap<String, VecDeque<Waiting>>,
    /// How much room is taken by what waits in lanes, and how much may be.
    held: usize,
    held_at_most: usize,
    /// How many events each group had.
    groups: Histogram,
}

impl Batcher {
    /// An empty queue, for so many writers at a time.
    pub fn new(bounds: Bounds, writers: usize, queue: Queue) -> Self {
        let room = Arc::new(Semaphore::new(queue.events));
        let held_at_most = queue.events / HELD_SHARE;
        let places = Places {
            writers: 0,
            taken: None,
            queue: VecDeque::new(),
            lanes: HashMap::new(),
            held: 0,
            held_at_most,
            groups: APPEND_GROUP_EVENTS.histogram(&[]),
        };
        let (places, taken) = (Arc::new(Mutex::new(places)), APPEND_QUEUE_PLACES.gauge(&[]));
        Self { places, bounds, writers, queue, room, taken }
    }

    /// Appends by way of the queue. `start` is to set a writer to work, in a task of its own.
    ///
    /// # Errors
    ///
    /// Those of the append; [`Error::Overloaded`] where the queue is full, and the caller is not to wait.
    ///
    /// # Cancellation
    ///
    /// Once it is in the queue, the append goes its way although this future is dropped.
    pub async fn append(
        &self,
        appends: Vec<Append>,
        start: impl FnOnce(Writer),
    ) -> Result<Appended> {
        let (outcome, writer) = self.push(appends).await?;
        if let Some(writer) = writer {
            start(writer);
        }
        outcome.await.unwrap_or_else(|_| {
            Err(Error::OutcomeUnknown { reason: "the program is shutting down".into() })
        })
    }

    async fn push(&self, appends: Vec<Append>) -> Result<(Outcome, Option<Writer>)> {
        // An append that is larger than the queue waits until it has all of it.
        let needed = room(&appends).min(self.queue.events);
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        let room = match self.room.clone().try_acquire_many_owned(needed) {
            Ok(room) => room,
            Err(_) if self.queue.refuse_when_full => return Err(Error::Overloaded),
            Err(_) => {
                let room = self.room.clone().acquire_many_owned(needed).await;
                room.expect("the queue is never closed")
            }
        };
        let room = Room::new(room, self.taken.clone());
        let (reply, outcome) = oneshot::channel();
        let mut places = lock(&self.places);
        places.push(Waiting { appends, since: Instant::now(), reply, room });
        let alone = places.writers == 0 || places.queue.len() >= OVERLAP_APPENDS;
        let late = || places.taken.is_some_and(|taken| taken.elapsed() >= OVERLAP_AFTER);
        let writer = if alone || late() { self.start(&mut places) } else { None };
        Ok((outcome, writer))
    }

    /// One more writer, since a group has been under way for [`OVERLAP_AFTER`]; [`None`] where nobody waits, or
    /// there are as many as there may be.
    pub fn start_another(&self) -> Option<Writer> {
        self.start(&mut lock(&self.places))
    }

    fn start(&self, places: &mut Places) -> Option<Writer> {
        if places.queue.is_empty() || places.writers >= self.writers {
            return None;
        }
        places.writers += 1;
        Some(Writer { places: self.places.clone(), bounds: self.bounds, at_work: true })
    }

    /// Sets those of a group apart who append to one of the streams in `held`, and whoever comes after
    /// them, until their lane is empty. Yields the rest of the group, and the lanes that are new.
    pub fn set_apart(&self, group: Vec<Waiting>, held: Vec<String>) -> (Vec<Waiting>, Vec<Lane>) {
        let mut places = lock(&self.places);
        let mut lanes = Vec::new();
        for stream in held {
            places.lanes.entry(stream.clone()).or_insert_with(|| {
                lanes.push(Lane {
                    places: self.places.clone(),
                    bounds: self.bounds,
                    stream,
                    open: true,
                });
                VecDeque::new()
            });
        }
        let rest = group.into_iter().filter_map(|waiting| places.unless_held(waiting)).collect();
        std::mem::take(&mut places.queue).into_iter().for_each(|waiting| places.push(waiting));
        (rest, lanes)
    }

    /// Refuses everybody in the queue.
    pub fn refuse(&self, error: &Error) {
        refuse(std::mem::take(&mut lock(&self.places).queue), error);
    }
}

impl Places {
    fn push(&mut self, waiting: Waiting) {
        let waiting = self.unless_held(waiting);
        self.queue.extend(waiting);
    }

    /// The append itself, unless one of its streams has a lane: then it goes into that, or is refused
    /// where so many wait in lanes that they would soon be in the way of all others.
    fn unless_held(&mut self, waiting: Waiting) -> Option<Waiting> {
        if self.lanes.is_empty() {
            return Some(waiting);
        }
        let mut names = waiting.appends.iter().map(|append| append.stream.as_str());
        let Some(held) = names.find(|name| self.lanes.contains_key(*name)).map(str::to_owned)
        else {
            return Some(waiting);
        };
        let needed = waiting.room();
        if self.held > 0 && self.held + needed > self.held_at_most {
            let reason =
                "another transaction holds one of its streams, and many wait for such streams";
            waiting.answer(Err(Error::Unavailable { reason: reason.into() }));
            return None;
        }
        self.held += needed;
        self.lanes.entry(held).or_default().push_back(waiting);
        None
    }
}

impl Places {
    fn measure(&self, group: &[Waiting]) {
        let appends = group.iter().flat_map(|waiting| &waiting.appends);
        let events: usize = appends.map(|append| append.events.len()).sum();
        self.groups.record(number(u64::try_from(events).unwrap_or(u64::MAX)));
    }
}

impl Bounds {
    /// Takes the next group from a queue: at least one append, unless it is empty.
    fn cut(self, queue: &mut VecDeque<Waiting>) -> Vec<Waiting> {
        let (mut events, mut bytes, mut ids) = (0, 0, HashSet::new());
        let mut group = Vec::new();
        while let Some(next) = queue.front() {
            let of_next = || next.appends.iter().flat_map(|append| &append.events);
            events += of_next().count();
            bytes += of_next().map(NewEvent::size).sum::<usize>();
            let full = events > self.events || bytes > self.bytes;
            if !group.is_empty() && (full || of_next().any(|event| ids.contains(&event.id))) {
                break;
            }
            ids.extend(of_next().map(|event| event.id));
            group.extend(queue.pop_front());
        }
        group
    }
}

/// Sends what is waiting. Dropped before it has found the queue empty, as with a runtime that ends, it
/// refuses what nobody else would send.
pub struct Writer {
    places: Arc<Mutex<Places>>,
    bounds: Bounds,
    at_work: bool,
}

impl Writer {
    /// Takes the next group, of those who do not wait for a stream that is held elsewhere; [`None`] where
    /// nobody waits, and this one's work has ended.
    ///
    /// A group never holds an event id twice, so that a retry finds its first try in the log.
    pub fn take(&mut self) -> Option<Vec<Waiting>> {
        let mut places = lock(&self.places);
        if places.queue.is_empty() {
            places.writers -= 1;
            self.at_work = false;
            return None;
        }
        places.taken = Some(Instant::now());
        let group = self.bounds.cut(&mut places.queue);
        places.measure(&group);
        Some(group)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.at_work {
            return;
        }
        let mut places = lock(&self.places);
        places.writers -= 1;
        if places.writers == 0 {
            refuse(std::mem::take(&mut places.queue), &shutting_down());
        }
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

    /// Takes the next group; [`None`] where nobody waits any more, and the lane is closed.
    pub fn take(&mut self) -> Option<Vec<Waiting>> {
        let mut places = lock(&self.places);
        let lane = places.lanes.get_mut(&self.stream)?;
        if lane.is_empty() {
            places.lanes.remove(&self.stream);
            self.open = false;
            return None;
        }
        let group = self.bounds.cut(lane);
        places.held -= group.iter().map(Waiting::room).sum::<usize>();
        places.measure(&group);
        Some(group)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Once it is closed, another one may be open for the same stream.
        if !self.open {
            return;
        }
        let mut places = lock(&self.places);
        let left = places.lanes.remove(&self.stream).unwrap_or_default();
        places.held -= left.iter().map(Waiting::room).sum::<usize>();
        refuse(left, &shutting_down());
    }
}

fn refuse(waiting: VecDeque<Waiting>, error: &Error) {
    waiting.into_iter().for_each(|waiting| waiting.answer(Err(error.clone())));
}

fn shutting_down() -> Error {
    Error::Unavailable { reason: "the program is shutting down".into() }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What appends take of the queue: a place for each event, and for each so many bytes of them.
fn room(appends: &[Append]) -> usize {
    let events = appends.iter().flat_map(|append| &append.events);
    events.map(|event| 1 + event.size() / ROOM).sum()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{ExpectedVersion, StreamName};

    fn batcher(events: usize, refuse_when_full: bool) -> Batcher {
        let bounds = Bounds { events: 10, bytes: 1_000 };
        Batcher::new(bounds, 1, Queue { events, refuse_when_full })
    }

    fn append(stream: &str, events: impl IntoIterator<Item = NewEvent>) -> Vec<Append> {
        let stream = StreamName::new(stream, 1).unwrap();
        vec![Append::new(stream, ExpectedVersion::Any, events)]
    }

    fn push(batcher: &Batcher, appends: Vec<Append>) -> (Outcome, Option<Writer>) {
        batcher.push(appends).now_or_never().expect("there is room").unwrap()
    }

    /// The writer that the first append starts.
    fn writer(batcher: &Batcher, first: Vec<Append>) -> Writer {
        push(batcher, first).1.expect("none is at work")
    }

    fn event() -> NewEvent {
        NewEvent::from_json("a", 1, "{}")
    }

    fn streams(group: Option<Vec<Waiting>>) -> Vec<String> {
        group.into_iter().flatten().map(|w| w.appends[0].stream.to_string()).collect()
    }

    #[test]
    fn a_group_is_cut_before_an_event_id_comes_again() {
        let (batcher, again) = (batcher(100, false), event());
        let mut writer = writer(&batcher, append("a", [again.clone()]));
        push(&batcher, append("b", [event()]));
        push(&batcher, append("c", [again]));
        assert_eq!(streams(writer.take()), ["a-1", "b-1"]);
        assert_eq!(streams(writer.take()), ["c-1"]);
        assert!(writer.take().is_none());
    }

    #[test]
    fn as_many_writers_are_at_work_as_there_may_be() {
        let batcher = batcher(100, false);
        let mut writer = writer(&batcher, append("a", [event()]));
        assert!(push(&batcher, append("b", [event()])).1.is_none(), "the first one sends it");
        assert_eq!(streams(writer.take()), ["a-1", "b-1"]);
        assert!(push(&batcher, append("c", [event()])).1.is_none(), "and this one afterwards");
        assert_eq!(streams(writer.take()), ["c-1"]);
        assert!(writer.take().is_none());
        drop(writer);
        assert!(push(&batcher, append("d", [event()])).1.is_some());
    }

    #[tokio::test]
    async fn another_writer_starts_where_enough_wait_or_a_group_takes_its_time() {
        let bounds = Bounds { events: 100, bytes: 1_000 };
        let batcher = Batcher::new(bounds, 2, Queue::default());
        let mut writer = writer(&batcher, append("a", [event()]));
        assert_eq!(streams(writer.take()), ["a-1"]);
        for _ in 1..OVERLAP_APPENDS {
            assert!(push(&batcher, append("b", [event()])).1.is_none(), "they wait for it");
        }
        let mut second = push(&batcher, append("b", [event()])).1.expect("enough wait");
        assert_eq!(streams(second.take()).len(), OVERLAP_APPENDS);
        assert!(second.take().is_none());
        tokio::time::sleep(OVERLAP_AFTER).await;
        assert!(push(&batcher, append("c", [event()])).1.is_some(), "it takes its time");
    }

    #[test]
    fn a_writer_that_goes_away_leaves_nobody_waiting() {
        let batcher = batcher(100, false);
        let (outcome, writer) = push(&batcher, append("a", [event()]));
        drop(writer);
        let refused = outcome.now_or_never().unwrap().unwrap();
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        assert!(push(&batcher, append("a", [event()])).1.is_some());
    }

    #[test]
    fn a_writer_that_goes_away_leaves_what_waits_to_the_others() {
        let bounds = Bounds { events: 10, bytes: 1_000 };
        let batcher = Batcher::new(bounds, 2, Queue::default());
        let first = writer(&batcher, append("a", [event()]));
        let mut second = batcher.start_another().expect("there may be two");
        assert!(batcher.start_another().is_none());
        drop(first);
        assert_eq!(streams(second.take()), ["a-1"]);
    }

    #[test]
    fn a_group_takes_one_append_however_large() {
        let batcher = batcher(100, false);
        let large = || [NewEvent::from_json("a", 1, "x".repeat(1_001))];
        let mut writer = writer(&batcher, append("a", large()));
        push(&batcher, append("b", large()));
        push(&batcher, append("c", (0..20).map(|_| event())));
        push(&batcher, append("d", [event()]));
        for stream in ["a-1", "b-1", "c-1", "d-1"] {
            assert_eq!(streams(writer.take()), [stream]);
        }
    }

    #[test]
    fn a_large_append_holds_small_ones_up_for_one_group() {
        let batcher = batcher(100, false);
        let mut writer = writer(&batcher, append("a", [event()]));
        push(&batcher, append("large", (0..10).map(|_| event())));
        push(&batcher, append("b", [event()]));
        push(&batcher, append("large", (0..10).map(|_| event())));
        push(&batcher, append("c", [event()]));
        let mut groups = Vec::new();
        while let Some(group) = writer.take() {
            groups.push(streams(Some(group)));
        }
        // In the order of arrival: nobody is overtaken, and none shares its group with a large one.
        assert_eq!(groups, [["a-1"], ["large-1"], ["b-1"], ["large-1"], ["c-1"]]);
    }

    #[test]
    fn a_full_queue_makes_its_callers_wait_until_an_append_is_answered() {
        let batcher = batcher(2, false);
        let mut writer = writer(&batcher, append("a", [event(), event()]));
        let mut second = Box::pin(batcher.push(append("b", [event()])));
        assert!((&mut second).now_or_never().is_none());
        let taken = writer.take();
        assert!((&mut second).now_or_never().is_none(), "it is not answered yet");
        drop(taken);
        assert!(second.now_or_never().is_some());
    }

    #[test]
    fn large_events_take_more_of_the_queue() {
        let batcher = batcher(3, true);
        let large = || [NewEvent::from_json("a", 1, "x".repeat(ROOM))];
        let _writer = writer(&batcher, append("a", large()));
        let refused = batcher.push(append("b", large())).now_or_never().expect("at once");
        assert_eq!(refused.err(), Some(Error::Overloaded));
        push(&batcher, append("c", [event()]));
    }

    #[test]
    fn a_full_queue_refuses_where_its_callers_are_not_to_wait() {
        let batcher = batcher(2, true);
        // Larger than the queue, and alone in it.
        let _writer = writer(&batcher, append("a", [event(), event(), event()]));
        let refused = batcher.push(append("b", [event()])).now_or_never().expect("at once");
        assert_eq!(refused.err(), Some(Error::Overloaded));
    }

    #[test]
    fn whoever_waits_is_refused_where_no_connection_can_be_had() {
        let batcher = batcher(100, false);
        let (outcome, writer) = push(&batcher, append("a", [event()]));
        batcher.refuse(&Error::Overloaded);
        assert_eq!(outcome.now_or_never().unwrap().unwrap(), Err(Error::Overloaded));
        assert!(writer.unwrap().take().is_none());
    }

    #[test]
    fn what_goes_to_a_held_stream_waits_in_its_lane_and_nothing_else_does() {
        let batcher = batcher(100, false);
        let to = |name: &str| append(name, [event()]);
        let mut writer = writer(&batcher, to("held"));
        push(&batcher, to("free"));
        push(&batcher, to("held"));
        let group = writer.take().unwrap();
        let (rest, mut lanes) = batcher.set_apart(group, vec!["held-1".into()]);
        assert_eq!(streams(Some(rest)), ["free-1"]);
        assert_eq!(lanes.len(), 1);
        push(&batcher, [to("other"), to("held")].concat());
        push(&batcher, to("free"));
        assert_eq!(streams(writer.take()), ["free-1"]);
        let (_, again) = batcher.set_apart(Vec::new(), vec!["held-1".into()]);
        assert!(again.is_empty(), "a stream has one lane");
        let mut lane = lanes.remove(0);
        assert_eq!(streams(lane.take()), ["held-1", "held-1", "other-1"]);
        let last = push(&batcher, to("held"));
        assert!(writer.take().is_none());
        drop(lane);
        let refused = last.0.now_or_never().unwrap().unwrap();
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        let mut writer = self::writer(&batcher, to("held"));
        assert_eq!(streams(writer.take()), ["held-1"], "the lane is gone");
    }

    #[test]
    fn what_already_waits_for_a_stream_that_is_held_goes_into_its_lane() {
        let batcher = batcher(100, false);
        let mut writer = writer(&batcher, append("held", [event()]));
        push(&batcher, append("free", (0..10).map(|_| event())));
        push(&batcher, append("held", [event()]));
        let group = writer.take().unwrap();
        let (rest, mut lanes) = batcher.set_apart(group, vec!["held-1".into()]);
        assert!(rest.is_empty());
        assert_eq!(streams(lanes[0].take()), ["held-1", "held-1"]);
        assert_eq!(streams(writer.take()), ["free-1"]);
        assert!(writer.take().is_none());
    }

    #[test]
    fn those_who_wait_for_held_streams_leave_room_for_the_others() {
        let batcher = batcher(40, true);
        let (_, mut lanes) = batcher.set_apart(Vec::new(), vec!["held-1".into()]);
        let waits = |appends| push(&batcher, appends).0.now_or_never().is_none();
        assert!((0..10).all(|_| waits(append("held", [event()]))));
        assert!(lanes[0].take().is_some(), "what it takes leaves room");
        assert!((0..10).all(|_| waits(append("held", [event()]))));
        let refused = push(&batcher, append("held", [event()])).0.now_or_never().unwrap().unwrap();
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        let mut writer = writer(&batcher, append("free", (0..30).map(|_| event())));
        assert_eq!(streams(writer.take()), ["free-1"]);
    }

    #[test]
    fn a_closed_lane_leaves_the_next_one_of_its_stream_alone() {
        let batcher = batcher(100, false);
        let open = || batcher.set_apart(Vec::new(), vec!["cart-1".into()]).1.remove(0);
        let mut first = open();
        assert!(first.take().is_none());
        let mut second = open();
        assert!(push(&batcher, append("cart", [event()])).1.is_none(), "the lane has it");
        drop(first);
        assert_eq!(streams(second.take()), ["cart-1"]);
    }
}
