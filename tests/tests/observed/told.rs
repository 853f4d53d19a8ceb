//! What the recorder of this process was told.

use headwater_cli::Prometheus;
use headwater_testkit::eventually;
use tokio::sync::{Mutex, MutexGuard};

/// The recorder, for one test at a time: it is the same for all of this program.
pub struct Told {
    recorder: Prometheus,
    _turn: MutexGuard<'static, ()>,
}

impl Told {
    pub async fn install() -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        Self { recorder: Prometheus::install().unwrap(), _turn: turn }
    }

    pub fn text(&self) -> String {
        self.recorder.render()
    }

    /// The value of a series, such as `name{label="value"}`; 0 where nobody has told it yet.
    pub fn value(&self, series: &str) -> f64 {
        let text = self.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a series has a value.
    pub async fn comes_to(&self, series: &str, value: impl Fn(f64) -> bool) {
        let what = format!("{series} is told");
        eventually(&what, async || value(self.value(series)).then_some(())).await;
    }
}
