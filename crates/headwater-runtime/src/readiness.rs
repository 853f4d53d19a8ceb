//! Whether an instance of a service can do its work: what a load balancer wants to know.

use std::time::Duration;

use futures_util::future::try_join;
use headwater_core::{Error, GenerationState, Log};
use tokio::time::timeout;

use crate::App;

/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// How long ago this instance may have looked at its leases: as long as it has them for, by default.
const LOOKED: Duration = Duration::from_secs(10);

/// Whether an instance of a service can do its work; see [`App::readiness`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Readiness {
    /// What stands in the way, a sentence each, without names of hosts; nothing where the instance is ready.
    pub obstacles: Vec<String>,
    /// The projections that stand still. They are no obstacle: commands are carried out, and read models
    /// answer with what they hold, in this instance as in all others.
    pub standing_still: Vec<String>,
}

impl Readiness {
    /// Whether nothing stands in the way.
    pub fn is_ready(&self) -> bool {
        self.obstacles.is_empty()
    }
}

impl App {
    /// Whether this instance can do its work: the database answers within a second, its schema is the one
    /// that this program needs, and where [`App::run`] is under way it looks at its leases. It takes a
    /// second at most.
    pub async fn readiness(&self, log: &Log) -> Readiness {
        let mut readiness = Readiness::default();
        if let Err(error) = self.check() {
            readiness.obstacles.push(error.to_string());
        }
        let store = log.store();
        match timeout(ANSWER, try_join(store.check(), store.checkpoints())).await {
            Ok(Ok(((), checkpoints))) => {
                let still = checkpoints.into_iter().filter(|checkpoint| {
                    checkpoint.state == GenerationState::Live
                        && (checkpoint.paused || checkpoint.failure.is_some())
                        && self.units().contains(&checkpoint.projection)
                });
                readiness.standing_still = still.map(|checkpoint| checkpoint.projection).collect();
            }
            Ok(Err(error)) => readiness.obstacles.push(told(&error)),
            Err(_elapsed) => {
                readiness.obstacles.push("the database does not answer within a second".into());
            }
        }
        if self.pulse.since_last().is_some_and(|since| since > LOOKED) {
            let obstacle = "this instance does not look at the leases of its projections";
            readiness.obstacles.push(obstacle.into());
        }
        readiness
    }
}

/// An obstacle in words that everybody may read: where the database lies is for the log of the process.
fn told(error: &Error) -> String {
    if matches!(error, Error::SchemaTooOld { .. } | Error::SchemaTooNew { .. }) {
        return error.to_string();
    }
    tracing::debug!(%error, "this instance is not ready");
    format!("the database cannot be used: {}", error.code())
}
