//! How an import goes on, on standard error: a line that is redrawn on a terminal, a line a second
//! elsewhere.

use std::{
    cell::Cell,
    io::{IsTerminal as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use super::source::ReadBytes;

/// The progress of one import.
pub struct Progress {
    begun: Instant,
    bytes: ReadBytes,
    size: u64,
    lines: u64,
    shown: Option<Shown>,
}

/// Where and when it was last shown.
struct Shown {
    terminal: bool,
    last: Cell<Instant>,
    events: Cell<u64>,
}

impl Progress {
    /// Begins to count; nothing is ever shown unless `show` is set.
    pub fn begin(file: &Path, lines: u64, show: bool) -> Self {
        let begun = Instant::now();
        let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        let terminal = std::io::stderr().is_terminal();
        let shown = show.then(|| Shown { terminal, last: Cell::new(begun), events: Cell::new(0) });
        Self { begun, bytes: ReadBytes::default(), size, lines, shown }
    }

    /// Counts how much of the file was read.
    pub fn bytes(&self) -> &ReadBytes {
        &self.bytes
    }

    /// How long it has taken so far.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Notes that so many further events are in the log, whether or not they were there before.
    pub fn report(&self, events: u64) {
        let Some(shown) = &self.shown else { return };
        shown.events.set(shown.events.get() + events);
        let every = Duration::from_millis(if shown.terminal { 100 } else { 1000 });
        if shown.last.get().elapsed() >= every {
            shown.last.set(Instant::now());
            self.draw(shown);
        }
    }

    /// Leaves the last state standing.
    pub fn end(&self) {
        let Some(shown) = &self.shown else { return };
        self.draw(shown);
        if shown.terminal {
            let _ = writeln!(std::io::stderr());
        }
    }

    fn draw(&self, shown: &Shown) {
        let state = self.state(shown.events.get());
        let mut out = std::io::stderr();
        // Nobody is left to tell where standard error is closed.
        let _ = if shown.terminal {
            let filled = usize::try_from(self.percent() * 30 / 100).unwrap_or(30);
            write!(out, "\r\x1b[K[{}{}] {state}", "=".repeat(filled), " ".repeat(30 - filled))
        } else {
            writeln!(out, "import: {state}")
        };
        let _ = out.flush();
    }

    fn percent(&self) -> u64 {
        (self.bytes.get().min(self.size) * 100).checked_div(self.size).unwrap_or(100)
    }

    fn state(&self, events: u64) -> String {
        let (percent, lines) = (self.percent(), self.lines);
        let took = self.begun.elapsed();
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let rate = events.saturating_mul(1000) / millis.max(1);
        let left = (millis * (100 - percent)).checked_div(percent).unwrap_or(0).div_ceil(1000);
        format!("{percent} % of {lines} lines, {events} events, {rate} events/s, {left} s left")
    }
}
