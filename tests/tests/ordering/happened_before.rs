//! The order of positions extends happened-before: what was acknowledged before another append began
//! lies below it, whoever wrote the two and to whatever streams.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use headwater::{Append, ExpectedVersion::Any};
use headwater_testkit::{
    conformance::{self, Harness, Postgres, SqliteFile, SqliteMemory},
    fixtures::{events, stream},
    scale,
};

const WRITERS: u64 = 16;

async fn writers(harness: &dyn Harness) {
    let log = harness.log();
    // The highest position that any writer has been told.
    let acknowledged = AtomicU64::new(0);
    let acknowledged = &acknowledged;
    let rounds = u64::from(40 * scale());
    let writer = |n: u64| async move {
        for round in 0..rounds {
            let names = [format!("own-{n}"), format!("shared-{}", (n + round) % 5)];
            let appends = names
                .iter()
                .take(usize::try_from(round % 2).expect("it is small") + 1)
                .map(|name| Append::new(stream(name), Any, events((n + round) % 3 + 1)));
            let before = acknowledged.load(Ordering::SeqCst);
            let appended = log.append_all(appends).await.expect("a plain append is applied");
            let positions = || appended.streams.iter().flat_map(|stream| &stream.positions);
            let lowest = positions().map(|position| position.0).min().expect("it has events");
            assert!(lowest > before, "{lowest} was drawn after {before} had been acknowledged");
            acknowledged.fetch_max(appended.position().0, Ordering::SeqCst);
        }
    };
    join_all((0..WRITERS).map(writer)).await;
}

/// Within one process, where appends of several callers travel together.
#[test]
fn acknowledged_before_means_below_in_postgres() {
    conformance::run(async || Postgres::fresh().await, writers);
}

#[test]
fn acknowledged_before_means_below_in_a_file() {
    conformance::run(async || SqliteFile::fresh().await, writers);
}

#[test]
fn acknowledged_before_means_below_in_memory() {
    conformance::run(async || SqliteMemory::fresh().await, writers);
}

/// Two instances of a service, each with connections of its own.
async fn two_instances(harness: &dyn Harness) {
    let other = harness.reopen(headwater::Settings::default()).await.expect("it opens twice");
    let logs = [harness.log(), &other];
    let mut last = 0;
    for n in 0..100_usize * usize::try_from(scale()).expect("it is small") {
        let append = Append::new(stream(&format!("thing-{}", n % 7)), Any, events(2));
        let appended = logs[n % 2].append_all([append]).await.expect("a plain append is applied");
        assert!(appended.streams[0].positions[0].0 > last, "instance {} drew too low", n % 2);
        last = appended.position().0;
    }
    other.close().await;
}

#[test]
fn acknowledged_before_means_below_over_two_instances_on_postgres() {
    conformance::run(async || Postgres::fresh().await, two_instances);
}

#[test]
fn acknowledged_before_means_below_over_two_instances_on_a_file() {
    conformance::run(async || SqliteFile::fresh().await, two_instances);
}
