//! How far a command has come that goes through a whole log, on standard error: a bar on a terminal, a line a
//! second elsewhere.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::{
    Options,
    progress::{BAR, events_per_second},
};

const EVERY: Duration = Duration::from_secs(1);

/// A bar's, where nobody knows how much there is.
const SPINNER: &str = "{prefix}  {spinner} {msg}";

/// Shows how far a command has come.
pub(crate) struct Pace {
    /// None where nothing is wanted.
    bar: Option<Bar>,
    name: &'static str,
    /// Of how much; none where nobody knows.
    whole: Option<u64>,
    begun: Instant,
    shown: Instant,
}

enum Bar {
    Terminal(ProgressBar),
    Lines,
}

impl Pace {
    /// Nothing is done yet, of `whole`: positions, or bytes.
    pub(crate) fn new(options: &Options, name: &'static str, whole: Option<u64>) -> Self {
        let bar = options.progress().then(|| {
            if !std::io::stderr().is_terminal() {
                return Bar::Lines;
            }
            let bar = whole.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let style = ProgressStyle::with_template(if whole.is_some() { BAR } else { SPINNER });
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            Bar::Terminal(bar.with_style(style.progress_chars("=> ")).with_prefix(name))
        });
        let now = Instant::now();
        Self { bar, name, whole, begun: now, shown: now }
    }

    /// So many events are done, and so much of the whole.
    pub(crate) fn report(&mut self, events: u64, done: u64) {
        let Some(bar) = &self.bar else { return };
        let rate = || events_per_second(events, self.begun.elapsed());
        let state = || format!("{} events, {} events/s", HumanCount(events), HumanCount(rate()));
        match bar {
            Bar::Terminal(bar) => {
                bar.set_position(done);
                bar.set_message(state());
            }
            Bar::Lines if self.shown.elapsed() < EVERY => {}
            Bar::Lines => {
                self.shown = Instant::now();
                let percent = self.whole.map(|whole| {
                    format!("{} %, ", done.min(whole).saturating_mul(100) / whole.max(1))
                });
                let (name, percent) = (self.name, percent.unwrap_or_default());
                let _ = writeln!(std::io::stderr(), "{name}: {percent}{}", state());
            }
        }
    }
}

/// Whatever comes below the bar stands alone.
impl Drop for Pace {
    fn drop(&mut self) {
        if let Some(Bar::Terminal(bar)) = &self.bar {
            bar.abandon();
        }
    }
}
