//! Commits that are durable, and whose answers never come.
//!
//! A server that waits for a standby that is not there has already written a commit when its
//! session is ended.

use std::time::Duration;

use headwater::{
    Error,
    ExpectedVersion::{Any, Exact},
    Log, Repository, connect,
};
use headwater_testkit::{
    account::Account,
    eventually,
    fixtures::{all, append_to, events, stream},
    postgres::{Proxy, Server, database, direct},
    within,
};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    audit::{Audit, app},
    load::fill,
};

/// A log on a server that can lose the answers to chosen commits.
struct Lossy {
    log: Log,
    operator: PgConnection,
    ending: JoinHandle<()>,
    _server: Server,
}

impl Lossy {
    async fn start() -> Self {
        let server = Server::start_private().await;
        let url = server.create_database("shop").await;
        let mut operator = direct(&url).await;
        for sql in [
            // Only transactions that ask for it wait.
            "set synchronous_commit = local",
            "alter role postgres set synchronous_commit = local",
            "alter system set synchronous_standby_names = 'nobody'",
            "select pg_reload_conf()",
            "create sequence lost",
        ] {
            operator.execute(sql).await.unwrap();
        }
        eventually("commits wait for a standby", async || {
            let mut waits = direct(&url).await;
            let commit = "set synchronous_commit = on; create table if not exists waits ();
                          drop table waits";
            timeout(Duration::from_millis(200), waits.execute(commit)).await.is_err().then_some(())
        })
        .await;
        let ending = tokio::spawn(end_those_who_wait(direct(&url).await));
        Self { log: connect(&url).await.unwrap(), operator, ending, _server: server }
    }

    /// From now on the first `times` transactions lose their answers of those that make such a
    /// change.
    async fn lose(&mut self, times: u32, change: &str) {
        let sql = format!(
            "create function lose() returns trigger language plpgsql as $$
             begin
                 if nextval('public.lost') <= {times} then
                     perform set_config('synchronous_commit', 'on', true);
                 end if;
                 return null;
             end $$;
             create trigger lose after {change} execute function lose()"
        );
        self.operator.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    /// How many transactions made such a change.
    async fn changes(&mut self) -> i64 {
        let changes = "select case when is_called then last_value else 0 end from lost";
        sqlx::query_scalar(changes).fetch_one(&mut self.operator).await.unwrap()
    }

    async fn end(self) {
        self.log.close().await;
        self.ending.abort();
    }
}

async fn end_those_who_wait(mut operator: PgConnection) {
    let waiting = "select pg_terminate_backend(pid) from pg_stat_activity
                   where wait_event = 'SyncRep'";
    while operator.execute(waiting).await.is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_is_lost_is_applied_once() {
    let mut lossy = Lossy::start().await;
    lossy.lose(2, "insert on headwater.events for each statement").await;
    let log = &lossy.log;
    let appended = within("an append", append_to(log, "thing-1", 3)).await;
    assert_eq!((appended.version(), appended.repeated), (3, true));
    let accounts = Repository::<Account>::new(log).unwrap();
    let done = within("a command", accounts.execute(&"a".into(), |a| a.open("ada"))).await.unwrap();
    assert_eq!((done.version, done.repeated), (1, false));
    assert_eq!(all(log).await.len(), 4);
    assert_eq!(lossy.changes().await, 2, "an append was written twice");
    lossy.end().await;
}

/// The stream may still come to the version that the first try expects, and the first try to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_below_the_expected_version_does_not_settle_a_lost_answer() {
    let database = database().await;
    let proxy = Proxy::start(database.url()).await;
    let log = connect(proxy.url()).await.unwrap();
    for (version, settles) in [(1, true), (9, false)] {
        let name = stream(&format!("lost-{version}"));
        log.append(&name, Any, events(3)).await.unwrap();
        proxy.cut_answers_to(name.as_str(), 1);
        let append = log.append(&name, Exact(version), events(1));
        match within("an append", append).await.unwrap_err() {
            Error::VersionConflict { actual: 3, .. } if settles => {}
            Error::OutcomeUnknown { .. } if !settles => {}
            other => panic!("{name}: {other}"),
        }
        assert_eq!(log.stream_info(&name).await.unwrap().unwrap().version, 3);
    }
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_is_lost_counts_once() {
    let mut lossy = Lossy::start().await;
    fill(&lossy.log, 1_000).await;
    app().catch_up(&lossy.log).await.unwrap();
    let moved = "update on headwater.checkpoints for each row
                 when (new.position > old.position)";
    lossy.lose(2, moved).await;
    fill(&lossy.log, 1_000).await;
    within("the projections catch up", app().catch_up(&lossy.log)).await.unwrap();
    assert!(lossy.changes().await >= 2);
    Audit::of(&lossy.log).await.agrees_with_read_models(&lossy.log).await;
    lossy.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_whose_swap_is_not_answered_has_swapped_once() {
    let mut lossy = Lossy::start().await;
    fill(&lossy.log, 1_000).await;
    app().catch_up(&lossy.log).await.unwrap();
    lossy
        .lose(
            1,
            "update on headwater.checkpoints for each row
             when (new.generation = 2 and new.state = 'live' and old.state = 'building')",
        )
        .await;
    let names = ["balances".to_owned()];
    let rebuilt = within("the rebuild", app().rebuild(&lossy.log, &names, &|_| {})).await.unwrap();
    assert_eq!((rebuilt.len(), rebuilt[0].generation), (1, 2));
    assert_eq!(lossy.changes().await, 1);
    let checkpoints = lossy.log.store().checkpoints().await.unwrap();
    let generations: Vec<_> = checkpoints
        .iter()
        .filter(|checkpoint| checkpoint.projection == "balances")
        .map(|checkpoint| (checkpoint.generation, checkpoint.state.as_str()))
        .collect();
    assert_eq!(generations, [(1, "retired"), (2, "live")]);
    Audit::of(&lossy.log).await.agrees_with_read_models(&lossy.log).await;
    lossy.end().await;
}
