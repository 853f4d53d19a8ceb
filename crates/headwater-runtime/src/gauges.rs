//! Where the projections and subscriptions stand, as a recorder of metrics sees it: each instance tells it of
//! all of them, whoever keeps them up to date, since one that stands still is kept by nobody.

use std::{collections::HashMap, time::Duration};

use chrono::Utc;
use futures_util::TryStreamExt as _;
use headwater_core::{
    Direction, Filter, GenerationState, Leases, Log, Position, Reading, Result, Work,
    metrics::{
        PROJECTION_BATCH_SECONDS, PROJECTION_EVENTS, PROJECTION_LAG_POSITIONS,
        PROJECTION_LAG_SECONDS, PROJECTION_LEASE_HELD, PROJECTION_PARKED_EVENTS,
        PROJECTION_POSITION, PROJECTION_SKIPS, PROJECTION_STATE, REBUILD_EVENTS,
        REBUILD_PROGRESS_RATIO, SUBSCRIPTION_LAG_POSITIONS, number,
    },
};
use metrics::{Counter, Gauge, Histogram};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{App, ProjectionStatus};

/// How often an instance looks.
const EVERY: Duration = Duration::from_secs(2);

/// How many positions are read to find the next event; more only where all of them are holes.
const NEXT: u64 = 16;

/// Tells where the projections of `app` stand, until it is dropped. `own` is the id of this instance.
pub(crate) async fn tell(app: &App, log: &Log, own: Uuid) {
    let gauges: HashMap<_, _> =
        app.units().into_iter().map(|name| (name.clone(), Gauges::new(&name))).collect();
    let mut subscriptions = HashMap::new();
    loop {
        let looked = [
            look(app, log, own, &gauges).await,
            look_at_subscriptions(log, &mut subscriptions).await,
        ];
        for error in looked.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "some metrics are those of an earlier look");
        }
        sleep(EVERY).await;
    }
}

async fn look(app: &App, log: &Log, own: Uuid, gauges: &HashMap<String, Gauges>) -> Result<()> {
    let status = app.status(log).await?;
    let leases = log.store().leases().await?;
    for (name, gauges) in gauges {
        let of = |state| status.iter().find(|s| s.projection == *name && s.state == state);
        if let Some(live) = of(GenerationState::Live) {
            let age = age_of_next(log, live.position, live.head).await?;
            gauges.tell(live, age, &leases, own);
        }
        // Where none was begun there is an entry without a generation.
        let building = of(GenerationState::Building).filter(|building| building.generation > 0);
        gauges.progress.set(building.map_or(0.0, progress));
    }
    Ok(())
}

/// Tells where the subscriptions stand; one that is gone has no lag.
async fn look_at_subscriptions(log: &Log, gauges: &mut HashMap<String, Gauge>) -> Result<()> {
    let all = log.subscriptions().await?;
    if all.is_empty() && gauges.is_empty() {
        return Ok(());
    }
    let head = log.ceiling().await?.position;
    let gone = |name: &str| !all.iter().any(|at| at.subscription == name);
    gauges.iter().filter(|(name, _)| gone(name)).for_each(|(_, gauge)| gauge.set(0.0));
    for at in all {
        let name = at.subscription;
        // One of another log has to begin somewhere: it is behind by all of this one.
        let position = if at.of_this_log { at.position.0 } else { 0 };
        let lag = number(head.0.saturating_sub(position));
        let new = || SUBSCRIPTION_LAG_POSITIONS.gauge(&[&name]);
        gauges.entry(name.clone()).or_insert_with(new).set(lag);
    }
    Ok(())
}

/// How much of the log a generation holds, from 0 to 1.
fn progress(building: &ProjectionStatus) -> f64 {
    number(building.position.0) / number(building.head.0.max(1))
}

/// The age of the first event behind a position, in seconds; 0 where there is none.
async fn age_of_next(log: &Log, after: Position, head: Position) -> Result<f64> {
    for until in [Position(after.0.saturating_add(NEXT)).min(head), head] {
        if until <= after {
            break;
        }
        let (filter, direction) = (Filter::all(), Direction::Forward);
        let mut events = log.store().read(Reading::Log { filter, after, until, direction });
        if let Some(first) = events.try_next().await? {
            // A short reading is read to its end, so that its connection can be used again.
            while until < head && events.try_next().await?.is_some() {}
            let age = Utc::now() - first.recorded_at;
            // The clock of the database may be ahead of this one.
            return Ok(age.to_std().unwrap_or_default().as_secs_f64());
        }
    }
    Ok(0.0)
}

/// The gauges of one projection.
struct Gauges {
    position: Gauge,
    lag: Gauge,
    age: Gauge,
    states: [(&'static str, Gauge); 4],
    parked: Gauge,
    skips: Gauge,
    lease: Gauge,
    progress: Gauge,
}

impl Gauges {
    fn new(projection: &str) -> Self {
        let states = ["running", "unowned", "paused", "failed"];
        Self {
            position: PROJECTION_POSITION.gauge(&[projection]),
            lag: PROJECTION_LAG_POSITIONS.gauge(&[projection]),
            age: PROJECTION_LAG_SECONDS.gauge(&[projection]),
            states: states.map(|state| (state, PROJECTION_STATE.gauge(&[projection, state]))),
            parked: PROJECTION_PARKED_EVENTS.gauge(&[projection]),
            skips: PROJECTION_SKIPS.gauge(&[projection]),
            lease: PROJECTION_LEASE_HELD.gauge(&[projection]),
            progress: REBUILD_PROGRESS_RATIO.gauge(&[projection]),
        }
    }

    fn tell(&self, live: &ProjectionStatus, age: f64, leases: &Leases, own: Uuid) {
        self.position.set(number(live.position.0));
        self.lag.set(number(live.lag()));
        self.age.set(age);
        let now = state(live);
        self.states.iter().for_each(|(state, gauge)| gauge.set(one_if(*state == now)));
        self.parked.set(number(live.parked));
        self.skips.set(number(live.skips));
        let held = leases.held(&Work::live(&live.projection));
        self.lease.set(one_if(held.is_some_and(|lease| lease.owner == own)));
    }
}

fn state(live: &ProjectionStatus) -> &'static str {
    match live {
        ProjectionStatus { failure: Some(_), .. } => "failed",
        ProjectionStatus { paused: true, .. } => "paused",
        ProjectionStatus { owner: None, .. } => "unowned",
        _ => "running",
    }
}

fn one_if(so: bool) -> f64 {
    f64::from(u8::from(so))
}

/// Counts what an instance applies to the read model in service.
pub(crate) struct BatchMeter {
    events: Counter,
    seconds: Histogram,
}

impl BatchMeter {
    pub(crate) fn new(projection: &str) -> Self {
        let events = PROJECTION_EVENTS.counter(&[projection]);
        Self { events, seconds: PROJECTION_BATCH_SECONDS.histogram(&[projection]) }
    }

    /// A batch of so many events is committed.
    pub(crate) fn committed(&self, events: usize, took: Duration) {
        self.events.increment(u64::try_from(events).unwrap_or(u64::MAX));
        self.seconds.record(took);
    }
}

/// Counts what an instance applies to a generation that it builds.
pub(crate) fn rebuilt(projection: &str) -> Counter {
    REBUILD_EVENTS.counter(&[projection])
}
