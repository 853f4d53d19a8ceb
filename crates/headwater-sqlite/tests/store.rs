//! Opening and closing: files that are not there, not ours or not writable, and the schema.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;

use common::{all, append, file, memory};
use futures_util::future::join_all;
use headwater_core::{
    Error, ExpectedVersion, Migrated, ProjectionStore as _, Settings, Store as _,
};
use headwater_migrations::SQLITE;
use headwater_sqlite::SqliteStore;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

/// The newest schema.
const KNOWN: u32 = SQLITE[SQLITE.len() - 1].number;

const NOT_MIGRATING: fn() -> Settings = || Settings { migrate: false, ..Settings::default() };

async fn refused(url: &str, settings: Settings) -> Error {
    SqliteStore::connect(url, settings).await.expect_err("it was opened")
}

async fn execute(url: &str, sql: &'static str) {
    let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn sixteen_programs_may_start_at_the_same_moment() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("log.db").display());
    let stores = join_all((0..16).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { SqliteStore::connect(&url, Settings::default()).await })
    }));
    for store in stores.await {
        store.unwrap().unwrap().append(vec![append(1, ExpectedVersion::Any, 1)]).await.unwrap();
    }
    let store = SqliteStore::connect(&url, NOT_MIGRATING()).await.unwrap();
    assert_eq!(all(&store).await.len(), 16);
    assert_eq!(store.migrate().await.unwrap(), Migrated { from: KNOWN, to: KNOWN });
}

#[tokio::test]
async fn a_schema_that_is_missing_older_or_newer_is_told_apart() {
    let file = file().await;
    let missing = file.url.replace("log.db", "missing.db");
    assert_eq!(
        refused(&missing, NOT_MIGRATING()).await,
        Error::SchemaTooOld { found: 0, known: KNOWN }
    );
    assert!(!file.path.with_file_name("missing.db").exists(), "it was made all the same");

    execute(
        &file.url,
        "delete from migrations where number = (select max(number) from migrations)",
    )
    .await;
    assert_eq!(
        refused(&file.url, NOT_MIGRATING()).await,
        Error::SchemaTooOld { found: KNOWN - 1, known: KNOWN }
    );
    let newer = "insert into migrations
                 select max(number) + 1, '', 0 from migrations union all
                 select max(number) + 2, '', 0 from migrations";
    execute(&file.url, newer).await;
    for settings in [Settings::default(), NOT_MIGRATING()] {
        assert_eq!(
            refused(&file.url, settings).await,
            Error::SchemaTooNew { found: KNOWN + 1, known: KNOWN }
        );
    }
    let error = file.store.migrate().await.unwrap_err();
    assert_eq!(error, Error::SchemaTooNew { found: KNOWN + 1, known: KNOWN });
}

/// Step 10 makes two tables anew.
#[tokio::test]
async fn a_step_keeps_the_rows_and_the_views_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("log.db").display());
    let mut before = SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap();
    let table = include_str!("../src/migrations_table.sql");
    sqlx::query(table).execute(&mut before).await.unwrap();
    for step in SQLITE.iter().filter(|step| step.number < 10) {
        sqlx::raw_sql(step.sql).execute(&mut before).await.unwrap();
        let done = format!("insert into migrations values ({}, '{}', 0)", step.number, step.name);
        sqlx::raw_sql(AssertSqlSafe(done)).execute(&mut before).await.unwrap();
    }
    let rows = "insert into checkpoints (projection, generation, state, position, fingerprint, updated_at, held_back, skips)
                values ('sales', 1, 'live', 7, 'f', 5, 0, 3), ('sales', 2, 'building', 6, 'g', 4, 1, 0);
                create view mine as select projection, skips from all_checkpoints;
                create view over_the_table as select position from checkpoints;
                create view broken as select 1 from no_table";
    sqlx::raw_sql(rows).execute(&mut before).await.unwrap();
    before.close().await.unwrap();
    let store = SqliteStore::connect(&url, Settings::default()).await.unwrap();
    let all = store.checkpoints().await.unwrap();
    let seen: Vec<_> = all.iter().map(|c| (c.position.0, c.skips, c.held_back)).collect();
    assert_eq!(seen, [(7, 3, false), (6, 0, true)]);
    let mut after = SqliteConnection::connect(&url).await.unwrap();
    for view in ["select count(*) from mine", "select count(*) from over_the_table"] {
        let count: i64 = sqlx::query_scalar(view).fetch_one(&mut after).await.unwrap();
        assert_eq!(count, 2, "{view}");
    }
}

