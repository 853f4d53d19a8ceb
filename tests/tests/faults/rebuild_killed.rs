//! A rebuild is killed again and again while the service works and everybody queries.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use headwater::{Error, connect};
use headwater_testkit::{eventually, postgres, scale, seed, within};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::sleep;

use crate::{
    audit::{Audit, app, caught_up},
    child::{self, Child},
    load::{Load, fill},
    watcher::{Watcher, Way},
};

/// In a process that is to be killed: a rebuild of everything. In the tests' own process: the same,
/// and an audit.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_ends() {
    if let Some(url) = child::database() {
        let log = connect(&url).await.unwrap();
        println!("connected");
        // What a killed one has left, the service goes on with.
        let rebuilt = eventually("the service is done", async || {
            match app().rebuild(&log, &[], &|_| {}).await {
                Err(Error::RebuildUnderWay { .. }) => None,
                rebuilt => Some(rebuilt.unwrap().len()),
            }
        });
        println!("rebuilt {}", rebuilt.await);
        return;
    }
    let log = connect("sqlite::memory:").await.unwrap();
    fill(&log, 2_000).await;
    assert_eq!(app().rebuild(&log, &[], &|_| {}).await.unwrap().len(), 2);
    Audit::of(&log).await.agrees_with_read_models(&log).await;
}

/// A process that has connected and begins to rebuild.
async fn start(url: &str) -> Child {
    let mut process = Child::start("rebuild_killed::a_rebuild_ends", url);
    within("a process starts", process.says("connected")).await.expect("it connects");
    process
}

/// Rebuilds to the end; yields how long that took.
async fn rebuild(url: &str) -> Duration {
    let mut process = start(url).await;
    let begun = Instant::now();
    let said = within("a rebuild ends", process.says("rebuilt ")).await;
    assert_eq!(said.as_deref(), Some("2"));
    begun.elapsed()
}

/// Kills rebuilds on this database, each at a random point, until one may end.
async fn kill_and_watch(url: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let log = connect(url).await.unwrap();
    fill(&log, 10_000).await;
    app().catch_up(&log).await.unwrap();
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    let load = Load::start(&log, 2, seed, Arc::new(|_| {}));
    let watchers = [Watcher::start(Way::Log(log.clone())), Watcher::start(Way::own(url).await)];
    let whole = rebuild(url).await;
    let (mut kills, mut ended) = (0, 0);
    while kills < 5 * scale().min(10) {
        let mut process = start(url).await;
        sleep(whole.mul_f64(rng.random_range(0.0..1.0))).await;
        if process.kill().await {
            kills += 1;
        } else {
            ended += 1;
        }
    }
    rebuild(url).await;
    let ledger = load.stop().await;
    caught_up(&log).await;
    println!("a rebuild takes {whole:?}; {kills} were killed, {ended} had ended before");
    for watcher in watchers {
        println!("looks and the slowest of them: {:?}", watcher.end().await);
    }
    let audit = Audit::of(&log).await;
    audit.agrees_with(&ledger);
    audit.agrees_with_read_models(&log).await;
    let status = app().status(&log).await.unwrap();
    assert_eq!(status.len(), 2, "nothing is left half built: {status:?}");
    assert!(status.iter().all(|status| status.generation > 2), "{status:?}");
    assert!(!running.is_finished());
    running.abort();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_a_rebuild_on_sqlite_that_is_killed_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    kill_and_watch(&url, seed("rebuild_killed_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_a_rebuild_on_postgresql_that_is_killed_again_and_again() {
    let database = postgres::database().await;
    kill_and_watch(database.url(), seed("rebuild_killed_on_postgresql")).await;
}
