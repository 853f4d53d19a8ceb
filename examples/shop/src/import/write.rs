//! Groups of events into the log: packed into appends of a useful size, several under way at once.
//!
//! Each group keeps its order, and groups do not depend on each other, so appends may overtake each
//! other. The same file always yields the same appends, by which the log knows a second import.

use futures_util::{StreamExt as _, stream};
use headwater::{Append, Error, ExpectedVersion, Log};
use headwater_cli::Failure;

use super::{Imported, progress::Progress};

/// How many events an append takes: as many as the log allows by default.
const APPEND: usize = 1_000;

/// How many appends are under way at once.
const IN_FLIGHT: usize = 4;

/// What belongs together, such as the cart and the order of an invoice.
type Group = Vec<Append>;

/// Writes all groups, and counts what was not in the log before.
pub async fn write(
    log: &Log,
    groups: impl Iterator<Item = Result<Group, Failure>>,
    progress: &Progress,
) -> Result<Imported, Failure> {
    let mut packs = Packs { groups, next: None, ignored: 0 };
    let mut imported = Imported::default();
    {
        let appends = stream::iter(&mut packs).map(|pack| async { append(log, pack?).await });
        let mut appends = std::pin::pin!(appends.buffer_unordered(IN_FLIGHT));
        while let Some(added) = appends.next().await {
            let Added { events, streams, read } = added?;
            imported.events += events;
            imported.streams += streams;
            progress.report(read);
        }
    }
    imported.ignored = packs.ignored;
    Ok(imported)
}

/// Groups for one append. One that is larger than an append stands alone.
struct Packs<I> {
    groups: I,
    next: Option<Group>,
    /// How many groups held nothing to import.
    ignored: u64,
}

impl<I: Iterator<Item = Result<Group, Failure>>> Iterator for Packs<I> {
    type Item = Result<Vec<Group>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut pack: Vec<_> = self.next.take().into_iter().collect();
        let mut size = pack.iter().map(events).sum::<usize>();
        loop {
            let group = match self.groups.next() {
                Some(Ok(group)) => group,
                Some(Err(failure)) => return Some(Err(failure)),
                None => return (!pack.is_empty()).then_some(Ok(pack)),
            };
            if group.is_empty() {
                self.ignored += 1;
                continue;
            }
            size += events(&group);
            if size > APPEND && !pack.is_empty() {
                self.next = Some(group);
                return Some(Ok(pack));
            }
            pack.push(group);
        }
    }
}

fn events(group: &Group) -> usize {
    group.iter().map(|append| append.events.len()).sum()
}

/// What one pack added to the log, and how many events it held.
#[derive(Default)]
struct Added {
    events: u64,
    streams: u64,
    read: u64,
}

async fn append(log: &Log, pack: Vec<Group>) -> Result<Added, Failure> {
    let mut added = Added::default();
    if let [group] = &*pack {
        for part in parts(group) {
            append_once(log, part, &mut added).await?;
        }
        return Ok(added);
    }
    match append_once(log, pack.concat(), &mut added).await {
        // The file has grown since it was last imported, so its packs are others; groups are not.
        Err(Error::IdempotencyConflict { .. }) => {
            for part in pack.iter().flat_map(parts) {
                append_once(log, part, &mut added).await?;
            }
            Ok(added)
        }
        done => Ok(done.map(|()| added)?),
    }
}

async fn append_once(log: &Log, appends: Vec<Append>, added: &mut Added) -> headwater::Result<()> {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let events = count(appends.iter().map(|append| append.events.len()).sum());
    let begun = |append: &&Append| append.expected == ExpectedVersion::None;
    let streams = count(appends.iter().filter(begun).count());
    let appended = log.append_all(appends).await?;
    added.read += events;
    if !appended.repeated {
        added.events += events;
        added.streams += streams;
    }
    Ok(())
}

/// Cuts a group into appends of at most [`APPEND`] events, to be written one after the other.
fn parts(group: &Group) -> Vec<Vec<Append>> {
    let (mut parts, mut room) = (vec![Vec::new()], APPEND);
    for append in group {
        let (mut rest, mut expected) = (&*append.events, append.expected);
        while !rest.is_empty() {
            if room == 0 {
                parts.push(Vec::new());
                room = APPEND;
            }
            let (events, behind) = rest.split_at(rest.len().min(room));
            let part = Append::new(append.stream.clone(), expected, events.iter().cloned());
            if let Some(last) = parts.last_mut() {
                last.push(part);
            }
            room -= events.len();
            rest = behind;
            let written = u64::try_from(append.events.len() - rest.len()).unwrap_or(u64::MAX);
            expected = ExpectedVersion::Exact(written);
        }
    }
    parts
}
