//! Rebuilds: a new generation beside the one in service, and a swap that nobody notices.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::{join, join_all};
use headwater::{
    App, BatchTx, Error,
    GenerationState::{Building, Live, Retired},
    Log, Phase, Position, Progress, Rebuilt, Recorded, Result, SqlProjection,
    store::Definition,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    Harness,
    projection::{app, append, balance, balances, book, catch_up, open, run_while},
};
use crate::{
    account::{AccountEvent, Balance, balances as definition},
    fixtures::failure,
    gate::Gate,
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

/// Two operators give the same command: both come to an end, and the read model is whole.
pub async fn two_rebuilds_at_once_end_well(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 60).await;
    let expected = balances(log).await;
    let (first, second) = (app(), app());
    for _ in 0..3 {
        join(rebuild(&first, log, &["balances"]), rebuild(&second, log, &["balances"])).await;
        assert!(balances(log).await == expected);
    }
    book(log, "a000", 1).await;
    catch_up(log).await;
    assert_eq!(balances(log).await[0].bookings, 4);
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

/// Counts what it applies; its second batch hangs, unless the way is open.
struct Hanging {
    open: Arc<AtomicBool>,
    batches: Arc<AtomicU32>,
}

#[async_trait]
impl SqlProjection for Hanging {
    type Event = AccountEvent;
    const NAME: &'static str = "hanging";
    const TABLES: &'static [(&'static str, &'static str)] =
        &[("applied", "create table {applied} (events bigint not null)")];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<AccountEvent>]) -> Result<()> {
        if self.batches.fetch_add(1, Ordering::SeqCst) > 0 && !self.open.load(Ordering::SeqCst) {
            std::future::pending().await
        }
        let count = i64::try_from(events.len()).expect("a test is small");
        tx.execute("insert into {applied} values ($1)", &[count.into()]).await.map(drop)
    }
}

/// What a rebuild has built before it is broken off is not built again, and what begins with it at zero is
/// built in full.
pub async fn a_rebuild_that_is_broken_off_goes_on_where_it_was(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..50 {
        open(log, &format!("a{n}"), "everybody").await;
        append(log, &format!("a{n}"), &vec![AccountEvent::Booked { cents: 1 }; 999]).await;
    }
    let open = Arc::new(AtomicBool::new(false));
    let hanging = || Hanging { open: open.clone(), batches: Arc::default() };
    let hangs = Arc::new(Notify::new());
    let tell = |progress: &Progress| {
        if progress.position > Position::START {
            hangs.notify_one();
        }
    };
    let alone = App::new().sql_projection(hanging());
    let broken_off = async {
        tokio::select! {
            done = alone.rebuild(log, &[], &tell) => panic!("{done:?}"),
            () = hangs.notified() => {}
        }
    };
    within("it hangs", broken_off).await;
    let left = alone.status(log).await.expect("they have a status")[0].position;
    open.store(true, Ordering::SeqCst);
    let gate = Gate::before(log);
    let rebuilt = rebuild(&app().sql_projection(hanging()), gate.log(), &[]).await;
    let [balances, owners, done] = &*rebuilt else { panic!("{rebuilt:?}") };
    assert!(done.resumed && left > Position::START, "{done:?} from {left}");
    let sums = [
        ("events) as bigint) as n from {applied}", 50_000),
        ("cents) as bigint) as n from {balances}", 49_950),
    ];
    for (sum, expected) in sums {
        let rows = log.query(&format!("select cast(sum({sum}"), &[]).await;
        let rows = rows.expect("the read model can be queried");
        assert_eq!(rows[0].get::<i64>("n").ok(), Some(expected), "{sum}");
    }
    assert_eq!((balances.events, owners.events), (50_000, 50));
    // A commit that was under way when it was broken off may have come after the look.
    assert!(done.events <= 50_000 - left.0, "{done:?} from {left}");
    // One reading for all, one for the event at which the third one stood, and one for each swap; one more
    // where a busy machine lets one of them come too late.
    let (readings, _) = gate.looks();
    assert!(readings <= 6, "the log was read {readings} times");
}

/// A build that an earlier run has left, of another log or of other code, is of no use.
pub async fn what_was_built_of_something_else_is_built_anew(harness: &dyn Harness) {
    let log = harness.log();
    filled(log, 10).await;
    let expected = balances(log).await;
    let other_code = Definition { fingerprint: "v9".into(), ..definition() };
    let foreign = Some(Uuid::now_v7());
    for (other, last, generation) in [(definition(), foreign, 2), (other_code, None, 4)] {
        let head = log.ceiling().await.expect("the log tells its ceiling").position;
        let mut tx = log.store().begin().await.expect("the store takes transactions");
        let left = tx.create_generation(&other, generation, Building).await.expect("it is made");
        tx.advance(&left, head, last.map(|id| (head, id))).await.expect("it is there");
        tx.commit().await.expect("it commits");
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
