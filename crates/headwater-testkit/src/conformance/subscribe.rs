//! Subscriptions: catching up and following in one cursor, each event once and in order.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{join, join_all},
};
use headwater::{Cursor, ExpectedVersion::Any, Filter, Log, NewEvent, Position, StoredEvent};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::Harness;
use crate::{
    fixtures::{all, append, append_to, positions, stream},
    gate::Gate,
    seed, within,
};

async fn take(cursor: &mut Cursor, count: usize) -> Vec<StoredEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        let batch = within("events of a subscription", cursor.next_batch(64)).await;
        events.extend(batch.expect("the log can be followed").events);
    }
    events
}

async fn write(log: &Log, writers: u64, appends: u64) {
    let writer = |n: u64| async move {
        for round in 0..appends {
            append_to(log, &format!("thing-{}", (n * 7 + round) % 11), round % 3 + 1).await;
        }
    };
    join_all((0..writers).map(writer)).await;
}

/// A subscriber that starts with history behind it, while eight writers go on.
pub async fn each_event_comes_once_and_in_order(harness: &dyn Harness) {
    let log = harness.log();
    write(log, 8, 30).await;
    let total = 8 * 60 * 2;
    let mut cursor = log.subscribe(Filter::all(), Position::START);
    let (events, ()) = join(take(&mut cursor, total), write(log, 8, 30)).await;
    let found = positions(&events);
    assert!(found.is_sorted_by(|a, b| a < b), "a position came twice or too late");
    assert_eq!(found, positions(&all(log).await));
}

/// Two cursors do not share anything.
pub async fn each_subscriber_gets_every_event(harness: &dyn Harness) {
    let log = harness.log();
    let mut cursors: Vec<_> =
        (0..4).map(|_| log.subscribe(Filter::all(), Position::START)).collect();
    let readers = cursors.iter_mut().map(|cursor| take(cursor, 8 * 18));
    let (read, ()) = join(join_all(readers), write(log, 8, 9)).await;
    for events in read {
        assert_eq!(positions(&events), positions(&all(log).await)[..events.len()]);
    }
}

/// From a position in the middle on.
pub async fn a_subscription_starts_behind_a_position(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 10).await;
    let events = all(log).await;
    let mut cursor = log.subscribe(Filter::all(), events[3].position);
    append_to(log, "thing-1", 1).await;
    let read = take(&mut cursor, 7).await;
    assert_eq!(positions(&read)[..6], positions(&events[4..]));
    assert_eq!(read[6].version, 11);
}

/// The hint within the process, not the poll of once a second.
pub async fn a_waiting_subscriber_is_woken_at_once(harness: &dyn Harness) {
    let log = harness.log();
    let mut cursor = log.subscribe(Filter::all(), Position::START);
    let mut delays = Vec::new();
    for n in 1..=9 {
        let delay = async {
            let event = cursor.next().await.expect("the log can be followed");
            (Instant::now(), event.version)
        };
        let write = async {
            // The subscriber is to be asleep by then; nothing depends on it.
            tokio::time::sleep(Duration::from_millis(60)).await;
            append_to(log, "thing-1", 1).await;
            Instant::now()
        };
        let ((woken, version), written) = within("an event wakes", join(delay, write)).await;
        assert_eq!(version, n);
        delays.push(woken.saturating_duration_since(written));
    }
    delays.sort_unstable();
    assert!(delays[4] < Duration::from_millis(500), "the median of {delays:?}");
}

/// A transaction of the user's that says nothing after its commit.
pub async fn an_event_without_a_hint_is_found_by_the_poll(harness: &dyn Harness) {
    let log = harness.log();
    let mut cursor = log.subscribe(Filter::all(), Position::START);
    for version in 1..=2 {
        let write = async {
            // The subscriber is to be asleep by then; nothing depends on it.
            tokio::time::sleep(Duration::from_millis(60)).await;
            let mut tx = harness.begin_in_sql().await;
            tx.append(vec![append("thing-1", 1)]).await.expect("it is applied");
            tx.commit().await;
            Instant::now()
        };
        let event = async { (cursor.next().await, Instant::now()) };
        let ((event, found), written) = within("the poll", join(event, write)).await;
        assert_eq!(event.expect("the log can be followed").version, version);
        let delay = found.saturating_duration_since(written);
        assert!(delay < Duration::from_secs(5), "found after {delay:?}");
    }
}

/// A filter that lets nothing through does not keep the cursor at the start.
pub async fn a_cursor_moves_past_what_its_filter_leaves_out(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "cart-1", 2).await;
    let last = append_to(log, "thing-1", 50).await.position();
    let mut cursor = log.subscribe(Filter::all().category("cart"), Position::START);
    assert_eq!(take(&mut cursor, 2).await.len(), 2);
    while cursor.position() < last {
        let batch = within("the cursor moves on", cursor.next_batch(10)).await;
        assert!(batch.expect("the log can be followed").events.is_empty());
    }
    let next = append_to(log, "cart-1", 1).await.position();
    assert_eq!(take(&mut cursor, 1).await[0].position, next);
}

