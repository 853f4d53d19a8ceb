//! Reading: streams and the log, forward and backward, filtered, and given up midway.

use futures_util::{StreamExt as _, TryStreamExt as _};
use headwater::{Append, ExpectedVersion::Any, Filter, Log, NewEvent, Position, StoredEvent};
use uuid::Uuid;

use super::Harness;
use crate::fixtures::{all, append_to, collect, event, positions, stream, versions};

/// From any version to the end.
pub async fn a_stream_reads_forward_from_a_version(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 3).await;
    append_to(log, "thing-2", 2).await;
    append_to(log, "thing-1", 2).await;
    for (from, first) in [(0, 1), (1, 1), (3, 3), (5, 5), (6, 6), (u64::MAX, 6)] {
        let read = collect(log.read_stream(&stream("thing-1"), from)).await;
        assert_eq!(versions(&read), (first..=5).collect::<Vec<_>>(), "from {from}");
        assert!(read.iter().all(|event| event.stream.as_str() == "thing-1"));
    }
}

/// From the end or any version back to the first.
pub async fn a_stream_reads_backward_from_a_version(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-2", 2).await;
    append_to(log, "thing-1", 4).await;
    for (from, newest) in [(u64::MAX, 4), (9, 4), (4, 4), (2, 2), (1, 1), (0, 0)] {
        let read = collect(log.read_stream_backward(&stream("thing-1"), from)).await;
        assert_eq!(versions(&read), (1..=newest).rev().collect::<Vec<_>>(), "from {from}");
    }
}

/// Neither direction, neither way of asking makes an error of it.
pub async fn what_does_not_exist_reads_as_nothing(harness: &dyn Harness) {
    let log = harness.log();
    for written in [false, true] {
        let missing = stream("thing-missing");
        assert_eq!(collect(log.read_stream(&missing, 1)).await, []);
        assert_eq!(collect(log.read_stream_backward(&missing, u64::MAX)).await, []);
        for filter in [
            Filter::all().stream(missing.clone()),
            Filter::all().category("missing"),
            Filter::all().event_type("missing"),
            Filter::all().correlation_id(Uuid::nil()),
            Filter::all().event_id(Uuid::nil()),
        ] {
            assert_eq!(collect(log.read(filter.clone(), Position::START)).await, []);
            assert_eq!(collect(log.read_backward(filter, Position::END)).await, []);
        }
        assert_eq!(log.event(Uuid::nil()).await, Ok(None));
        if !written {
            assert_eq!(all(log).await, []);
            append_to(log, "thing-1", 1).await;
        }
    }
}

/// More than a store reads at a time, and here and there what a filter looks for.
pub async fn a_long_log_is_read_whole_in_both_directions(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..26 {
        append_to(log, &format!("thing-{n}"), 1_000).await;
        if n % 6 == 5 {
            append_to(log, &format!("rare-{n}"), 2).await;
        }
    }
    let written: Vec<_> = (1..=26_008).collect();
    let forward =
        async |filter, after| positions(&collect(log.read(filter, Position(after))).await);
    let backward = async |filter, from| {
        let mut read = positions(&collect(log.read_backward(filter, Position(from))).await);
        read.reverse();
        read
    };
    assert_eq!(forward(Filter::all(), 0).await, written);
    assert_eq!(backward(Filter::all(), u64::MAX).await, written);
    assert_eq!(forward(Filter::all(), 9_999).await, written[9_999..]);
    assert_eq!(backward(Filter::all(), 20_001).await, written[..20_001]);
    let rare = || Filter::all().category("rare");
    let found = [6_001, 6_002, 12_003, 12_004, 18_005, 18_006, 24_007, 24_008];
    assert_eq!(forward(rare(), 0).await, found);
    assert_eq!(backward(rare(), u64::MAX).await, found);
    assert_eq!(forward(rare(), 6_001).await, found[1..]);
    assert_eq!(backward(rare(), 24_007).await, found[..7]);
}

