//! The part of the dashboard that is the same whatever one picks, as one JSON object: the log, totals, some windows, and
//! where projections stand.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use headwater::{App, GenerationState, Log, ProjectionStatus, Result};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{latecomer::Latecomer, recent::Recent};
use crate::statistics::{self, Window};

/// How old an answer may be: however many look at the page, the database is asked twice a second.
const FRESH: Duration = Duration::from_millis(500);

/// When the windows of the page end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Clock {
    /// Now
    Now,
    /// When the newest event of the log happened: for a past that is played, or one that has ended
    Log,
}

/// The state of the shop at this moment.
pub(crate) struct Live {
    log: Log,
    app: Arc<App>,
    recent: Arc<Recent>,
    clock: Clock,
    /// The database in words.
    database: String,
    /// Whether the page may look after projections.
    operable: bool,
    latecomer: Arc<Latecomer>,
    answer: Mutex<Option<(Instant, String)>>,
}

impl Live {
    /// The state of the shop in `log`, whose projections are those of `app`.
    ///
    /// It tells the page whether it is `operable`: whether the log's routes let it look after projections.
    pub(crate) async fn new(
        log: &Log,
        app: Arc<App>,
        recent: Arc<Recent>,
        clock: Clock,
        latecomer: Arc<Latecomer>,
        operable: bool,
    ) -> Result<Self> {
        let (log, database) = (log.clone(), log.store().describe().await?);
        let answer = Mutex::default();
        Ok(Self { log, app, recent, clock, database, operable, latecomer, answer })
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn is_operable(&self) -> bool {
        self.operable
    }

    /// The database in words, such as `SQLite 3.51.3`.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// The state as JSON; `None` before the read models are there.
    pub(crate) async fn json(&self) -> Result<Option<String>> {
        // Held while the database is asked, so that it is asked once for all who wait.
        let mut answer = self.answer.lock().await;
        match &*answer {
            Some((at, json)) if at.elapsed() < FRESH => Ok(Some(json.clone())),
            _ => {
                let status = self.app.status(&self.log).await?;
                if status.iter().any(|status| status.generation == 0) {
                    return Ok(None);
                }
                let json = self.ask(&status).await?;
                *answer = Some((Instant::now(), json.clone()));
                Ok(Some(json))
            }
        }
    }

    async fn ask(&self, status: &[ProjectionStatus]) -> Result<String> {
        let now = Utc::now();
        let late = self.latecomer.status().await?;
        let until = self.until(now);
        let last = |length: &str| {
            Window::new(length.parse().expect("it is a length"), until).expect("it is such a year")
        };
        let (orders, revenue) = last("1h").ordered(&self.log).await?;
        let shown = status.iter().chain(&late).filter(|s| s.state != GenerationState::Verifying);
        let answer = json!({
            "log": self.database,
            "now": now,
            "until": until,
            "played": self.clock == Clock::Log,
            "position": self.log.ceiling().await?.position,
            "events_per_second": self.recent.seconds(now),
            "sales": statistics::sales(&self.log).await?,
            "carts": statistics::carts(&self.log).await?,
            "buttons": {
                "all": statistics::buttons(&self.log).await?,
                "now": last("5m").buttons(&self.log).await?,
            },
            "hour": { "orders": orders, "revenue": revenue },
            "click_days": last("14d").click_days(&self.log).await?,
            "busy_hours": if late.is_empty() { Vec::new() } else { self.busy_hours().await? },
            "events": self.recent.last(),
            "projections": shown.map(projection).collect::<Vec<_>>(),
            "operable": self.operable,
        });
        Ok(answer.to_string())
    }

    /// When the windows end.
    fn until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self.clock {
            Clock::Now => now,
            Clock::Log => self.recent.happened().filter(|at| Window::may_end(*at)).unwrap_or(now),
        }
    }

    async fn busy_hours(&self) -> Result<Vec<Value>> {
        let hours = self.latecomer.rows().await?;
        Ok(hours.iter().map(|row| json!({ "hour": row.hour, "orders": row.orders })).collect())
    }
}

fn projection(status: &ProjectionStatus) -> Value {
    json!({
        "name": status.projection,
        "state": status.state.as_str(),
        "generation": status.generation,
        "position": status.position,
        "head": status.head,
        "lag": status.lag(),
        "paused": status.paused,
        "failure": status.failure.as_ref().map(|failure| &failure.error),
    })
}
