//! What projections that are rebuilt together share: one reading of the log, and the turns to write.
//!
//! Those that begin within a moment read each event once, and it is given to each that wants it. Whoever
//! comes later, falls behind or begins anew reads by itself.

use std::time::Duration;

use headwater_core::{Filter, Log, Position, Result, StoredEvent};
use tokio::{
    sync::{Semaphore, SemaphorePermit, mpsc},
    time::{Instant, timeout, timeout_at},
};

/// How many events are read at a time, and how many of them a projection is given at least where they are
/// not the last: each part costs it a transaction. The bytes are bounded by the cursor.
const BATCH: usize = 20_000;
const ENOUGH: (usize, usize) = (10_000, 4 << 20);

/// How long the reading waits for all projections, and how long for one that does not take its part.
const GATHER: Duration = Duration::from_secs(2);
const STALLED: Duration = Duration::from_secs(10);

/// How many projections decode, fold and write at once: each fills a processor.
const AT_ONCE: usize = 2;

/// Events of the log that a projection reads, and how far it has read with them.
pub(crate) struct Part {
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) position: Position,
}

/// The projections that are rebuilt together.
pub(crate) struct Together {
    log: Log,
    joining: mpsc::UnboundedSender<Member>,
    turns: Semaphore,
}

impl Together {
    /// For so many projections.
    pub(crate) fn new(log: Log, count: usize) -> Self {
        let (joining, members) = mpsc::unbounded_channel();
        tokio::spawn(gather(log.clone(), members, count));
        Self { log, joining, turns: Semaphore::new(AT_ONCE) }
    }

    /// Waits for the right to work, until it is dropped.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// The events above `after` that the filter wants, up to the ceiling; they may end before, where others
    /// would wait for this reader. They are read in a task of its own, which ends with its readers: the
    /// next ones are read while these are decoded, folded and written.
    pub(crate) fn read(&self, filter: &Filter, after: Position) -> mpsc::Receiver<Result<Part>> {
        let (give, parts) = mpsc::channel(1);
        let member = Member { filter: filter.clone(), after, give, kept: Vec::new(), bytes: 0 };
        if let Err(late) = self.joining.send(member) {
            let log = self.log.clone();
            tokio::spawn(async move { read(&log, vec![late.0]).await });
        }
        parts
    }
}

async fn gather(log: Log, mut joining: mpsc::UnboundedReceiver<Member>, count: usize) {
    let deadline = Instant::now() + GATHER;
    let mut members = Vec::new();
    while members.len() < count {
        match timeout_at(deadline, joining.recv()).await {
            Ok(Some(member)) => members.push(member),
            Ok(None) | Err(_) => break,
        }
    }
    joining.close();
    while let Ok(member) = joining.try_recv() {
        members.push(member);
    }
    read(&log, members).await;
}

async fn read(log: &Log, mut members: Vec<Member>) {
    let Some(after) = members.iter().map(|member| member.after).min() else { return };
    let mut cursor = log.subscribe(union(&members), after);
    while !members.is_empty() {
        let batch = match cursor.available(BATCH).await {
            Ok(Some(batch)) => batch,
            Ok(None) => return,
            Err(error) => {
                for member in members {
                    let _gone = member.give.send(Err(error.clone())).await;
                }
                return;
            }
        };
        let mut staying = Vec::new();
        let mut events = batch.events;
        let count = members.len();
        for (mut member, number) in members.into_iter().zip(1..) {
            // The last one takes the events themselves.
            let of_member = if number == count {
                std::mem::take(&mut events)
                    .into_iter()
                    .filter(|event| member.wants(event))
                    .collect()
            } else {
                events.iter().filter(|event| member.wants(event)).cloned().collect()
            };
            if member.take(of_member, batch.position, batch.caught_up).await {
                staying.push(member);
            }
        }
        if batch.caught_up {
            return;
        }
        members = staying;
    }
}

/// A projection that reads with others.
struct Member {
    filter: Filter,
    after: Position,
    give: mpsc::Sender<Result<Part>>,
    /// Too few yet to be given, and their bytes.
    kept: Vec<StoredEvent>,
    bytes: usize,
}

impl Member {
    fn wants(&self, event: &StoredEvent) -> bool {
        event.position > self.after && self.filter.lets_through(event)
    }

    /// Takes its events of a batch up to `position`; `false` where it reads no further with the others.
    async fn take(&mut self, events: Vec<StoredEvent>, position: Position, last: bool) -> bool {
        self.bytes += events.iter().map(StoredEvent::size).sum::<usize>();
        self.kept.extend(events);
        if position <= self.after {
            return true;
        }
        if !last && self.kept.len() < ENOUGH.0 && self.bytes < ENOUGH.1 {
            return !self.give.is_closed();
        }
        self.bytes = 0;
        let part = Part { events: std::mem::take(&mut self.kept), position };
        matches!(timeout(STALLED, self.give.send(Ok(part))).await, Ok(Ok(())))
    }
}

/// A filter that lets through what each member wants, and perhaps more.
fn union(members: &[Member]) -> Filter {
    let filters = || members.iter().map(|member| &member.filter);
    let wanted = |list: fn(&Filter) -> &Vec<String>| {
        let all = filters().any(|filter| list(filter).is_empty());
        let mut wanted: Vec<_> =
            if all { Vec::new() } else { filters().flat_map(list).cloned().collect() };
        wanted.sort();
        wanted.dedup();
        wanted
    };
    Filter {
        categories: wanted(|filter| &filter.categories),
        types: wanted(|filter| &filter.types),
        ..Filter::all()
    }
}
