//! A queue that is full, while somebody else holds what the appends in it need.

use std::time::Duration;

use futures_util::FutureExt as _;
use headwater::{Error, ErrorKind, ExpectedVersion::Any, Log, Queue, Settings, connect_with};
use headwater_testkit::{
    fixtures::{event, stream},
    postgres::{self, direct},
    within,
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use tokio::time::timeout;

/// Longer than an append takes, and shorter than a store waits for what is held.
const WAITS: Duration = Duration::from_millis(500);

async fn open(url: &str) -> Log {
    let queue = Queue { events: 4, refuse_when_full: true };
    let log = connect_with(url, Settings { queue, ..Settings::default() }).await.unwrap();
    log.append(&stream("thing-1"), Any, [event(0)]).await.unwrap();
    log
}

/// Fills the queue while `held`, and finds others refused until it is let go.
async fn is_refused<C: sqlx::Connection>(log: &Log, mut held: C, hold: &'static str)
where
    for<'c> &'c mut C: sqlx::Executor<'c>,
{
    held.execute(AssertSqlSafe(hold)).await.unwrap();
    let (held_stream, other) = (stream("thing-1"), stream("thing-2"));
    let mut first = Box::pin(log.append(&held_stream, Any, (1..=4).map(event)));
    assert!(timeout(WAITS, &mut first).await.is_err(), "it waits for what is held");
    let refused = log.append(&other, Any, [event(5)]).now_or_never().expect("it is told at once");
    assert_eq!(refused, Err(Error::Overloaded));
    assert_eq!(Error::Overloaded.kind(), ErrorKind::Retry);
    held.close().await.unwrap();
    assert_eq!(within("the first append", first).await.unwrap().version(), 5);
    assert_eq!(log.append(&other, Any, [event(5)]).await.unwrap().version(), 1);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_an_append_is_refused_at_once() {
    let database = postgres::database().await;
    let log = open(database.url()).await;
    let held = direct(database.url()).await;
    is_refused(
        &log,
        held,
        "begin; select from headwater.streams where stream = 'thing-1' for update",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_an_append_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db").display().to_string();
    let log = open(&format!("sqlite://{file}")).await;
    let held = SqliteConnection::connect(&format!("sqlite://{file}")).await.unwrap();
    is_refused(&log, held, "begin immediate").await;
}