/// From any position, in both directions.
pub async fn the_log_reads_from_a_position(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..6 {
        append_to(log, &format!("thing-{}", n % 3), 2).await;
    }
    let events = all(log).await;
    assert_eq!(events.len(), 12);
    assert!(positions(&events).is_sorted_by(|a, b| a < b));
    for (n, event) in events.iter().enumerate() {
        let behind = collect(log.read(Filter::all(), event.position)).await;
        assert_eq!(behind, events[n + 1..], "after a position is without it");
        let mut back = collect(log.read_backward(Filter::all(), event.position)).await;
        back.reverse();
        assert_eq!(back, events[..=n], "backward from a position is with it");
    }
    assert_eq!(collect(log.read(Filter::all(), Position::END)).await, []);
    assert_eq!(collect(log.read_backward(Filter::all(), Position::START)).await, []);
}

async fn filtered(log: &Log, filter: Filter) -> Vec<String> {
    let name = |event: StoredEvent| format!("{}@{}", event.stream, event.version);
    let forward: Vec<_> =
        collect(log.read(filter.clone(), Position::START)).await.into_iter().map(name).collect();
    let backward = collect(log.read_backward(filter, Position::END)).await;
    let backward: Vec<_> = backward.into_iter().rev().map(name).collect();
    assert_eq!(forward, backward, "both directions find the same");
    forward
}

/// By category, stream and type, each alone, several of one kind, and together.
pub async fn a_filter_yields_what_it_names(harness: &dyn Harness) {
    let log = harness.log();
    let typed = |name: &str| NewEvent::from_json(name, 1, "{}");
    for (name, types) in [
        ("cart-1", &["opened", "added"][..]),
        ("carts-1", &["opened"]),
        ("order-1", &["opened", "paid"]),
        ("cart-2", &["opened", "paid"]),
        ("Cart-1", &["paid"]),
        ("c%t-1", &["paid"]),
    ] {
        let events = types.iter().map(|name| typed(name));
        log.append(&stream(name), Any, events).await.expect("it is applied");
    }
    let category = |name: &str| Filter::all().category(name);
    for (filter, expected) in [
        (category("cart"), &["cart-1@1", "cart-1@2", "cart-2@1", "cart-2@2"][..]),
        (category("c%t"), &["c%t-1@1"]),
        (category("order").category("carts"), &["carts-1@1", "order-1@1", "order-1@2"]),
        (Filter::all().stream(stream("cart-2")), &["cart-2@1", "cart-2@2"]),
        (
            Filter::all().stream(stream("Cart-1")).stream(stream("cart-1")),
            &["cart-1@1", "cart-1@2", "Cart-1@1"],
        ),
        (Filter::all().event_type("added"), &["cart-1@2"]),
        (
            Filter::all().event_type("paid").event_type("added"),
            &["cart-1@2", "order-1@2", "cart-2@2", "Cart-1@1", "c%t-1@1"],
        ),
        (category("cart").event_type("paid"), &["cart-2@2"]),
        (category("cart").stream(stream("order-1")), &[]),
        (category("cart").stream(stream("cart-1")).event_type("opened"), &["cart-1@1"]),
    ] {
        assert_eq!(filtered(log, filter.clone()).await, expected, "{filter:?}");
    }
}

/// By conversation and by id, also together with others.
pub async fn a_filter_yields_a_conversation_or_one_event(harness: &dyn Harness) {
    let log = harness.log();
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    for n in 0..4 {
        let events = [event(n).correlation_id(one), event(n).correlation_id(other), event(n)];
        log.append(&stream(&format!("thing-{n}")), Any, events).await.expect("it is applied");
    }
    let conversation = Filter::all().correlation_id(one);
    let expected = ["thing-0@1", "thing-1@1", "thing-2@1", "thing-3@1"];
    assert_eq!(filtered(log, conversation.clone()).await, expected);
    assert_eq!(filtered(log, conversation.stream(stream("thing-2"))).await, ["thing-2@1"]);
    for event in all(log).await {
        assert_eq!(log.event(event.id).await, Ok(Some(event.clone())));
        let both = Filter::all().event_id(event.id).category("other");
        assert_eq!(filtered(log, both).await.len(), 0);
    }
}

