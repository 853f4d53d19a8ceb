//! Limits and bad input: each a typed error, and the store unchanged.

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use headwater::{
    Append, Error, ErrorKind,
    ExpectedVersion::{self, Any, Exact},
    Limits, NewEvent, Settings,
};
use uuid::Uuid;

use super::{Harness, only_where_shared};
use crate::fixtures::{all, append, append_to, event, events, failure, refused, stream};

const MIB: usize = 1 << 20;

fn data(data: impl Into<String>) -> NewEvent {
    NewEvent::from_json("thing.happened", 1, data)
}

fn to_thing(events: impl IntoIterator<Item = NewEvent>) -> [Append; 1] {
    [Append::new(stream("thing-1"), Any, events)]
}

/// A JSON string of exactly this many bytes.
fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

/// A JSON object of exactly this many bytes.
fn object(bytes: usize) -> String {
    format!("{{\"a\":{}}}", text(bytes - 6))
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// The largest of everything is still taken.
pub async fn what_is_exactly_at_a_limit_is_taken(harness: &dyn Harness) {
    let log = harness.log();
    let longest = "t".repeat(512);
    for (what, events) in [
        ("data of 1 MiB", vec![data(text(MIB))]),
        ("metadata of 64 KiB", vec![event(1).metadata(object(64 << 10))]),
        ("1,000 events", events(1_000)),
        ("16 MiB", (0..16).map(|_| data(text(MIB))).collect()),
        ("a name of 512 bytes", vec![NewEvent::from_json(&longest, 1, "{}")]),
        ("64 levels", vec![data(nested(64)).metadata(format!("{{\"a\":{}}}", nested(63)))]),
        ("the highest schema version", vec![NewEvent::from_json("a.b", i32::MAX as u32, "1")]),
    ] {
        let result = log.append_all(to_thing(events)).await;
        assert!(result.is_ok(), "{what} was refused: {result:?}");
    }
    let long_stream = format!("thing-{}", "é".repeat(253));
    assert_eq!(long_stream.len(), 512);
    assert_eq!(append_to(log, &long_stream, 1).await.version(), 1);
}

/// One byte, one event, one level more.
pub async fn what_is_over_a_limit_is_refused_by_its_size(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 1).await;
    for (events, size, limit) in [
        (vec![data(text(MIB + 1))], MIB + 1, MIB),
        (vec![event(1).metadata(object((64 << 10) + 1))], (64 << 10) + 1, 64 << 10),
        (events(1_001), 1_001, 1_000),
        ((0..16).map(|_| data(text(MIB))).chain([data("1")]).collect(), (16 << 20) + 1, 16 << 20),
    ] {
        match refused(log, to_thing(events)).await {
            Error::TooLarge { size: told, limit: at, .. } => assert_eq!((told, at), (size, limit)),
            other => panic!("{size} is over {limit}: {other:?}"),
        }
    }
    let many = (0..1_001).map(|n| append(&format!("thing-{n}"), 1));
    assert!(matches!(refused(log, many).await, Error::TooLarge { size: 1_001, .. }));
}

/// Data and metadata count towards the whole, over all streams of the append.
pub async fn the_size_of_an_append_counts_all_its_streams(harness: &dyn Harness) {
    let log = harness.log();
    let streams = (0..17).map(|n| {
        let event = data(text(MIB - 1_000)).metadata(object(2_000));
        Append::new(stream(&format!("thing-{n}")), Any, [event])
    });
    let error = refused(log, streams).await;
    assert!(matches!(error, Error::TooLarge { limit: 16_777_216, .. }), "{error:?}");
}

/// Names of streams are refused where they are made, those of types at the append.
pub async fn a_name_that_is_no_name_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    let too_long = "t".repeat(513);
    let names = ["", &too_long, "a\u{0}b", "a\nb", "a\u{7f}", "a\u{85}b", "\u{1b}[31m"];
    for name in names {
        let error = refused(log, to_thing([NewEvent::from_json(name, 1, "{}")])).await;
        match error {
            Error::InvalidName { name: told, .. } => assert!(told.len() <= 80, "{told}"),
            other => panic!("{name:?}: {other:?}"),
        }
    }
}

