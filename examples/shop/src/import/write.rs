//! Groups of events into the log: packed into appends of a useful size, several under way at once.
//!
//! Each group keeps its order, and groups do not depend on each other, so appends may overtake each
//! other. The same file always yields the same appends, by which the log knows a second import.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use headwater::{Append, Error, ExpectedVersion, Log, Result};
use headwater_cli::Failure;

use super::{
    Imported,
    progress::Progress,
    speed::{self, Playing, Speed},
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
    let mut playing = speed.begin();
    let appends = stream::iter(Packs { groups, playing, next: None }).map(|pack| {
        let pack = pack?;
        let due = playing.as_mut().map(|playing| playing.due(&pack));
        Ok::<_, Failure>(async move {
            speed::until(due).await;
            Ok((append(log, &pack).await?, pack))
        })
    });
    let mut appends = std::pin::pin!(appends.try_buffer_unordered(IN_FLIGHT));
    while let Some(((events, streams), pack)) = appends.try_next().await? {
        imported.events += count(events);
        imported.streams += count(streams);
        imported.ignored += count(pack.iter().filter(|group| group.is_empty()).count());
        progress.report(pack.len(), count(pack.iter().map(events_of).sum()));
    }
    Ok(imported)
}

/// Groups for one append. One that is larger than an append stands alone.
struct Packs<I> {
    groups: I,
    /// Where a past is played, what is not due at the same moment does not go together.
    playing: Option<Playing>,
    next: Option<Group>,
}

impl<I: Iterator<Item = Result<Group, Failure>>> Iterator for Packs<I> {
    type Item = Result<Vec<Group>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut pack: Vec<_> = self.next.take().into_iter().collect();
        let mut size = pack.iter().map(events_of).sum::<usize>();
        loop {
            let group = match self.groups.next() {
                Some(Ok(group)) => group,
                Some(Err(failure)) => return Some(Err(failure)),
                None => return (!pack.is_empty()).then_some(Ok(pack)),
            };
            size += events_of(&group);
            let apart = self.playing.as_ref().is_some_and(|play| !play.together(&pack, &group));
            if (size > APPEND || apart) && !pack.is_empty() {
                self.next = Some(group);
                return Some(Ok(pack));
            }
            pack.push(group);
        }
    }
}

/// Appends a pack, and yields how many events and streams were new.
async fn append(log: &Log, pack: &[Group]) -> Result<(usize, usize)> {
    if pack.iter().map(events_of).sum::<usize>() <= APPEND {
        match append_once(log, pack.concat()).await {
            // The file has grown since it was last imported, so its packs are others; groups are not.
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
