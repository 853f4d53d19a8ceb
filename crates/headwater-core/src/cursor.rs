//! A cursor over the log: catching up and following in one, never past the ceiling.

use std::{collections::VecDeque, time::Duration};

use futures_util::StreamExt as _;
use tokio::{sync::watch, time::timeout};

use crate::{
    Direction, EventStream, Filter, Log, Position, Reading, Result, StoredEvent, tail::Follower,
};

/// How long a cursor waits for a hint before it looks by itself.
const POLL: Duration = Duration::from_secs(1);

/// How often a cursor looks again while writers below the ceiling are under way.
const SETTLING: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// How many bytes of data a batch holds at most, where it has more than one event.
const BATCH_BYTES: usize = 8 << 20;

/// Reads the log from a position on, and follows it.
///
/// It is woken by a hint, at once within the process, and looks by itself once a second, so a lost
/// hint delays and never loses. Each event comes once, in the order of positions.
pub struct Cursor {
    log: Log,
    filter: Filter,
    hints: watch::Receiver<u64>,
    /// Everything at or below is delivered.
    position: Position,
    /// The reading under way, and the ceiling it ends at.
    reading: Option<(EventStream, Position)>,
    /// Read and not yet delivered; kept here so that a dropped `next_batch` loses nothing.
    pending: VecDeque<StoredEvent>,
    /// The bytes of data in `pending`.
    bytes: usize,
    /// The ceiling of a reading that has ended, with its last events still in `pending`.
    ended: Option<Position>,
    /// Whether writers below the ceiling were under way at the last look.
    unsettled: bool,
    /// Since it has caught up for the first time.
    following: Option<Follower>,
}

/// Events that a cursor found, and how far it has looked.
#[derive(Debug)]
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
            position: after,
            reading: None,
            pending: VecDeque::new(),
            bytes: 0,
            ended: None,
            unsettled: false,
            following: None,
        }
    }

    /// Everything the filter wants at or below this position was delivered.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next event; waits for it.
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
        // Not kept in the cursor: a call that is dropped, or fails, leaves no old ceiling behind.
        let mut raised = None;
        loop {
            if let Some(batch) = self.up_to(raised, limit).await? {
                return Ok(batch);
            }
            raised = Some(self.ceiling_raised().await?);
        }
    }

    /// The next events that are there now, at most `limit` and 8 MiB of data; `None` where the cursor
    /// is caught up.
    ///
    /// # Errors
    ///
    /// As for [`Cursor::next_batch`].
    pub async fn available(&mut self, limit: usize) -> Result<Option<Batch>> {
        self.up_to(None, limit).await
    }

    /// The next events, up to a ceiling that was just found, or to the one that there is.
    async fn up_to(&mut self, raised: Option<Position>, limit: usize) -> Result<Option<Batch>> {
        let limit = limit.max(1);
        if self.reading.is_none() && self.ended.is_none() {
            let raised = match raised {
                Some(raised) => Some(raised),
                None => self.look().await?,
            };
            let Some(until) = raised else { return Ok(None) };
            self.read(until).await?;
        }
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
        Ok(Some(self.deliver(limit)))
    }

    fn deliver(&mut self, limit: usize) -> Batch {
        // More than `limit` are there where an earlier call wanted more and was dropped.
        let events: Vec<_> = self.pending.drain(..limit.min(self.pending.len())).collect();
        self.bytes -= events.iter().map(StoredEvent::size).sum::<usize>();
        let end = self.ended.take_if(|_| self.pending.is_empty());
        let last = events.last().map_or(self.position, |event| event.position);
        self.position = end.unwrap_or(last);
        if end.is_some() && self.following.is_none() {
            self.following = Some(self.log.tail().follow());
        }
        Batch { events, position: self.position, caught_up: end.is_some() }
    }

    /// Looks whether the ceiling is above the position.
    async fn look(&mut self) -> Result<Option<Position>> {
        // Whatever comes from here on is another hint.
        self.hints.mark_unchanged();
        // Who is behind reads by itself, with its own filter.
        let after = self.following.is_some().then_some(self.position);
        let ceiling = self.log.tail().look(self.log.store(), after).await?;
        self.unsettled = ceiling.unsettled;
        let raised = Some(ceiling.position).filter(|ceiling| *ceiling > self.position);
        if raised.is_none() && self.following.is_none() {
            self.following = Some(self.log.tail().follow());
        }
        Ok(raised)
    }

    async fn read(&mut self, until: Position) -> Result<()> {
        if self.following.is_some() {
            let (log, filter) = (&self.log, &self.filter);
            let newest = log.tail().read(log.store(), filter, self.position, until).await?;
            if let Some(newest) = newest {
                self.bytes += newest.iter().map(StoredEvent::size).sum::<usize>();
                self.pending.extend(newest);
                self.ended = Some(until);
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
        self.reading = None;
        self.pending.clear();
        self.bytes = 0;
    }

    async fn ceiling_raised(&mut self) -> Result<Position> {
        let mut pause = SETTLING.0;
        loop {
            let patience = if self.unsettled { pause } else { POLL };
            // A store that is gone sends no hints: then only the poll is left.
            if let Ok(Err(_)) = timeout(patience, self.hints.changed()).await {
                tokio::time::sleep(patience).await;
            }
            if let Some(raised) = self.look().await? {
                return Ok(raised);
            }
            pause = (pause * 2).min(SETTLING.1);
        }
    }
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("position", &self.position).finish_non_exhaustive()
    }
}