/// Batches are as large as asked, say when the cursor has caught up, and nothing comes after that.
pub async fn batches_keep_to_their_limit(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 25).await;
    let mut cursor = log.subscribe(Filter::all(), Position::START);
    let mut sizes = Vec::new();
    loop {
        let batch = within("a batch", cursor.next_batch(10)).await.expect("the log can be read");
        assert_eq!(batch.position, cursor.position());
        sizes.push(batch.events.len());
        if batch.caught_up {
            break;
        }
    }
    assert_eq!(sizes.iter().sum::<usize>(), 25);
    assert!(sizes.iter().all(|size| *size <= 10), "{sizes:?}");
    assert!(cursor.available(10).await.expect("the log can be read").is_none());
}

/// A `select!` around a subscription drops its future at any moment.
pub async fn dropped_futures_of_a_subscription_lose_nothing(harness: &dyn Harness) {
    let log = harness.log();
    let mut rng = StdRng::seed_from_u64(seed("dropped_futures_of_a_subscription_lose_nothing"));
    // So large that a batch arrives in several parts, with a moment to be dropped at in between.
    let large = format!("\"{}\"", "x".repeat(50_000));
    let large = (0..100).map(|_| NewEvent::from_json("thing.grown", 1, &*large));
    log.append(&stream("large-1"), Any, large).await.expect("a plain append is applied");
    let mut cursor = log.subscribe(Filter::all(), Position::START);
    let total = 100 + 4 * 60;
    let reader = async {
        let mut read = Vec::new();
        let mut dropped = 0_u32;
        let deadline = Instant::now() + Duration::from_secs(50);
        while read.len() < total {
            // Now and then long enough for a busy machine.
            let longest = if rng.random_bool(0.1) { 200_000 } else { 1_500 };
            let patience = Duration::from_micros(rng.random_range(0..longest));
            let limit = rng.random_range(1..100);
            match tokio::time::timeout(patience, cursor.next_batch(limit)).await {
                Ok(batch) => {
                    let events = batch.expect("the log can be followed").events;
                    assert!(events.len() <= limit, "{} instead of {limit}", events.len());
                    read.extend(events);
                }
                Err(_) => dropped += 1,
            }
            if let Some(event) = cursor.next().now_or_never() {
                read.push(event.expect("the log can be followed"));
            }
            assert!(
                Instant::now() < deadline,
                "{} of {total} events were delivered, {dropped} futures dropped, at {}",
                read.len(),
                cursor.position()
            );
        }
        (read, dropped)
    };
    let both = join(reader, write(log, 4, 30));
    let ((read, dropped), ()) = within("a subscription with short patience", both).await;
    println!("{dropped} futures were dropped");
    assert_eq!(positions(&read), positions(&all(log).await));
    assert_eq!(read.iter().map(|event| event.id).collect::<BTreeSet<_>>().len(), total);
}

/// Whoever follows the log shares what is read of it, each with his own filter.
pub async fn a_hundred_subscribers_cost_one_reading(harness: &dyn Harness) {
    let gate = Gate::before(harness.log());
    gate.open().await;
    let log = gate.log();
    append_to(log, "thing-1", 3).await;
    let filters = [Filter::all(), Filter::all().category("thing"), Filter::all().category("other")];
    let mut cursors: Vec<_> =
        (0..99).map(|n| log.subscribe(filters[n % 3].clone(), Position::START)).collect();
    for cursor in &mut cursors {
        while within("the beginning", cursor.available(10)).await.expect("it reads").is_some() {}
    }
    for round in 1..=5 {
        gate.looks();
        let begun = Instant::now();
        let read = cursors.iter_mut().map(async |cursor| {
            let batch = within("the next event", cursor.next_batch(10)).await;
            batch.expect("the log can be followed").events.len()
        });
        let name = format!("thing-{round}");
        let append = append_to(log, &name, 1);
        let (counts, _) = join(join_all(read), append).await;
        for (n, count) in counts.into_iter().enumerate() {
            assert_eq!(count, usize::from(n % 3 < 2), "subscriber {n}");
        }
        let (readings, looks) = gate.looks();
        assert!(readings <= 1, "the log was read {readings} times");
        // One for the hint, one of somebody who polled just before it, and each second two polls at most:
        // a poll shares what was looked at within half a second.
        let most = 2 + 2 * begun.elapsed().as_secs();
        assert!(
            u64::try_from(looks).is_ok_and(|looks| looks <= most),
            "the ceiling was asked for {looks} times"
        );
    }
}

