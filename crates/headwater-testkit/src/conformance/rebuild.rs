//! Rebuilds: a new generation beside the one in service, and a swap that nobody notices.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join, join_all};
use headwater::{
    App, Error,
    GenerationState::{Building, Live, Retired},
    Log, Phase, Position, Progress, Rebuilt,
    store::Definition,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    Dialect, Harness,
    projection::{app, balance, balances, book, catch_up, open, run_while},
};
use crate::{
    account::{Balance, balances as definition},
    fixtures::failure,
    seed, within,
};

async fn rebuild(app: &App, log: &Log, names: &[&str]) -> Vec<Rebuilt> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    within("a rebuild", app.rebuild(log, &names, &|_| {})).await.expect("it is rebuilt")
}

/// Accounts with a few bookings each, in the read model.
async fn filled(log: &Log, accounts: i64) {
    let fill = |n: i64| async move {
        let account = format!("a{n:03}");
        open(log, &account, &format!("o{}", n % 3)).await;
        for _ in 0..3 {
            book(log, &account, n).await;
        }
    };
    join_all((0..accounts).map(fill)).await;
    catch_up(log).await;
}

/// From position zero, in a generation of its own.
pub async fn a_rebuild_yields_the_same_rows(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 50).await;
    let before = balances(log).await;
    let rebuilt = rebuild(&app(), log, &[]).await;
    let summary: Vec<_> =
        rebuilt.iter().map(|r| (&*r.projection, r.generation, r.events, r.resumed)).collect();
    assert_eq!(summary, [("balances", 2, 200, false), ("owners", 2, 50, false)]);
    assert_eq!(balances(log).await, before);
    let rebuilt = rebuild(&app(), log, &["owners"]).await;
    assert_eq!((rebuilt.len(), rebuilt[0].generation), (1, 3));
    catch_up(log).await;
    assert_eq!(balances(log).await, before);
}

/// Rows that went wrong, for whatever reason, are right again.
pub async fn a_rebuild_mends_a_read_model(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 10).await;
    let before = balances(log).await;
    let table = harness.table("balances__1");
    harness.execute_raw(&format!("update {table} set cents = 0")).await.expect("it is a table");
    harness.execute_raw(&format!("delete from {table} where account < 'a005'")).await.expect("so");
    assert_ne!(balances(log).await, before);
    rebuild(&app(), log, &["balances"]).await;
    assert_eq!(balances(log).await, before);
}

/// A name that nobody knows is answered with those that are known.
pub async fn a_rebuild_of_an_unknown_projection_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 1).await;
    let names = ["balances".to_owned(), "missing".to_owned()];
    let error = failure(app().rebuild(log, &names, &|_| {}).await);
    assert!(
        matches!(&error, Error::UnknownProjection { projection, known }
            if projection == "missing" && known.contains("balances") && known.contains("owners")),
        "{error:?}"
    );
    assert_eq!(app().status(log).await.expect("they have a status").len(), 2);
}

/// Before anything was ever built.
pub async fn a_rebuild_may_be_the_first_build(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    book(log, "a", 5).await;
    rebuild(&app(), log, &[]).await;
    assert_eq!(balances(log).await, [balance("a", "ada", 5, 1)]);
    book(log, "a", 5).await;
    catch_up(log).await;
    assert_eq!(balances(log).await, [balance("a", "ada", 10, 2)]);
}

/// Queries go on during rebuilds: each finds all rows, never none, never a part, never an error.
pub async fn a_query_never_sees_a_rebuild(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 40).await;
    let expected = balances(log).await;
    let done = AtomicBool::new(false);
    let watch = |_| async {
        let mut looks = 0_u32;
        while !done.load(Ordering::Relaxed) {
            let rows = log.find::<Balance>("order by account", &[]).await;
            let rows = rows.unwrap_or_else(|error| panic!("look {looks}: {error}"));
            assert!(rows == expected, "look {looks} found {} rows", rows.len());
            looks += 1;
            tokio::task::yield_now().await;
        }
        looks
    };
    let rebuilds = async {
        for _ in 0..5 {
            rebuild(&app(), log, &["balances"]).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let (looks, ()) = join(join_all((0..3).map(watch)), rebuilds).await;
    println!("queries beside five rebuilds: {looks:?}");
    assert!(looks.iter().all(|looks| *looks > 0));
}

/// Beside a running projection and writers: nothing is lost and nothing counts twice.
pub async fn a_rebuild_beside_a_running_projection_loses_nothing(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 10).await;
    let (running, rebuilding) = (app(), app());
    let work = async {
        let write = async {
            let writer = |n: usize| async move {
                for round in 0..40 {
                    book(log, &format!("b{}", (n + round) % 3), 1).await;
                }
            };
            join_all((0..3).map(writer)).await;
        };
        let rebuilds = async {
            for _ in 0..3 {
                rebuild(&rebuilding, log, &[]).await;
            }
        };
        join(write, rebuilds).await;
        let last = book(log, "c", 1).await;
        let reached = log.wait_for("balances", last, Duration::from_secs(30)).await;
        assert_eq!(reached, Ok(true), "the running projection writes the new generation");
    };
    run_while(&running, log, work).await;
    let sum = |prefix: &'static str| async move {
        let rows = balances(log).await;
        let rows = rows.iter().filter(|row| row.account.starts_with(prefix));
        rows.map(|row| row.bookings).sum::<i64>()
    };
    assert_eq!([sum("a").await, sum("b").await, sum("c").await], [30, 120, 1]);
}

