//! Groups of events into the log: packed into appends of a useful size, several under way at once.
//!
//! Each group keeps its order, and groups do not depend on each other, so appends may overtake each
//! other. Groups are always the same, by which the log knows a second import; how they are packed depends on the speed.

use futures_util::{StreamExt as _, stream};
use headwater::{Append, Error, ExpectedVersion, Log, Result};
use headwater_cli::Failure;
use tokio::time::{Instant, sleep_until};

use super::{
    Imported,
    progress::Progress,
    speed::{Playing, Speed},
};

/// How many events an append takes: as many as the log allows by default.
const APPEND: usize = 1_000;

/// How many appends are under way at once.
const IN_FLIGHT: usize = 4;

/// What belongs together, such as the cart and the order of an invoice.
pub(super) type Group = Vec<Append>;

/// Writes all groups, and counts what was not in the log before.
pub(super) async fn write(
    log: &Log,
    groups: impl Iterator<Item = Result<Group, Failure>>,
    speed: Speed,
    progress: &mut Progress,
) -> Result<Imported, Failure> {
    let mut imported = Imported::default();
    let packs = Packs { groups, playing: speed.begin(), next: None };
    let appends = stream::iter(packs).map(async |pack| {
        let Pack { groups, due } = pack?;
        if let Some(due) = due {
            sleep_until(due).await;
        }
        Ok::<_, Failure>((append(log, &groups).await?, groups))
    });
    let mut appends = std::pin::pin!(appends.buffer_unordered(IN_FLIGHT));
    while let Some(written) = appends.next().await {
        let ((events, streams), pack) = written?;
        imported.events += count(events);
        imported.streams += count(streams);
        imported.ignored += count(pack.iter().filter(|group| group.is_empty()).count());
        progress.report(pack.len(), count(pack.iter().map(events_of).sum()));
    }
    Ok(imported)
}

/// Groups for one append. One that is larger than an append stands alone.
struct Pack {
    groups: Vec<Group>,
    /// When they are to be appended, where a past is played.
    due: Option<Instant>,
}

/// The packs that groups make.
struct Packs<I> {
    groups: I,
    /// Where a past is played, what is not due at the same moment does not go together.
    playing: Option<Playing>,
    next: Option<Group>,
}

impl<I> Packs<I> {
    fn pack(&mut self, groups: Vec<Group>) -> Pack {
        let due = self.playing.as_mut().map(|playing| playing.due(&groups));
        Pack { groups, due }
    }
}

impl<I: Iterator<Item = Result<Group, Failure>>> Iterator for Packs<I> {
    type Item = Result<Pack, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut pack: Vec<_> = self.next.take().into_iter().collect();
        let mut size = pack.iter().map(events_of).sum::<usize>();
        loop {
            let group = match self.groups.next() {
                Some(Ok(group)) => group,
                Some(Err(failure)) => return Some(Err(failure)),
                None => return (!pack.is_empty()).then(|| Ok(self.pack(pack))),
            };
            size += events_of(&group);
            let apart = self.playing.as_ref().is_some_and(|play| !play.together(&pack, &group));
            if (size > APPEND || apart) && !pack.is_empty() {
                self.next = Some(group);
                return Some(Ok(self.pack(pack)));
            }
            pack.push(group);
        }
    }
}

/// Appends a pack, and yields how many events and streams were new.
async fn append(log: &Log, pack: &[Group]) -> Result<(usize, usize)> {
    if pack.iter().map(events_of).sum::<usize>() <= APPEND {
        match append_once(log, pack.concat()).await {
            // The file has grown since it was last imported, or was played, so its packs are others; groups are not.
            Err(Error::IdempotencyConflict { .. }) => {}
            done => return done,
        }
    }
    let (mut events, mut streams) = (0, 0);
    for part in pack.iter().flat_map(parts) {
        let new = append_once(log, part).await?;
        (events, streams) = (events + new.0, streams + new.1);
    }
    Ok((events, streams))
}

async fn append_once(log: &Log, appends: Vec<Append>) -> Result<(usize, usize)> {
    let events = events_of(&appends);
    let begun = |append: &&Append| append.expected == ExpectedVersion::None;
    let streams = appends.iter().filter(begun).count();
    let repeated = events == 0 || log.append_all(appends).await?.repeated;
    Ok(if repeated { (0, 0) } else { (events, streams) })
}

/// Cuts a group into appends of at most [`APPEND`] events, to be written one after the other.
fn parts(group: &Group) -> Vec<Vec<Append>> {
    let (mut parts, mut part, mut room) = (Vec::new(), Vec::new(), APPEND);
    for append in group {
        let (mut rest, mut expected) = (&*append.events, append.expected);
        while !rest.is_empty() {
            let (events, behind) = rest.split_at(rest.len().min(room));
            part.push(Append::new(append.stream.clone(), expected, events.iter().cloned()));
            (rest, room) = (behind, room - events.len());
            expected = ExpectedVersion::Exact(count(append.events.len() - rest.len()));
            if room == 0 {
                parts.push(std::mem::take(&mut part));
                room = APPEND;
            }
        }
    }
    parts.push(part);
    parts
}

fn events_of(group: &Group) -> usize {
    group.iter().map(|append| append.events.len()).sum()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
