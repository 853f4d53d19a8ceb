//! A projection that joins while the shop runs: it catches up on all that has happened, and nobody else notices.

use std::time::Duration;

use headwater::{App, Log, ProjectionStatus, Result};
use tokio::{sync::watch, time::timeout};

use crate::views::BusyHour;

/// How often it looks whether another process was asked.
const LOOK: Duration = Duration::from_secs(1);

/// The projection `busy_hours`, which is kept from the moment that somebody asks for it.
pub(crate) struct Latecomer {
    log: Log,
    app: App,
    asked_for: watch::Sender<bool>,
}

impl Latecomer {
    /// Not asked for yet.
    pub(crate) fn new(log: &Log) -> Self {
        let app = App::new().projection::<BusyHour>();
        Self { log: log.clone(), app, asked_for: watch::Sender::new(false) }
    }

    /// Lets it join.
    pub(crate) fn join(&self) {
        self.asked_for.send_replace(true);
    }

    /// Keeps it up to date once it was asked for, here, in another process, or at an earlier start.
    pub(crate) async fn run(&self) -> Result<()> {
        let mut asked_for = self.asked_for.subscribe();
        while timeout(LOOK, asked_for.wait_for(|asked| *asked)).await.is_err() {
            // A database that is away is asked again.
            let known = self.log.checkpoints().await.unwrap_or_default();
            if known.iter().any(|known| self.app.names().contains(&known.projection.as_str())) {
                self.join();
            }
        }
        self.app.run(&self.log).await
    }

    /// Where it stands; nothing before it has joined.
    pub(super) async fn status(&self) -> Result<Vec<ProjectionStatus>> {
        if !*self.asked_for.borrow() {
            return Ok(Vec::new());
        }
        let mut status = self.app.status(&self.log).await?;
        // Its first row is made at this very moment.
        status.retain(|status| status.generation > 0);
        Ok(status)
    }

    /// Its rows, once it has joined.
    pub(super) async fn rows(&self) -> Result<Vec<BusyHour>> {
        self.log.find("order by hour", &[]).await
    }
}
