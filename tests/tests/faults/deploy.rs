//! Three instances of a service are replaced by newer ones, one after the other, while events come in
//! and everybody queries; then an operator rebuilds, promotes and goes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use headwater::{
    App, BatchTx, GenerationState::Live, Log, Operator, Recorded, Result, SqlProjection, connect,
};
use headwater_testkit::{account::AccountEvent, eventually, postgres, scale, within};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

use crate::{audit::in_service, load::book};

/// Counts the bookings of each account, and says by which version of its code.
struct Tally<const VERSION: u32>;

#[async_trait]
impl<const VERSION: u32> SqlProjection for Tally<VERSION> {
    type Event = AccountEvent;
    const NAME: &'static str = "tally";
    const VERSION: u32 = VERSION;
    const TABLES: &'static [(&'static str, &'static str)] = &[(
        "tally",
        "create table {tally} (stream text primary key, bookings bigint not null, by_version bigint not null)",
    )];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<AccountEvent>]) -> Result<()> {
        let count = "insert into {tally} values ($1, 1, $2) \
                     on conflict (stream) do update set bookings = {tally}.bookings + 1";
        for event in events {
            let row = [event.stream.as_str().into(), i64::from(VERSION).into()];
            tx.execute(count, &row).await?;
        }
        Ok(())
    }
}

fn app(version: u32) -> App {
    let app = App::new().lease(Duration::from_secs(1));
    match version {
        1 => app.sql_projection(Tally::<1>),
        _ => app.sql_projection(Tally::<2>),
    }
}

/// An instance of the service, which ends when this is dropped.
struct Instance {
    _stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Instance {
    async fn start(url: &str, version: u32) -> Self {
        let log = connect(url).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let stopped = async {
                let _asked = stopped.await;
            };
            app(version).run_until(&log, stopped).await.unwrap();
            log.close().await;
        });
        Self { _stop: stop, running }
    }

    async fn stop(self) {
        drop(self._stop);
        within("an instance stops", self.running).await.unwrap();
    }
}

/// What everybody who queries has seen.
#[derive(Debug, Default)]
struct Seen {
    queries: u64,
    slowest: Duration,
    /// The longest time in which no event came into the read model.
    longest_pause: Duration,
}

/// Queries until it is told to stop: all rows are of the version that the generation in service is of,
/// and exactly those that the checkpoint says.
async fn watch(log: Log, stop: Arc<AtomicBool>, versions: &'static [i64]) -> Seen {
    let look = "select c.generation as generation, \
                (select count(*) from {all_events} e where e.position <= c.position) as expected, \
                (select cast(coalesce(sum(t.bookings), 0) as bigint) from {tally} t) as found, \
                (select coalesce(min(t.by_version), 0) from {tally} t) as oldest, \
                (select coalesce(max(t.by_version), 0) from {tally} t) as newest \
                from {all_checkpoints} c where c.projection = 'tally' and c.state = 'live'";
    let (mut seen, mut last, mut moved) = (Seen::default(), 0, Instant::now());
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        let rows = log.query(look, &[]).await.expect("no query fails");
        seen.slowest = seen.slowest.max(begun.elapsed());
        seen.queries += 1;
        let get = |column: &str| -> i64 { rows[0].get(column).unwrap() };
        let generation: i64 =
            rows[0].get::<i32>("generation").map_or_else(|_| get("generation"), i64::from);
        assert_eq!(get("found"), get("expected"), "generation {generation}");
        if get("found") > 0 {
            let version = versions[usize::try_from(generation).unwrap()];
            assert_eq!((get("oldest"), get("newest")), (version, version), "{generation}");
        }
        if get("found") != last {
            (last, moved) = (get("found"), Instant::now());
        }
        seen.longest_pause = seen.longest_pause.max(moved.elapsed());
        sleep(Duration::from_millis(2)).await;
    }
    seen
}

async fn deploy(url: &str) {
    let log = connect(url).await.unwrap();
    for n in 0..200 {
        book(&log, n % 20).await;
    }
    app(1).catch_up(&log).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..2 {
        let (log, stop) = (log.clone(), stop.clone());
        writers.spawn(async move {
            while !stop.load(Relaxed) {
                book(&log, writer).await;
                sleep(Duration::from_millis(4)).await;
            }
        });
    }
    // By generation: the second is the newer code's, the third is rebuilt by it.
    let watcher = tokio::spawn(watch(connect(url).await.unwrap(), stop.clone(), &[0, 1, 2, 2]));
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(Instance::start(url, 1).await);
    }
    for instance in &mut instances {
        sleep(Duration::from_millis(500) * scale().min(10)).await;
        let newer = Instance::start(url, 2).await;
        std::mem::replace(instance, newer).stop().await;
    }
    in_service(&log, "tally", 2).await;
    let operator = Operator::new(&log, "ada");
    operator.rebuild("tally", true).await.unwrap();
    eventually("it is complete and held back", async || {
        let all = log.checkpoints().await.unwrap();
        let held =
            all.iter().find(|checkpoint| checkpoint.held_back && checkpoint.state != Live)?;
        operator.promote(&held.projection).await.ok()
    })
    .await;
    in_service(&log, "tally", 3).await;
    operator.roll_back("tally").await.unwrap();
    in_service(&log, "tally", 2).await;
    sleep(Duration::from_millis(500)).await;
    stop.store(true, Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let seen = within("the watcher ends", watcher).await.unwrap();
    println!("{seen:?}");
    assert!(seen.queries > 100 && seen.longest_pause < Duration::from_secs(5), "{seen:?}");
    for instance in instances {
        instance.stop().await;
    }
    let head = log.ceiling().await.unwrap().position;
    app(2).catch_up(&log).await.unwrap();
    let verified = within("it is verified", app(2).verify(&log, &[], &|_| {})).await;
    let verified = verified.unwrap().into_result().unwrap();
    assert_eq!(verified[0].verified, Some(Vec::new()), "up to {head}");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_deploy_on_postgresql_is_seen_by_nobody_who_queries() {
    let database = postgres::database().await;
    deploy(database.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_deploy_on_sqlite_is_seen_by_nobody_who_queries() {
    let folder = tempfile::tempdir().unwrap();
    deploy(&format!("sqlite://{}", folder.path().join("log.db").display())).await;
}
