//! A cursor over the log: catching up and following in one, never past the ceiling.

use std::{collections::VecDeque, time::Duration};

use futures_util::StreamExt as _;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    Direction, EventStream, Filter, Log, Position, Reading, Result, StoredEvent, tail::Follower,
};

/// How long a cursor waits for a hint before it looks by itself.
const POLL: Duration = Duration::from_secs(1);

/// How often a cursor looks again while writers below the ceiling are under way.
const SETTLING: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// How old a look may be below which a cursor reads on.
const RECENT: Duration = Duration::from_secs(1);

/// How many bytes of data a batch holds at most, where it has more than one event.
const BATCH_BYTES: usize = 8 << 20;

/// Reads the log from a position on, and follows it.
///
/// It is woken by a hint, at once within the process, and looks by itself once a second, so a lost
/// hint delays and never loses. Each event comes once, in the order of positions.
pub struct Cursor {
    log: Log,
    filter: Filter,
    hints: watch::Receiver<Instant>,
    /// When the last look began that found nothing new.
    looked: Option<Instant>,
    /// How long the cursor waits for a hint after such a look.
    patience: Duration,
    /// When it looks again without one.
    due: Instant,
    /// Everything at or below is delivered.
    position: Position,
    /// The ceiling that the last look found.
    ceiling: Position,
    /// The reading under way, and the ceiling it ends at.
    reading: Option<(EventStream, Position)>,
    /// Read and not yet delivered; kept here so that a dropped `next_batch` loses nothing.
    pending: VecDeque<StoredEvent>,
    /// The bytes of data in `pending`.
    bytes: usize,
    /// How far a reading came that has ended, with its last events still in `pending`.
    ended: Option<Position>,
    /// Since it has caught up for the first time.
    following: Option<Follower>,
}

/// Events that a cursor found, and how far it has looked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The events, in the order of positions; empty where the filter let none through.
    pub events: Vec<StoredEvent>,
    /// Everything the filter wants at or below this position was delivered.
    pub position: Position,
    /// Whether the cursor has reached the ceiling.
    pub caught_up: bool,
}

impl Cursor {
    pub(crate) fn new(log: Log, filter: Filter, after: Position) -> Self {
        let hints = log.store().hints();
        Self {
            log,
            filter,
            hints,
            looked: None,
            patience: POLL,
            due: Instant::now(),
            position: after,
            ceiling: after,
            reading: None,
            pending: VecDeque::new(),
            bytes: 0,
            ended: None,
            following: None,
        }
    }

    /// Everything the filter wants at or below this position was delivered.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next event; waits for it. May be dropped, as [`Cursor::next_batch`].
    ///
    /// # Errors
    ///
    /// As for [`Cursor::next_batch`].
    pub async fn next(&mut self) -> Result<StoredEvent> {
        loop {
            if let Some(event) = self.next_batch(1).await?.events.pop() {
                return Ok(event);
            }
        }
    }

    /// The next events, at most `limit` and 8 MiB of data; waits until the ceiling rises.
    ///
    /// May be dropped at any time: what was read and not delivered comes with the next call.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) and others of the store; the cursor stays
    /// where it is, and the next call tries again.
    pub async fn next_batch(&mut self, limit: usize) -> Result<Batch> {
        if !self.is_reading() {
            self.ceiling_raised().await?;
            self.read(limit).await?;
        }
        self.batch(limit).await
    }

    /// The next events that are there now, at most `limit` and 8 MiB of data; `None` where the cursor
    /// is caught up. May be dropped, as [`Cursor::next_batch`].
    ///
    /// # Errors
    ///
    /// As for [`Cursor::next_batch`].
    pub async fn available(&mut self, limit: usize) -> Result<Option<Batch>> {
        if !self.is_reading() {
            let since = self.recently().unwrap_or_else(Instant::now);
            if !self.look(since).await? {
                return Ok(None);
            }
            self.read(limit).await?;
        }
        self.batch(limit).await.map(Some)
    }

    /// Whether a reading is under way, or has ended with its last events not yet delivered.
    fn is_reading(&self) -> bool {
        self.reading.is_some() || self.ended.is_some()
    }

    /// The next events of the reading.
    async fn batch(&mut self, limit: usize) -> Result<Batch> {
        let limit = limit.max(1);
        while self.pending.len() < limit && self.bytes < BATCH_BYTES {
            let Some((events, until)) = &mut self.reading else { break };
            match events.next().await {
                Some(Ok(event)) => {
                    self.bytes += event.size();
                    self.pending.push_back(event);
                }
                Some(Err(error)) => {
                    self.rewind();
                    return Err(error);
                }
                None => {
                    self.ended = Some(*until);
                    self.reading = None;
                }
            }
        }
        Ok(self.deliver(limit))
    }