#[tokio::test]
async fn a_url_or_schema_that_cannot_be_meant_is_refused() {
    for url in ["postgres://localhost/x", "sqlite:", "sqlite://", "sqlite://x?cache=shared"] {
        let error = refused(url, Settings::default()).await;
        assert!(matches!(error, Error::InvalidInput(_)), "{url}: {error:?}");
    }
    let schema = Settings { schema: "tenant_7".into(), ..Settings::default() };
    let error = refused("sqlite::memory:", schema).await;
    assert!(matches!(error, Error::InvalidInput(_)));
}

#[tokio::test]
async fn a_directory_that_is_missing_is_named_and_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let url = format!("sqlite://{}/log.db", missing.display());
    let Error::Unavailable { reason } = refused(&url, Settings::default()).await else {
        panic!("another error")
    };
    assert!(reason.contains("directory") && reason.contains("missing/log.db"), "{reason}");
    assert!(!missing.exists());

    let url = format!("sqlite://{}", directory.path().display());
    let Error::Unavailable { reason } = refused(&url, Settings::default()).await else {
        panic!("another error")
    };
    assert!(reason.contains("is a directory"), "{reason}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    let text = "milk, eggs, flour\n".repeat(200);
    fs::write(&path, &text).unwrap();
    let error = refused(&format!("sqlite://{}", path.display()), Settings::default()).await;
    let Error::Database { code, message } = error else { panic!("{error:?}") };
    assert_eq!(code, "26");
    assert!(message.contains("notes.txt is not an SQLite database"), "{message}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_log_that_is_opened_for_reading_refuses_appends_in_a_sentence() {
    let file = file().await;
    file.store.append(vec![append(1, ExpectedVersion::Any, 2)]).await.unwrap();
    let url = format!("{}?mode=ro", file.url);
    let store = SqliteStore::connect(&url, Settings::default()).await.unwrap();
    assert_eq!(all(&store).await.len(), 2);
    for _ in 0..2 {
        let error = store.append(vec![append(1, ExpectedVersion::Any, 1)]).await.unwrap_err();
        let Error::Database { code, message } = error else { panic!("{error:?}") };
        assert_eq!((code.as_str(), message.contains("read-only")), ("8", true), "{message}");
    }
    let missing = url.replace("log.db", "missing.db");
    let error = refused(&missing, Settings::default()).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_without_the_right_to_write_is_read_only() {
    let file = file().await;
    file.store.append(vec![append(1, ExpectedVersion::Any, 2)]).await.unwrap();
    file.store.close().await;
    let mut permissions = fs::metadata(&file.path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&file.path, permissions).unwrap();
    if fs::OpenOptions::new().write(true).open(&file.path).is_ok() {
        return; // The superuser writes all the same.
    }
    let store = SqliteStore::connect(&file.url, Settings::default()).await.unwrap();
    assert_eq!(all(&store).await.len(), 2);
    let error = store.append(vec![append(1, ExpectedVersion::Any, 1)]).await.unwrap_err();
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_and_the_log_beside_it_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = file().await;
    file.store.append(vec![append(1, ExpectedVersion::Any, 1)]).await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        let path = format!("{}{ending}", file.path.display());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[tokio::test]
async fn a_file_keeps_its_events_and_a_store_in_memory_does_not() {
    let file = file().await;
    file.store.append(vec![append(1, ExpectedVersion::Any, 2)]).await.unwrap();
    let before = all(&file.store).await;
    file.store.close().await;
    let again = SqliteStore::connect(&file.url, Settings::default()).await.unwrap();
    assert_eq!(all(&again).await, before);

    let (one, other) = (memory().await, memory().await);
    one.append(vec![append(1, ExpectedVersion::Any, 1)]).await.unwrap();
    assert!(all(&other).await.is_empty());
}

#[tokio::test]
async fn it_says_which_sqlite_it_is() {
    assert_eq!(memory().await.describe().await.unwrap(), "SQLite 3.51.3");
}
