//! A database is dumped and restored, elsewhere or to an earlier moment: what is whole goes on, and what
//! is not of this log any more stops before it writes.

use std::time::Duration;

use headwater::{Error, Filter, GenerationState::Live, Log, Position, connect};
use headwater_testkit::{
    eventually,
    fixtures::append_to,
    postgres::{Server, direct},
    within,
};
use sqlx::Executor as _;

use crate::{
    audit::{Audit, app, caught_up},
    load::{book, fill},
};

/// Where each projection stands, with what is wrong with it.
async fn stands(log: &Log) -> Vec<(String, u64, Option<String>)> {
    let status = app().status(log).await.unwrap();
    let live = status.into_iter().filter(|status| status.state == Live);
    live.map(|s| (s.projection, s.position.0, s.failure.map(|failure| failure.error))).collect()
}

/// Leaves the events up to a position, as a backup would; checkpoints and read models are as they were.
async fn cut(url: &str, last: u64) {
    let mut admin = direct(url).await;
    let cut = format!(
        "alter table headwater.events disable trigger all;
         delete from headwater.events where position > {last};
         update headwater.streams s set version = e.version
         from (select stream, max(version) as version from headwater.events group by stream) e
         where e.stream = s.stream;
         update headwater.settled set position = {last};
         select setval(pg_get_serial_sequence('headwater.events', 'position'), {last});"
    );
    admin.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(cut))).await.unwrap();
}

/// Nothing in the tables depends on the server they lie on, such as numbers of transactions.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_restored_in_another_cluster_goes_on_as_before() {
    let (first, second) = (Server::start_private().await, Server::start_private().await);
    let log = connect(&first.create_database("shop").await).await.unwrap();
    fill(&log, 2_000).await;
    let dumped_at = async {
        caught_up(&log).await;
        first.dump("shop")
    };
    let running = app();
    let dump = tokio::select! {
        ended = running.run(&log) => panic!("it ended: {ended:?}"),
        dump = dumped_at => dump,
    };
    let before = Audit::of(&log).await;
    log.close().await;
    let restored = connect(&second.restore("shop", &dump).await).await.unwrap();
    let after = Audit::of(&restored).await;
    let ids = |audit: &Audit| audit.events.iter().map(|e| (e.position, e.id)).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&before), "all history, in order");
    after.agrees_with_read_models(&restored).await;
    let goes_on = async {
        for n in 0..20 {
            book(&restored, n).await;
        }
        caught_up(&restored).await;
        Audit::of(&restored).await.agrees_with_read_models(&restored).await;
    };
    tokio::select! {
        ended = running.run(&restored) => panic!("it ended: {ended:?}"),
        () = within("it goes on", goes_on) => {}
    }
    restored.close().await;
}

/// The events of a log are those of an earlier backup, and its read models are not.
#[tokio::test(flavor = "multi_thread")]
async fn projections_stop_where_the_log_was_restored_to_an_earlier_moment() {
    let server = Server::start_private().await;
    let log = connect(&server.create_database("shop").await).await.unwrap();
    fill(&log, 1_000).await;
    app().catch_up(&log).await.unwrap();
    for n in 0..10 {
        book(&log, n).await;
    }
    app().catch_up(&log).await.unwrap();
    let before = stands(&log).await;
    let end = log.ceiling().await.unwrap().position;
    log.subscription("letters", Filter::all(), end).await.unwrap();
    log.close().await;
    let url = server.url("shop");
    cut(&url, before[0].1 - 10).await;
    let log = connect(&url).await.unwrap();
    let stopped = app().catch_up(&log).await;
    assert!(matches!(stopped, Err(Error::LogDiverged { .. })), "{stopped:?}");
    assert_eq!(stands(&log).await.iter().map(|s| s.1).collect::<Vec<_>>(), [before[0].1; 2]);
    let letters = log.subscription("letters", Filter::all(), Position::START).await.map(drop);
    assert!(matches!(letters, Err(Error::SubscriptionDiverged { .. })), "{letters:?}");
    // Others write over the gap: the positions are the same again, and the events are not.
    for n in 0..20 {
        book(&log, n).await;
    }
    let running = app();
    let told = async {
        eventually("both are stopped", async || {
            let told = |(_, at, error): &(String, u64, Option<String>)| {
                *at == before[0].1 && error.as_ref().is_some_and(|e| e.contains("not of this log"))
            };
            stands(&log).await.iter().all(told).then_some(())
        })
        .await;
    };
    tokio::select! {
        ended = running.run(&log) => panic!("it ended: {ended:?}"),
        () = told => {}
    }
    within("a rebuild", app().rebuild(&log, &[], &|_| {})).await.unwrap();
    app().catch_up(&log).await.unwrap();
    Audit::of(&log).await.agrees_with_read_models(&log).await;
    let last = book(&log, 1).await.position();
    app().catch_up(&log).await.unwrap();
    assert_eq!(
        log.wait_for("balances", last, Duration::from_secs(10)).await,
        Ok(true),
        "it goes on"
    );
    log.close().await;
}

/// What was lost was of no concern to them, and what came in its place is: by their own last events they
/// could not tell.
#[tokio::test(flavor = "multi_thread")]
async fn projections_stop_also_where_what_was_lost_was_nothing_that_they_read() {
    let server = Server::start_private().await;
    let log = connect(&server.create_database("shop").await).await.unwrap();
    fill(&log, 1_000).await;
    let last = log.ceiling().await.unwrap().position;
    append_to(&log, "thing-1", 20).await;
    app().catch_up(&log).await.unwrap();
    log.close().await;
    let url = server.url("shop");
    cut(&url, last.0).await;
    let mut admin = direct(&url).await;
    admin.execute("delete from headwater.streams where stream = 'thing-1'").await.unwrap();
    let log = connect(&url).await.unwrap();
    for n in 0..40 {
        book(&log, n).await;
    }
    let stopped = app().catch_up(&log).await;
    assert!(matches!(stopped, Err(Error::LogDiverged { .. })), "{stopped:?}");
    log.close().await;
}
