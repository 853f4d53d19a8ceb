//! Appends and the ceiling.

use std::{collections::BTreeMap, time::Duration};

use headwater::{
    Error,
    ExpectedVersion::{Any, Exact},
    Queue, Settings, connect_with,
};
use headwater_testkit::{
    fixtures::{event, events, failure, stream},
    postgres::{self, direct},
    within,
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use tokio::time::timeout;

use crate::told::Told;

const SERIES: [&str; 8] = [
    r#"headwater_appends_total{outcome="applied"}"#,
    r#"headwater_appends_total{outcome="repeated"}"#,
    r#"headwater_appends_total{outcome="conflict"}"#,
    r#"headwater_appends_total{outcome="overloaded"}"#,
    r#"headwater_appends_total{outcome="failed"}"#,
    "headwater_appended_events_total",
    "headwater_append_seconds_count",
    "headwater_append_group_events_sum",
];

/// How much each series has grown.
fn grown(told: &Told, before: &BTreeMap<&'static str, f64>) -> Vec<f64> {
    SERIES.map(|series| told.value(series) - before[series]).into()
}

async fn are_counted<C: sqlx::Connection>(url: &str, mut other: C, hold: &'static str)
where
    for<'c> &'c mut C: sqlx::Executor<'c>,
{
    let told = Told::install().await;
    let queue = Queue { events: 4, refuse_when_full: true };
    let log = connect_with(url, Settings { queue, ..Settings::default() }).await.unwrap();
    let before: BTreeMap<_, _> =
        SERIES.iter().map(|series| (*series, told.value(series))).collect();
    let (first, three) = (stream("thing-1"), events(3));
    log.append(&first, Any, three.clone()).await.unwrap();
    assert!(log.append(&first, Any, three).await.unwrap().repeated);
    let conflict = failure(log.append(&first, Exact(7), [event(4)]).await);
    assert!(matches!(conflict, Error::VersionConflict { .. }), "{conflict}");
    let failed = failure(log.append(&first, Any, []).await);
    assert!(matches!(failed, Error::InvalidInput(_)), "{failed}");
    let applied_repeated_conflict_and_failed = [1.0, 1.0, 1.0, 0.0, 1.0, 3.0, 4.0, 7.0];
    assert_eq!(grown(&told, &before), applied_repeated_conflict_and_failed);

    other.execute(AssertSqlSafe(hold)).await.unwrap();
    let mut waits = Box::pin(log.append(&first, Any, (5..=8).map(event)));
    assert!(timeout(Duration::from_millis(200), &mut waits).await.is_err(), "it is held");
    assert_eq!(told.value("headwater_append_queue_places"), 4.0);
    let refused = failure(log.append(&first, Any, [event(9)]).await);
    assert!(matches!(refused, Error::Overloaded), "{refused}");
    other.close().await.unwrap();
    within("the append that was held", waits).await.unwrap();
    assert_eq!(told.value("headwater_append_queue_places"), 0.0);
    let counted = grown(&told, &before);
    assert_eq!((counted[0], counted[3], counted[5]), (2.0, 1.0, 7.0), "{counted:?}");

    let ceiling = log.ceiling().await.unwrap().position.to_string();
    assert_eq!(told.value("headwater_ceiling_position").to_string(), ceiling);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_to_postgresql_are_counted_by_their_outcome() {
    let database = postgres::database().await;
    let url = database.url();
    headwater::connect(url).await.unwrap().close().await;
    let hold = "begin; select from headwater.streams where stream = 'thing-1' for update";
    are_counted(url, direct(url).await, hold).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_to_sqlite_are_counted_by_their_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    headwater::connect(&url).await.unwrap().close().await;
    are_counted(&url, SqliteConnection::connect(&url).await.unwrap(), "begin immediate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_holds_the_ceiling_is_seen_by_how_long_and_how_far() {
    let database = postgres::database().await;
    let told = Told::install().await;
    let url = database.url();
    let store = headwater::postgres::PostgresStore::connect(url, Settings::default());
    let store = store.await.unwrap();
    let log = headwater::Log::new(store.clone());
    let mut writer = direct(url).await;
    let mut open = writer.begin().await.unwrap();
    let held = vec![headwater_testkit::fixtures::append("held-1", 2)];
    store.append_in(&mut open, held).await.unwrap();
    log.append(&stream("free-1"), Any, events(3)).await.unwrap();
    let mut cursor = log.subscribe(headwater::Filter::all(), headwater::Position::START);
    let follows = tokio::spawn(async move { cursor.next_batch(10).await.unwrap().events.len() });
    told.comes_to("headwater_ceiling_held_seconds", |held| held > 0.2).await;
    assert_eq!(told.value("headwater_ceiling_lag_positions"), 5.0);
    assert_eq!(told.value("headwater_ceiling_position"), 0.0);
    assert!(told.value(r#"headwater_connection_wait_seconds_count{pool="looks"}"#) > 0.0);
    open.rollback().await.unwrap();
    assert_eq!(within("what lies behind it", follows).await.unwrap(), 3);
    log.ceiling().await.unwrap();
    assert_eq!(told.value("headwater_ceiling_held_seconds"), 0.0);
    assert_eq!(told.value("headwater_ceiling_lag_positions"), 0.0);
    log.close().await;
}
