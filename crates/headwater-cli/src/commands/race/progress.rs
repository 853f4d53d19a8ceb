//! The progress of a race on standard error: a bar on a terminal, a line a second elsewhere.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::{Options, progress::BAR};

/// Shows the progress of a race.
pub(super) enum Reporter {
    Silent,
    Bar(ProgressBar),
    /// Of so many seconds.
    Lines(u64),
}

impl Reporter {
    pub(super) fn new(options: &Options, length: Duration) -> Self {
        if !options.progress() {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines(length.as_secs());
        }
        let style = ProgressStyle::with_template(BAR);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
        Self::Bar(ProgressBar::new(length.as_secs()).with_style(style).with_prefix("race"))
    }

    /// Says where it stands: how many events were committed, and how many of them the slowest
    /// follower does not have yet.
    pub(super) fn report(&self, elapsed: Duration, events: usize, behind: usize) {
        let (events, behind) = (HumanCount(events as u64), HumanCount(behind as u64));
        let state = format!("{events} events committed, the slowest follower is {behind} behind");
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                bar.set_position(elapsed.as_secs());
                bar.set_message(state);
            }
            Self::Lines(length) => say(&format!("{} of {length} s, {state}", elapsed.as_secs())),
        }
    }

    /// The writers have stopped.
    pub(super) fn ending(&self) {
        let state = "the writers have stopped, the readers come to the end";
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                bar.set_position(bar.length().unwrap_or_default());
                bar.set_message(state);
            }
            Self::Lines(_) => say(state),
        }
    }

    /// Leaves the bar as it is, so that what comes below it stands alone.
    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.abandon();
        }
    }
}

fn say(state: &str) {
    let _ = writeln!(std::io::stderr(), "race: {state}");
}
