//! `shop projections rebuild --all` is killed and started again, while everybody queries.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use headwater::{Log, connect};
use headwater_testkit::{postgres, scale, seed, within};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::sleep;

use crate::{
    service::{kill, run, start},
    views::{Views, look, look_at_all, names},
};

const REBUILD: &[&str] = &["projections", "rebuild", "--all"];

/// Orders in the form in which CDNOW's were published.
pub fn orders(rng: &mut StdRng, count: u32) -> String {
    let mut lines = " customer_id  date number_of_cds  dollar_value\n".to_owned();
    for _ in 0..count {
        let (customer, day) = (rng.random_range(1..=500), rng.random_range(1..=28));
        let month = rng.random_range(1..=12);
        let (records, cents) = (rng.random_range(1..10), rng.random_range(500..20_000));
        writeln!(
            lines,
            " {customer:05} 1997{month:02}{day:02} {records:2} {:4}.{:02}",
            cents / 100,
            cents % 100
        )
        .unwrap();
    }
    lines
}

/// Queries one read model after the other, for ever: each time all rows are there.
async fn watch(log: Log, expected: Views, looks: Arc<AtomicU64>) {
    for (name, expected) in expected.iter().cycle() {
        let rows = look(&log, name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(rows == *expected, "{name} has {} rows of {}", rows.len(), expected.len());
        looks.fetch_add(1, Relaxed);
    }
}

async fn kill_and_watch(url: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.txt");
    std::fs::write(&file, orders(&mut rng, 2_000 * scale().min(20))).unwrap();
    run(url, &["import", "cdnow", file.to_str().unwrap()]).await;
    let begun = Instant::now();
    run(url, REBUILD).await;
    let whole = begun.elapsed();
    let log = connect(url).await.unwrap();
    let names = names(url).await;
    let before = look_at_all(&log, &names).await;
    assert!(before["order_views"].len() > 1_000, "{:?}", before.keys());
    let looks = Arc::new(AtomicU64::new(0));
    let watcher = tokio::spawn(watch(log.clone(), before.clone(), looks.clone()));
    let (mut killed, mut ended) = (0, 0);
    while killed < 5 {
        let mut process = start(url, REBUILD);
        sleep(whole.mul_f64(rng.random_range(0.0..1.0))).await;
        if kill(&mut process).await {
            killed += 1;
        } else {
            ended += 1;
        }
    }
    let rebuilt = within("the last rebuild", run(url, REBUILD)).await;
    assert_eq!(rebuilt.len(), names.len());
    if watcher.is_finished() {
        watcher.await.unwrap();
        unreachable!("a watcher ends only when it sees something wrong");
    }
    watcher.abort();
    let looks = looks.load(Relaxed);
    println!(
        "a rebuild takes {whole:?}; {killed} were killed, {ended} ended before; {looks} looks"
    );
    assert!(looks > 10);
    assert!(look_at_all(&log, &names).await == before, "the rows are others than before");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_that_a_rebuild_of_the_shop_on_sqlite_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("shop.db").display());
    kill_and_watch(&url, seed("shop_rebuild_killed_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_that_a_rebuild_of_the_shop_on_postgresql_is_killed() {
    let database = postgres::database().await;
    kill_and_watch(database.url(), seed("shop_rebuild_killed_on_postgresql")).await;
}
