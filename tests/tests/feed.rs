//! The feed of Server-Sent Events, read with curl from processes of their own: everybody gets everything, once and in
//! order, also who was cut off.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod support;

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use headwater::{
    ExpectedVersion, Log, NewEvent, Settings, StreamName, connect, postgres::PostgresStore,
};
use headwater_testkit::{
    fixtures::{append, events},
    postgres::{self, direct},
};
use serde_json::Value;
use sqlx::Connection as _;
use support::serving::{Process, Service, serve};
use tempfile::TempDir;

const CLICKS: usize = 1_000;

/// A message of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    id: u64,
    stream: String,
    version: u64,
}

/// A client of a feed, which ends with it.
struct Feed(Process);

impl Feed {
    /// From the beginning, or behind the message with this id.
    fn open(service: &Service, token: &str, last: Option<u64>) -> Self {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--no-buffer", "--header"]);
        curl.arg(format!("Authorization: Bearer {token}"));
        if let Some(last) = last {
            curl.arg("--header").arg(format!("Last-Event-ID: {last}"));
        }
        curl.arg(format!("{}/feed?from=beginning", service.url)).stdout(Stdio::piped());
        Self(Process(curl.spawn().unwrap()))
    }

    /// The next so many messages; then it is cut off.
    fn take(mut self, count: usize) -> Vec<Message> {
        let child: &mut Child = &mut self.0.0;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut id, mut messages) = (None, Vec::new());
        for line in lines {
            let line = line.unwrap();
            if let Some(text) = line.strip_prefix("id:") {
                id = Some(text.trim().parse().unwrap());
            } else if let Some(data) = line.strip_prefix("data:") {
                let event: Value = serde_json::from_str(data).unwrap();
                let stream = event["stream"].as_str().unwrap().to_owned();
                let version = event["version"].as_u64().unwrap();
                assert_eq!(event["position"].as_u64(), id, "the id is the position");
                messages.push(Message { id: id.unwrap(), stream, version });
            }
            if messages.len() == count {
                break;
            }
        }
        messages
    }
}

/// Sends clicks, a call each, in ten streams.
async fn send(log: &Log) {
    for n in 0..CLICKS {
        let stream = StreamName::new("session", n % 10).unwrap();
        let event = NewEvent::from_json("button.clicked", 1, "{\"button_id\":\"even\"}");
        log.append(&stream, ExpectedVersion::Any, [event]).await.unwrap();
    }
}

/// Three viewers of two processes, of whom one is cut off in the middle and goes on.
async fn everybody_gets_everything(url: &str) {
    let log = connect(url).await.unwrap();
    let folder = TempDir::new().unwrap();
    let first = serve(url, folder.path(), "0");
    let token = first.token.clone().unwrap();
    let second = serve(url, folder.path(), "0");
    let feeds = [&first, &first, &second].map(|service| Feed::open(service, &token, None));
    let viewers = feeds.map(|feed| thread::spawn(move || feed.take(CLICKS)));
    let cut_off = Feed::open(&second, &token, None);
    let cut_off = thread::spawn(move || cut_off.take(400));
    send(&log).await;

    let seen = viewers.map(|viewer| viewer.join().unwrap());
    assert_eq!(seen[0].len(), CLICKS);
    assert!(seen[0][0].id == 1 && seen[0].is_sorted_by(|a, b| a.id < b.id), "ids rise from 1");
    for name in (0..10).map(|n| format!("session-{n}")) {
        let versions = seen[0].iter().filter(|message| message.stream == name);
        assert!(versions.map(|message| message.version).eq(1..=100), "{name}");
    }
    assert!(seen[1] == seen[0] && seen[2] == seen[0], "all see the same");

    let mut all = cut_off.join().unwrap();
    let last = all.last().unwrap().id;
    all.extend(Feed::open(&first, &token, Some(last)).take(CLICKS - 400));
    assert!(all == seen[0], "no gap and nothing twice, also from another process");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_05_s_06_s_07_s_35_everybody_gets_everything_on_sqlite() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    everybody_gets_everything(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_05_s_06_s_07_s_35_everybody_gets_everything_on_postgresql() {
    everybody_gets_everything(postgres::database().await.url()).await;
}

/// What a client was told already lies above the ceiling for as long as an earlier writer is under way: it waits there, and
/// is not told that the log is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_above_a_writer_under_way_is_waited_at() {
    let database = postgres::database().await;
    let (url, folder) = (database.url(), TempDir::new().unwrap());
    let store = PostgresStore::connect(url, Settings::default()).await.unwrap();
    let log = connect(url).await.unwrap();
    let mut writer = direct(url).await;
    let mut open = writer.begin().await.unwrap();
    store.append_in(&mut open, vec![append("held-1", 1)]).await.unwrap();
    let free = StreamName::new("free", 1).unwrap();
    let told = log.append(&free, ExpectedVersion::Any, events(1)).await.unwrap().position();
    let service = serve(url, folder.path(), "0");
    let feed = Feed::open(&service, service.token.as_ref().unwrap(), Some(told.0));
    let follows = thread::spawn(move || feed.take(1));
    // It is refused at once, or not at all.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!follows.is_finished(), "it was refused");
    open.commit().await.unwrap();
    let next = log.append(&free, ExpectedVersion::Any, events(1)).await.unwrap().position();
    let got = follows.join().unwrap();
    assert_eq!(got.iter().map(|message| message.id).collect::<Vec<_>>(), [next.0]);
    log.close().await;
}
