//! One reading of the log for the projections that are rebuilt together.
//!
//! Those that begin at the same moment and near the same position read each event once: it is given to each
//! that wants it, at the pace of the slowest. Whoever stalls reads on by itself.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use headwater_core::{Error, Filter, Log, Position, Result, StoredEvent};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// How many events are read at a time. The cursor bounds their bytes, by 8 MiB.
const BATCH: usize = 20_000;

/// From how many events on, or bytes of them, a projection is given what there is: each part costs it a
/// transaction. It may have three parts in memory: in its hands, next, and in the making.
const ENOUGH_EVENTS: usize = 10_000;
const ENOUGH_BYTES: usize = 4 << 20;

/// And from how many positions on, for one that wants little of what others read.
const ENOUGH_POSITIONS: u64 = 200_000;

/// How far ahead of another a projection may be that shares its reading: it waits meanwhile.
const NEAR: u64 = 100_000;

/// How long a reading waits for all that are at work: each makes its tables first, or ends what it has in
/// hands. And how often it looks whether all have come, since some may have ended.
const GATHER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(20));

/// How long a projection may take for a part, times those that share the reading: they take turns.
const STALLED: Duration = Duration::from_secs(5);

/// Events of the log, and how far it was read with them.
pub(crate) struct Part {
    /// In memory once, for all that want them.
    pub(crate) events: Vec<Arc<StoredEvent>>,
    pub(crate) position: Position,
    /// Whether that is the ceiling.
    pub(crate) caught_up: bool,
}

/// Where projections come together. Each has a clone of it for as long as it is at work.
#[derive(Clone)]
pub(crate) struct SharedReading {
    log: Log,
    joining: mpsc::UnboundedSender<Member>,
}

impl SharedReading {
    /// Nobody is there yet.
    pub(crate) fn new(log: Log) -> Self {
        let (joining, members) = mpsc::unbounded_channel();
        tokio::spawn(gather(log.clone(), members));
        Self { log, joining }
    }

    /// The events above `after` that the filter wants, up to the ceiling, or to an error. They end before,
    /// where others would wait for this reader: then it reads on [by itself](Self::alone).
    ///
    /// They are read in a task of its own, which ends with its readers: the next ones are read while these
    /// are decoded, folded and written.
    pub(crate) fn join(&self, filter: &Filter, after: Position) -> mpsc::Receiver<Result<Part>> {
        let (member, parts) = Member::new(filter, after);
        // The gathering lasts as long as this; without it the parts end at once.
        let _gathered = self.joining.send(member);
        parts
    }

    /// The same, shared with nobody: for what is left.
    pub(crate) fn alone(&self, filter: &Filter, after: Position) -> mpsc::Receiver<Result<Part>> {
        let (member, parts) = Member::new(filter, after);
        tokio::spawn(read(self.log.clone(), vec![member]));
        parts
    }
}

async fn gather(log: Log, mut joining: mpsc::UnboundedReceiver<Member>) {
    while let Some(first) = joining.recv().await {
        let (mut members, begun) = (vec![first], Instant::now());
        while members.len() < joining.sender_strong_count() && begun.elapsed() < GATHER.0 {
            if let Ok(Some(member)) = timeout(GATHER.1, joining.recv()).await {
                members.push(member);
            }
        }
        for members in near(members) {
            tokio::spawn(read(log.clone(), members));
        }
    }
}

/// Those that can share a reading, group by group.
fn near(mut members: Vec<Member>) -> Vec<Vec<Member>> {
    members.sort_by_key(|member| member.after);
    let mut groups: Vec<Vec<Member>> = Vec::new();
    for member in members {
        match groups.last_mut() {
            Some(group) if member.after.0 - group[0].after.0 <= NEAR => group.push(member),
            _ => groups.push(vec![member]),
        }
    }
    groups
}

async fn read(log: Log, mut members: Vec<Member>) {
    let Some(after) = members.iter().map(|member| member.after).min() else { return };
    let mut cursor = log.subscribe(union(&members), after);
    while !members.is_empty() {
        let all_gone = join_all(members.iter().map(|member| member.give.closed()));
        let batch = tokio::select! {
            batch = cursor.available(BATCH) => batch,
            _ = all_gone => return,
        };
        let part = match batch {
            Ok(Some(batch)) => {
                let events = batch.events.into_iter().map(Arc::new).collect();
                Part { events, position: batch.position, caught_up: batch.caught_up }
            }
            Ok(None) => Part { events: Vec::new(), position: cursor.position(), caught_up: true },
            Err(error) => return tell(members, &error).await,
        };
        let caught_up = part.caught_up;
        members = deal(members, &part).await;
        if caught_up {
            return;
        }
    }
}

/// Tells each of a fault, behind what it was given.
async fn tell(members: Vec<Member>, error: &Error) {
    let told = members.into_iter().map(|member| {
        let Member { give, .. } = member;
        async move { give.send(Err(error.clone())).await }
    });
    let _some_gone = join_all(told).await;
}

/// Gives each what it wants of what was read; yields those that go on with the others.
async fn deal(members: Vec<Member>, read: &Part) -> Vec<Member> {
    let patience = match members.len() {
        1 => Duration::MAX,
        count => STALLED.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)),
    };
    let mut staying = Vec::new();
    for mut member in members {
        member.take(read);
        if !member.has_enough(read) {
            staying.push(member);
            continue;
        }
        let part = member.part(read);
        match timeout(patience, member.give.send(Ok(part))).await {
            Ok(Ok(())) => staying.push(member),
            Ok(Err(_gone)) => {}
            Err(_stalled) => tracing::debug!(?patience, "a rebuild that stalls reads on by itself"),
        }
    }
    staying
}

/// A projection that reads with others.
struct Member {
    filter: Filter,
    /// Everything at or below was given, or is of no interest.
    after: Position,
    give: mpsc::Sender<Result<Part>>,
    /// Too few yet to be given, and their bytes.
    kept: Vec<Arc<StoredEvent>>,
    bytes: usize,
}

impl Member {
    fn new(filter: &Filter, after: Position) -> (Self, mpsc::Receiver<Result<Part>>) {
        let (give, parts) = mpsc::channel(1);
        let member = Self { filter: filter.clone(), after, give, kept: Vec::new(), bytes: 0 };
        (member, parts)
    }

    fn wants(&self, event: &StoredEvent) -> bool {
        event.position > self.after && self.filter.lets_through(event)
    }

    /// Keeps what it wants of what was read.
    fn take(&mut self, read: &Part) {
        for event in &read.events {
            if self.wants(event) {
                self.bytes += event.size();
                self.kept.push(event.clone());
            }
        }
    }

    /// Whether it is given what there is.
    fn has_enough(&self, read: &Part) -> bool {
        let passed = read.position.0.saturating_sub(self.after.0);
        read.caught_up
            || self.kept.len() >= ENOUGH_EVENTS
            || self.bytes >= ENOUGH_BYTES
            || passed >= ENOUGH_POSITIONS
    }

    fn part(&mut self, read: &Part) -> Part {
        (self.after, self.bytes) = (self.after.max(read.position), 0);
        let events = std::mem::take(&mut self.kept);
        Part { events, position: self.after, caught_up: read.caught_up }
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
