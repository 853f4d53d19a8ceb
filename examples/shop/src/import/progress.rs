//! How an import goes on, on standard error: a bar that is redrawn on a terminal, a line a second
//! elsewhere.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    time::{Duration, Instant},
};

/// The progress of one import.
pub(super) struct Progress {
    begun: Instant,
    drawn: Instant,
    /// Groups of lines, all and done.
    groups: usize,
    done: usize,
    events: u64,
    show: bool,
    terminal: bool,
}

impl Progress {
    pub(super) fn begin(groups: usize, show: bool) -> Self {
        let (begun, terminal) = (Instant::now(), stderr().is_terminal());
        Self { begun, drawn: begun, groups, done: 0, events: 0, show, terminal }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// So many more groups and their events are in the log, whether or not they were before.
    pub(super) fn report(&mut self, groups: usize, events: u64) {
        self.done += groups;
        self.events += events;
        let every = Duration::from_millis(if self.terminal { 100 } else { 1000 });
        if self.drawn.elapsed() >= every {
            self.drawn = Instant::now();
            self.draw();
        }
    }

    /// Leaves the last state standing.
    pub(super) fn end(&self) {
        self.draw();
        if self.show && self.terminal {
            let _ = writeln!(stderr());
        }
    }

    fn draw(&self) {
        if !self.show {
            return;
        }
        let percent = (self.done * 100).checked_div(self.groups).unwrap_or(100);
        let (events, seconds) = (self.events, self.seconds());
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let rate = events.saturating_mul(1000) / millis.max(1);
        let state = format!("{percent} %, {events} events in {seconds:.0} s, {rate} events/s");
        // Nobody is left to tell where standard error is closed.
        let _ = if self.terminal {
            let bar = "=".repeat(percent * 30 / 100);
            write!(stderr(), "\r\x1b[K[{bar:30}] {state}")
        } else {
            writeln!(stderr(), "import: {state}")
        };
    }
}
