//! The newest events of a log, read once for all who follow it.
//!
//! Each cursor of a process is woken when the log grows, and all of them want the same few events. The
//! first one gets them with its look at the ceiling, whatever its filter; the others take theirs from what
//! it has read. A cursor that is further behind reads by itself.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use crate::{
    Ceiling, Direction, Filter, Position, Reading, Result, Store, StoredEvent, meters::CeilingMeter,
};

/// How many events are kept, and how many bytes of data.
const KEPT: (usize, usize) = (2_000, 4 << 20);

/// How long they are kept. A server that has taken another one's place may lack what was read there.
const FRESH: Duration = Duration::from_secs(1);

/// The newest events of a log. Cloning is cheap and shares them.
#[derive(Clone, Default)]
pub(crate) struct Tail(Arc<Shared>);

#[derive(Default)]
struct Shared {
    followers: Arc<AtomicUsize>,
    looks: Turns,
    looked: Mutex<Option<Looked>>,
    readings: Turns,
    /// Grows only in a turn of `readings`.
    window: Mutex<Window>,
    meter: CeilingMeter,
}

/// What the last look found, and when it began. One that failed is told by its end.
struct Looked {
    at: Instant,
    ceiling: Result<Ceiling>,
}

/// All events above `start`, up to `end`.
struct Window {
    events: VecDeque<StoredEvent>,
    bytes: usize,
    start: Position,
    end: Position,
    read: Instant,
}

/// Somebody who follows the log, for as long as this lives.
pub(crate) struct Follower(Arc<AtomicUsize>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tail {
    /// One more who has caught up.
    pub(crate) fn follow(&self) -> Follower {
        self.0.followers.fetch_add(1, Ordering::Relaxed);
        Follower(self.0.followers.clone())
    }

    /// The ceiling as of a look that began after `since`, and when that was: the last look where it will
    /// do, otherwise a new one. What is new below it is kept, for somebody who follows and is at `after`.
    pub(crate) async fn look(
        &self,
        store: &dyn Store,
        after: Option<Position>,
        since: Instant,
    ) -> Result<(Ceiling, Instant)> {
        let called = Instant::now();
        loop {
            let turn = self.0.looks.try_take();
            if let Some(known) = self.known(since, called) {
                return known;
            }
            match turn {
                Ok(_turn) => return self.look_anew(store, after).await,
                Err(over) => over.await,
            }
        }
    }

    /// What the last look found, where it will do.
    ///
    /// However many wait for a look, the next one is for all of them. One that failed is for those
    /// as well who came meanwhile: one after the other, each would wait for a connection anew.
    fn known(&self, since: Instant, called: Instant) -> Option<Result<(Ceiling, Instant)>> {
        match &*locked(&self.0.looked) {
            Some(Looked { at, ceiling: Ok(ceiling) }) if *at > since => Some(Ok((*ceiling, *at))),
            Some(Looked { at, ceiling: Err(error) }) if *at >= called => Some(Err(error.clone())),
            _ => None,
        }
    }

    async fn look_anew(
        &self,
        store: &dyn Store,
        after: Option<Position>,
    ) -> Result<(Ceiling, Instant)> {
        let began = Instant::now();
        // Where somebody reads on just now, nobody waits for that.
        let reading = after.and_then(|after| Some((self.0.readings.try_take().ok()?, after)));
        let behind = reading.as_ref().map(|(_, after)| self.window().resume(*after));
        let look = store.look(behind).await;
        let ceiling = look.map(|look| {
            let ceiling = look.ceiling.position;
            let mut window = self.window();
            if ceiling < window.end {
                // The log is another one than it was: also for who reads on just now.
                *window = Window::behind(ceiling);
            } else if reading.is_some() && !look.newest.is_empty() {
                window.take_in(look.newest, ceiling);
            }
            look.ceiling
        });
        let at = if ceiling.is_ok() { began } else { Instant::now() };
        *locked(&self.0.looked) = Some(Looked { at, ceiling: ceiling.clone() });
        ceiling.map(|ceiling| {
            self.0.meter.found(&ceiling, began);
            (ceiling, began)
        })
    }

    /// The first `limit` events above `after`, up to the ceiling `until`, that the filter lets through, and how far
    /// they reach.
    ///
    /// [`None`] where it is better to read by oneself: because nobody else follows the log, or for
    /// more events than are kept.
    pub(crate) async fn read(
        &self,
        store: &dyn Store,
        filter: &Filter,
        after: Position,
        until: Position,
        limit: usize,
    ) -> Result<Option<(Vec<StoredEvent>, Position)>> {
        let part = || self.window().part(filter, after, until, limit);
        loop {
            let turn = self.0.readings.try_take();
            if let Some(part) = part() {
                return Ok(Some(part));
            }
            match turn {
                Ok(_turn) => {
                    // None also where what was new has driven out what this one still lacks.
                    let extended = self.extend(store, after, until).await?;
                    return Ok(extended.then(part).flatten());
                }
                Err(over) => over.await,
            }
        }
    }

    /// Reads on up to `until`; `false` where that is better left to who is at `after`. What is read in vain, since
    /// the reader goes away or the reading breaks off, is read again.
    async fn extend(&self, store: &dyn Store, after: Position, until: Position) -> Result<bool> {
        let (start, end) = {
            let mut window = self.window();
            window.resume(after);
            (window.start, window.end)
        };
        if after < start || self.0.followers.load(Ordering::Relaxed) <= 1 {
            return Ok(false);
        }
        let (filter, direction) = (Filter::all(), Direction::Forward);
        let mut reading = store.read(Reading::Log { filter, after: end, until, direction });
        let (mut read, mut bytes) = (Vec::new(), 0);
        while let Some(event) = reading.try_next().await? {
            bytes += event.size();
            read.push(event);
            if read.len() > KEPT.0 || bytes > KEPT.1 {
                *self.window() = Window::behind(until);
                return Ok(false);
            }
        }
        let mut window = self.window();
        // Meanwhile a look may have found another log.
        let same = window.end == end;
        if same {
            window.take_in(read, until);
        }
        Ok(same)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        locked(&self.0.window)
    }
}

/// Held for a moment only, and never over an `await`.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one does for all: the others wait until it is over, and then look whether that will do for them.
///
/// In a fair mutex, which hands itself on from one to the next, a thousand that wait would run one after the other,
/// on one thread.
#[derive(Default)]
struct Turns {
    taken: AtomicBool,
    over: Notify,
}

impl Turns {
    /// The turn, or the end of somebody else's that is under way.
    fn try_take(&self) -> std::result::Result<Turn<'_>, Notified<'_>> {
        // Made before, so that an end in between is not missed.
        let over = self.over.notified();
        if self.taken.swap(true, Ordering::Acquire) { Err(over) } else { Ok(Turn(self)) }
    }
}

/// Over when it is dropped.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
        self.0.over.notify_waiters();
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::behind(Position::START)
    }
}

