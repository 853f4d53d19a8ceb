//! Windows in event time: the keys of rows that each stand for a stretch of time.

use chrono::{DateTime, Utc};

/// Windows of one length, each of which begins some time after the one before.
///
/// They are made for the keys of a [`Fold`](crate::Fold): a row for each window, in which an event counts by the
/// time at which it happened, whenever it comes. So no window is ever closed, what comes late corrects the window
/// it belongs to, and rows do not depend on the order of arrival as long as the fold itself does not.
///
/// A window holds its first moment and not its end. Windows are aligned to midnight of 1970-01-01 in UTC, as in
/// Kafka Streams and Flink.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use headwater_core::Windows;
///
/// const MINUTES: Windows = Windows::tumbling(60);
/// const LAST_HOUR: Windows = Windows::hopping(3_600, 900);
///
/// let at: DateTime<Utc> = "2024-05-07T10:20:31Z".parse().unwrap();
/// assert_eq!(MINUTES.start(at).to_rfc3339(), "2024-05-07T10:20:00+00:00");
/// let starts: Vec<_> = LAST_HOUR.starts(at).map(|start| start.format("%H:%M").to_string()).collect();
/// assert_eq!(starts, ["10:15", "10:00", "09:45", "09:30"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// In seconds.
    length: u32,
    every: u32,
}

impl Windows {
    /// Windows of this length, in seconds, each of which begins where the one before ends.
    ///
    /// # Panics
    ///
    /// Where it is 0; as a constant it does not compile then.
    pub const fn tumbling(length: u32) -> Self {
        Self::hopping(length, length)
    }

    /// Windows of this length that begin `every` so many seconds, and overlap.
    ///
    /// # Panics
    ///
    /// Where `every` is 0 or longer than the windows, which would leave moments out; as a constant it does not
    /// compile then.
    pub const fn hopping(length: u32, every: u32) -> Self {
        assert!(every > 0, "windows begin at least a second apart");
        assert!(
            every <= length,
            "windows that begin further apart than they are long leave moments out"
        );
        Self { length, every }
    }

    /// How long each is, in seconds.
    pub const fn length(self) -> u32 {
        self.length
    }

    /// Where the latest window begins that holds this moment.
    pub fn start(self, at: DateTime<Utc>) -> DateTime<Utc> {
        from_seconds(self.latest(at))
    }

    /// Where each window begins that holds this moment, the latest first.
    pub fn starts(self, at: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        let (length, every) = (i64::from(self.length), i64::from(self.every));
        let earlier = move |start: &i64| Some(start - every);
        std::iter::successors(Some(self.latest(at)), earlier)
            .take_while(move |start| start + length > at.timestamp())
            .map(from_seconds)
    }

    fn latest(self, at: DateTime<Utc>) -> i64 {
        let seconds = at.timestamp();
        seconds - seconds.rem_euclid(i64::from(self.every))
    }
}

/// The first or last moment that chrono knows, where it is none of its moments.
fn from_seconds(seconds: i64) -> DateTime<Utc> {
    let nearest = if seconds < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp(seconds, 0).unwrap_or(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_holds_its_first_moment_and_not_its_end() {
        let minutes = Windows::tumbling(60);
        let starts = |text| minutes.starts(at(text)).collect::<Vec<_>>();
        assert_eq!(starts("2024-05-07T10:20:00Z"), [at("2024-05-07T10:20:00Z")]);
        assert_eq!(starts("2024-05-07T10:20:59.999999Z"), [at("2024-05-07T10:20:00Z")]);
        assert_eq!(starts("2024-05-07T10:21:00Z"), [at("2024-05-07T10:21:00Z")]);
    }

    #[test]
    fn before_1970_windows_go_on_in_the_same_way() {
        let hours = Windows::tumbling(3_600);
        assert_eq!(hours.start(at("1969-12-31T23:30:00.5Z")), at("1969-12-31T23:00:00Z"));
    }

    #[test]
    fn the_ends_of_time_are_moments_too() {
        for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert!(Windows::hopping(u32::MAX, u32::MAX / 3).starts(at).count() <= 4);
        }
    }

    #[test]
    fn those_that_hold_a_moment_are_found_by_the_definition() {
        for (length, every) in (1..20_u32).flat_map(|length| (1..=length).map(move |e| (length, e)))
        {
            let windows = Windows::hopping(length, every);
            for seconds in -40..40_i64 {
                let holds = |start: &i64| *start <= seconds && seconds < start + i64::from(length);
                let begins = |second: &i64| second.rem_euclid(i64::from(every)) == 0;
                let all: Vec<_> = (-60..=40).rev().filter(begins).filter(holds).collect();
                let at = DateTime::from_timestamp(seconds, 999_999_999).unwrap();
                let found: Vec<_> = windows.starts(at).map(|start| start.timestamp()).collect();
                assert_eq!(found, all, "{length} s every {every} s at {seconds}");
                assert_eq!(windows.start(at).timestamp(), all[0]);
            }
        }
    }
}
