//! Databases that cannot be used as they are: not there, not ours, read-only, of another version.

use std::time::{Duration, Instant};

use headwater::{Error, ErrorKind, ExpectedVersion::Any, Log, Settings, connect, connect_with};
use headwater_testkit::{
    account::Balance,
    eventually,
    fixtures::{event, failure, stream},
    postgres::{self, direct},
    within,
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};

use crate::{
    audit::{Audit, app, caught_up},
    follower::Follower,
    load::{book, fill},
};

/// Checks that an error is one sentence for an operator.
pub fn sentence(error: &Error) {
    let text = error.to_string();
    assert!(!text.contains('\n') && text.contains(' '), "{text:?}");
    for noise in ["Error(", "Error {", "Some(", "panicked", "unwrap", "postgres://", "s3cret"] {
        assert!(!text.contains(noise), "{text:?} holds {noise:?}");
    }
}

fn without_migrating() -> Settings {
    Settings { migrate: false, ..Settings::default() }
}

/// Tries to open a log that cannot be opened.
async fn refused(url: &str) -> Error {
    let asked = Instant::now();
    let error = failure(within("a refusal", connect(url)).await);
    println!("{error}");
    sentence(&error);
    assert!(asked.elapsed() < Duration::from_secs(15), "it took {:?}", asked.elapsed());
    error
}

#[tokio::test]
async fn a_server_that_does_not_answer_or_knows_us_not_is_told_in_a_sentence() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = refused(&format!("postgres://me:s3cret@{free}/shop")).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let database = postgres::direct_database().await;
    let (_, place) = database.url().split_once('@').unwrap();
    let error = refused(&format!("postgres://nobody_here:s3cret@{place}")).await;
    assert!(matches!(&error, Error::Database { code, .. } if code.starts_with("28")), "{error:?}");
    let elsewhere = database.url().replace(database.name(), "not_there");
    let error = refused(&elsewhere).await;
    assert!(matches!(&error, Error::Database { code, .. } if code == "3D000"), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::CallOperator);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    std::fs::write(folder.path().join("notes.txt"), "not a database, ".repeat(1_000)).unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    for (name, kind) in [
        ("missing/log.db", ErrorKind::Retry),
        ("folder", ErrorKind::Retry),
        ("notes.txt", ErrorKind::CallOperator),
    ] {
        let error = refused(&url(name)).await;
        assert_eq!(error.kind(), kind, "{name}");
        assert!(kind != ErrorKind::Retry || error.to_string().contains(name), "{error}");
    }
    let error = refused(&format!("{}?mode=ro", url("absent.db"))).await;
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(!folder.path().join("absent.db").exists());
}

async fn refuses_to_write(log: &Log) {
    let error = log.append(&stream("thing-1"), Any, [event(1)]).await.unwrap_err();
    println!("{error}");
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
    sentence(&error);
    assert!(error.to_string().contains("read-only"), "{error}");
    let error = app().rebuild(log, &[], &|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
    sentence(&error);
}

#[tokio::test]
async fn a_file_that_is_only_read_can_be_read_and_refuses_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    let log = connect(&url).await.unwrap();
    fill(&log, 1_000).await;
    app().catch_up(&log).await.unwrap();
    let reader = connect(&format!("{url}?mode=ro")).await.unwrap();
    refuses_to_write(&reader).await;
    assert_eq!(reader.find::<Balance>("", &[]).await.unwrap().len(), 40);
    Audit::of(&reader).await.agrees_with_read_models(&log).await;
    reader.close().await;
    log.close().await;
}

