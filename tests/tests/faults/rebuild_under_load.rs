//! A read model is rebuilt, promoted and left again while 500 events a second come in and others query it,
//! one of them for a long time: nobody sees a half, an error, or a long pause.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use headwater::{Log, Operator, RebuildOptions, connect};
use headwater_testkit::{
    postgres::{self, direct},
    scale, within,
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    audit::{Audit, app, caught_up, in_service},
    load::{book, fill},
    watcher::{Watcher, Way},
};

/// Appends so many a second, in twenty-fifths.
const RATE: u32 = 500;

/// Appends at the rate until it is told to stop; yields how many.
fn append(log: &Log, stop: &Arc<AtomicBool>) -> JoinHandle<u32> {
    let (log, stop) = (log.clone(), stop.clone());
    tokio::spawn(async move {
        let (mut ticks, mut appended) = (interval(Duration::from_millis(40)), 0);
        while !stop.load(Relaxed) {
            ticks.tick().await;
            join_all((0..RATE / 25).map(|account| book(&log, account))).await;
            appended += RATE / 25;
        }
        appended
    })
}

/// Books and waits until it is in the read model, again and again; yields the longest wait.
fn probe(log: &Log, stop: &Arc<AtomicBool>) -> JoinHandle<Duration> {
    let (log, stop) = (log.clone(), stop.clone());
    tokio::spawn(async move {
        let (mut ticks, mut longest) = (interval(Duration::from_millis(10)), Duration::ZERO);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.load(Relaxed) {
            ticks.tick().await;
            let position = book(&log, 39).await.position();
            let begun = Instant::now();
            let arrived = log.wait_for("balances", position, Duration::from_secs(30)).await;
            assert_eq!(arrived, Ok(true));
            longest = longest.max(begun.elapsed());
        }
        longest
    })
}

/// Somebody who reads the table in a transaction that stays open for so long.
async fn read_for_long(url: &str, long: Duration) {
    let read = "begin; select * from";
    if url.starts_with("sqlite:") {
        let mut reader = SqliteConnection::connect(url).await.unwrap();
        reader.execute(AssertSqlSafe(format!("{read} balances"))).await.unwrap();
        sleep(long).await;
    } else {
        let mut reader = direct(url).await;
        reader.execute(AssertSqlSafe(format!("{read} headwater.balances"))).await.unwrap();
        sleep(long).await;
    }
}

async fn rebuild_under_load(url: &str) {
    let log = connect(url).await.unwrap();
    fill(&log, 20_000).await;
    app().catch_up(&log).await.unwrap();
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    let stop = Arc::default();
    let (appending, probing) = (append(&log, &stop), probe(&log, &stop));
    let watchers = [Watcher::start(Way::Log(log.clone())), Watcher::start(Way::own(url).await)];
    let (names, long) = (["balances".to_owned()], Duration::from_secs(3) * scale());

    let rebuilt = app().rebuild(&log, &names, &|_| {}).await.unwrap();
    assert_eq!(rebuilt[0].generation, 2);

    let rebuilding = async {
        let how = RebuildOptions { verify: true, ..RebuildOptions::default() };
        app()
            .rebuild_with(&log, &names, &how, &|_| {})
            .await
            .unwrap()
            .into_result()
            .unwrap()
            .remove(0)
    };
    let (rebuilt, ()) = tokio::join!(rebuilding, read_for_long(url, long));
    assert_eq!((rebuilt.generation, rebuilt.verified), (3, Some(Vec::new())), "they are equal");

    let how = RebuildOptions { hold: true, ..RebuildOptions::default() };
    app().rebuild_with(&log, &names, &how, &|_| {}).await.unwrap().into_result().unwrap();
    let operator = Operator::new(&log, "a test");
    operator.promote("balances").await.unwrap();
    in_service(&log, "balances", 4).await;
    operator.roll_back("balances").await.unwrap();
    in_service(&log, "balances", 3).await;

    stop.store(true, Relaxed);
    let appended = within("the writer ends", appending).await.unwrap();
    let pause = within("the probe ends", probing).await.unwrap();
    for watcher in watchers {
        let (looks, slowest) = watcher.end().await;
        println!("{looks} looks, the slowest took {slowest:?}");
        assert!(slowest < Duration::from_secs(1), "a query waited {slowest:?}");
    }
    println!("{appended} events appended at {RATE}/s; the longest pause was {pause:?}");
    assert!(pause < Duration::from_secs(1), "an event waited {pause:?}");
    caught_up(&log).await;
    Audit::of(&log).await.agrees_with_read_models(&log).await;
    running.abort();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_on_sqlite_under_load_is_seen_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    rebuild_under_load(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_on_postgresql_under_load_is_seen_by_nobody() {
    let database = postgres::database().await;
    rebuild_under_load(database.url()).await;
}
