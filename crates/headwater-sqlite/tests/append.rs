//! Appends: their outcomes, inside the user's transaction, cancelled, and at the same moment.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{all, append, event, events, file, memory, stream};
use futures_util::{FutureExt as _, future::join_all};
use headwater_core::{Append, Error, ExpectedVersion, NewEvent, Position, Settings, Store as _};
use headwater_sqlite::SqliteStore;
use sqlx::{Connection as _, Row as _};

use ExpectedVersion::{Any, Exact, None as NoStream};

#[tokio::test]
async fn an_append_yields_the_place_of_each_event() {
    let store = memory().await;
    store.append(vec![append(1, Any, 2)]).await.unwrap();
    let appended = store.append(vec![append(2, NoStream, 1), append(1, Exact(2), 2)]).await;
    let appended = appended.unwrap();
    let places: Vec<_> = appended
        .streams
        .iter()
        .map(|s| (s.version, s.positions.iter().map(|position| position.0).collect::<Vec<_>>()))
        .collect();
    assert_eq!(places, [(1, vec![3]), (4, vec![4, 5])]);
    assert!(!appended.repeated);
    assert_eq!(store.look(None).await.unwrap().ceiling.position, Position(5));
}

#[tokio::test]
async fn a_conflict_names_the_actual_version_and_changes_nothing() {
    let store = memory().await;
    store.append(vec![append(1, Any, 3)]).await.unwrap();
    for (expected, id, actual) in [(Exact(2), 1, 3), (NoStream, 1, 3), (Exact(1), 9, 0)] {
        let refused = append(id, expected, 1);
        let error = store.append(vec![append(5, Any, 1), refused.clone()]).await.unwrap_err();
        assert_eq!(error, refused.conflict(actual));
    }
    assert_eq!(all(&store).await.len(), 3);
    assert_eq!(store.stream_info(&stream(5)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_append_causes_in_the_database_is_never_anothers() {
    let file = file().await;
    let store = &file.store;
    let refuse = "create trigger refuse before insert on events when new.type = 'bad'
                  begin select raise(abort, 'bad is refused'); end";
    sqlx::raw_sql(refuse).execute(store.pool()).await.unwrap();
    let taken = append(1, Any, 2);
    store.append(vec![taken.clone()]).await.unwrap();
    let mut other = sqlx::SqliteConnection::connect(&file.url).await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut other).await.unwrap();
    let bad = Append::new(stream(2), Any, [NewEvent::from_json("bad", 1, "{}")]);
    let again = Append::new(stream(3), Any, [event(1), taken.events[1].clone()]);
    let group = [append(4, Any, 1), bad, append(5, Any, 1), again, append(4, Exact(1), 1)];
    let outcomes = join_all(group.map(|append| store.append(vec![append])));
    // All are in the queue before it is let go.
    let release = sqlx::raw_sql("rollback").execute(&mut other);
    let (outcomes, _) = futures_util::future::join(outcomes, release).await;
    let [first, bad, second, again, third] = outcomes.try_into().unwrap();
    assert!(matches!(bad, Err(Error::Database { .. })), "{bad:?}");
    assert!(matches!(again, Err(Error::IdempotencyConflict { .. })), "{again:?}");
    let versions = [first, second, third].map(|applied| applied.unwrap().version());
    assert_eq!(versions, [1, 1, 2]);
    assert_eq!(all(store).await.len(), 5);
}

#[tokio::test]
async fn a_trigger_that_ends_the_transaction_is_told_as_what_it_is() {
    let file = file().await;
    let refuse = "create trigger refuse before insert on events when new.type = 'bad'
                  begin select raise(rollback, 'bad is refused'); end";
    sqlx::raw_sql(refuse).execute(file.store.pool()).await.unwrap();
    let bad = || Append::new(stream(1), Any, [NewEvent::from_json("bad", 1, "{}")]);
    let mut connection = file.store.pool().acquire().await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut *connection).await.unwrap();
    let inside = file.store.append_in(&mut connection, vec![bad()]).await;
    drop(connection);
    for refused in [inside, file.store.append(vec![bad()]).await] {
        let Err(Error::Database { code, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(code, "1811");
    }
    assert_eq!(file.store.append(vec![append(1, NoStream, 1)]).await.unwrap().version(), 1);
}

#[tokio::test]
async fn an_id_that_is_taken_behind_many_events_undoes_them_all() {
    let store = memory().await;
    let taken = append(1, Any, 1);
    store.append(vec![taken.clone()]).await.unwrap();
    let mut large = append(2, Any, 100);
    large.events.push(taken.events[0].clone());
    let mut connection = store.pool().acquire().await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut *connection).await.unwrap();
    let refused = store.append_in(&mut connection, vec![large]).await;
    assert!(matches!(refused, Err(Error::IdempotencyConflict { .. })), "{refused:?}");
    let applied = store.append_in(&mut connection, vec![append(2, NoStream, 1)]).await.unwrap();
    assert_eq!(applied.position(), Position(2));
    sqlx::raw_sql("commit").execute(&mut *connection).await.unwrap();
    drop(connection);
    assert_eq!(all(&store).await.len(), 2);
}

#[tokio::test]
async fn positions_go_on_where_the_counter_of_the_file_was_lost() {
    let store = memory().await;
    store.append(vec![append(1, Any, 3)]).await.unwrap();
    sqlx::raw_sql("delete from sqlite_sequence").execute(store.pool()).await.unwrap();
    assert_eq!(store.append(vec![append(1, Any, 1)]).await.unwrap().position(), Position(4));
    sqlx::raw_sql("update sqlite_sequence set seq = 9").execute(store.pool()).await.unwrap();
    assert_eq!(store.append(vec![append(1, Any, 1)]).await.unwrap().position(), Position(10));
}

#[tokio::test]
async fn an_append_that_is_tried_again_yields_its_first_result() {
    let store = memory().await;
    let first = vec![append(1, NoStream, 2), append(2, NoStream, 1)];
    let applied = store.append(first.clone()).await.unwrap();
    store.append(vec![append(1, Any, 1)]).await.unwrap();
    let again = store.append(first.clone()).await.unwrap();
    assert!(again.repeated);
    assert_eq!(again.streams, applied.streams);

    let mut other = first;
    other[1].events[0].data = "{\"other\":1}".into();
    let event_id = other[0].events[0].id;
    assert_eq!(store.append(other).await, Err(Error::IdempotencyConflict { event_id }));
    assert_eq!(all(&store).await.len(), 4);
}

#[tokio::test]
async fn what_was_stored_reads_back_byte_for_byte() {
    let store = memory().await;
    let mut given = event(0)
        .metadata("{ \"b\": 1.10,\t\"a\" : 18446744073709551616 }")
        .occurred_at("1969-07-20T20:17:40.123456Z".parse().unwrap());
    given.data = "{\"z\":\"\\u0000\\ud800 \u{1F600}\u{7f}\",\"a\":1.10}".into();
    given.correlation_id = Some(given.id);
    store.append(vec![Append::new(stream("ü'\"\\{}"), Any, [given.clone()])]).await.unwrap();
    let read = all(&store).await.remove(0);
    assert_eq!(read.stream, stream("ü'\"\\{}"));
    assert_eq!((read.id, &read.event.event_type), (given.id, &given.event_type));
    assert_eq!((&read.event.data, &read.metadata), (&given.data, &given.metadata));
    assert_eq!((read.correlation_id, read.causation_id), (given.correlation_id, None));
    assert_eq!(Some(read.occurred_at), given.occurred_at);
}

#[tokio::test]
async fn appends_at_the_same_moment_form_groups_and_each_gets_its_own_outcome() {
    let file = file().await;
    let store = file.store.clone();
    let retried = append(999, Any, 1);
    let appends = (0..200).map(|number| match number % 4 {
        0 => vec![append(number, NoStream, 2)],
        1 => vec![append("contended", NoStream, 1)],
        2 => vec![append("counted", Any, 1)],
        _ => vec![retried.clone()],
    });
    let outcomes = join_all(appends.map(|appends| store.append(appends))).await;
    let won = |part: usize| outcomes.iter().skip(part).step_by(4).filter(|o| o.is_ok()).count();
    assert_eq!([won(0), won(1), won(2), won(3)], [50, 1, 50, 50]);
    let first = outcomes.iter().skip(3).step_by(4).filter(|o| !o.as_ref().unwrap().repeated);
    assert_eq!(first.count(), 1);
    assert_eq!(all(&store).await.len(), 100 + 1 + 50 + 1);
    assert_eq!(store.stream_info(&stream("counted")).await.unwrap().unwrap().version, 50);
}

#[tokio::test]
async fn an_append_in_the_users_transaction_comes_and_goes_with_it() {
    let file = file().await;
    let store = file.store.clone();
    let mut hints = store.hints();
    let mut connection = store.pool().acquire().await.unwrap();

    let mut tx = connection.begin_with("begin immediate").await.unwrap();
    store.append_in(&mut tx, vec![append(1, NoStream, 2)]).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(all(&store).await.is_empty());

    let mut tx = connection.begin_with("begin immediate").await.unwrap();
    sqlx::query("create table mine (number integer)").execute(&mut *tx).await.unwrap();
    store.append_in(&mut tx, vec![append(1, NoStream, 2)]).await.unwrap();
    let conflict = store.append_in(&mut tx, vec![append(1, NoStream, 1)]).await;
    assert!(matches!(conflict, Err(Error::VersionConflict { actual: 2, .. })));
    sqlx::query("insert into mine values (7)").execute(&mut *tx).await.unwrap();
    store.append_in(&mut tx, vec![append(1, Exact(2), 1)]).await.unwrap();
    assert!(all(&store).await.is_empty(), "events were visible before the commit");
    tx.commit().await.unwrap();
    assert_eq!(all(&store).await.len(), 3);

    // A transaction that the driver does not know of, and none at all.
    sqlx::query("begin immediate").execute(&mut *connection).await.unwrap();
    store.append_in(&mut connection, vec![append(2, NoStream, 2)]).await.unwrap();
    assert!(store.append_in(&mut connection, vec![append(2, NoStream, 1)]).await.is_err());
    sqlx::query("rollback").execute(&mut *connection).await.unwrap();
    assert_eq!(all(&store).await.len(), 3);
    store.append_in(&mut connection, vec![append(2, NoStream, 2)]).await.unwrap();
    assert!(store.append_in(&mut connection, vec![append(2, NoStream, 1)]).await.is_err());
    assert_eq!(all(&store).await.len(), 5);

    hints.mark_unchanged();
    store.hint();
    assert!(hints.has_changed().unwrap());
}

#[tokio::test]
async fn a_dropped_append_in_the_users_transaction_is_in_it_wholly_or_not_at_all() {
    drop_appends("begin immediate", "commit").await;
}

#[tokio::test]
async fn a_dropped_append_on_the_users_connection_leaves_no_transaction_open() {
    drop_appends("select 1", "select 1").await;
}

async fn drop_appends(begin: &'static str, commit: &'static str) {
    let file = file().await;
    let store = &file.store;
    let mut connection = store.pool().acquire().await.unwrap();
    let (mut id, mut applied) = (0, false);
    // Dropped a little later each time, until it is through: most fall into the long insert.
    while !applied {
        sqlx::query(begin).execute(&mut *connection).await.unwrap();
        let append = append(id, NoStream, 500);
        let mut append_in = Box::pin(store.append_in(&mut connection, vec![append]));
        let patience = Instant::now() + Duration::from_micros(200 * id);
        while !applied && Instant::now() < patience {
            applied = append_in.as_mut().now_or_never().is_some();
        }
        drop(append_in);
        sqlx::query(commit).execute(&mut *connection).await.unwrap();
        store.append(vec![self::append(1_000_000 + id, NoStream, 1)]).await.unwrap();
        let found = store.stream_info(&stream(id)).await.unwrap();
        let version = found.map_or(0, |info| info.version);
        assert!(version == 500 || version == 0 && !applied, "{version} at try {id}");
        assert_eq!(events_of(store, id).await, version, "at try {id}");
        id += 1;
    }
    println!("{id} tries");
}

async fn events_of(store: &SqliteStore, id: u64) -> u64 {
    let found = all(store).await;
    found.iter().filter(|event| event.stream == stream(id)).map(|_| 1).sum()
}

#[tokio::test]
async fn a_dropped_append_is_there_wholly_or_not_at_all() {
    let file = file().await;
    let store = file.store.clone();
    for id in 0..50 {
        let mut first = Box::pin(store.append(vec![append(id, NoStream, 3)]));
        assert!(first.as_mut().now_or_never().is_none());
        drop(first);
    }
    // It waits behind the ones whose callers went away.
    store.append(vec![append("last", NoStream, 1)]).await.unwrap();
    for id in 0..50 {
        let version = store.stream_info(&stream(id)).await.unwrap().map_or(0, |info| info.version);
        assert!(version == 0 || version == 3, "stream {id} is at version {version}");
    }
}

#[tokio::test]
async fn an_append_that_is_not_polled_is_never_made() {
    let store = memory().await;
    drop(store.append(vec![append(1, Any, 1)]));
    store.append(vec![append(2, Any, 1)]).await.unwrap();
    assert_eq!(all(&store).await.len(), 1);
}

#[tokio::test]
async fn limits_are_checked_before_anything_else() {
    let store = memory().await;
    let error = store.append(vec![append(1, Any, 1_001)]).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    assert!(matches!(store.append(Vec::new()).await, Err(Error::InvalidInput(_))));
}

#[tokio::test]
async fn events_are_append_only_for_everybody() {
    let file = file().await;
    file.store.append(vec![Append::new(stream(1), Any, events(2))]).await.unwrap();
    let before = all(&file.store).await;
    let mut connection = sqlx::SqliteConnection::connect(&file.url).await.unwrap();
    let columns = "stream, category, version, id, type, schema_version, data, recorded_at";
    for sql in [
        "update events set data = '{}'".to_owned(),
        "update events set position = position + 10 where position = 2".into(),
        "update or replace events set version = 1 where version = 2".into(),
        "delete from events".into(),
        "delete from events where position = 1".into(),
        "replace into events select * from events".into(),
        format!(
            "insert or replace into events (position, {columns}) \
             select position, stream, category, 9, randomblob(16), type, 1, '{{}}', 0 from events"
        ),
        format!(
            "insert or replace into events ({columns}) \
             select stream, category, version, randomblob(16), type, 1, '{{}}', 0 from events"
        ),
        format!(
            "insert or replace into events ({columns}) \
             select stream, category, version + 7, id, type, 1, '{{}}', 0 from events"
        ),
        format!(
            "insert into events (position, {columns}) \
             select position, stream, category, version, id, type, 1, '{{}}', 0 from events where true \
             on conflict do update set data = '{{}}'"
        ),
    ] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).execute(&mut connection).await;
        let refused = refused.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code()).unwrap();
        // SQLITE_CONSTRAINT_TRIGGER
        assert_eq!(code, "1811", "{sql}: {refused}");
    }
    assert_eq!(all(&file.store).await, before);
    let row = sqlx::query("select count(*) from all_events").fetch_one(&mut connection).await;
    assert_eq!(row.unwrap().get::<i64, _>(0), 2);
}

#[tokio::test]
async fn two_stores_on_one_file_see_each_others_appends() {
    let file = file().await;
    let other = SqliteStore::connect(&file.url, Settings::default()).await.unwrap();
    let both = [&file.store, &other];
    let appends = (0..40).map(|number| both[number % 2].append(vec![append("one", Any, 1)]));
    for outcome in join_all(appends).await {
        outcome.unwrap();
    }
    assert_eq!(all(&file.store).await, all(&other).await);
    assert_eq!(all(&other).await.len(), 40);
}

#[tokio::test]
async fn a_closed_store_refuses_and_does_not_hang() {
    let file = file().await;
    for store in [memory().await, file.store.clone()] {
        store.close().await;
        let refused = store.append(vec![append(1, Any, 1)]).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        assert!(matches!(store.look(None).await, Err(Error::Unavailable { .. })));
    }
}
