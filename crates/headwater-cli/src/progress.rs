//! How a rebuild goes on, on standard error: bars on a terminal, a line a second elsewhere.

use std::{
    collections::HashMap,
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use headwater::{Phase, Progress};
use indicatif::{HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use crate::Options;

const LINE_EVERY: Duration = Duration::from_secs(1);

/// How a bar looks, of every command that shows one.
pub(crate) const BAR: &str = "{prefix}  [{bar:30}] {percent:>3}%  {msg}";

/// Shows the progress of rebuilds.
pub(crate) enum Reporter {
    Silent,
    Bars { all: MultiProgress, bars: Mutex<HashMap<String, (Start, ProgressBar)>> },
    Lines(Mutex<Lines>),
}

#[derive(Default)]
pub(crate) struct Lines {
    starts: HashMap<String, Start>,
    last: Option<Instant>,
}

/// The first report of a rebuild. One that goes on with an earlier build has a head start, which
/// says nothing of its speed.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    position: u64,
    elapsed: Duration,
}

impl Start {
    fn of(progress: &Progress) -> Self {
        Self { position: progress.position.0, elapsed: progress.elapsed }
    }

    fn time_left(self, progress: &Progress) -> Option<Duration> {
        let done = progress.position.0.saturating_sub(self.position);
        let left = progress.target.0.saturating_sub(progress.position.0);
        let took = progress.elapsed.saturating_sub(self.elapsed).as_millis();
        let millis = (took * u128::from(left)).checked_div(u128::from(done))?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }
}

impl Reporter {
    pub(crate) fn new(options: &Options) -> Self {
        if !options.progress() {
            Self::Silent
        } else if std::io::stderr().is_terminal() {
            Self::Bars { all: MultiProgress::new(), bars: Mutex::default() }
        } else {
            Self::Lines(Mutex::default())
        }
    }

    pub(crate) fn report(&self, progress: &Progress) {
        // A panic elsewhere leaves at worst a bar that is behind.
        match self {
            Self::Silent => {}
            Self::Bars { all, bars } => {
                let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
                let (start, bar) = bars
                    .entry(progress.projection.clone())
                    .or_insert_with(|| (Start::of(progress), all.add(bar(progress))));
                draw(bar, *start, progress);
            }
            Self::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = lines.next(progress, Instant::now()) {
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
            }
        }
    }

    /// Leaves the bars as they are, so that a message below them stands alone.
    pub(crate) fn end(&self) {
        if let Self::Bars { bars, .. } = self {
            for (_, bar) in bars.lock().unwrap_or_else(PoisonError::into_inner).values() {
                bar.abandon();
            }
        }
    }
}

fn bar(progress: &Progress) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(progress.target.0)
        .with_style(style.progress_chars("=> "))
        .with_prefix(progress.projection.clone())
}

fn draw(bar: &ProgressBar, start: Start, progress: &Progress) {
    bar.set_length(progress.target.0);
    bar.set_position(progress.position.0);
    bar.set_message(state(start, progress));
    if progress.phase == Phase::Done {
        bar.abandon();
    }
}

impl Lines {
    /// The line to print now, if one is due.
    fn next(&mut self, progress: &Progress, now: Instant) -> Option<String> {
        let start =
            self.starts.entry(progress.projection.clone()).or_insert_with(|| Start::of(progress));
        let due = self.last.is_none_or(|last| now.duration_since(last) >= LINE_EVERY);
        if !due && !matches!(progress.phase, Phase::Done | Phase::Held) {
            return None;
        }
        self.last = Some(now);
        let (name, state) = (&progress.projection, state(*start, progress));
        Some(match progress.phase {
            Phase::Done | Phase::Held => format!("{name}: {state}"),
            Phase::Building | Phase::Comparing | Phase::Swapping => {
                let percent = percent(progress);
                let (at, of) = (HumanCount(progress.position.0), HumanCount(progress.target.0));
                format!("{name}: {percent} %, position {at} of {of}, {state}")
            }
        })
    }
}

fn percent(progress: &Progress) -> u64 {
    let of = progress.target.0.max(1);
    progress.position.0.min(of).saturating_mul(100) / of
}

fn state(start: Start, progress: &Progress) -> String {
    let rate = HumanCount(events_per_second(progress.events, progress.elapsed));
    match progress.phase {
        Phase::Comparing => format!("{rate} events/s, its rows are compared"),
        Phase::Swapping => format!("{rate} events/s, waiting to be swapped in"),
        Phase::Done | Phase::Held => {
            let end = if progress.phase == Phase::Done { "done" } else { "held back" };
            let (events, seconds) = (HumanCount(progress.events), progress.elapsed.as_secs_f64());
            format!("{events} events in {seconds:.1} s, {rate} events/s, {end}")
        }
        Phase::Building => match start.time_left(progress) {
            Some(left) => format!("{rate} events/s, {:#} left", HumanDuration(left)),
            None => format!("{rate} events/s"),
        },
    }
}

/// A rate in whole events; 0 where no time has passed.
pub(crate) fn events_per_second(events: u64, elapsed: Duration) -> u64 {
    let rate = (u128::from(events) * 1000).checked_div(elapsed.as_millis()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use headwater::Position;

    use super::*;

    fn at(position: u64, events: u64, millis: u64) -> Progress {
        Progress {
            projection: "sales".into(),
            generation: 2,
            phase: Phase::Building,
            position: Position(position),
            target: Position(1_000_000),
            events,
            elapsed: Duration::from_millis(millis),
        }
    }

    #[test]
    fn a_line_comes_once_a_second_and_at_the_end() {
        let (mut lines, begin) = (Lines::default(), Instant::now());
        let mut after =
            |millis, progress| lines.next(&progress, begin + Duration::from_millis(millis));
        let first = after(0, at(0, 0, 0)).unwrap();
        assert_eq!(first, "sales: 0 %, position 0 of 1,000,000, 0 events/s");
        assert_eq!(after(900, at(200_000, 200_000, 900)), None);
        let second = after(1_000, at(250_000, 250_000, 1_000)).unwrap();
        assert_eq!(second, "sales: 25 %, position 250,000 of 1,000,000, 250,000 events/s, 3s left");
        let done = Progress { phase: Phase::Done, ..at(1_000_000, 1_000_000, 2_000) };
        let last = after(1_050, done).unwrap();
        assert_eq!(last, "sales: 1,000,000 events in 2.0 s, 500,000 events/s, done");
    }

    #[test]
    fn a_build_that_goes_on_is_not_credited_with_what_was_there() {
        let start = Start::of(&at(500_000, 0, 0));
        let left = start.time_left(&at(600_000, 100_000, 1_000));
        assert_eq!(left, Some(Duration::from_secs(4)));
    }
}