/// From a moment, until a moment, and the position at a moment.
pub async fn a_filter_yields_a_span_of_time(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..5 {
        append_to(log, &format!("thing-{n}"), 1).await;
        // Recording times must differ for the test to mean something.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let events = all(log).await;
    let at = |n: usize| events[n].recorded_at;
    let from = Filter::all().recorded_from(at(2));
    assert_eq!(filtered(log, from.clone()).await, ["thing-2@1", "thing-3@1", "thing-4@1"]);
    let until = Filter::all().recorded_until(at(2));
    assert_eq!(filtered(log, until).await, ["thing-0@1", "thing-1@1"]);
    assert_eq!(filtered(log, from.recorded_until(at(4))).await, ["thing-2@1", "thing-3@1"]);
    let position = log.position_at(at(3)).await.expect("the log answers");
    assert_eq!(collect(log.read(Filter::all(), position)).await, events[3..]);
    let position = log.position_at(chrono::Utc::now() + chrono::TimeDelta::days(1)).await;
    assert_eq!(position, Ok(events[4].position), "nothing lies behind a moment to come");
}

/// A reader who has seen enough gives up a connection in the middle of a result.
pub async fn dropping_a_reading_midway_leaves_the_log_usable(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..3 {
        append_to(log, &format!("thing-{n}"), 1_000).await;
    }
    for n in 0..200_usize {
        let mut events = match n % 3 {
            0 => log.read(Filter::all(), Position::START),
            1 => log.read_stream(&stream("thing-1"), 1),
            _ => log.read_backward(Filter::all().category("thing"), Position::END),
        };
        for _ in 0..n % 7 {
            assert!(matches!(events.next().await, Some(Ok(_))));
        }
        drop(events);
        if n % 20 == 0 {
            append_to(log, "other-1", 1).await;
        }
    }
    assert_eq!(all(log).await.len(), 3_010);
}

/// Readers that have stopped asking hold no writer up, and no other reader.
pub async fn readings_that_stand_still_hold_nobody_up(harness: &dyn Harness) {
    let log = harness.log();
    let name = stream("thing-1");
    for _ in 0..3 {
        append_to(log, "thing-1", 1_000).await;
    }
    let read = || {
        [
            (1, log.read(Filter::all(), Position::START)),
            (3_000, log.read_backward(Filter::all(), Position::END)),
            (1, log.read_stream(&name, 1)),
            (3_000, log.read_stream_backward(&name, u64::MAX)),
        ]
    };
    let mut still = Vec::new();
    for (version, mut events) in read().into_iter().chain(read()) {
        let first = events.try_next().await.expect("the log can be read").expect("it holds events");
        assert_eq!(first.version, version);
        still.push((version, events));
    }
    for _ in 0..20 {
        append_to(log, "other-1", 1).await;
    }
    assert_eq!(all(log).await.len(), 3_020);
    for (first, events) in still {
        let rest: Vec<_> = events.try_collect().await.expect("it goes on where it stood");
        let expected: Vec<u64> =
            if first == 1 { (2..=3_000).collect() } else { (1..3_000).rev().collect() };
        assert_eq!(versions(&rest), expected);
    }
}

/// A slow reader of 20,000 events, while the log grows: it sees the log of when it began, in order.
pub async fn a_slow_reader_sees_all_while_writers_go_on(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..20 {
        append_to(log, &format!("thing-{n}"), 1_000).await;
    }
    let mut read = Vec::new();
    let mut events = log.read(Filter::all(), Position::START);
    while let Some(event) = events.try_next().await.expect("the log can be read") {
        read.push(event.position.0);
        if read.len() % 1_000 == 0 {
            log.append_all([Append::new(stream("other-1"), Any, [event_of_a_kilobyte()])])
                .await
                .expect("writers go on");
        }
    }
    assert_eq!(read.len(), 20_000);
    assert!(read.is_sorted_by(|a, b| a < b));
}

fn event_of_a_kilobyte() -> NewEvent {
    NewEvent::from_json("thing.happened", 1, format!("\"{}\"", "x".repeat(1_000)))
}
