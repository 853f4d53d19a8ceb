//! The newest events of a log, read once for all who follow it.
//!
//! Each cursor of a process is woken when the log grows, and all of them want the same few events. The
//! first one reads them, whatever its filter; the others take theirs from what it has read. A cursor
//! that is further behind reads by itself.

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

use crate::{Direction, Filter, Position, Reading, Result, Store, StoredEvent};

/// How many events are kept, and how many bytes of data.
const KEPT: (usize, usize) = (2_000, 4 << 20);

/// How long they are kept. A server that has taken another one's place may lack what was read there.
const FRESH: Duration = Duration::from_secs(1);

/// The newest events of a log. Cloning is cheap and shares them.
#[derive(Clone, Default)]
pub(crate) struct Tail {
    followers: Arc<AtomicUsize>,
    window: Arc<Mutex<Window>>,
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
        if self.followers.load(Ordering::Relaxed) < 2 {
            return Ok(None);
        }
        let mut window = self.window.lock().await;
        let old = window.read.elapsed() > FRESH || until < window.end;
        if after > window.end || old {
            *window = Window { start: after, end: after, ..Window::default() };
        }
        if after < window.start {
            return Ok(None);
        }
        if until > window.end && !window.extend(store, until).await? {
            return Ok(None);
        }
        let first = window.events.partition_point(|event| event.position <= after);
        let wanted = window.events.range(first..).take_while(|event| event.position <= until);
        Ok(Some(wanted.filter(|event| filter.lets_through(event)).cloned().collect()))
    }
}

impl Default for Window {
    fn default() -> Self {
        let (start, read) = (Position::START, Instant::now());
        Self { events: VecDeque::new(), bytes: 0, start, end: start, read }
    }
}

impl Window {
    /// Reads on up to `until`; `false` where that is more than is kept. What is read in vain, since the
    /// reader goes away or the reading breaks off, is read again.
    async fn extend(&mut self, store: &dyn Store, until: Position) -> Result<bool> {
        let (filter, after, direction) = (Filter::all(), self.end, Direction::Forward);
        let mut reading = store.read(Reading::Log { filter, after, until, direction });
        let (mut read, mut bytes) = (Vec::new(), 0);
        while let Some(event) = reading.try_next().await? {
            bytes += event.event.data.len();
            read.push(event);
            if read.len() > KEPT.0 || bytes > KEPT.1 {
                *self = Self { start: until, end: until, ..Self::default() };
                return Ok(false);
            }
        }
        self.events.extend(read);
        (self.end, self.bytes, self.read) = (until, self.bytes + bytes, Instant::now());
        while self.events.len() > KEPT.0 || self.bytes > KEPT.1 {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.event.data.len();
            self.start = oldest.position;
        }
        Ok(true)
    }
}
