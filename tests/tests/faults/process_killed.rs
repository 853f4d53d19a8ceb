//! A service is killed in the middle of its work, and started again.

use std::{collections::HashSet, sync::Arc};

use headwater::connect;
use headwater_testkit::{postgres, scale, seed, within};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use crate::{
    audit::{Audit, app},
    child::{self, Child},
    load::Load,
};

/// In a process that is to be killed: a service with eight writers and its projections, which says
/// what it acknowledges. In the tests' own process: the same for a moment, and an audit.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_tells_the_truth() {
    let Some(url) = child::database() else { return truth_in_memory().await };
    let log = connect(&url).await.unwrap();
    let say = |id| println!("acknowledged {id}");
    let _load = Load::start(&log, 8, rand::random(), Arc::new(say));
    app().run(&log).await.unwrap();
}

async fn truth_in_memory() {
    let log = connect("sqlite::memory:").await.unwrap();
    let load = Load::start(&log, 8, seed("a_service_tells_the_truth"), Arc::new(|_| {}));
    load.progress(100).await;
    let ledger = load.stop().await;
    let audit = Audit::of(&log).await;
    audit.agrees_with(&ledger);
    assert!(ledger.faults.is_empty(), "{:?}", ledger.faults);
    app().catch_up(&log).await.unwrap();
    audit.agrees_with_read_models(&log).await;
}

/// Kills services on this database, one after the other, and audits what they have left.
async fn kill_and_audit(url: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut acknowledged = HashSet::new();
    let kills = if scale() >= 4 { 20 } else { 5 * scale() };
    for _ in 0..kills {
        let mut service = Child::start("process_killed::a_service_tells_the_truth", url);
        for _ in 0..rng.random_range(1..600) {
            let said = within("a service works", service.says("acknowledged ")).await;
            acknowledged.insert(said.expect("it ends only when it is killed"));
        }
        assert!(service.kill().await, "it ended by itself");
        // What it had said before, and nobody had listened to yet.
        while let Some(said) = service.says("acknowledged ").await {
            acknowledged.insert(said);
        }
    }
    let log = connect(url).await.unwrap();
    let audit = Audit::of(&log).await;
    println!(
        "{kills} kills: {} appends acknowledged, {} events",
        acknowledged.len(),
        audit.events.len()
    );
    for id in acknowledged {
        let id: Uuid = id.parse().unwrap();
        assert!(audit.holds(id), "append {id} was acknowledged and is not there");
    }
    within("the projections catch up", app().catch_up(&log)).await.unwrap();
    audit.agrees_with_read_models(&log).await;
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_sqlite_that_is_killed_has_kept_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    kill_and_audit(&url, seed("process_killed_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_postgresql_that_is_killed_has_kept_what_it_acknowledged() {
    let database = postgres::database().await;
    kill_and_audit(database.url(), seed("process_killed_on_postgresql")).await;
}
