//! Callers that go away: an append that was begun is there as a whole, or not at all.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::Utc;
use futures_util::{TryStreamExt as _, future::join_all};
use headwater::{Append, ExpectedVersion::Any, Log, Position, Repository};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::Harness;
use crate::{
    account::Account,
    dropped_at,
    fixtures::{all, append_to, collect, events, stream, versions},
    scale, seed, within,
};

/// Two streams, a few events each, to be recognised by their ids.
fn append_of(n: u64) -> Vec<Append> {
    let names = [format!("thing-{}", n % 7), format!("other-{}", n % 5)];
    names.iter().map(|name| Append::new(stream(name), Any, events(n % 4 + 1))).collect()
}

/// Drops the future after a moment; tells whether it had ended.
async fn cancelled(log: &Log, appends: Vec<Append>, patience: Duration) -> bool {
    match tokio::time::timeout(patience, log.append_all(appends)).await {
        Ok(result) => result.map(|_| true).expect("a plain append is applied"),
        Err(_) => false,
    }
}

/// Eight callers at a time that lose patience at any moment, then a hundred who do not.
pub async fn a_cancelled_append_is_there_as_a_whole_or_not_at_all(harness: &dyn Harness) {
    let log = harness.log();
    let mut rng =
        StdRng::seed_from_u64(seed("a_cancelled_append_is_there_as_a_whole_or_not_at_all"));
    let mut appends: Vec<(Vec<Append>, bool)> = Vec::new();
    let begun = Instant::now();
    let patient = (0..8).map(|n| cancelled(log, append_of(n), Duration::from_secs(60)));
    join_all(patient).await;
    let mut usual = begun.elapsed();
    for round in 0..u64::from(40 * scale()) {
        let batch: Vec<_> = (0..8).map(|n| append_of(round * 8 + n)).collect();
        let tries = batch.iter().map(|appends| {
            let patience = usual.mul_f64(rng.random_range(0.0..1.5));
            cancelled(log, appends.clone(), patience)
        });
        let ended = join_all(tries).await;
        // A machine that is busier or idler than it was at first.
        usual = match ended.iter().filter(|ended| **ended).count() {
            0 => usual * 2,
            8 => usual / 2,
            _ => usual,
        };
        appends.extend(batch.into_iter().zip(ended));
    }
    for n in 0..100 {
        within("a later append", append_to(log, &format!("later-{n}"), 1)).await;
    }
    settle(log, &appends).await;
    let found = by_id(log).await;
    for (appends, acknowledged) in &appends {
        let ids: Vec<_> = appends.iter().flat_map(|a| a.events.iter().map(|e| e.id)).collect();
        let there = ids.iter().filter(|id| found.contains_key(*id)).count();
        assert!(there == 0 || there == ids.len(), "{there} of {} events are there", ids.len());
        assert!(there > 0 || !acknowledged, "an acknowledged append is not there");
    }
    for n in 0..7 {
        let read = collect(log.read_stream(&stream(&format!("thing-{n}")), 1)).await;
        let count = u64::try_from(read.len()).expect("a test is small");
        assert_eq!(versions(&read), (1..=count).collect::<Vec<_>>());
    }
    let lost = appends.iter().filter(|(_, acknowledged)| !acknowledged).count();
    println!("{lost} of {} appends were cancelled", appends.len());
    assert!(0 < lost && lost < appends.len(), "callers went away too late, or too early");
}

/// Tries every cancelled append again: it is recognised where it was applied, and applied where not.
async fn settle(log: &Log, appends: &[(Vec<Append>, bool)]) {
    let before = by_id(log).await;
    for (appends, _) in appends.iter().take(100) {
        let there = before.contains_key(&appends[0].events[0].id);
        let again = within("a retry", log.append_all(appends.clone())).await;
        let again = again.expect("the same ids and the same content");
        assert_eq!(again.repeated, there, "what was cancelled had ended before the later appends");
    }
}

async fn by_id(log: &Log) -> BTreeMap<Uuid, u64> {
    all(log).await.into_iter().map(|event| (event.id, event.position.0)).collect()
}

/// A connection that was left in the middle of a transaction would take later appends with it:
/// acknowledged, and never committed.
pub async fn a_call_that_is_dropped_wherever_it_waits_swallows_no_append(harness: &dyn Harness) {
    let log = harness.log();
    for kind in 0..CALLS {
        for wakes in 1.. {
            let ended = dropped_at(wakes, call(log, kind)).await.is_some();
            let names: Vec<_> = (0..8).map(|n| format!("thing-{kind}-{wakes}-{n}")).collect();
            within("later appends", join_all(names.iter().map(|name| append_to(log, name, 1))))
                .await;
            for name in &names {
                let info = within("a look", log.stream_info(&stream(name))).await;
                let version = info.expect("the log answers").map(|info| info.version);
                assert_eq!(
                    version,
                    Some(1),
                    "an acknowledged append is gone: call {kind}, {wakes}"
                );
            }
            if ended {
                break;
            }
        }
    }
}

const CALLS: u32 = 14;

/// One of the kinds of calls that a log takes.
async fn call(log: &Log, kind: u32) {
    match kind {
        0 => drop(log.ceiling().await),
        1 => drop(log.stream_info(&stream("thing-1")).await),
        2 => drop(log.store().checkpoints().await),
        3 => drop(log.query("select count(*) as n from {all_events}", &[]).await),
        4 => drop(log.store().describe().await),
        5 => drop(all(log).await),
        6 => drop(log.append_all(append_of(3)).await),
        7 => drop(log.event(Uuid::now_v7()).await),
        8 => drop(log.position_at(Utc::now()).await),
        9 => drop(log.streams(None).try_next().await),
        10 => drop(log.migrate().await),
        11 => drop(log.wait_for("balances", Position::START, Duration::from_millis(5)).await),
        12 => {
            let accounts = Repository::<Account>::new(log).expect("its events are declared well");
            drop(accounts.load(&"a".into()).await);
        }
        _ => {
            let mut tx = log.store().begin().await.expect("a transaction begins");
            drop(tx.hold("balances", 1).await);
            drop(tx.commit().await);
        }
    }
}

/// Calls of every kind, dropped at any moment, leave the log usable.
pub async fn dropped_calls_of_every_kind_leave_the_log_usable(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 500).await;
    let mut rng = StdRng::seed_from_u64(seed("dropped_calls_of_every_kind_leave_the_log_usable"));
    for n in 0..300 {
        let patience = Duration::from_micros(rng.random_range(0..1_000));
        let _ = tokio::time::timeout(patience, call(log, n % CALLS)).await;
    }
    within("an append", append_to(log, "thing-1", 1)).await;
    let read = within("a reading", collect(log.read_stream(&stream("thing-1"), 1))).await;
    assert_eq!(read.len(), 501);
}
