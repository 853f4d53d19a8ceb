//! Trying again: the same event ids yield the first result, or are refused with other content.

use std::slice::from_ref;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use headwater::{
    Append, Error,
    ExpectedVersion::{Any, Exact, None},
    NewEvent,
};
use uuid::Uuid;

use super::Harness;
use crate::fixtures::{all, append, append_to, dump, event, events, refused, stream};

/// An event with everything that an event can have.
fn full(n: u64) -> NewEvent {
    event(n)
        .metadata(r#"{"user": 1}"#)
        .correlation_id(Uuid::from_u128(7))
        .causation_id(Uuid::from_u128(8))
        .occurred_at(time(1_700_000_000_123_456))
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).expect("a test's time exists")
}

/// At once, with the version that has moved on by the first try itself.
pub async fn the_same_append_again_gives_the_first_result(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 2).await;
    let append = Append::new(stream("thing-1"), Exact(2), [full(1), full(2), event(3)]);
    let first = log.append_all([append.clone()]).await.expect("it is applied");
    assert!(!first.repeated);
    let before = dump(log).await;
    for _ in 0..3 {
        let again = log.append_all([append.clone()]).await.expect("it is recognised");
        assert!(again.repeated);
        assert_eq!(again.streams, first.streams);
    }
    assert_eq!(dump(log).await, before);
}

/// There is no window of time or of events after which an append is forgotten.
pub async fn an_append_is_recognised_after_later_ones(harness: &dyn Harness) {
    let log = harness.log();
    for expected in [None, Any, Exact(0)] {
        let name = format!("thing-{}", Uuid::now_v7());
        let append = Append::new(stream(&name), expected, events(2));
        let first = log.append_all([append.clone()]).await.expect("it is applied");
        append_to(log, &name, 5).await;
        append_to(log, "other-1", 5).await;
        let again = log.append_all([append]).await.expect("it is recognised");
        assert_eq!((again.repeated, again.streams), (true, first.streams));
    }
}

/// With every stream of it moved on since.
pub async fn an_append_to_many_streams_again_gives_the_first_result(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-b", 3).await;
    let appends = [
        Append::new(stream("thing-c"), None, events(2)),
        Append::new(stream("thing-a"), None, events(1)),
        Append::new(stream("thing-b"), Exact(3), events(3)),
    ];
    let first = log.append_all(appends.clone()).await.expect("it is applied");
    append_to(log, "thing-a", 1).await;
    append_to(log, "thing-b", 1).await;
    let before = dump(log).await;
    let again = log.append_all(appends).await.expect("it is recognised");
    assert_eq!((again.repeated, again.streams), (true, first.streams));
    assert_eq!(dump(log).await, before);
}

/// Whatever part of an event differs.
pub async fn the_same_id_with_other_content_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    let (first, second) = (full(1), full(2));
    let append = |events: &[NewEvent]| [Append::new(stream("thing-1"), Any, events.to_vec())];
    log.append_all(append(&[first.clone(), second.clone()])).await.expect("it is applied");
    let change = |change: fn(&mut NewEvent)| {
        let mut event = second.clone();
        change(&mut event);
        event
    };
    let changed = [
        ("data", change(|e| e.data = r#"{"n": 3}"#.into())),
        ("white space in data", change(|e| e.data = r#"{"n":2}"#.into())),
        ("type", change(|e| e.event_type = "thing.ended".into())),
        ("schema version", change(|e| e.schema_version = 2)),
        ("metadata", change(|e| e.metadata = Some(r#"{"user": 2}"#.into()))),
        ("no metadata", change(|e| e.metadata = Option::None)),
        ("correlation", change(|e| e.correlation_id = Some(Uuid::from_u128(9)))),
        ("no causation", change(|e| e.causation_id = Option::None)),
        ("time", change(|e| e.occurred_at = Some(time(1_700_000_000_123_457)))),
        ("no time", change(|e| e.occurred_at = Option::None)),
    ];
    for (what, event) in changed {
        let error = refused(log, append(&[first.clone(), event])).await;
        let event_id = first.id;
        assert_eq!(error, Error::IdempotencyConflict { event_id }, "{what}");
    }
}

/// The same events, but another append.
pub async fn the_same_ids_in_another_append_are_refused(harness: &dyn Harness) {
    let log = harness.log();
    let (first, second) = (event(1), event(2));
    let to = |name: &str, events: &[NewEvent]| Append::new(stream(name), Any, events.to_vec());
    log.append_all([to("thing-1", &[first.clone(), second.clone()])]).await.expect("applied");
    let taken = Error::IdempotencyConflict { event_id: first.id };
    for (what, appends) in [
        ("another stream", vec![to("thing-2", &[first.clone(), second.clone()])]),
        ("one more event", vec![to("thing-1", &[first.clone(), second.clone(), event(3)])]),
        ("a new event first", vec![to("thing-1", &[event(4), first.clone()])]),
        ("two streams", vec![to("thing-1", from_ref(&first)), to("thing-3", &[event(5)])]),
        ("torn apart", vec![to("thing-1", from_ref(&first)), to("thing-4", from_ref(&second))]),
    ] {
        assert_eq!(refused(log, appends).await, taken, "{what}");
    }
    let error = refused(log, [to("thing-1", &[second.clone(), first.clone()])]).await;
    assert_eq!(error, Error::IdempotencyConflict { event_id: second.id }, "the other order");
}

/// An id that is taken counts before an expected version that does not hold.
pub async fn a_taken_id_is_told_before_a_conflict(harness: &dyn Harness) {
    let log = harness.log();
    let taken = event(1);
    log.append(&stream("thing-1"), None, [taken.clone()]).await.expect("it is applied");
    let mut other = taken.clone();
    other.data = "{}".into();
    let error = refused(log, [Append::new(stream("thing-1"), None, [other])]).await;
    assert_eq!(error, Error::IdempotencyConflict { event_id: taken.id });
}

/// The retry starts before the first try has ended.
pub async fn of_the_same_append_many_times_at_once_one_is_applied(harness: &dyn Harness) {
    let log = harness.log();
    for round in 0..10 {
        let append = append(&format!("thing-{round}"), 3);
        let results = join_all((0..8).map(|_| log.append_all([append.clone()]))).await;
        let results: Vec<_> = results.into_iter().map(|r| r.expect("it is recognised")).collect();
        assert_eq!(results.iter().filter(|result| !result.repeated).count(), 1);
        assert!(results.iter().all(|result| result.streams == results[0].streams));
    }
    assert_eq!(all(log).await.len(), 30);
}

/// Rivals give one id to different events, each in a stream of its own.
pub async fn an_id_that_rivals_use_at_once_is_taken_once(harness: &dyn Harness) {
    let log = harness.log();
    for round in 0..10 {
        let id = Uuid::now_v7();
        let rivals = (0..8).map(|n| async move {
            log.append(&stream(&format!("thing-{round}-{n}")), None, [event(n).id(id)]).await
        });
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all(rivals).await.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}: {lost:?}");
        for error in lost.into_iter().filter_map(Result::err) {
            assert_eq!(error, Error::IdempotencyConflict { event_id: id });
        }
    }
    assert_eq!(all(log).await.len(), 10);
}