/// As after a failover to a standby: the sessions end, and the new ones may not write.
async fn set_read_only(url: &str, name: &str, read_only: bool) {
    let mut admin = direct(&url.replace(name, "postgres")).await;
    let set = format!("alter database {name} set default_transaction_read_only = {read_only}");
    admin.execute(AssertSqlSafe(set)).await.unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    sqlx::query(end).bind(name).execute(&mut admin).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_read_only_it_can_be_read_and_a_service_goes_on_afterwards() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    fill(&log, 1_000).await;
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    let follower = Follower::start(&log);
    caught_up(&log).await;
    set_read_only(database.url(), database.name(), true).await;
    eventually("the log is read again", async || log.ceiling().await.ok()).await;
    eventually("no session is left that may write", async || {
        let refused = log.append(&stream("thing-1"), Any, [event(1)]).await;
        matches!(refused, Err(Error::Database { .. })).then_some(())
    })
    .await;
    refuses_to_write(&log).await;
    assert_eq!(log.find::<Balance>("", &[]).await.unwrap().len(), 40);
    for settings in [Settings::default(), without_migrating()] {
        let other = connect_with(database.url(), settings).await.unwrap();
        refuses_to_write(&other).await;
        other.close().await;
    }
    set_read_only(database.url(), database.name(), false).await;
    eventually("the log is written again", async || {
        log.append(&stream("thing-2"), Any, [event(1)]).await.ok()
    })
    .await;
    book(&log, 1).await;
    let audit = Audit::of(&log).await;
    follower.agrees_with(&audit).await;
    caught_up(&log).await;
    audit.agrees_with_read_models(&log).await;
    assert!(!running.is_finished());
    running.abort();
    log.close().await;
}

/// As a pooler in between answers when it has lost the server.
#[tokio::test]
async fn an_append_that_a_pooler_lost_is_unknown_until_the_log_answers() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    let mut operator = direct(database.url()).await;
    let refuse = "create sequence refusals;
         grant all on refusals to public;
         create function refuse() returns trigger language plpgsql as $$
         begin
             -- The first try is lost, later ones are refused for a reason of their own.
             if nextval('public.refusals') = 1 then
                 raise exception 'server closed' using errcode = '08006';
             end if;
             raise exception 'out of disk' using errcode = '42501';
         end $$;
         create trigger refuse before insert on headwater.events
         for each statement execute function refuse()";
    operator.execute(refuse).await.unwrap();
    let lost = event(1);
    let error = log.append(&stream("thing-1"), Any, [lost.clone()]).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    let error = log.append(&stream("thing-1"), Any, [lost.clone()]).await.unwrap_err();
    assert!(matches!(&error, Error::Database { code, .. } if code == "42501"), "{error:?}");
    operator.execute("drop trigger refuse on headwater.events").await.unwrap();
    let appended = log.append(&stream("thing-1"), Any, [lost]).await.unwrap();
    assert_eq!((appended.version(), appended.repeated), (1, false));
    log.close().await;
}

/// Nothing was written, and there may be room again soon.
#[tokio::test]
async fn an_append_that_finds_the_disk_full_can_be_tried_again() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    let mut operator = direct(database.url()).await;
    let refuse = "create function refuse() returns trigger language plpgsql as $$
         begin
             raise exception 'could not extend file: No space left' using errcode = '53100';
         end $$;
         create trigger refuse before insert on headwater.events
         for each statement execute function refuse()";
    operator.execute(refuse).await.unwrap();
    let error = log.append(&stream("thing-1"), Any, [event(1)]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    operator.execute("drop trigger refuse on headwater.events").await.unwrap();
    let appended = log.append(&stream("thing-1"), Any, [event(1)]).await.unwrap();
    assert_eq!((appended.version(), appended.repeated), (1, false));
    log.close().await;
}

#[tokio::test]
async fn an_empty_database_that_is_read_only_is_told_in_a_sentence() {
    let database = postgres::database().await;
    set_read_only(database.url(), database.name(), true).await;
    let error = refused(database.url()).await;
    assert!(matches!(&error, Error::Database { code, .. } if code == "25006"), "{error:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    std::fs::write(&path, "").unwrap();
    let error = refused(&format!("sqlite://{}?mode=ro", path.display())).await;
    assert_eq!(error.kind(), ErrorKind::CallOperator, "{error:?}");
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    connect(&url).await.unwrap().close().await;
    let mut file = SqliteConnection::connect(&url).await.unwrap();
    file.execute("insert into migrations values (999, '0999_later', 0)").await.unwrap();
    let database = postgres::database().await;
    connect(database.url()).await.unwrap().close().await;
    let mut server = direct(database.url()).await;
    server.execute("insert into headwater.migrations values (999, '0999_later')").await.unwrap();
    for url in [&url, database.url()] {
        let error = refused(url).await;
        assert!(matches!(error, Error::SchemaTooNew { found: 999, .. }), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::CallOperator);
    }
}
