//! The shop in several processes over one PostgreSQL: they behave as one.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod command;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use command::{Process, Serving, ended, shop};
use headwater_testkit::postgres;
use serde_json::Value;

/// A process that only keeps projections up to date.
fn worker(log: &str) -> Process {
    Process(shop(log).arg("worker").spawn().unwrap())
}

/// Where each projection stands.
fn status(log: &str) -> Vec<Value> {
    let status = ended(shop(log).args(["projections", "status", "--json"]));
    status.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until every projection has come to the log's end and is kept by one of so many processes; yields them.
fn settled(log: &str, processes: usize) -> BTreeSet<String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = status(log);
        let owners: BTreeSet<_> =
            status.iter().filter_map(|s| s["owner"].as_str().map(str::to_owned)).collect();
        let at_the_end = |s: &Value| s["lag"] == 0 && s["owner"].is_string();
        if status.len() == shop::app().names().len()
            && status.iter().all(at_the_end)
            && owners.len() == processes
        {
            return owners;
        }
        assert!(Instant::now() < deadline, "{status:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn orders(web: &Serving) -> u64 {
    let (_, body) = web.get("/api/live");
    let live: Value = serde_json::from_str(&body).unwrap();
    live["sales"]["orders"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_33_two_of_each_role_behave_as_one() {
    let database = postgres::database().await;
    let log = database.url();
    assert_eq!(ended(shop(log).arg("release")).code, 0);
    let web = [(); 2].map(|()| Serving::start(shop(log).args(["web", "--port", "0"])));
    let mut workers = vec![worker(log), worker(log)];
    let traffic =
        |seed| ["traffic", "--rps", "100", "--visitors", "20", "--duration", "3s", "--seed", seed];
    assert_eq!(ended(shop(log).args(traffic("1"))).code, 0);
    let four = settled(log, 4);
    for web in &web {
        assert!(web.get("/dashboard").0.contains("200 ok"));
    }
    let before = orders(&web[0]);
    assert!(before > 0 && before == orders(&web[1]), "they show the same");

    // One worker is killed; another one takes over what it had.
    let gone = workers.remove(0);
    let number = gone.0.id().to_string();
    drop(gone);
    assert_eq!(ended(shop(log).args(traffic("2"))).code, 0);
    let three = settled(log, 3);
    assert!(
        three.is_subset(&four) && !three.iter().any(|owner| owner.ends_with(&format!(":{number}")))
    );
    let after = orders(&web[0]);
    assert!(after > before && after == orders(&web[1]), "{before} before, {after} after");
    let verified =
        ended(shop(log).args(["projections", "verify", "--all", "--json", "--no-progress"]));
    assert_eq!(
        (verified.code, verified.out.matches("\"identical\":true").count()),
        (0, shop::app().names().len())
    );
}
