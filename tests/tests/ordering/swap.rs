//! A read model never goes back: the generation that is swapped in has all that the one before it
//! had, although that one was being written until the swap.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use headwater::{App, BatchTx, Event, Log, Position, Recorded, Result, SqlProjection};
use headwater_testkit::{fixtures::append, within};
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;

use crate::place::{Open, Place};

#[derive(Debug, Event, Serialize, Deserialize)]
#[event(category = "visit")]
enum Visit {
    #[event(name = "visit.made")]
    Made { number: i64 },
}

/// The visits that were seen; a steered one stands still in each of its batches.
struct Visits(Option<Arc<Stop>>);

/// Where a batch waits for the test: it has come, and it may go on.
struct Stop {
    come: Barrier,
    go: Barrier,
}

#[async_trait]
impl SqlProjection for Visits {
    type Event = Visit;
    const NAME: &'static str = "visits";
    const TABLES: &'static [(&'static str, &'static str)] =
        &[("visits", "create table {visits} (number bigint primary key)")];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<Visit>]) -> Result<()> {
        if let Some(stop) = &self.0 {
            stop.come.wait().await;
            stop.go.wait().await;
        }
        for Recorded { event: Visit::Made { number }, .. } in events {
            tx.execute("insert into {visits} values ($1)", &[(*number).into()]).await?;
        }
        Ok(())
    }
}

async fn visit(log: &Log, number: i64) -> Position {
    let stream = headwater_testkit::fixtures::stream(&format!("visit-{number}"));
    let event = headwater::NewEvent::of(&Visit::Made { number }).expect("it is JSON");
    let appended = log.append(&stream, headwater::ExpectedVersion::Any, [event]).await;
    appended.expect("a plain append is applied").position()
}

async fn visits(log: &Log) -> i64 {
    let rows = log.query("select count(*) as n from {visits}", &[]).await;
    rows.expect("the read model can be queried")[0].get("n").expect("it is a number")
}

/// A process that began while others write may not yet know how far the log is settled.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_whose_ceiling_is_behind_still_takes_in_all_that_is_in_service() {
    let place = &Place::fresh().await;
    for number in 1..=5 {
        visit(&place.log, number).await;
    }
    let app = App::new().sql_projection(Visits(None));
    within("it catches up", app.catch_up(&place.log)).await.expect("it catches up");
    let mut late = Open::begin(place).await;
    late.execute("update headwater.settled set position = 0").await;
    late.commit().await;
    let mut writer = Open::begin(place).await;
    writer.append(append("late-1", 1)).await;
    let process = place.again().await;
    let ceiling = process.log.ceiling().await.expect("the log tells its ceiling").position;
    assert_eq!(ceiling, Position::START);
    within("a rebuild", app.rebuild(&process.log, &[], &|_| {})).await.expect("it is rebuilt");
    assert_eq!(visits(&place.log).await, 5);
    writer.rollback().await;
}

/// The swap holds the projection in service still, and so takes in little.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_the_swap_is_applied_before_it() {
    let Place { log, .. } = &Place::fresh().await;
    visit(log, 1).await;
    let stop = Arc::new(Stop { come: Barrier::new(2), go: Barrier::new(2) });
    let rebuild = tokio::spawn({
        let (log, app) = (log.clone(), App::new().sql_projection(Visits(Some(stop.clone()))));
        async move { app.rebuild(&log, &[], &|_| {}).await }
    });
    within("the rebuild applies the first", stop.come.wait()).await;
    for number in 2..=9 {
        let data = format!(r#"{{"number":{number},"note":"{}"}}"#, "x".repeat(900 << 10));
        let name = headwater_testkit::fixtures::stream(&format!("visit-{number}"));
        let event = headwater::NewEvent::from_json("visit.made", 1, data);
        log.append(&name, headwater::ExpectedVersion::Any, [event]).await.expect("it is applied");
    }
    stop.go.wait().await;
    within("the rebuild applies the others", stop.come.wait()).await;
    stop.go.wait().await;
    within("the rebuild ends", rebuild).await.expect("it does not panic").expect("it is rebuilt");
    assert_eq!(visits(log).await, 9);
}

/// On SQLite the transaction of the swap is the only one that writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_projection_does_not_get_ahead_of_the_generation_that_takes_its_place() {
    let Place { log, .. } = &Place::fresh().await;
    visit(log, 1).await;
    let running = App::new().sql_projection(Visits(None));
    within("it catches up", running.catch_up(log)).await.expect("it catches up");
    let running = tokio::spawn({
        let log = log.clone();
        async move { running.run(&log).await }
    });
    let stop = Arc::new(Stop { come: Barrier::new(2), go: Barrier::new(2) });
    let rebuild = tokio::spawn({
        let (log, app) = (log.clone(), App::new().sql_projection(Visits(Some(stop.clone()))));
        async move { app.rebuild(&log, &[], &|_| {}).await }
    });
    within("the rebuild applies the first", stop.come.wait()).await;
    // One that comes while the rebuild applies what it took for the rest is left to the swap.
    visit(log, 2).await;
    stop.go.wait().await;
    within("the swap applies the second", stop.come.wait()).await;
    let third = visit(log, 3).await;
    let got_ahead = log.wait_for("visits", third, Duration::from_secs(1)).await;
    running.abort();
    let before = visits(log).await;
    stop.go.wait().await;
    within("the rebuild ends", rebuild).await.expect("it does not panic").expect("it is rebuilt");
    let after = visits(log).await;
    assert!(before <= after, "readers saw {before} visits, and then {after}");
    assert_eq!(got_ahead, Ok(false));
}
