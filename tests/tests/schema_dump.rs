//! The schema that the migrations result in lies in git, in words, so that a diff shows what a
//! migration changes; and every statement of the stores can be prepared against it.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod support;

use std::{fmt::Write as _, fs, path::PathBuf};

use headwater::{Filter, Position, Settings, connect, connect_with};
use headwater_testkit::{
    fixtures::{append_to, collect},
    postgres::{self, direct},
};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use support::workspace;

const DESCRIPTIONS: [&str; 6] = [
    include_str!("support/postgres_tables.sql"),
    include_str!("support/postgres_indexes.sql"),
    include_str!("support/postgres_triggers.sql"),
    include_str!("support/postgres_views.sql"),
    include_str!("support/postgres_functions.sql"),
    include_str!("support/postgres_others.sql"),
];

/// Describes a schema from the catalogs, in the words of SQL.
async fn describe_postgres(url: &str, schema: &str) -> String {
    let mut connection = direct(url).await;
    // So that every name is printed with its schema.
    connection.execute("set search_path to pg_catalog").await.unwrap();
    let mut text = String::new();
    for description in DESCRIPTIONS {
        let objects: Vec<String> =
            sqlx::query_scalar(description).bind(schema).fetch_all(&mut connection).await.unwrap();
        for object in objects {
            write!(text, "\n{}\n", object.trim_end()).unwrap();
        }
    }
    text
}

async fn describe_sqlite(url: &str) -> String {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    // An index without SQL belongs to a constraint, which the table's own SQL names.
    let objects: Vec<String> = sqlx::query_scalar(
        "select sql from sqlite_schema where sql is not null and name not like 'sqlite!_%' escape '!' \
         order by case type when 'table' then 1 when 'index' then 2 when 'trigger' then 3 else 4 end, name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    objects.iter().fold(String::new(), |text, object| text + "\n" + object + ";\n")
}

/// Compares a description with the file in git, or writes it there.
fn compare(file: &str, description: &str) {
    let path = workspace().join("migrations/schema").join(file);
    let bless = "HEADWATER_BLESS=1 cargo test --workspace --test schema_dump";
    let now = format!(
        "-- The schema that the migrations result in. Not to be edited, and never run: it is written by\n\
         --     {bless}\n{description}"
    );
    if std::env::var_os("HEADWATER_BLESS").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &now).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differing = now.lines().zip(kept.lines()).take_while(|(now, kept)| now == kept).count();
    assert!(
        now == kept,
        "the migrations result in another schema than migrations/schema/{file} describes, from line {} on:\n\
         \x20   described: {}\n\
         \x20   now:       {}\n\
         If that is meant, run\n\
         \x20   {bless}\n\
         look at `git diff migrations/schema`, and commit it with the migration.",
        differing + 1,
        kept.lines().nth(differing).unwrap_or("(nothing more)"),
        now.lines().nth(differing).unwrap_or("(nothing more)"),
    );
}

#[tokio::test]
async fn the_schema_in_postgresql_is_the_one_described_in_git() {
    let database = postgres::database().await;
    connect(database.url()).await.unwrap().close().await;
    compare("postgres.sql", &describe_postgres(database.url(), "headwater").await);
}

#[tokio::test]
async fn the_schema_in_sqlite_is_the_one_described_in_git() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    connect(&url).await.unwrap().close().await;
    compare("sqlite.sql", &describe_sqlite(&url).await);
}

#[tokio::test]
async fn a_schema_of_another_name_is_the_same_and_leans_on_no_other() {
    let database = postgres::database().await;
    let settings = Settings { schema: "elsewhere".into(), ..Settings::default() };
    connect_with(database.url(), settings).await.unwrap().close().await;
    let elsewhere = describe_postgres(database.url(), "elsewhere").await;
    assert!(!elsewhere.contains("headwater"), "{elsewhere}");
    assert!(describe_postgres(database.url(), "headwater").await.trim().is_empty());
    let connection = &mut direct(database.url()).await;
    connection.execute("drop schema elsewhere cascade").await.unwrap();
    connect(database.url()).await.unwrap().close().await;
    let usual = describe_postgres(database.url(), "headwater").await;
    assert_eq!(elsewhere.replace("elsewhere", "headwater"), usual);
}

/// The statement files of a store, with their names.
fn statements(store: &str) -> Vec<(PathBuf, String)> {
    let folder = workspace().join("crates").join(store).join("src");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 10, "{} holds the statements of the store", folder.display());
    files
}

#[tokio::test]
async fn postgresql_can_prepare_every_statement_of_its_store() {
    let database = postgres::database().await;
    let settings = Settings { schema: "elsewhere".into(), ..Settings::default() };
    connect_with(database.url(), settings).await.unwrap().close().await;
    let mut connection = direct(database.url()).await;
    for (path, sql) in statements("headwater-postgres") {
        let sql = sqlx::SqlStr::from_static(Box::leak(sql.replace("{schema}", "elsewhere").into()));
        if let Err(error) = connection.prepare(sql).await {
            panic!("{} cannot be prepared: {error}", path.display());
        }
    }
}

#[tokio::test]
async fn sqlite_can_prepare_every_statement_of_its_store() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    connect(&url).await.unwrap().close().await;
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for (path, sql) in statements("headwater-sqlite") {
        let sql = sqlx::SqlStr::from_static(Box::leak(sql.into()));
        if let Err(error) = connection.prepare(sql).await {
            panic!("{} cannot be prepared: {error}", path.display());
        }
    }
}

/// Plans outlive the sizes that they were made for: an append must not get slower with the log.
#[tokio::test]
async fn an_append_that_was_planned_on_an_empty_log_scans_no_table_later() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    for n in 0..100 {
        append_to(&log, &format!("thing-{n}"), 3).await;
    }
    log.close().await;
    let scans = "select relname::text, seq_scan from pg_stat_user_tables
                 where relname in ('events', 'streams')";
    let mut connection = direct(database.url()).await;
    let scans: Vec<(String, i64)> = sqlx::query_as(scans).fetch_all(&mut connection).await.unwrap();
    assert_eq!(scans.len(), 2);
    // Each index was made by one.
    assert!(scans.iter().all(|(_, scans)| *scans < 20), "{scans:?}");
}

/// A log that was just restored has no statistics, and may be larger than any disk has room to sort.
#[tokio::test]
async fn a_reading_of_a_log_without_statistics_sorts_nothing_on_disk() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    for n in 0..40 {
        append_to(&log, &format!("thing-{n}"), 1_000).await;
    }
    assert_eq!(collect(log.read(Filter::all(), Position::START)).await.len(), 40_000);
    log.close().await;
    let mut connection = direct(database.url()).await;
    let sorted: i64 = sqlx::query_scalar(
        "select temp_files from pg_stat_database where datname = current_database()",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(sorted, 0);
}
