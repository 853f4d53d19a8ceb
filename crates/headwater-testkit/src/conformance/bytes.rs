//! What was stored reads back byte for byte.

use chrono::{DateTime, TimeDelta, Utc};
use headwater::{Append, ExpectedVersion::Any, Filter, NewEvent, Position, StreamName};
use uuid::Uuid;

use super::Harness;
use crate::fixtures::{all, collect, event, stream};

/// JSON that a parser would not give back as it was.
const DELICATE: &[&str] = &[
    r#""\u0000""#,
    r#"{"a\u0000b": "\u0000"}"#,
    r#""\ud800""#,
    r#"["\udc00\ud800", "\ud83d\ude00", "😀"]"#,
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890.123456789012345678901234567890",
    "1.10",
    "1e400",
    "-0",
    "1E+2",
    r#"{"z": 1, "a": 2, "M": 3}"#,
    r#"{"a": 1, "a": 2}"#,
    "  {  \"a\"  :\t1 ,\r\n\"b\":[ ]  }  ",
    r#""\/ \b \f \n \r \t \" \\ \u00e9 \u00E9""#,
    "\"e\u{301} \u{e9} \u{212b} \u{fb01}\"",
    "\"\u{7f}\u{85}\u{2028}\u{feff}\u{10ffff}\"",
    "null",
    "\"\"",
    "{}",
    "[]",
    "\"$1 {schema} %s ? :name ''\"",
];

/// Every way of reading gives the data and the metadata that were written.
pub async fn data_and_metadata_read_back_exactly(harness: &dyn Harness) {
    let log = harness.log();
    let written: Vec<_> = DELICATE
        .iter()
        .map(|json| {
            let metadata = format!(" {{\"b\": {json},\n \"a\":1.0}}\n");
            NewEvent::from_json("thing.happened", 1, *json).metadata(metadata)
        })
        .collect();
    let appended = log.append(&stream("thing-1"), Any, written.clone()).await;
    appended.expect("all of it is JSON");
    let by_stream = collect(log.read_stream(&stream("thing-1"), 1)).await;
    let by_log = all(log).await;
    assert_eq!(by_stream, by_log);
    assert_eq!(by_log.len(), written.len());
    for (read, written) in by_log.iter().zip(&written) {
        assert_eq!(read.event.data, written.data);
        assert_eq!(read.metadata, written.metadata);
        let found = log.event(written.id).await.expect("the log answers");
        assert_eq!(found.as_ref(), Some(read));
    }
}

/// The same, each tried again: what was stored is compared byte for byte as well.
pub async fn delicate_data_is_recognised_when_it_is_tried_again(harness: &dyn Harness) {
    let log = harness.log();
    let events: Vec<_> =
        DELICATE.iter().map(|json| NewEvent::from_json("thing.happened", 1, *json)).collect();
    let append = Append::new(stream("thing-1"), Any, events);
    let first = log.append_all([append.clone()]).await.expect("it is applied");
    let again = log.append_all([append]).await.expect("it is recognised");
    assert_eq!((again.repeated, again.streams), (true, first.streams));
}

/// A mebibyte of text in four alphabets.
pub async fn a_large_event_reads_back_exactly(harness: &dyn Harness) {
    let log = harness.log();
    let letters = "aé漢😀".chars().cycle().take((1 << 20) / 10 * 4 - 8).collect::<String>();
    let data = format!("\"{letters}\"");
    log.append(&stream("thing-1"), Any, [NewEvent::from_json("a.b", 1, &*data)])
        .await
        .expect("it is within the limit");
    assert!(all(log).await[0].event.data == data, "a large event came back changed");
}