/// A subscriber that is further behind than what the others share reads by itself.
pub async fn a_slow_subscriber_among_others_misses_nothing(harness: &dyn Harness) {
    let log = harness.log();
    let mut quick: Vec<_> = (0..3).map(|_| log.subscribe(Filter::all(), Position::START)).collect();
    let mut slow = log.subscribe(Filter::all(), Position::START);
    // It has caught up once, as the others.
    assert!(slow.available(1).await.expect("the log can be read").is_none());
    for round in 0..40 {
        append_to(log, &format!("thing-{round}"), 100).await;
        for cursor in &mut quick {
            assert_eq!(take(cursor, 100).await.len(), 100);
        }
    }
    let everything = positions(&all(log).await);
    assert_eq!(positions(&take(&mut slow, 4_000).await), everything);
}

/// What is new may drive out of what the others share the very events that a slow subscriber lacks: it reads them by
/// itself.
pub async fn a_subscriber_whose_events_are_driven_out_misses_none(harness: &dyn Harness) {
    let log = harness.log();
    let mut quick = log.subscribe(Filter::all(), Position::START);
    let mut slow = log.subscribe(Filter::all(), Position::START);
    for cursor in [&mut quick, &mut slow] {
        assert!(cursor.available(1).await.expect("the log can be read").is_none());
    }
    // As many as are kept, read by the quick one; then more than a look brings along, read by the slow one.
    for round in 0..2 {
        append_to(log, &format!("thing-{round}"), 1_000).await;
    }
    assert_eq!(take(&mut quick, 2_000).await.len(), 2_000);
    append_to(log, "thing-2", 300).await;
    assert_eq!(positions(&take(&mut slow, 2_300).await), positions(&all(log).await));
}

/// What is committed while a subscriber looks, it finds with its next look, and does not wait for its poll.
pub async fn an_event_that_comes_during_a_look_is_found_at_once(harness: &dyn Harness) {
    let gate = Gate::before(harness.log());
    let (begun, mut after) = (Instant::now(), Position::START);
    for _ in 0..5 {
        let mut cursor = gate.log().subscribe(Filter::all(), after);
        gate.hold_looks(true);
        let read = take(&mut cursor, 1);
        let write = async {
            gate.looked().await;
            append_to(harness.log(), "thing-1", 1).await;
            gate.hold_looks(false);
        };
        let (events, ()) = join(read, write).await;
        after = events[0].position;
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
}

/// A batch ends where it is large, however many events were asked for, and the next one goes on.
pub async fn large_events_come_in_several_batches(harness: &dyn Harness) {
    let log = harness.log();
    let large =
        || NewEvent::from_json("thing.happened", 1, format!("\"{}\"", "x".repeat(1_000_000)));
    let mut cursor = log.subscribe(Filter::all(), Position::START);
    for round in 0..3_u32 {
        for n in 0..12 {
            let name = stream(&format!("thing-{round}-{n}"));
            log.append(&name, Any, [large()]).await.expect("it is applied");
        }
        let mut sizes = Vec::new();
        while sizes.iter().sum::<usize>() < 12 {
            let batch = within("a batch", cursor.next_batch(100)).await;
            let batch = batch.expect("the log can be followed");
            assert!(batch.caught_up || !batch.events.is_empty(), "{sizes:?}");
            sizes.push(batch.events.len());
        }
        assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= 9), "{sizes:?}");
    }
}

/// What was shared of a log is of no use where a restored one has taken its place.
pub async fn a_subscriber_of_a_restored_log_gets_its_events(harness: &dyn Harness) {
    let restored = headwater::connect("sqlite::memory:").await.expect("it opens");
    append_to(&restored, "thing-1", 2).await;
    let gate = Gate::before(harness.log());
    let log = gate.log();
    append_to(harness.log(), "thing-1", 2).await;
    let mut quick: Vec<_> = (0..2).map(|_| log.subscribe(Filter::all(), Position::START)).collect();
    let mut slow = log.subscribe(Filter::all(), Position::START);
    for cursor in quick.iter_mut().chain([&mut slow]) {
        take(cursor, 2).await;
        while cursor.available(1).await.expect("the log can be read").is_some() {}
    }
    append_to(harness.log(), "thing-1", 1).await;
    for cursor in &mut quick {
        take(cursor, 1).await;
    }
    gate.swap(&restored);
    assert!(quick[0].available(1).await.expect("the log can be read").is_none());
    append_to(&restored, "thing-1", 2).await;
    let got = slow.available(10).await.expect("the log can be read").expect("there is more");
    let ids: Vec<_> = got.events.iter().map(|event| event.id).collect();
    let theirs: Vec<_> = all(&restored).await[2..].iter().map(|event| event.id).collect();
    assert_eq!(ids, theirs);
}
