//! The newest events of a log, read once for all who follow it.
//!
//! Each cursor of a process is woken when the log grows, and all of them want the same few events. The
//! first one gets them with its look at the ceiling, whatever its filter; the others take theirs from what
//! it has read. A cursor that is further behind reads by itself.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    Ceiling, Direction, Filter, Position, Reading, Result, Store, StoredEvent, meters::CeilingMeter,
};

/// How many events are kept, and how many bytes of data.
const KEPT: (usize, usize) = (2_000, 4 << 20);

/// How long they are kept. A server that has taken another one's place may lack what was read there.
const FRESH: Duration = Duration::from_secs(1);

/// The newest events of a log. Cloning is cheap and shares them.
#[derive(Clone, Default)]
pub(crate) struct Tail {
    followers: Arc<AtomicUsize>,
    looked: Arc<Mutex<Option<Looked>>>,
    window: Arc<Mutex<Window>>,
    meter: Arc<CeilingMeter>,
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
        self.followers.fetch_add(1, Ordering::Relaxed);
        Follower(self.followers.clone())
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
        let mut looked = self.looked.lock().await;
        // However many wait behind a look, the next one is for all of them. One that failed is for those
        // as well who came meanwhile: one after the other, each would wait for a connection anew.
        match &*looked {
            Some(Looked { at, ceiling: Ok(ceiling) }) if *at > since => {
                return Ok((*ceiling, *at));
            }
            Some(Looked { at, ceiling: Err(error) }) if *at >= called => return Err(error.clone()),
            _ => {}
        }
        let began = Instant::now();
        // Where somebody reads on just now, nobody waits for that.
        let mut window = after.and_then(|_| self.window.try_lock().ok());
        let behind = window.as_mut().zip(after).map(|(window, after)| window.resume(after));
        let look = store.look(behind).await;
        let ceiling = look.map(|look| {
            let ceiling = look.ceiling.position;
            match &mut window {
                // The log is another one than it was.
                Some(window) if ceiling < window.end => **window = Window::behind(ceiling),
                Some(window) if !look.newest.is_empty() => window.take_in(look.newest, ceiling),
                _ => {}
            }
            look.ceiling
        });
        let at = if ceiling.is_ok() { began } else { Instant::now() };
        *looked = Some(Looked { at, ceiling: ceiling.clone() });
        ceiling.map(|ceiling| {
            self.meter.found(&ceiling, began);
            (ceiling, began)
        })
    }

    /// The events above `after`, up to the ceiling `until`, that the filter lets through.
    ///
    /// [`None`] where it is better to read by oneself: because nobody else follows the log, or for
    /// more events than are kept.
    pub(crate) async fn read(
        &self,
        store: &dyn Store,
        filter: &Filter,
        after: Position,
        until: Position,
    ) -> Result<Option<Vec<StoredEvent>>> {
        let mut window = self.window.lock().await;
        window.resume(after);
        if after < window.start {
            return Ok(None);
        }
        if until > window.end {
            let shared = self.followers.load(Ordering::Relaxed) > 1;
            if !shared || !window.extend(store, until).await? {
                return Ok(None);
            }
        }
        let first = window.events.partition_point(|event| event.position <= after);
        let wanted = window.events.range(first..).take_while(|event| event.position <= until);
        Ok(Some(wanted.filter(|event| filter.lets_through(event)).cloned().collect()))
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
        if after > self.end || self.read.elapsed() > FRESH {
            *self = Self::behind(after);
        }
        self.end
    }

    /// Reads on up to `until`; `false` where that is more than is kept. What is read in vain, since the
    /// reader goes away or the reading breaks off, is read again.
    async fn extend(&mut self, store: &dyn Store, until: Position) -> Result<bool> {
        let (filter, after, direction) = (Filter::all(), self.end, Direction::Forward);
        let mut reading = store.read(Reading::Log { filter, after, until, direction });
        let (mut read, mut bytes) = (Vec::new(), 0);
        while let Some(event) = reading.try_next().await? {
            bytes += event.size();
            read.push(event);
            if read.len() > KEPT.0 || bytes > KEPT.1 {
                *self = Self::behind(until);
                return Ok(false);
            }
        }
        self.take_in(read, until);
        Ok(true)
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