/// Names that differ in a byte are different names, and SQL's own signs mean nothing in them.
pub async fn names_are_byte_exact(harness: &dyn Harness) {
    let log = harness.log();
    let ids = [
        "a",
        "A",
        "\u{e9}",
        "e\u{301}",
        "E\u{301}",
        "%",
        "_",
        "a%",
        "'; drop table events; --",
        "\"",
        "\\",
        "{schema}",
        "$1",
        " a",
        "a ",
        "a-b",
        "😀",
        "\u{feff}a",
        "ß",
        "ss",
        "ı",
        "i",
        "I",
        "1",
        "01",
        "null",
    ];
    for id in ids {
        let name = StreamName::new("thing", id).expect("it is a name");
        log.append(&name, headwater::ExpectedVersion::None, [NewEvent::from_json(id, 1, "{}")])
            .await
            .unwrap_or_else(|error| panic!("{id:?}: {error}"));
    }
    for id in ids {
        let name = StreamName::new("thing", id).expect("it is a name");
        for filter in [Filter::all().stream(name.clone()), Filter::all().event_type(id)] {
            let found = collect(log.read(filter, Position::START)).await;
            assert_eq!(found.len(), 1, "{id:?}");
            assert_eq!(
                (found[0].stream.as_str(), &*found[0].event.event_type),
                (name.as_str(), id)
            );
        }
        assert_eq!(collect(log.read_stream(&name, 1)).await.len(), 1, "{id:?}");
    }
}

/// To the microsecond, also before 1970, when fractions count the other way.
pub async fn times_are_kept_to_the_microsecond(harness: &dyn Harness) {
    let log = harness.log();
    let micros = |micros| DateTime::from_timestamp_micros(micros).expect("it exists");
    let nanos = |text: &str| text.parse::<DateTime<Utc>>().expect("it is a time");
    let times = [
        micros(0),
        micros(1),
        micros(-1),
        micros(-1_500_001),
        micros(1_700_000_000_123_456),
        nanos("2024-02-29T23:59:59.123456789Z"),
        nanos("1999-12-31T23:59:59.999999999Z"),
        nanos("1969-12-31T23:59:59.9999995Z"),
        nanos("0001-01-01T00:00:00.000001Z"),
        nanos("9999-12-31T23:59:59.999999Z"),
    ];
    let events = times.map(|time| event(1).occurred_at(time));
    let append = Append::new(stream("thing-1"), Any, events);
    let first = log.append_all([append.clone()]).await.expect("all of them can be kept");
    for (read, time) in all(log).await.iter().zip(times) {
        assert_eq!(read.occurred_at, micros(time.timestamp_micros()), "{time:?}");
    }
    let again = log.append_all([append]).await.expect("it is recognised");
    assert_eq!((again.repeated, again.streams), (true, first.streams));
}

/// When the store wrote it is the store's own account, and stands in where the writer gave none.
pub async fn the_time_of_recording_is_the_stores(harness: &dyn Harness) {
    let log = harness.log();
    let before = Utc::now();
    log.append(&stream("thing-1"), Any, [event(1)]).await.expect("it is applied");
    let read = all(log).await.remove(0);
    assert_eq!(read.occurred_at, read.recorded_at);
    // A store may run on another machine; here its clock is at most a little off.
    let off = TimeDelta::seconds(10);
    assert!(read.recorded_at > before - off && read.recorded_at < Utc::now() + off);
}

/// Every id, also the extreme ones, and none.
pub async fn ids_read_back_exactly(harness: &dyn Harness) {
    let log = harness.log();
    let ids = [Uuid::nil(), Uuid::max(), Uuid::from_u128(1 << 127), Uuid::now_v7(), Uuid::now_v7()];
    for id in ids {
        let event = event(1).id(id).correlation_id(id).causation_id(id);
        log.append(&stream("thing-1"), Any, [event]).await.expect("it is applied");
    }
    log.append(&stream("thing-1"), Any, [event(1)]).await.expect("it is applied");
    let read = all(log).await;
    for (read, id) in read.iter().zip(ids) {
        assert_eq!((read.id, read.correlation_id, read.causation_id), (id, Some(id), Some(id)));
    }
    assert_eq!(
        (read[5].correlation_id, read[5].causation_id, &read[5].metadata),
        (None, None, &None)
    );
}