/// What is not JSON, what is nested too deep, metadata that is no object.
pub async fn data_and_metadata_that_do_not_fit_are_refused(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 1).await;
    let no_json = [
        "",
        " ",
        "{",
        "{'a': 1}",
        "{\"a\": 1} x",
        "NaN",
        "01",
        "1.",
        "\"\u{0}\"",
        "\"\n\"",
        "\"\\x\"",
        "\"\\ud8\"",
        "[1,]",
        "\u{feff}{}",
        "tru",
        "{\"a\" 1}",
        "{1: 2}",
        "'a'",
        "[1 2]",
        "-",
        "+1",
    ];
    for json in no_json {
        let error = refused(log, to_thing([data(json)])).await;
        assert!(matches!(error, Error::InvalidInput(_)), "{json:?}: {error:?}");
    }
    for metadata in ["[1]", "\"a\"", "1", "null", "true", "", "{", "[{}]"] {
        let error = refused(log, to_thing([event(1).metadata(metadata)])).await;
        assert!(matches!(error, Error::InvalidInput(_)), "{metadata:?}: {error:?}");
    }
    let deep = [data(nested(65)), event(1).metadata(format!("{{\"a\":{}}}", nested(64)))];
    for event in deep.into_iter().chain([data("[".repeat(500_000))]) {
        let error = refused(log, to_thing([event])).await;
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    }
    for version in [0, i32::MAX as u32 + 1, u32::MAX] {
        let error = refused(log, to_thing([NewEvent::from_json("a.b", version, "1")])).await;
        assert!(matches!(error, Error::InvalidInput(_)), "{version}: {error:?}");
    }
}

/// An append says one thing of each stream and of each event, and says something.
pub async fn an_append_that_contradicts_itself_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    let id = Uuid::now_v7();
    let empty = Append::new(stream("thing-1"), Any, []);
    let expecting = |expected| Append::new(stream("thing-1"), expected, [event(1)]);
    for (what, appends) in [
        ("no stream", vec![]),
        ("no event", vec![empty.clone()]),
        ("one stream without an event", vec![append("thing-2", 1), empty]),
        (
            "two versions of a stream",
            vec![append("thing-1", 1), append("thing-2", 1), expecting(Exact(1))],
        ),
        ("no stream behind one", vec![append("thing-1", 1), expecting(ExpectedVersion::None)]),
        ("an id twice in a stream", to_thing([event(1).id(id), event(2).id(id)]).to_vec()),
        (
            "an id twice in two streams",
            vec![
                Append::new(stream("thing-1"), Any, [event(1).id(id)]),
                Append::new(stream("thing-2"), Any, [event(1).id(id)]),
            ],
        ),
    ] {
        let error = refused(log, appends).await;
        assert!(matches!(error, Error::InvalidInput(_)), "{what}: {error:?}");
        assert_eq!(error.kind(), ErrorKind::FixInput, "{what}");
    }
}

/// The limits are a setting of the log.
pub async fn limits_can_be_set(harness: &dyn Harness) {
    if !harness.is_shared() {
        return only_where_shared();
    }
    let limits = Limits { event_data: 10, events: 2, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let log = harness.reopen(settings).await.expect("it opens a second time");
    let error = failure(log.append_all(to_thing([data(text(11))])).await);
    assert!(matches!(error, Error::TooLarge { size: 11, limit: 10, .. }), "{error:?}");
    let error = failure(log.append_all(to_thing(events(3))).await);
    assert!(matches!(error, Error::TooLarge { size: 3, limit: 2, .. }), "{error:?}");
    assert!(log.append_all(to_thing([data(text(10))])).await.is_ok());
    log.close().await;
}

/// A time that a database cannot hold fails alone: not the appends that travel with it.
pub async fn a_time_out_of_range_fails_alone(harness: &dyn Harness) {
    let log = harness.log();
    let mixed = (0..40_u64).map(|n| {
        let event = match n % 4 {
            0 => event(n).occurred_at(DateTime::<Utc>::MIN_UTC),
            1 => event(n).occurred_at(DateTime::<Utc>::MAX_UTC),
            _ => event(n),
        };
        log.append_all([Append::new(stream(&format!("thing-{n}")), Any, [event])])
    });
    let results = join_all(mixed).await;
    for (n, result) in results.iter().enumerate().filter(|(n, _)| n % 4 > 1) {
        assert!(result.is_ok(), "append {n} is in order and was refused: {result:?}");
    }
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(error.kind(), ErrorKind::FixInput, "{error}");
    }
    assert_eq!(all(log).await.len(), results.iter().filter(|result| result.is_ok()).count());
}