impl Window {
    /// With nothing in it yet.
    fn behind(start: Position) -> Self {
        Self { events: VecDeque::new(), bytes: 0, start, end: start, read: Instant::now() }
    }

    /// Where to read on for somebody at `after`: behind what is kept, unless that is old, or does not
    /// reach him.
    fn resume(&mut self, after: Position) -> Position {
        if after > self.end || self.is_old() {
            *self = Self::behind(after);
        }
        self.end
    }

    /// What [`Tail::read`] yields; `None` where not all of that is here.
    fn part(
        &self,
        filter: &Filter,
        after: Position,
        until: Position,
        limit: usize,
    ) -> Option<(Vec<StoredEvent>, Position)> {
        if after < self.start || after > self.end || until > self.end || self.is_old() {
            return None;
        }
        let first = self.events.partition_point(|event| event.position <= after);
        let read = self.events.range(first..).take_while(|event| event.position <= until);
        let wanted = read.filter(|event| filter.lets_through(event)).take(limit);
        let events: Vec<_> = wanted.cloned().collect();
        let last = events.last().filter(|_| events.len() == limit);
        let reached = last.map_or(until, |last| last.position);
        Some((events, reached))
    }

    fn is_old(&self) -> bool {
        self.read.elapsed() > FRESH
    }

    /// Takes in all events behind the end, up to `until`.
    fn take_in(&mut self, events: Vec<StoredEvent>, until: Position) {
        self.bytes += events.iter().map(StoredEvent::size).sum::<usize>();
        self.events.extend(events);
        (self.end, self.read) = (until, Instant::now());
        while self.events.len() > KEPT.0 || self.bytes > KEPT.1 {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
            self.start = oldest.position;
        }
    }
}
