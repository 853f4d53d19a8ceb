//! Projections that run, stand still, set events aside and are rebuilt.

use std::sync::Arc;

use async_trait::async_trait;
use headwater::{
    App, BatchTx, Error, Event, ExpectedVersion::Any, FailurePolicy, Filter, Log, NewEvent,
    Operator, Position, Recorded, Result, SqlProjection, connect,
};
use headwater_testkit::{
    fixtures::{append_to, stream},
    postgres, within,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::told::Told;

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(category = "thing")]
enum Thing {
    #[event(name = "thing.happened")]
    Happened { n: u64 },
}

macro_rules! projection {
    ($name:ident, $table:literal, $policy:expr) => {
        /// Counts, and fails at the number 13.
        struct $name;

        #[async_trait]
        impl SqlProjection for $name {
            type Event = Thing;
            const NAME: &'static str = $table;
            const ON_FAILURE: FailurePolicy = $policy;
            const TABLES: &'static [(&'static str, &'static str)] =
                &[($table, concat!("create table {", $table, "} (n bigint not null)"))];

            async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<Thing>]) -> Result<()> {
                for event in events {
                    let Thing::Happened { n } = event.event;
                    if n == 13 {
                        return Err(Error::InvalidInput("it does not like 13".into()));
                    }
                    let n = i64::try_from(n).unwrap();
                    let insert = concat!("insert into {", $table, "} values ($1)");
                    tx.execute(insert, &[n.into()]).await?;
                }
                Ok(())
            }
        }
    };
}

projection!(Stopping, "metrics_stopping", FailurePolicy::STOP);
projection!(Parking, "metrics_parking", FailurePolicy::PARK_ALONE);

pub fn app() -> App {
    App::new().sql_projection(Stopping).sql_projection(Parking)
}

fn of(name: &str, projection: &str) -> String {
    format!(r#"headwater_{name}{{projection="metrics_{projection}"}}"#)
}

fn state(projection: &str, state: &str) -> String {
    format!(r#"headwater_projection_state{{projection="metrics_{projection}",state="{state}"}}"#)
}

async fn thirteen(log: &Log) {
    let thirteen = NewEvent::from_json("thing.happened", 1, r#"{"n": 13}"#);
    log.append(&stream("thing-2"), Any, [thirteen]).await.unwrap();
}

async fn are_told(url: &str) {
    let told = Told::install().await;
    let log = connect(url).await.unwrap();
    let events = of("projection_events_total", "stopping");
    let rebuilt = of("rebuild_events_total", "parking");
    let (before, rebuilt_before) = (told.value(&events), told.value(&rebuilt));
    append_to(&log, "thing-1", 5).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let app = Arc::new(app());
    let runs = {
        let (app, log) = (app.clone(), log.clone());
        tokio::spawn(async move { app.run_until(&log, async { drop(stopped.await) }).await })
    };
    // First of all: until then the gauges may be those of the database before.
    told.comes_to(&events, |events| events - before == 5.0).await;
    for projection in ["stopping", "parking"] {
        told.comes_to(&of("projection_position", projection), |at| at >= 5.0).await;
        told.comes_to(&of("projection_lag_positions", projection), |lag| lag == 0.0).await;
        told.comes_to(&of("projection_lag_seconds", projection), |lag| lag == 0.0).await;
        told.comes_to(&of("projection_lease_held", projection), |held| held == 1.0).await;
        told.comes_to(&state(projection, "running"), |is| is == 1.0).await;
    }
    assert!(told.value(&of("projection_batch_seconds_count", "stopping")) >= 1.0);
    assert!(told.value("headwater_leases_looked_timestamp_seconds") > 1.7e9);

    thirteen(&log).await;
    told.comes_to(&state("stopping", "failed"), |is| is == 1.0).await;
    told.comes_to(&state("stopping", "running"), |is| is == 0.0).await;
    told.comes_to(&of("projection_lag_positions", "stopping"), |lag| lag == 1.0).await;
    told.comes_to(&of("projection_lag_seconds", "stopping"), |lag| lag > 2.0).await;
    told.comes_to(&of("projection_parked_events", "parking"), |parked| parked == 1.0).await;
    assert_eq!(told.value(&of("projection_skips", "parking")), 0.0);
    assert_eq!(told.value(&of("projection_lag_positions", "parking")), 0.0);

    let operator = Operator::new(&log, "a test");
    operator.pause("metrics_parking").await.unwrap();
    told.comes_to(&state("parking", "paused"), |is| is == 1.0).await;
    told.comes_to(&of("projection_lease_held", "parking"), |held| held == 0.0).await;
    operator.resume("metrics_parking").await.unwrap();
    operator.rebuild("metrics_parking", true).await.unwrap();
    told.comes_to(&of("rebuild_progress_ratio", "parking"), |built| built == 1.0).await;
    assert_eq!(told.value(&rebuilt) - rebuilt_before, 6.0);
    operator.promote("metrics_parking").await.unwrap();
    told.comes_to(&of("rebuild_progress_ratio", "parking"), |built| built == 0.0).await;
    assert_eq!(told.value(&of("rebuild_progress_ratio", "stopping")), 0.0);

    let lag = "headwater_subscription_lag_positions{subscription=\"letters\"}";
    log.subscription("letters", Filter::all(), Position::START).await.unwrap();
    told.comes_to(lag, |lag| lag >= 6.0).await;
    operator.remove_subscription("letters").await.unwrap();
    told.comes_to(lag, |lag| lag == 0.0).await;

    let failure = app.status(&log).await.unwrap().into_iter().find_map(|status| status.failure);
    let event = failure.and_then(|failure| failure.event_id).unwrap();
    operator.skip("metrics_stopping", event).await.unwrap();
    told.comes_to(&of("projection_skips", "stopping"), |skips| skips == 1.0).await;
    told.comes_to(&state("stopping", "running"), |is| is == 1.0).await;

    let text = told.text();
    assert!(!text.contains("thing-"), "no name of a stream is told");
    assert!(text.contains("# HELP headwater_appends_total "), "each is described");
    stop.send(()).unwrap();
    within("the app ends", runs).await.unwrap().unwrap();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_on_postgresql_are_seen_at_work_and_standing_still() {
    let database = postgres::database().await;
    are_told(database.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_on_sqlite_are_seen_at_work_and_standing_still() {
    let folder = tempfile::tempdir().unwrap();
    are_told(&format!("sqlite://{}", folder.path().join("log.db").display())).await;
}
