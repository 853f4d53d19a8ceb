//! The metrics of a service in the text format of Prometheus, for its own `/metrics`.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use headwater::metrics;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{Exit, Failure};

/// How often what histograms took in is summed up, so that it needs no memory where nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of this process, once it is installed.
static INSTALLED: OnceLock<Prometheus> = OnceLock::new();

/// Held while it is installed.
static INSTALLING: Mutex<()> = Mutex::new(());

/// The recorder of a process, which renders what it was told. Cloning is cheap.
#[derive(Clone)]
pub struct Prometheus(PrometheusHandle);

impl Prometheus {
    /// Installs the recorder of this process, or yields the one that was installed here before. Call it
    /// before the log is opened: what is opened without a recorder tells none.
    ///
    /// # Errors
    ///
    /// Where the process has another recorder already, or can start no thread.
    pub fn install() -> Result<Self, Failure> {
        let _turn = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(installed) = INSTALLED.get() {
            return Ok(installed.clone());
        }
        let failed = |error: BuildError| {
            Failure::new(Exit::Failed, "metrics", format!("the metrics are not kept: {error}"))
        };
        let mut builder = PrometheusBuilder::new();
        for metric in metrics::ALL.iter().filter(|metric| !metric.buckets().is_empty()) {
            let name = Matcher::Full(metric.name.into());
            builder = builder.set_buckets_for_metric(name, metric.buckets()).map_err(failed)?;
        }
        let handle = builder.install_recorder().map_err(failed)?;
        metrics::describe();
        let kept = handle.clone();
        // A thread, since a runtime may end before the process does.
        thread::Builder::new().name("metrics".into()).spawn(move || {
            loop {
                thread::sleep(UPKEEP);
                kept.run_upkeep();
            }
        })?;
        Ok(INSTALLED.get_or_init(|| Self(handle)).clone())
    }

    /// All metrics as they are now, in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.0.render()
    }
}
