//! How fast a past goes into the log: at once, or as it happened, so many times faster.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::write::Group;

/// Of a past that is played, what falls within so much of the player's time is appended together.
const TICK: Duration = Duration::from_millis(100);

/// How many seconds of the past go into a second; `None` where nothing is waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Speed(Option<f64>);

/// A past that is being played, which must come in the order in which it happened.
pub(super) struct Playing {
    speed: f64,
    begun: Instant,
    /// The moment of the past at which it began.
    from: Option<DateTime<Utc>>,
}

impl FromStr for Speed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let times = match text {
            "max" => return Ok(Self(None)),
            "realtime" => Some(1.0),
            text => text.strip_suffix('x').and_then(|times| times.parse().ok()),
        };
        let times = times.filter(|times: &f64| (0.001..=1e9).contains(times));
        times.map(|times| Self(Some(times))).ok_or("a speed is max, realtime, or such as 3600x")
    }
}

impl Speed {
    /// Whether it is not all at once.
    pub(super) fn plays(self) -> bool {
        self.0.is_some()
    }

    /// Begins to play, where it is not all at once.
    pub(super) fn begin(self) -> Option<Playing> {
        self.0.map(|speed| Playing { speed, begun: Instant::now(), from: None })
    }
}

impl Playing {
    /// Whether a group is appended together with these.
    pub(super) fn together(&self, pack: &[Group], group: &Group) -> bool {
        let first = pack.iter().find_map(ended);
        let (Some(first), Some(at)) = (first, ended(group)) else { return true };
        self.after(at - first) <= TICK
    }

    /// When these groups are due: when all of the first one has happened. The first of all is due at once.
    pub(super) fn due(&mut self, pack: &[Group]) -> Instant {
        let Some(at) = pack.iter().find_map(ended) else { return self.begun };
        let from = *self.from.get_or_insert(at);
        self.begun + self.after(at - from)
    }

    /// How long so much of the past takes.
    fn after(&self, past: TimeDelta) -> Duration {
        let seconds = past.to_std().unwrap_or_default().as_secs_f64() / self.speed;
        // A century is as good as for ever, and can be added to any moment.
        Duration::from_secs_f64(seconds.min(3.2e9))
    }
}

/// When the last event of a group happened; `None` where no event says so.
fn ended(group: &Group) -> Option<DateTime<Utc>> {
    group.iter().flat_map(|append| &append.events).filter_map(|event| event.occurred_at).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_word_or_so_many_times() {
        assert_eq!("max".parse(), Ok(Speed(None)));
        assert_eq!("realtime".parse(), Ok(Speed(Some(1.0))));
        assert_eq!("3600x".parse(), Ok(Speed(Some(3_600.0))));
        assert_eq!("0.5x".parse(), Ok(Speed(Some(0.5))));
        for text in ["", "x", "3600", "0x", "-1x", "NaNx", "infx", "1e10x", "fast"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_hour_at_3600_times_takes_a_second() {
        let playing = "3600x".parse::<Speed>().unwrap().begin().unwrap();
        assert_eq!(playing.after(TimeDelta::hours(1)), Duration::from_secs(1));
        assert_eq!(playing.after(TimeDelta::hours(-1)), Duration::ZERO);
        let slow = "0.001x".parse::<Speed>().unwrap().begin().unwrap();
        assert!(slow.begun.checked_add(slow.after(TimeDelta::MAX)).is_some());
    }
}
