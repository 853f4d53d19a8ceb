//! `headwater race` on PostgreSQL, as an operator runs it.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod support;

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use headwater_testkit::{
    eventually,
    postgres::{TestDatabase, database, direct, direct_database, pooled},
    within,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row as _};
use support::headwater;
use tokio::{
    process::{Child, Command},
    sync::Mutex,
};

/// One race at a time: each takes dozens of the server's connections.
static TRACK: Mutex<()> = Mutex::const_new(());

/// The ceiling as it must not be: whatever is visible.
const BROKEN_CEILING: &str = "\
    create or replace function {schema}.ceiling(
        p_settled bigint, p_candidate bigint, p_writers text[],
        out settled bigint, out candidate bigint, out writers text[])
    language sql volatile as $$
        select coalesce(max(position), 0), null::bigint, '{}'::text[] from {schema}.events
    $$";

fn race(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(headwater());
    for variable in ["HEADWATER_SCHEMA", "HEADWATER_LOG", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.arg("race").args(arguments).env("DATABASE_URL", url).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(url: &str, arguments: &[&str]) -> (i32, String, String) {
    said(within("the race ends", race(url, arguments).output()).await.unwrap())
}

async fn ends(child: Child) -> (i32, String, String) {
    said(within("the race ends", child.wait_with_output()).await.unwrap())
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

async fn execute(url: &str, sql: String) {
    let mut connection = direct(url).await;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

/// The schemas that races have left in a database.
async fn schemas(url: &str) -> Vec<String> {
    let mut connection = direct(url).await;
    let sql = "select nspname::text from pg_namespace where nspname like 'headwater%' order by 1";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The schema of a race that is under way, once there are events in it.
async fn under_way(database: &TestDatabase) -> String {
    eventually("the writers write", async || {
        let schema = schemas(database.url()).await.pop()?;
        let mut connection = direct(database.url()).await;
        let sql = AssertSqlSafe(format!("select exists (select from {schema}.events)"));
        // The table comes after the schema.
        let begun = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap_or(false);
        begun.then_some(schema)
    })
    .await
}

fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

#[tokio::test]
async fn a_race_loses_nothing_beside_a_reader_by_hand_that_does_and_leaves_nothing_behind() {
    let _track = TRACK.lock().await;
    let database = database().await;
    let (exit, out, err) = run(database.url(), &["--seconds", "3", "--json", "--seed", "7"]).await;
    println!("{out}{err}");
    assert_eq!(exit, 0, "{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    let number = |key: &str| answer[key].as_f64().unwrap_or_else(|| panic!("{key}: {answer}"));
    for key in ["missed", "doubled", "inverted"] {
        assert_eq!(number(key), 0.0, "{key}");
    }
    assert_eq!((number("writers"), number("followers"), number("seed")), (32.0, 4.0, 7.0));
    assert!(number("by_hand_missed") > 0.0, "the reader by hand missed nothing: {answer}");
    assert!(number("late") > 0.0 && number("rolled_back") > 0.0, "{answer}");
    assert!(number("lag_p50_ms") <= number("lag_p99_ms"), "{answer}");
    assert!(answer["meanwhile"].as_str().unwrap().contains("transaction"), "{answer}");
    let readers = answer["readers"].as_array().unwrap();
    assert_eq!(readers.len(), 4 + 3, "followers, a late one, a reading at the end, one by hand");
    let (by_hand, of_the_log) = readers.split_last().unwrap();
    assert_eq!(by_hand["reader"], "position > last");
    for reader in of_the_log {
        assert_eq!(reader["events"], answer["events"], "{reader}");
    }
    assert_eq!(answer["removed"], true);
    assert!(schemas(database.url()).await.is_empty());
    assert!(err.contains("race: 1 of 3 s, ") && err.contains("events committed"), "{err}");
}

#[tokio::test]
async fn a_race_goes_through_a_pooler_in_transaction_mode() {
    let _track = TRACK.lock().await;
    let database = database().await;
    let url = pooled(&database).await;
    let (exit, out, err) = run(&url, &["--writers", "8", "--seconds", "3", "--json"]).await;
    assert_eq!(exit, 0, "{out}{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert!(answer["events"].as_u64().unwrap() > 100, "{answer}");
    assert_eq!(schemas(database.url()).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_log_that_breaks_its_promise_fails_the_race() {
    let _track = TRACK.lock().await;
    let database = database().await;
    let child = race(database.url(), &["--seconds", "3", "--json"]).spawn().unwrap();
    let schema = under_way(&database).await;
    execute(database.url(), BROKEN_CEILING.replace("{schema}", &schema)).await;
    let (exit, out, err) = ends(child).await;
    println!("{out}{err}");
    assert_eq!(exit, 1, "{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert!(answer["missed"].as_u64().unwrap() > 0, "{answer}");
    let error: Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "promise-broken");
    assert!(schemas(database.url()).await.is_empty());
}

#[tokio::test]
async fn a_race_that_is_interrupted_removes_its_schema() {
    let _track = TRACK.lock().await;
    let database = database().await;
    for name in ["INT", "TERM"] {
        let child = race(database.url(), &["--seconds", "60", "--no-progress"]).spawn().unwrap();
        let schema = under_way(&database).await;
        signal(&child, name);
        let (exit, out, err) = ends(child).await;
        assert_eq!((exit, out.as_str()), (130, ""), "{err}");
        let last = err.lines().last().unwrap_or_default();
        let removed = format!("and the schema {schema} is removed");
        assert!(last.starts_with("error: interrupted: ") && last.ends_with(&removed), "{err}");
        assert!(schemas(database.url()).await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_race_whose_database_goes_away_says_so() {
    let _track = TRACK.lock().await;
    let database = database().await;
    let child = race(database.url(), &["--seconds", "60", "--no-progress"]).spawn().unwrap();
    under_way(&database).await;
    let own = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where datname = current_database() and application_name like 'headwater%'";
    execute(database.url(), own.into()).await;
    let (exit, out, err) = ends(child).await;
    assert_eq!((exit, out.as_str()), (3, ""), "{err}");
    // The driver may have logged a warning before.
    let error = err.lines().find(|line| line.starts_with("error: "));
    assert!(error.is_some() && !err.contains("panicked"), "{err}");
    assert!(schemas(database.url()).await.is_empty());
}

#[tokio::test]
async fn the_schema_of_another_race_is_named_and_left_alone_as_is_the_log() {
    let _track = TRACK.lock().await;
    let database = database().await;
    execute(database.url(), "create schema headwater; create schema headwater_race_0".into()).await;
    let arguments = ["--seconds", "1", "--writers", "4", "--followers", "1", "--no-progress"];
    let (exit, out, err) = run(database.url(), &arguments).await;
    assert_eq!((exit, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("drop schema headwater_race_0 cascade"), "{out}");
    assert!(out.contains("(removed)\n4 writers for "), "{out}");
    assert!(out.contains("\nREADER ") && out.contains("\nfollower 1 "), "{out}");
    assert!(out.contains("once and in order"), "{out}");
    assert_eq!(schemas(database.url()).await, ["headwater", "headwater_race_0"]);
}

#[tokio::test]
async fn a_role_that_may_not_make_a_schema_is_told_what_it_needs() {
    let database = direct_database().await;
    let role = format!("weak_{}", database.name());
    execute(database.url(), format!("create role {role} login password 'weak'")).await;
    let (_, address) = database.url().split_once('@').unwrap();
    let (exit, out, err) = run(&format!("postgres://{role}:weak@{address}"), &["--json"]).await;
    execute(database.url(), format!("drop role {role}")).await;
    assert_eq!((exit, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("\"database\"") && err.contains("permission denied"), "{err}");
}

#[tokio::test]
async fn more_writers_than_the_server_has_room_for_are_refused_before_anything_is_made() {
    let _track = TRACK.lock().await;
    let database = database().await;
    let (exit, out, err) = run(database.url(), &["--writers", "1000"]).await;
    assert_eq!((exit, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("1030 connections") && err.contains("fewer --writers"), "{err}");
    assert!(schemas(database.url()).await.is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_to_be_tried_again() {
    let refused = run("postgres://app:s3cret@127.0.0.1:1/shop", &[]);
    let (exit, out, err) = tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    assert_eq!((exit, out.as_str()), (3, ""), "{err}");
    assert!(err.starts_with("error: ") && !err.contains("s3cret"), "{err}");
}
