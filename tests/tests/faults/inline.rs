//! Services whose read model changes in the appends' own transactions are killed and started again.

use futures_util::future::join_all;
use headwater::{App, ErrorKind, ExpectedVersion::Any, Log, NewEvent, Position, connect};
use headwater_testkit::{
    account::{AccountEvent, Balance, InlineBalance},
    fixtures::stream,
    postgres, scale, seed, within,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use crate::{
    audit::balances_are_folded,
    child::{self, Child},
};

/// How many services there are at a time, and how many writers each has.
const SERVICES: usize = 4;
const WRITERS: usize = 4;

fn app() -> App {
    App::new().projection::<InlineBalance>()
}

async fn cents(log: &Log, account: &str) -> i64 {
    let rows: Vec<Balance> = log.find("where account = $1", &[account.into()]).await.unwrap();
    rows.first().map_or(0, |row| row.cents)
}

/// Moves a cent from an account of its own to one that all share, again and again, and tells each time
/// whether it was in the read model at once.
async fn write(log: &Log, times: usize) {
    let account = Uuid::now_v7().simple().to_string();
    let own = stream(&format!("account-{account}"));
    for moved in (1..).take(times) {
        let event = AccountEvent::Transferred { to: "all".into(), cents: 1 };
        let event = NewEvent::of(&event).unwrap();
        let append = || log.append(&own, Any, [event.clone()]);
        let position = loop {
            match append().await {
                Ok(appended) => break appended.position(),
                // On SQLite the others may be writing for a long time.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}"),
            }
        };
        let at_once = cents(log, &account).await == -moved;
        app().settled(log, position).await.unwrap();
        assert_eq!(cents(log, &account).await, -moved, "its own writes, each once");
        println!("moved {at_once}");
    }
}

/// In a process that is to be killed: such a service. In the tests' own process: the same for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_changes_its_read_model_inline() {
    let (url, times) = match child::database() {
        Some(url) => (url, usize::MAX),
        None => ("sqlite::memory:".into(), 5),
    };
    let log = connect(&url).await.unwrap();
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    app().settled(&log, Position::START).await.unwrap();
    join_all((0..WRITERS).map(|_| write(&log, times))).await;
    running.abort();
}

/// Kills services, one after the other, while the others go on, and audits what they have left.
async fn kill_and_audit(url: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let start = || Child::start("inline::a_service_changes_its_read_model_inline", url);
    let mut services: Vec<_> = (0..SERVICES).map(|_| start()).collect();
    let (mut moved, mut at_once) = (0, 0);
    let kills = 8 * scale();
    for _ in 0..kills {
        for _ in 0..rng.random_range(1..60) {
            for service in &mut services {
                let said = within("a service works", service.says("moved ")).await;
                moved += 1;
                at_once += usize::from(said.expect("it ends only when it is killed") == "true");
            }
        }
        let killed = rng.random_range(0..services.len());
        assert!(services[killed].kill().await, "it ended by itself");
        services[killed] = start();
    }
    for service in &mut services {
        assert!(service.kill().await, "it ended by itself");
    }
    let log = connect(url).await.unwrap();
    within("it catches up", app().catch_up(&log)).await.unwrap();
    let head = log.ceiling().await.unwrap().position;
    balances_are_folded(&log, head).await;
    println!("{kills} kills, {head} events; of {moved} moves {at_once} were seen at once");
    assert!(head > Position::START && at_once * 10 > moved * 9, "they read their own writes");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_on_sqlite_that_change_inline_and_are_killed_count_each_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    kill_and_audit(&url, seed("inline_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_on_postgresql_that_change_inline_and_are_killed_count_each_event_once() {
    let database = postgres::database().await;
    kill_and_audit(database.url(), seed("inline_on_postgresql")).await;
}
