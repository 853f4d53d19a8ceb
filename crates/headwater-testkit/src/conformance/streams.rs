//! Streams as the log lists them.

use futures_util::{StreamExt as _, TryStreamExt as _};
use headwater::{Log, StreamInfo};

use super::Harness;
use crate::fixtures::{append, append_to, collect, refused, stream};

async fn list(log: &Log, category: Option<&str>) -> Vec<StreamInfo> {
    log.streams(category).try_collect().await.expect("streams can be listed")
}

/// Version and times of a stream are those of its events.
pub async fn a_stream_tells_its_version_and_times(harness: &dyn Harness) {
    let log = harness.log();
    assert_eq!(log.stream_info(&stream("thing-1")).await, Ok(None));
    for count in [1, 4] {
        append_to(log, "thing-1", count).await;
        append_to(log, "thing-2", 1).await;
        let events = collect(log.read_stream(&stream("thing-1"), 1)).await;
        let (first, last) = (&events[0], &events[events.len() - 1]);
        let info = StreamInfo {
            stream: stream("thing-1"),
            version: last.version,
            first_at: first.recorded_at,
            last_at: last.recorded_at,
        };
        assert_eq!(log.stream_info(&stream("thing-1")).await, Ok(Some(info)));
    }
}

/// Byte by byte, whatever language the database believes to speak.
pub async fn streams_are_listed_by_name(harness: &dyn Harness) {
    let log = harness.log();
    let names =
        ["b-1", "a-2", "B-1", "a-10", "é-1", "a_-1", "a-1", "ab-1", "Z-9", "a-é", "a-z", "a-Z"];
    for name in names {
        append_to(log, name, 1).await;
    }
    let mut expected: Vec<_> = names.map(str::to_owned).to_vec();
    expected.sort_unstable();
    let listed = list(log, None).await;
    let listed: Vec<_> = listed.iter().map(|info| info.stream.as_str().to_owned()).collect();
    assert_eq!(listed, expected);
}

/// A category is what stands before the first hyphen, byte for byte.
pub async fn streams_are_listed_by_category(harness: &dyn Harness) {
    let log = harness.log();
    for name in ["cart-1", "carts-1", "cart-2-a", "Cart-1", "ca_t-1"] {
        append_to(log, name, 1).await;
    }
    for (category, expected) in
        [("cart", &["cart-1", "cart-2-a"][..]), ("ca_t", &["ca_t-1"]), ("car", &[]), ("", &[])]
    {
        let listed = list(log, Some(category)).await;
        let listed: Vec<_> = listed.iter().map(|info| info.stream.as_str()).collect();
        assert_eq!(listed, expected, "{category:?}");
    }
}

/// Not even for a moment, and not by one that touches several streams.
pub async fn a_refused_append_makes_no_stream(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 1).await;
    let conflict = headwater::Append::new(
        stream("thing-1"),
        headwater::ExpectedVersion::None,
        crate::fixtures::events(1),
    );
    refused(log, [append("thing-0", 1), conflict, append("thing-2", 1)]).await;
    assert_eq!(list(log, None).await.len(), 1);
}

/// A thousand streams, listed to the end and given up midway.
pub async fn many_streams_can_be_listed_in_part(harness: &dyn Harness) {
    let log = harness.log();
    log.append_all((0..1_000).map(|n| append(&format!("thing-{n:04}"), 1))).await.expect("applied");
    assert_eq!(list(log, Some("thing")).await.len(), 1_000);
    for n in 1..50 {
        let mut streams = log.streams(None);
        for _ in 0..n {
            assert!(matches!(streams.next().await, Some(Ok(_))));
        }
    }
    assert_eq!(append_to(log, "thing-0001", 1).await.version(), 2);
}
