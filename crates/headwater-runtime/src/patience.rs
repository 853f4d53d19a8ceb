//! Patience: faults that waiting cures are waited out, with longer pauses each time.

use std::time::Duration;

use headwater_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep};

/// The first pause between two tries, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// After how long a fault is no blip, and the log of the process tells of it.
const BLIP: Duration = Duration::from_secs(5);

/// The patience of one projection's work.
pub(crate) struct Patience {
    projection: String,
    limit: Duration,
    fault: Option<Fault>,
}

/// A fault that lasts.
struct Fault {
    since: Instant,
    pause: Duration,
    told: bool,
}

impl Patience {
    pub(crate) fn new(projection: &str, limit: Duration) -> Self {
        Self { projection: projection.into(), limit, fault: None }
    }

    /// The work went on: the next fault is a new one.
    pub(crate) fn renew(&mut self) {
        self.fault = None;
    }

    /// Waits before the next try.
    ///
    /// # Errors
    ///
    /// The fault itself, where waiting does not cure it, or has not cured it for too long.
    pub(crate) async fn wait_out(&mut self, error: Error) -> Result<()> {
        let projection = &self.projection;
        if error.kind() != ErrorKind::Retry {
            return Err(error);
        }
        let new = || Fault { since: Instant::now(), pause: PAUSE.0, told: false };
        let fault = self.fault.get_or_insert_with(new);
        if fault.since.elapsed() > self.limit {
            return Err(error);
        }
        if fault.since.elapsed() > BLIP && !fault.told {
            fault.told = true;
            tracing::warn!(%projection, %error, "the projection waits until this is over");
        } else {
            tracing::debug!(%projection, %error, "trying again");
        }
        sleep(fault.pause).await;
        fault.pause = (fault.pause * 2).min(PAUSE.1);
        Ok(())
    }
}
