//! The database goes away in the middle of the work, and comes back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{TryStreamExt as _, future::join_all};
use headwater::{
    Append, Error, ErrorKind, ExpectedVersion::Any, Filter, Log, Position, Result, connect,
};
use headwater_testkit::{
    account::Balance,
    eventually,
    fixtures::{event, stream},
    postgres::{self, Server, direct},
    scale, seed, within,
};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::time::sleep;

use crate::{
    audit::{Audit, app, caught_up},
    follower::Follower,
    load::{Load, book, fill},
    refused::sentence,
};

/// How long anything may take to say that the database is away: the stores wait ten seconds for a
/// connection.
const PATIENCE: Duration = Duration::from_secs(15);

/// Everything that can be asked of a log, one after the other.
async fn ask(log: &Log, number: u32) -> (&'static str, Result<()>) {
    let name = stream("thing-1");
    match number {
        0 => ("append", log.append(&name, Any, [event(1)]).await.map(drop)),
        1 => ("read a stream", log.read_stream(&name, 1).try_next().await.map(drop)),
        2 => {
            let read = log.read(Filter::all(), Position::START).try_next().await;
            ("read the log", read.map(drop))
        }
        3 => ("look at the ceiling", log.ceiling().await.map(drop)),
        4 => ("describe a stream", log.stream_info(&name).await.map(drop)),
        5 => ("list streams", log.streams(None).try_next().await.map(drop)),
        6 => ("find rows", log.find::<Balance>("", &[]).await.map(drop)),
        7 => ("look at checkpoints", log.checkpoints().await.map(drop)),
        8 => ("migrate", log.migrate().await.map(drop)),
        _ => ("begin a transaction", log.store().begin().await.map(drop)),
    }
}

async fn ask_everything(log: &Log) -> Vec<(&'static str, Result<()>)> {
    join_all((0..=9).map(|number| ask(log, number))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_away_everything_says_so_and_goes_on_by_itself_afterwards() {
    let mut server = Server::start_private().await;
    let log = connect(&server.create_database("shop").await).await.unwrap();
    fill(&log, 1_000).await;
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    let follower = Follower::start(&log);
    caught_up(&log).await;
    tokio::task::block_in_place(|| server.kill());
    let asked = Instant::now();
    for (what, answer) in within("a database that is away", ask_everything(&log)).await {
        let Err(error) = answer else { panic!("{what}: there is no database") };
        println!("{what}: {error}");
        assert_eq!(error.kind(), ErrorKind::Retry, "{what}: {error}");
        sentence(&error);
    }
    assert!(asked.elapsed() < PATIENCE, "it took {:?}", asked.elapsed());
    server.restart().await;
    eventually("everything works again", async || {
        ask_everything(&log).await.into_iter().all(|(_, answer)| answer.is_ok()).then_some(())
    })
    .await;
    book(&log, 1).await;
    let audit = Audit::of(&log).await;
    follower.agrees_with(&audit).await;
    caught_up(&log).await;
    audit.agrees_with_read_models(&log).await;
    assert!(!running.is_finished());
    running.abort();
    log.close().await;
}

/// As in a failover, or by an impatient operator: whoever is connected is thrown out, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn where_all_sessions_are_ended_every_200_ms_a_service_goes_on_by_itself() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    fill(&log, 1_000).await;
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    let follower = Follower::start(&log);
    let load = Load::start(&log, 4, seed("sessions_ended"), Arc::new(|_| {}));
    let name = database.name();
    let mut admin = direct(&database.url().replace(name, "postgres")).await;
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1";
    let (rounds, mut ended) = (10 * scale(), 0);
    for _ in 0..rounds {
        sleep(Duration::from_millis(200)).await;
        ended += sqlx::query_scalar::<_, i64>(end).bind(name).fetch_one(&mut admin).await.unwrap();
    }
    load.progress(50).await;
    let ledger = load.stop().await;
    let audit = Audit::of(&log).await;
    audit.agrees_with(&ledger);
    follower.agrees_with(&audit).await;
    caught_up(&log).await;
    audit.agrees_with_read_models(&log).await;
    println!("{ended} sessions ended in {rounds} rounds; {} events", audit.events.len());
    assert!(!running.is_finished());
    running.abort();
    log.close().await;
}

/// The server dies while the append waits for a lock, so that the answer is lost for certain.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_was_lost_is_of_unknown_outcome_and_a_retry_settles_it() {
    let mut server = Server::start_private().await;
    let url = server.create_database("shop").await;
    let log = connect(&url).await.unwrap();
    let mut blocker = direct(&url).await;
    blocker.execute("begin").await.unwrap();
    blocker.execute("lock table headwater.streams in exclusive mode").await.unwrap();
    let append = vec![Append::new(stream("thing-1"), Any, [event(1), event(2)])];
    let waiting = tokio::spawn({
        let (log, append) = (log.clone(), append.clone());
        async move { log.append_all(append).await }
    });
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    eventually("the append waits for the lock", async || {
        let mut look = direct(&url).await;
        let count: i64 = sqlx::query_scalar(waits).fetch_one(&mut look).await.unwrap();
        (count > 0).then_some(())
    })
    .await;
    tokio::task::block_in_place(|| server.kill());
    let killed = Instant::now();
    let error = within("the append", waiting).await.unwrap().unwrap_err();
    println!("after {:?}: {error}", killed.elapsed());
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Retry);
    sentence(&error);
    assert!(killed.elapsed() < PATIENCE, "it took {:?}", killed.elapsed());
    server.restart().await;
    let appended =
        eventually("a retry is applied", async || log.append_all(append.clone()).await.ok()).await;
    assert_eq!(appended.version(), 2);
    let again = log.append_all(append).await.unwrap();
    assert_eq!((again.streams, again.repeated), (appended.streams, true));
    assert_eq!(Audit::of(&log).await.events.len(), 2);
    log.close().await;
}

/// In SQLite the file stays, but another program may keep it for itself.
#[tokio::test(flavor = "multi_thread")]
async fn while_another_program_writes_to_the_file_appends_say_so_and_all_goes_on_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    let log = connect(&url).await.unwrap();
    fill(&log, 1_000).await;
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    let follower = Follower::start(&log);
    caught_up(&log).await;
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let asked = Instant::now();
    let name = stream("thing-1");
    let error = within("the append", log.append(&name, Any, [event(1)])).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    sentence(&error);
    assert!(asked.elapsed() < PATIENCE, "it took {:?}", asked.elapsed());
    let found = within("a query", log.find::<Balance>("", &[])).await;
    assert_eq!(found.unwrap().len(), 40, "readers do not wait for writers");
    other.execute("rollback").await.unwrap();
    book(&log, 1).await;
    let audit = Audit::of(&log).await;
    assert!(audit.events.iter().all(|event| event.stream != stream("thing-1")));
    follower.agrees_with(&audit).await;
    caught_up(&log).await;
    audit.agrees_with_read_models(&log).await;
    running.abort();
    log.close().await;
}
