//! A reader that does not end while a rebuild wants to swap.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use headwater::{Log, Phase, Rebuilt, connect};
use headwater_testkit::{
    eventually,
    postgres::{self, direct},
    within,
};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    audit::{Audit, app, caught_up},
    load::{book, fill},
    watcher::{Watcher, Way},
};

/// A rebuild of the balances under way.
struct Rebuilding {
    swaps: Arc<AtomicU64>,
    task: JoinHandle<headwater::Result<Vec<Rebuilt>>>,
}

impl Rebuilding {
    fn start(log: &Log) -> Self {
        let (log, swaps) = (log.clone(), Arc::<AtomicU64>::default());
        let count = Arc::clone(&swaps);
        let task = tokio::spawn(async move {
            let report = |progress: &headwater::Progress| {
                count.fetch_add(u64::from(progress.phase == Phase::Swapping), Relaxed);
            };
            app().rebuild(&log, &["balances".to_owned()], &report).await
        });
        Self { swaps, task }
    }

    /// Waits until it has tried so often to swap.
    async fn has_tried(&self, swaps: u64) {
        eventually("a rebuild tries to swap", async || {
            (self.swaps.load(Relaxed) >= swaps).then_some(())
        })
        .await;
        assert!(!self.task.is_finished(), "it has swapped beside a reader");
    }

    async fn ends(self) {
        let rebuilt = within("the rebuild ends", self.task).await.unwrap().unwrap();
        assert_eq!((rebuilt.len(), rebuilt[0].generation), (1, 2));
    }
}

async fn filled(url: &str) -> Log {
    let log = connect(url).await.unwrap();
    fill(&log, 2_000).await;
    app().catch_up(&log).await.unwrap();
    log
}

/// A statement that never waits longer for the swap than the swap waits for the long reader.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(Duration::from_secs(1), work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} waited longer than a second for a swap that waits for a reader"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_reader_on_postgresql_holds_up_the_swap_and_nobody_else() {
    let database = postgres::database().await;
    let log = filled(database.url()).await;
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    let mut reader = direct(database.url()).await;
    reader.execute("begin").await.unwrap();
    reader.execute("select * from headwater.balances").await.unwrap();
    let rebuilding = Rebuilding::start(&log);
    rebuilding.has_tried(1).await;
    let watchers =
        [Watcher::start(Way::Log(log.clone())), Watcher::start(Way::own(database.url()).await)];
    let (mut through_log, mut own) = (Way::Log(log.clone()), Way::own(database.url()).await);
    for tries in 2..7 {
        rebuilding.has_tried(tries).await;
        soon("a query", own.look()).await;
        let before = soon("a query through the log", through_log.look()).await;
        let done = book(&log, 1).await;
        let arrived = log.wait_for("balances", done.position(), Duration::from_secs(10)).await;
        assert_eq!(arrived, Ok(true), "the projection goes on beside the rebuild");
        assert_eq!(through_log.look().await.1, before.1 + 1);
    }
    for watcher in watchers {
        let (looks, slowest) = watcher.end().await;
        println!("{looks} looks, the slowest took {slowest:?}");
        assert!(slowest < Duration::from_secs(1), "a query waited {slowest:?}");
    }
    reader.execute("commit").await.unwrap();
    rebuilding.ends().await;
    caught_up(&log).await;
    Audit::of(&log).await.agrees_with_read_models(&log).await;
    running.abort();
    log.close().await;
}

/// A service's own dashboards must not hold up its log.
#[tokio::test(flavor = "multi_thread")]
async fn slow_queries_on_postgresql_hold_up_neither_readers_of_the_log_nor_projections() {
    let database = postgres::database().await;
    let log = filled(database.url()).await;
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    let slow = || {
        let log = log.clone();
        tokio::spawn(async move { log.query("select 1 as n from pg_sleep(6)", &[]).await })
    };
    let _slow: Vec<_> = (0..8).map(|_| slow()).collect();
    let asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    eventually("some queries are under way", async || {
        let mut look = direct(database.url()).await;
        let count: i64 = sqlx::query_scalar(asleep).fetch_one(&mut look).await.unwrap();
        (count > 1).then_some(())
    })
    .await;
    let begun = Instant::now();
    let done = book(&log, 1).await;
    let arrived = log.wait_for("balances", done.position(), Duration::from_secs(60)).await;
    assert_eq!(arrived, Ok(true));
    println!("an event arrived after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    // Not closed: that would wait for the queries.
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_reader_on_sqlite_holds_nobody_up_and_keeps_what_it_sees() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    let log = filled(&url).await;
    let mut reader = SqliteConnection::connect(&url).await.unwrap();
    reader.execute("begin").await.unwrap();
    let mut long = Way::Sqlite(reader);
    let seen = long.look().await;
    Rebuilding::start(&log).ends().await;
    book(&log, 1).await;
    app().catch_up(&log).await.unwrap();
    assert_eq!(Way::Log(log.clone()).look().await, (seen.0, seen.1 + 1));
    assert_eq!(long.look().await, seen, "a transaction sees what it saw");
    Audit::of(&log).await.agrees_with_read_models(&log).await;
    log.close().await;
}