    fn deliver(&mut self, limit: usize) -> Batch {
        // More than `limit` are there where an earlier call wanted more and was dropped.
        let events: Vec<_> = self.pending.drain(..limit.min(self.pending.len())).collect();
        self.bytes -= events.iter().map(StoredEvent::size).sum::<usize>();
        let end = self.ended.take_if(|_| self.pending.is_empty());
        let last = events.last().map_or(self.position, |event| event.position);
        self.position = end.unwrap_or(last);
        let caught_up = end.is_some_and(|end| end >= self.ceiling);
        if caught_up {
            self.follow();
        }
        Batch { events, position: self.position, caught_up }
    }

    /// Waits until the ceiling is above the position.
    async fn ceiling_raised(&mut self) -> Result<()> {
        loop {
            let since = match (self.recently(), self.looked) {
                (Some(recently), _) => recently,
                (None, Some(looked)) => self.hinted(looked).await,
                (None, None) => Instant::now(),
            };
            if self.look(since).await? {
                return Ok(());
            }
        }
    }

    /// Since when a look does where there is more below the last one's ceiling.
    fn recently(&self) -> Option<Instant> {
        (self.position < self.ceiling).then(|| Instant::now() - RECENT)
    }

    /// Waits for a hint sent after the last look, or until the next one is due; returns since when
    /// another cursor may have begun a look that does for this one as well.
    async fn hinted(&mut self, looked: Instant) -> Instant {
        let hint = async {
            let sent = self.hints.wait_for(|sent| *sent > looked).await.map(|sent| *sent);
            match sent {
                Ok(sent) => sent,
                // A store that is gone sends no hints: then only the poll is left.
                Err(_gone) => std::future::pending().await,
            }
        };
        let hinted = timeout_at(self.due, hint).await;
        hinted.unwrap_or_else(|_due| Instant::now() - self.patience / 2)
    }

    /// Whether the ceiling is above the position, by a look that began after `since`.
    async fn look(&mut self, since: Instant) -> Result<bool> {
        // Who is behind reads by itself, with its own filter.
        let after = self.following.is_some().then_some(self.position);
        let (ceiling, began) = self.log.tail().look(self.log.store(), after, since).await?;
        self.ceiling = ceiling.position;
        let raised = self.ceiling > self.position;
        self.patience = self.next_patience(ceiling.unsettled, raised);
        if !raised {
            // Only now: a call that found more and is dropped looks again.
            self.looked = Some(began);
            // After a look that takes long, too, it pauses.
            self.due = (began + self.patience).max(Instant::now() + self.patience / 2);
            self.follow();
        }
        Ok(raised)
    }

    fn next_patience(&self, unsettled: bool, raised: bool) -> Duration {
        let settling = self.patience < POLL;
        match (unsettled, raised) {
            (false, _) => POLL,
            (true, false) if settling => (self.patience * 2).min(SETTLING.1),
            (true, _) => SETTLING.0,
        }
    }

    fn follow(&mut self) {
        self.following.get_or_insert_with(|| self.log.tail().follow());
    }

    /// Begins to read on, up to the ceiling. Of what others have read it takes `limit` events alone: a thousand cursors
    /// that are slow would hold all that is shared a thousand times.
    async fn read(&mut self, limit: usize) -> Result<()> {
        let (limit, until) = (limit.max(1), self.ceiling);
        if self.following.is_some() {
            let (log, filter) = (&self.log, &self.filter);
            let newest = log.tail().read(log.store(), filter, self.position, until, limit).await?;
            if let Some((newest, reached)) = newest {
                self.bytes += newest.iter().map(StoredEvent::size).sum::<usize>();
                self.pending.extend(newest);
                self.ended = Some(reached);
                return Ok(());
            }
        }
        let (filter, after) = (self.filter.clone(), self.position);
        let reading = Reading::Log { filter, after, until, direction: Direction::Forward };
        self.reading = Some((self.log.store().read(reading), until));
        Ok(())
    }

    // After a broken reading the events that were read and not delivered are read anew.
    fn rewind(&mut self) {
        self.ceiling = self.position;
        self.reading = None;
        self.pending.clear();
        self.bytes = 0;
    }
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("position", &self.position).finish_non_exhaustive()
    }
}
