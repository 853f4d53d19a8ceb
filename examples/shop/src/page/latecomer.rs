//! A projection that joins while the shop runs: it catches up on all that has happened, and nobody else notices.

use headwater::{App, Log, ProjectionStatus, Result};
use tokio::sync::watch;

use crate::views::BusyHour;

/// The projection `busy_hours`, which is kept from the moment that somebody asks for it.
pub(crate) struct Latecomer {
    log: Log,
    app: App,
    asked_for: watch::Sender<bool>,
}

impl Latecomer {
    /// Not asked for yet, unless it was at an earlier start.
    pub(crate) async fn new(log: &Log) -> Result<Self> {
        let app = App::new().projection::<BusyHour>();
        let known = log.checkpoints().await?;
        let joined = known.iter().any(|known| app.names().contains(&known.projection.as_str()));
        Ok(Self { log: log.clone(), app, asked_for: watch::Sender::new(joined) })
    }

    /// Lets it join.
    pub(crate) fn join(&self) {
        self.asked_for.send_replace(true);
    }

    /// Keeps it up to date once it was asked for.
    pub(crate) async fn run(&self) -> Result<()> {
        let asked = self.asked_for.subscribe().wait_for(|asked| *asked).await.is_ok();
        if asked { self.app.run(&self.log).await } else { Ok(()) }
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

    /// Its rows, where there are any.
    pub(super) async fn rows(&self) -> Result<Vec<BusyHour>> {
        match self.status().await?.is_empty() {
            true => Ok(Vec::new()),
            false => self.log.find("order by hour", &[]).await,
        }
    }
}
