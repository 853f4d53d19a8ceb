//! `shop demo`: from nothing to a page that moves, and on from there at the next start.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod command;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use command::{Folder, ended};
use serde_json::Value;

/// A demo that runs, with the folder of a user who has nothing.
struct Demo {
    process: Child,
    address: String,
}

fn demo_command(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    // Both, so that it is found on every system.
    command.env("XDG_DATA_HOME", folder.path()).env("HOME", folder.path());
    command.env_remove("DATABASE_URL").env_remove("HEADWATER_SCHEMA");
    command
}

impl Demo {
    fn start(folder: &Folder) -> Self {
        let mut command = demo_command(folder);
        command.args(["demo", "--port", "0", "--rps", "40"]).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let lines: Vec<_> = lines.map(Result::unwrap).take(3).collect();
        assert!(lines[0].contains("headwater-shop/shop.db (SQLite 3."), "{lines:?}");
        let (_, address) = lines[1].rsplit_once("http://").unwrap();
        Self { process, address: address.into() }
    }

    fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.into())
    }

    /// What the page is fed with, once it is as wanted.
    fn live(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (head, body) = self.get("/api/live");
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

    /// Asks it to end, and yields its exit code and how long it took.
    fn end(mut self, signal: &str) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        (self.process.wait().unwrap().code(), asked.elapsed())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
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
    let live = demo.live("orders and their products", |live| {
        live["orders"]["total"].as_u64() > Some(0) && live["top_products"][0]["units"].is_u64()
    });
    assert!(live["revenue"]["total"].as_i64() > Some(0));
    let (code, took) = demo.end("-INT");
    assert_eq!(code, Some(0));
    println!("it moved after {moved:?} and ended in {took:?}");

    let status = ended(demo_command(&folder).args(["projections", "status", "--json"]));
    assert_eq!((status.out.lines().count(), status.code), (8, 0), "{status:?}");
    for line in status.out.lines() {
        let status: Value = serde_json::from_str(line).unwrap();
        assert!(status["position"].as_u64() > Some(0), "a checkpoint was saved: {line}");
    }

    let demo = Demo::start(&folder);
    let before = live["orders"]["total"].as_u64();
    let live = demo.live("more orders", |live| live["orders"]["total"].as_u64() > before);
    let open = live["carts"]["open"].as_u64().unwrap();
    assert!(open < 120, "{open} carts are open: those of before are not gone on with");
    assert_eq!(demo.end("-TERM").0, Some(0));
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
    let (head, page) = demo.get("/");
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"));
    for inline in ["<script>", "<style", " style=", " onclick=", "javascript:", "https://"] {
        assert!(!page.contains(inline), "the page has {inline}");
    }
    for file in ["/app.js", "/charts.js", "/style.css", "/icon.svg"] {
        assert!(demo.get(file).0.contains("200 ok"), "{file}");
    }
}

#[test]
fn a_browser_shows_the_numbers() {
    let folder = Folder::new();
    let demo = Demo::start(&folder);
    demo.live("orders", |live| live["orders"]["total"].as_u64() > Some(2));
    let page = in_browser(&folder, &format!("http://{}/", demo.address));
    let text = |id: &str| {
        let (_, behind) = page.split_once(&format!("id=\"{id}\"")).unwrap();
        let (_, text) = behind.split_once('>').unwrap();
        text.split_once('<').unwrap().0.to_owned()
    };
    for id in ["position", "orders", "open", "revenue", "rate", "minute"] {
        assert!(text(id).contains(|c: char| c.is_ascii_digit()), "{id} shows {:?}", text(id));
    }
    assert!(page.contains("data-state=\"live\""));
    for part in ["class=\"line\"", "class=\"column\"", "class=\"track\"", "cart.opened"] {
        assert!(page.contains(part), "the page lacks {part}");
    }
    assert_eq!(page.matches("<th scope=\"row\"").count(), 8, "each projection has a row");
}

/// The page as a browser has built it.
fn in_browser(folder: &Folder, url: &str) -> String {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let browser: Option<PathBuf> = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    let browser = browser.expect(
        "this test looks at the page in a browser: install Chromium (`apt-get install chromium`)",
    );
    let profile = folder.path().join("browser");
    let dumped = ended(Command::new(browser).args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--virtual-time-budget=3000",
        &format!("--user-data-dir={}", profile.display()),
        "--dump-dom",
        url,
    ]));
    assert_eq!(dumped.code, 0, "{}", dumped.err);
    dumped.out
}