/// Dropped at any moment and begun again: it ends well, and what is in service stays in service.
pub async fn an_interrupted_rebuild_goes_on(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 100).await;
    let expected = balances(log).await;
    let mut rng = StdRng::seed_from_u64(seed("an_interrupted_rebuild_goes_on"));
    let app = app();
    for round in 0..25 {
        let patience = Duration::from_micros(rng.random_range(0..20_000));
        let _ = tokio::time::timeout(patience, app.rebuild(log, &[], &|_| {})).await;
        assert!(balances(log).await == expected, "after interruption {round}");
    }
    rebuild(&app, log, &[]).await;
    assert!(balances(log).await == expected);
    let left = app.status(log).await.expect("they have a status");
    assert!(left.iter().all(|status| status.state != Building), "{left:?}");
    book(log, "a000", 1).await;
    catch_up(log).await;
    assert_eq!(balances(log).await[0].bookings, 4);
}

/// A build that an earlier run has left, of another log or of other code, is of no use.
pub async fn what_was_built_of_something_else_is_built_anew(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 10).await;
    let expected = balances(log).await;
    let other_code = Definition { fingerprint: "v9".into(), ..definition() };
    let foreign = match harness.dialect() {
        Dialect::Postgres => "'00000000-0000-0000-0000-000000000007'",
        Dialect::Sqlite => "x'00000000000000000000000000000007'",
    };
    for (other, last, generation) in [(definition(), Some(foreign), 2), (other_code, None, 4)] {
        let head = log.ceiling().await.expect("the log tells its ceiling").position;
        let mut tx = log.store().begin().await.expect("the store takes transactions");
        let left = tx.create_generation(&other, generation, Building).await.expect("it is made");
        tx.advance(&left, head).await.expect("it is there");
        tx.commit().await.expect("it commits");
        if let Some(last) = last {
            let checkpoints = harness.table("checkpoints");
            let sql =
                format!("update {checkpoints} set event_id = {last} where state = 'building'");
            harness.execute_raw(&sql).await.expect("the table is as expected");
        }
        let rebuilt = rebuild(&app(), log, &["balances"]).await;
        assert_eq!((rebuilt[0].resumed, rebuilt[0].events), (false, 40), "{other:?}");
        assert_eq!(balances(log).await, expected);
    }
}

/// The one that was in service before is kept for a rollback, and no older one.
pub async fn one_generation_is_kept(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 3).await;
    for _ in 0..3 {
        rebuild(&app(), log, &["balances"]).await;
    }
    let all = log.store().checkpoints().await.expect("checkpoints can be listed");
    let generations = all.iter().filter(|checkpoint| checkpoint.projection == "balances");
    let generations: Vec<_> = generations.map(|c| (c.generation, c.state)).collect();
    assert_eq!(generations, [(3, Retired), (4, Live)]);
}

/// Who watches sees it build, from the start to the end, and then done.
pub async fn a_rebuild_tells_how_it_goes_on(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 20).await;
    let told: Mutex<Vec<Progress>> = Mutex::default();
    let tell = |progress: &Progress| {
        told.lock().expect("nobody panics in here").push(progress.clone());
    };
    let names = ["balances".to_owned()];
    within("a rebuild", app().rebuild(log, &names, &tell)).await.expect("it is rebuilt");
    let told = told.into_inner().expect("nobody panics in here");
    assert!(told.iter().all(|p| p.projection == "balances" && p.generation == 2), "{told:?}");
    assert_eq!(told.iter().filter(|p| p.phase == Phase::Done).count(), 1);
    let last = told.last().expect("it tells something");
    assert_eq!((last.phase, last.events), (Phase::Done, 80));
    assert!(told.iter().any(|p| p.phase == Phase::Building));
    assert!(told.is_sorted_by_key(|p| (p.position, p.events)), "it goes on and never back");
    assert!(last.position > Position::START && last.position >= last.target);
}
