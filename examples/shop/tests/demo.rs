//! `shop demo`: from nothing to a page that moves, and on from there at the next start.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod command;

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use command::{Folder, Serving, ended};
use serde_json::Value;

fn demo_command(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    // Both, so that it is found on every system.
    command.env("XDG_DATA_HOME", folder.path()).env("HOME", folder.path());
    command.env_remove("DATABASE_URL").env_remove("HEADWATER_SCHEMA");
    command
}

/// A demo that runs, with the folder of a user who has nothing.
struct Demo(Serving);

impl Demo {
    fn start(folder: &Folder) -> Self {
        let mut command = demo_command(folder);
        let demo = Serving::start(command.args(["demo", "--port", "0", "--rps", "40"]));
        assert!(demo.said[0].contains("headwater-shop/shop.db (SQLite 3."), "{:?}", demo.said);
        Self(demo)
    }

    /// What the page is fed with, once it is as wanted.
    fn live(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (head, body) = self.0.get("/api/live");
            if head.contains("200 ok")
                && let live = serde_json::from_str(&body).unwrap()
                && wanted(&live)
            {
                return live;
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}\n{head}\n{body}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn the_demo_moves_ends_cleanly_and_goes_on_where_it_ended() {
    let folder = Folder::new();
    let started = Instant::now();
    let demo = Demo::start(&folder);
    let live = demo.live("events", |live| live["position"].as_u64() > Some(20));
    let moved = started.elapsed();
    assert!(live["events"].as_array().unwrap().len() > 10);
    let live = demo.live("orders and what was pressed", |live| {
        live["sales"]["orders"].as_u64() > Some(0) && live["buttons"]["all"][0]["clicks"].is_u64()
    });
    assert!(live["sales"]["revenue"].as_i64() > Some(0));
    let (code, took) = demo.0.end("-INT");
    assert_eq!(code, Some(0));
    println!("it moved after {moved:?} and ended in {took:?}");

    let status = ended(demo_command(&folder).args(["projections", "status", "--json"]));
    assert_eq!(
        (status.out.lines().count(), status.code),
        (shop::app().names().len(), 0),
        "{status:?}"
    );
    for line in status.out.lines() {
        let status: Value = serde_json::from_str(line).unwrap();
        assert!(status["position"].as_u64() > Some(0), "a checkpoint was saved: {line}");
    }

    let demo = Demo::start(&folder);
    let before = live["sales"]["orders"].as_u64();
    let live = demo.live("more orders", |live| live["sales"]["orders"].as_u64() > before);
    let open = live["carts"]["open"].as_u64().unwrap();
    assert!(open < 120, "{open} carts are open: those of before are not gone on with");
    assert_eq!(demo.0.end("-TERM").0, Some(0));
}

/// One command, from nothing.
#[test]
fn s_01_the_dashboard_is_there_and_the_feed_moves_within_ten_seconds() {
    let (folder, begun) = (Folder::new(), Instant::now());
    let demo = Demo::start(&folder);
    assert!(demo.0.get("/dashboard").0.contains("200 ok"));
    let head = || demo.0.get("/log/projections").1;
    let position = |body: &str| {
        let all: Value = serde_json::from_str(body).unwrap_or_default();
        all[0]["head"].as_u64().unwrap_or_default()
    };
    while position(&head()) < 20 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", head());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("it moves {:?} after the start", begun.elapsed());
}

#[test]
fn a_taken_port_is_a_sentence_with_the_way_out() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = ended(demo_command(&folder).args(["demo", "--port", &port]));
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("is taken") && refused.err.contains("--port "), "{}", refused.err);
}

#[test]
fn the_page_may_run_only_what_came_with_it() {
    let folder = Folder::new();
    let demo = Demo::start(&folder);
    for page in ["/", "/dashboard"] {
        let (head, page) = demo.0.get(page);
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"));
        for inline in ["<script>", "<style", " style=", " onclick=", "javascript:", "https://"] {
            assert!(!page.contains(inline), "the page has {inline}");
        }
    }
    // All that a page names, and what is named there.
    let (mut named, mut seen) = (vec!["/".to_owned(), "/dashboard".into()], BTreeSet::new());
    while let Some(file) = named.pop() {
        if seen.insert(file.clone()) {
            let (head, text) = demo.0.get(&file);
            assert!(head.contains("200 ok"), "{file}");
            let parts = ["src=\"/", "href=\"/", "from \"/"];
            let files = parts.iter().flat_map(|part| text.split(part).skip(1));
            let files = files.map(|rest| format!("/{}", rest.split('"').next().unwrap()));
            // What answers with data does so once the read models are there.
            named.extend(files.filter(|file| !file.starts_with("/api/")));
        }
    }
    assert!(seen.len() >= 12 && seen.contains("/log.js"), "{seen:?}");
}
