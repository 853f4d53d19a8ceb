//! The readable ceiling: it never falls, and nothing appears below it.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{join, join_all},
};
use headwater::{Append, Ceiling, ExpectedVersion::None, Filter, Log, Position};

use super::{Harness, only_where_shared};
use crate::{
    eventually,
    fixtures::{all, append, append_to, collect, events, positions, refused, stream},
};

async fn ceiling(log: &Log) -> Ceiling {
    log.ceiling().await.expect("the log tells its ceiling")
}

/// Where nothing was written, there is nothing to read.
pub async fn the_ceiling_of_an_empty_log_is_its_start(harness: &dyn Harness) {
    let log = harness.log();
    assert_eq!(ceiling(log).await, Ceiling { position: Position::START, unsettled: false });
}

/// Where nobody else writes, writers read at once what they wrote.
pub async fn an_acknowledged_append_lies_below_the_ceiling(harness: &dyn Harness) {
    let log = harness.log();
    for n in 1..=50 {
        let appended = append_to(log, "thing-1", 2).await;
        let ceiling = ceiling(log).await;
        assert!(ceiling.position >= appended.position(), "append {n}: {ceiling:?}");
        assert_eq!(positions(&all(log).await).last(), Some(&appended.position().0));
    }
}

/// A refused append draws no reader's patience: the ceiling is as high as before or higher.
pub async fn a_refused_append_does_not_hold_the_ceiling(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 1).await;
    for _ in 0..10 {
        refused(log, [Append::new(stream("thing-1"), None, events(3))]).await;
    }
    let appended = append_to(log, "thing-2", 1).await;
    let ceiling = ceiling(log).await;
    assert!(ceiling.position >= appended.position() && !ceiling.unsettled, "{ceiling:?}");
}

/// Eight writers, four watchers: each watcher's ceiling only rises, and what lies below it stays.
pub async fn nothing_appears_below_the_ceiling(harness: &dyn Harness) {
    let log = harness.log();
    let done = AtomicBool::new(false);
    let writer = |n: usize| async move {
        for round in 0..40 {
            let name = format!("thing-{}", (n + round) % 5);
            append_to(log, &name, u64::try_from(round % 3 + 1).expect("it is small")).await;
        }
    };
    let watcher = |_| async {
        let (mut last, mut seen) = (Position::START, BTreeSet::new());
        let mut looks = 0_u32;
        while !done.load(Ordering::Relaxed) || looks < 3 {
            let now = ceiling(log).await.position;
            assert!(now >= last, "the ceiling fell from {last} to {now}");
            let below = positions(&collect(log.read(Filter::all(), Position::START)).await);
            let late: Vec<_> =
                below.iter().filter(|p| **p <= last.0 && !seen.contains(*p)).collect();
            assert!(late.is_empty(), "{late:?} appeared below the ceiling {last}");
            (last, seen) = (now, below.into_iter().filter(|p| *p <= now.0).collect());
            looks += 1;
        }
    };
    let writers = async {
        join_all((0..8).map(writer)).await;
        done.store(true, Ordering::Relaxed);
    };
    join(writers, join_all((0..4).map(watcher))).await;
}

/// An open transaction that has appended: what others append behind it is read after its commit.
pub async fn nothing_is_read_past_an_open_transaction(harness: &dyn Harness) {
    // In memory a reader would wait for the transaction to end.
    if !harness.is_shared() {
        return only_where_shared();
    }
    let log = harness.log();
    for (n, commits) in [true, false].into_iter().enumerate() {
        let before = all(log).await;
        let mut tx = harness.begin().await;
        let late = tx.append(vec![append("late-1", 2)]).await.expect("it is applied");
        // With one writer at a time it waits for the transaction, otherwise it ends at once.
        let mut soon = Box::pin(append_to(log, "soon-1", 1));
        let ended = tokio::time::timeout(Duration::from_millis(300), &mut soon).await;
        for _ in 0..10 {
            assert_eq!(all(log).await, before, "a reader passes an open transaction");
            assert!(ceiling(log).await.position < late.position());
        }
        if commits {
            tx.commit().await
        } else {
            tx.rollback().await
        }
        let soon = match ended {
            Ok(appended) => appended,
            Err(_) => soon.await,
        };
        let read = eventually("the later append is read", || async {
            let read = all(log).await;
            (read.last()?.position == soon.position()).then_some(read)
        })
        .await;
        let names: Vec<_> = read[before.len()..].iter().map(|e| e.stream.to_string()).collect();
        let expected: &[_] = if n == 0 { &["late-1", "late-1", "soon-1"] } else { &["soon-1"] };
        assert_eq!(names, expected);
    }
}

/// Twenty thousand callers ask and go away at once: the next one does not wait for their answers.
pub async fn looks_that_nobody_waits_for_do_not_pile_up(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 1).await;
    for _ in 0..20_000 {
        drop(log.ceiling().now_or_never());
    }
    let begun = Instant::now();
    ceiling(log).await;
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(2), "one look took {waited:?} behind abandoned ones");
}

/// After all writers have gone, the ceiling comes to rest at the last event.
pub async fn the_ceiling_comes_to_rest_at_the_last_event(harness: &dyn Harness) {
    let log = harness.log();
    join_all((0..16).map(|n| async move { append_to(log, &format!("thing-{n}"), 5).await })).await;
    eventually("the ceiling comes to rest", || async {
        let ceiling = ceiling(log).await;
        let last = positions(&all(log).await).last().copied();
        (!ceiling.unsettled && last == Some(ceiling.position.0)).then_some(())
    })
    .await;
    assert_eq!(all(log).await.len(), 80);
}
