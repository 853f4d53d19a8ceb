//! The clients in other languages, in examples/clients, do as they say, also where they are killed or the service is.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod support;

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use headwater_testkit::postgres;
use support::{
    headwater,
    serving::{Process, serve},
    workspace,
};

const CLICKS: usize = 60;

/// One of the clients, against a service.
fn client(program: &[&str], arguments: [&str; 2], url: &str, token: &str) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).args(arguments).current_dir(workspace().join("examples/clients"));
    command.env("HEADWATER_URL", url).env("HEADWATER_TOKEN", token).stdout(Stdio::piped());
    command
}

/// The numbers of the clicks in what a consumer has printed, by lines or as JSON.
fn numbers(printed: &[u8]) -> Vec<usize> {
    let text = String::from_utf8_lossy(printed);
    let by_json = text.split("\"n\":").skip(1).map(|rest| rest.split('}').next().unwrap());
    let by_line = text.lines().filter(|line| line.starts_with("session-"));
    let by_line = by_line.map(|line| line.rsplit(' ').next().unwrap());
    by_json.chain(by_line).map(|number| number.parse().unwrap()).collect()
}

/// Appends clicks with a client while the service is killed, and takes them in with one that is killed itself.
fn produce_and_consume(program: &[&str], database: &str) {
    let folder = tempfile::tempdir().unwrap();
    let migrated = Command::new(headwater()).arg("migrate").env("DATABASE_URL", database).output();
    assert!(migrated.unwrap().status.success());
    let mut service = serve(database, folder.path(), "0");
    let (url, token) = (service.url.clone(), service.token.clone().unwrap());
    let port = url.rsplit(':').next().unwrap().to_owned();

    let mut producer =
        Process(client(program, ["produce", &CLICKS.to_string()], &url, &token).spawn().unwrap());
    sleep(Duration::from_millis(400));
    drop(service.process);
    service = serve(database, folder.path(), &port);
    assert_eq!(service.token, None, "a token is shown once");
    assert!(producer.0.wait().unwrap().success());

    let (mut seen, mut lives) = (BTreeSet::new(), 0);
    let begun = Instant::now();
    while seen.len() < CLICKS {
        assert!(begun.elapsed() < Duration::from_secs(120), "{seen:?}");
        let mut consumer = client(program, ["consume", "letters"], &url, &token).spawn().unwrap();
        // The first ones get some way, and are killed before they are through.
        sleep(Duration::from_millis(150 + 100 * lives));
        if lives < 5 {
            consumer.kill().unwrap();
        }
        seen.extend(numbers(&consumer.wait_with_output().unwrap().stdout));
        lives += 1;
    }
    assert_eq!(seen, (0..CLICKS).collect());
    let rest = client(program, ["consume", "letters"], &url, &token).output().unwrap();
    assert!(rest.status.success());
    let again = numbers(&rest.stdout);
    assert!(again.len() <= 10, "what was acknowledged comes again: {again:?}");
    let fresh = client(program, ["consume", "another"], &url, &token).output().unwrap();
    assert_eq!(numbers(&fresh.stdout), (0..CLICKS).collect::<Vec<_>>(), "each once, in order");
    drop(service.process);
}

fn on_sqlite(program: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    produce_and_consume(program, &format!("sqlite://{}", folder.path().join("log.db").display()));
}

async fn on_postgres(program: &'static [&'static str]) {
    let database = postgres::database().await;
    let url = database.url().to_owned();
    tokio::task::spawn_blocking(move || produce_and_consume(program, &url)).await.unwrap();
}

const PYTHON: &[&str] = &["python3", "clicks.py"];
const CURL: &[&str] = &["sh", "clicks.sh"];

#[test]
fn s_45_a_client_in_python_produces_and_consumes_on_sqlite() {
    on_sqlite(PYTHON);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_45_a_client_in_python_produces_and_consumes_on_postgresql() {
    on_postgres(PYTHON).await;
}

#[test]
fn s_45_a_client_with_curl_produces_and_consumes_on_sqlite() {
    on_sqlite(CURL);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_45_a_client_with_curl_produces_and_consumes_on_postgresql() {
    on_postgres(CURL).await;
}
