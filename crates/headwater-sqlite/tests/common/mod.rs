//! What the tests of this crate share.
#![allow(dead_code, reason = "not every test uses everything")]

use std::path::PathBuf;

use futures_util::TryStreamExt as _;
use headwater_core::{
    Append, Direction, ExpectedVersion, Filter, NewEvent, Position, Reading, Settings, Store as _,
    StoredEvent, StreamName,
};
use headwater_sqlite::SqliteStore;
use tempfile::TempDir;

/// A store in a file that goes with it.
pub struct File {
    pub store: SqliteStore,
    pub path: PathBuf,
    pub url: String,
    _directory: TempDir,
}

pub async fn file() -> File {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let url = format!("sqlite://{}", path.display());
    let store = SqliteStore::connect(&url, Settings::default()).await.unwrap();
    File { store, path, url, _directory: directory }
}

pub async fn memory() -> SqliteStore {
    SqliteStore::connect("sqlite::memory:", Settings::default()).await.unwrap()
}

pub fn stream(id: impl std::fmt::Display) -> StreamName {
    StreamName::new("cart", id).unwrap()
}

pub fn event(number: usize) -> NewEvent {
    NewEvent::from_json("cart.item_added", 2, format!("{{\"number\":{number}}}"))
}

pub fn events(count: usize) -> Vec<NewEvent> {
    (0..count).map(event).collect()
}

pub fn append(id: impl std::fmt::Display, expected: ExpectedVersion, count: usize) -> Append {
    Append::new(stream(id), expected, events(count))
}

/// Fills streams 0..streams, one event each in turn, in appends of a thousand.
pub async fn fill(store: &SqliteStore, streams: usize, count: usize) {
    for start in (0..count).step_by(1_000) {
        let mut appends: Vec<_> =
            (0..streams).map(|id| append(id, ExpectedVersion::Any, 0)).collect();
        for number in start..count.min(start + 1_000) {
            appends[number % streams].events.push(event(number));
        }
        appends.retain(|append| !append.events.is_empty());
        store.append(appends).await.unwrap();
    }
}

pub async fn read(store: &SqliteStore, filter: Filter, direction: Direction) -> Vec<StoredEvent> {
    let (after, until) = (Position::START, Position::END);
    let reading = Reading::Log { filter, after, until, direction };
    store.read(reading).try_collect().await.unwrap()
}

pub async fn all(store: &SqliteStore) -> Vec<StoredEvent> {
    read(store, Filter::all(), Direction::Forward).await
}
