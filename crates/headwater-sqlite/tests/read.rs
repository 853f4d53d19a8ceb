//! Reading: pages, directions, filters, plans, and readers beside writers.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{all, append, event, file, fill, memory, read, stream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use headwater_core::{
    Append, Direction, ExpectedVersion, Filter, Position, Reading, Store as _, StoredEvent,
};
use headwater_sqlite::SqliteStore;
use sqlx::Row as _;

use Direction::{Backward, Forward};

fn numbers(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position.0).collect()
}

#[tokio::test]
async fn pages_join_without_gap_or_repetition_in_both_directions() {
    let file = file().await;
    for store in [memory().await, file.store.clone()] {
        fill(&store, 3, 5_000).await;
        assert_eq!(numbers(&all(&store).await), (1..=5_000).collect::<Vec<_>>());
        let backward = read(&store, Filter::all(), Backward).await;
        assert_eq!(numbers(&backward), (1..=5_000).rev().collect::<Vec<_>>());

        let (after, until) = (Position(63), Position(3_000));
        let reading = Reading::Log { filter: Filter::all(), after, until, direction: Forward };
        let part: Vec<_> = store.read(reading).try_collect().await.unwrap();
        assert_eq!(numbers(&part), (64..=3_000).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_stream_is_read_from_any_version_in_both_directions() {
    let store = memory().await;
    fill(&store, 3, 5_000).await;
    let versions = async |id: usize, from: u64, direction| {
        let reading = Reading::Stream { stream: stream(id), from, direction };
        let events: Vec<_> = store.read(reading).try_collect().await.unwrap();
        assert!(events.iter().all(|event| event.stream == stream(id)));
        events.iter().map(|event| event.version).collect::<Vec<_>>()
    };
    assert_eq!(versions(1, 0, Forward).await, (1..=1_667).collect::<Vec<_>>());
    assert_eq!(versions(1, 1_660, Forward).await, (1_660..=1_667).collect::<Vec<_>>());
    assert_eq!(versions(1, u64::MAX, Backward).await, (1..=1_667).rev().collect::<Vec<_>>());
    assert_eq!(versions(1, 2, Backward).await, [2, 1]);
    assert!(versions(1, 0, Backward).await.is_empty());
    assert!(versions(7, 1, Forward).await.is_empty());
}

#[tokio::test]
async fn every_filter_lets_its_events_through_and_no_others() {
    let store = memory().await;
    fill(&store, 3, 2_500).await;
    let conversation = event(0).id;
    let order = headwater_core::StreamName::new("order", 1).unwrap();
    let mut special = event(0).correlation_id(conversation);
    special.event_type = "order.placed".into();
    store
        .append(vec![Append::new(order.clone(), ExpectedVersion::Any, [special.clone()])])
        .await
        .unwrap();
    fill(&store, 3, 10).await;

    for filter in [
        Filter::all().category("order"),
        Filter::all().category("order").category("nothing"),
        Filter::all().stream(order.clone()),
        Filter::all().event_type("order.placed"),
        Filter::all().correlation_id(conversation),
        Filter::all().event_id(special.id),
        Filter::all().event_id(special.id).correlation_id(conversation).category("order"),
    ] {
        for direction in [Forward, Backward] {
            assert_eq!(
                numbers(&read(&store, filter.clone(), direction).await),
                [2_501],
                "{filter:?}"
            );
        }
        let none = Filter { types: vec!["else".into()], ..filter };
        assert!(read(&store, none, Forward).await.is_empty());
    }
    let carts = read(&store, Filter::all().category("cart"), Forward).await;
    assert_eq!(carts.len(), 2_510);
    let two = read(&store, Filter::all().stream(stream(0)).stream(stream(1)), Backward).await;
    assert_eq!(two.len(), 834 + 833 + 4 + 3);
    assert!(two.is_sorted_by(|a, b| a.position > b.position));
}

#[tokio::test]
async fn a_time_filter_takes_its_first_and_leaves_its_last_moment() {
    let store = memory().await;
    let mut times = Vec::new();
    for _ in 0..5 {
        store.append(vec![append(1, ExpectedVersion::Any, 2)]).await.unwrap();
        let last = all(&store).await.pop().unwrap().recorded_at;
        times.push(last);
        while chrono::Utc::now().timestamp_micros() <= last.timestamp_micros() {}
    }
    let between = Filter::all().recorded_from(times[1]).recorded_until(times[3]);
    assert_eq!(numbers(&read(&store, between.clone(), Forward).await), [3, 4, 5, 6]);
    assert_eq!(numbers(&read(&store, between, Backward).await), [6, 5, 4, 3]);
    let later = Filter::all().recorded_from(times[4] + Duration::from_micros(1));
    assert!(read(&store, later, Forward).await.is_empty());
    let earlier = Filter::all().recorded_until(times[0]);
    assert!(read(&store, earlier, Backward).await.is_empty());
}

#[tokio::test]
async fn payloads_of_every_size_and_any_text_come_whole() {
    let store = memory().await;
    let mut given = Vec::new();
    for size in [0, 1, 2, 100, 4_000, 4_080, 4_085, 4_090, 4_095, 4_096, 4_097, 5_000, 70_000] {
        for (data, metadata) in
            [("ü", None), ("x,", Some(20)), ("\u{1F600}", Some(size.min(9_000)))]
        {
            let mut event = event(size);
            event.data = format!("\"{}\"", data.repeat(size / data.len()));
            event.metadata = metadata.map(|size| format!("{{\"m\":\"{}\"}}", ",1".repeat(size)));
            event.causation_id = metadata.map(|_| event.id);
            given.push(event);
        }
    }
    let append = Append::new(stream("1,2,ü"), ExpectedVersion::Any, given.clone());
    store.append(vec![append]).await.unwrap();
    let read = all(&store).await;
    assert_eq!(read.len(), given.len());
    for (read, given) in read.iter().zip(given) {
        assert_eq!((&read.stream, read.id), (&stream("1,2,ü"), given.id));
        assert_eq!((&read.event.data, &read.metadata), (&given.data, &given.metadata));
        assert_eq!((read.correlation_id, read.causation_id), (None, given.causation_id));
        assert_eq!(read.occurred_at, read.recorded_at);
    }
}

#[tokio::test]
async fn large_events_are_read_in_small_pages() {
    let store = memory().await;
    let large = format!("\"{}\"", "x".repeat(900_000));
    for id in 0..12 {
        let mut event = event(id);
        event.data.clone_from(&large);
        store.append(vec![Append::new(stream(id), ExpectedVersion::Any, [event])]).await.unwrap();
    }
    let read = all(&store).await;
    assert_eq!(numbers(&read), (1..=12).collect::<Vec<_>>());
    assert!(read.iter().all(|event| event.event.data == large));
}

#[tokio::test]
async fn a_slow_reader_keeps_neither_writers_nor_checkpoints_of_the_file_waiting() {
    let file = file().await;
    fill(&file.store, 3, 20_000).await;
    let reading = Reading::Log {
        filter: Filter::all(),
        after: Position::START,
        until: Position::END,
        direction: Forward,
    };
    let mut slow = file.store.read(reading);
    slow.next().await.unwrap().unwrap();
    file.store.append(vec![append(1, ExpectedVersion::Any, 1)]).await.unwrap();
    // Pages are fetched ahead, so it may take a moment until the last of them is in memory.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let row = sqlx::query("pragma wal_checkpoint(truncate)").fetch_one(file.store.pool()).await;
        if row.unwrap().get::<i64, _>(0) == 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the write-ahead log stays pinned");
    }
    assert_eq!(slow.count().await, 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_run_beside_each_other() {
    let file = file().await;
    for store in [memory().await, file.store.clone()] {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..30 {
                        store.append(vec![append(writer, ExpectedVersion::Any, 5)]).await.unwrap();
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut seen = 0;
                    while seen < 600 {
                        let ceiling = store.look(None).await.unwrap().ceiling.position;
                        seen = check_prefix(&store, ceiling).await;
                    }
                })
            })
            .collect();
        for task in writers.into_iter().chain(readers) {
            tokio::time::timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
        }
    }
}

/// Every position up to the ceiling is there, and only whole appends.
async fn check_prefix(store: &SqliteStore, ceiling: Position) -> u64 {
    let reading = Reading::Log {
        filter: Filter::all(),
        after: Position::START,
        until: ceiling,
        direction: Forward,
    };
    let events: Vec<_> = store.read(reading).try_collect().await.unwrap();
    assert_eq!(numbers(&events), (1..=ceiling.0).collect::<Vec<_>>());
    assert_eq!(ceiling.0 % 5, 0, "a part of an append is visible");
    ceiling.0
}

#[tokio::test]
async fn streams_are_listed_by_name_whole_or_by_category() {
    let store = memory().await;
    fill(&store, 2_100, 2_500).await;
    let order = headwater_core::StreamName::new("order", 1).unwrap();
    store.append(vec![Append::new(order.clone(), ExpectedVersion::Any, [event(0)])]).await.unwrap();
    let list = async |category| store.streams(category).try_collect::<Vec<_>>().await.unwrap();
    let all = list(None).await;
    assert_eq!(all.len(), 2_101);
    assert!(all.is_sorted_by(|a, b| a.stream < b.stream));
    assert_eq!(list(Some("cart")).await.len(), 2_100);
    let orders = list(Some("order")).await;
    assert_eq!((orders.len(), &orders[0].stream, orders[0].version), (1, &order, 1));
    assert!(list(Some("car")).await.is_empty());

    let info = store.stream_info(&stream(7)).await.unwrap().unwrap();
    assert_eq!(info.version, 2);
    assert!(info.first_at <= info.last_at);
    assert_eq!(store.stream_info(&stream("missing")).await.unwrap(), None);
}
