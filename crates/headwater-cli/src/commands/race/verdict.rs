//! The verdict on a reader: what it was given, beside what was committed.

use std::time::{Duration, Instant};

use super::readers::Seen;

/// How a reader did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// How many events it was given.
    pub(super) events: u64,
    /// Events that were committed, and never given to it.
    pub(super) missed: u64,
    /// How often it was given an event more often than that was committed: twice, or one that was
    /// rolled back.
    pub(super) doubled: u64,
    /// Events that came behind a later one.
    pub(super) inverted: u64,
    /// From the acknowledgement of a commit to the moment the event came.
    pub(super) lag: Lag,
}

/// How far behind a reader was; half of the events, and 99 of 100, came no later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// Judges what a reader has `seen` by what was `committed`, which is in the order of positions.
pub(super) fn judge(committed: &[(u64, Instant)], seen: &Seen) -> Verdict {
    let mut sorted = seen.events.clone();
    sorted.sort_unstable();
    let (mut found, mut lags) = (0, Vec::with_capacity(committed.len()));
    let mut rest = sorted.as_slice();
    for (position, acknowledged) in committed {
        rest = &rest[rest.partition_point(|(seen, _)| seen < position)..];
        if let Some((_, at)) = rest.first().filter(|(seen, _)| seen == position) {
            found += 1;
            // A follower may be given an event before its writer hears of the commit.
            lags.push(at.saturating_duration_since(*acknowledged));
        }
    }
    Verdict {
        events: sorted.len() as u64,
        missed: committed.len() as u64 - found,
        doubled: sorted.len() as u64 - found,
        inverted: seen.inverted,
        lag: Lag::of(lags),
    }
}

impl Verdict {
    /// Whether the reader was given each event once and in order.
    pub(super) fn is_clean(&self) -> bool {
        (self.missed, self.doubled, self.inverted) == (0, 0, 0)
    }
}

impl Lag {
    fn of(mut lags: Vec<Duration>) -> Self {
        lags.sort_unstable();
        let at = |percent: usize| {
            let rank = (lags.len() * percent).div_ceil(100);
            lags.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { p50: at(50), p99: at(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(committed: &[u64], seen: &[u64]) -> (u64, u64, u64) {
        let now = Instant::now();
        let committed: Vec<_> = committed.iter().map(|position| (*position, now)).collect();
        let mut all = Seen::default();
        seen.iter().for_each(|position| all.note(*position, None, now));
        let Verdict { missed, doubled, inverted, .. } = judge(&committed, &all);
        (missed, doubled, inverted)
    }

    #[test]
    fn each_fault_is_counted_as_what_it_is() {
        let committed = [1, 2, 5, 9];
        assert_eq!(judged(&committed, &[1, 2, 5, 9]), (0, 0, 0));
        assert_eq!(judged(&committed, &[1, 9]), (2, 0, 0));
        assert_eq!(judged(&committed, &[1, 2, 5, 5, 9]), (0, 1, 0));
        assert_eq!(judged(&committed, &[1, 5, 2, 9]), (0, 0, 1));
        assert_eq!(judged(&committed, &[1, 2, 3, 5, 9]), (0, 1, 0), "3 was rolled back");
        assert_eq!(judged(&committed, &[9, 1, 2, 1]), (1, 1, 3));
        assert_eq!(judged(&committed, &[]), (4, 0, 0));
        assert_eq!(judged(&[], &[]), (0, 0, 0));
    }

    #[test]
    fn lag_is_counted_from_the_events_own_commit() {
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        let committed: Vec<_> = (1..=100).map(|n| (n, after(10))).collect();
        let mut seen = Seen::default();
        (1..=100).for_each(|n| seen.note(n, None, after(10 + n)));
        let lag = judge(&committed, &seen).lag;
        assert_eq!((lag.p50.as_millis(), lag.p99.as_millis()), (50, 99));
        // One that came before its writer heard of the commit.
        let mut early = Seen::default();
        early.note(1, None, begin);
        assert_eq!(judge(&committed[..1], &early).lag, Lag::default());
    }
}
