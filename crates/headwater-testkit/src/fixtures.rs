//! What tests of logs have in common: events, streams, and a look at the whole of a log.

use futures_util::TryStreamExt as _;
use headwater::{
    Append, Appended, Error, EventStream, ExpectedVersion, Filter, Log, NewEvent, Position, Result,
    StoredEvent, StreamInfo, StreamName,
};

/// A stream by its whole name.
pub fn stream(name: &str) -> StreamName {
    StreamName::parse(name).expect("the test names streams well")
}

/// The event number `n` of a test, of the type `thing.happened`.
pub fn event(n: u64) -> NewEvent {
    NewEvent::from_json("thing.happened", 1, format!(r#"{{"n": {n}}}"#))
}

/// As many events.
pub fn events(count: u64) -> Vec<NewEvent> {
    (1..=count).map(event).collect()
}

/// An append of as many events to a stream at any version.
pub fn append(name: &str, count: u64) -> Append {
    Append::new(stream(name), ExpectedVersion::Any, events(count))
}

/// Appends as many events to a stream at any version.
pub async fn append_to(log: &Log, name: &str, count: u64) -> Appended {
    log.append_all([append(name, count)]).await.expect("a plain append is applied")
}

/// Reads a reading to its end.
pub async fn collect(events: EventStream) -> Vec<StoredEvent> {
    events.try_collect().await.expect("the log can be read")
}

/// Reads the whole log.
pub async fn all(log: &Log) -> Vec<StoredEvent> {
    collect(log.read(Filter::all(), Position::START)).await
}

/// The positions of events.
pub fn positions(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position.0).collect()
}

/// The versions of events.
pub fn versions(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|event| event.version).collect()
}

/// Everything that a log holds, for a comparison before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    /// Every event.
    pub events: Vec<StoredEvent>,
    /// Every stream.
    pub streams: Vec<StreamInfo>,
}

/// Reads everything that a log holds.
pub async fn dump(log: &Log) -> Dump {
    let events = all(log).await;
    let streams = log.streams(None).try_collect().await.expect("streams can be listed");
    Dump { events, streams }
}

/// Tries an append that must be refused, checks that nothing changed, and yields the error.
pub async fn refused(log: &Log, appends: impl IntoIterator<Item = Append>) -> Error {
    let before = dump(log).await;
    let error = match log.append_all(appends).await {
        Ok(appended) => panic!("the append was applied: {appended:?}"),
        Err(error) => error,
    };
    assert_eq!(dump(log).await, before, "a refused append changed the store: {error}");
    error
}

/// The error of something that must fail.
pub fn failure<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("it must fail"),
        Err(error) => error,
    }
}
