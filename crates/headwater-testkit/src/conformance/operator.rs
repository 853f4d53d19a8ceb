//! What an operator does beside instances that run: each act is done as a whole, and leaves a record.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use futures_util::future::Either;
use headwater::{
    App, Builds, Checkpoint, Error,
    ExpectedVersion::Any,
    GenerationState::{self, Building, Live, Retired},
    Log, NewEvent, Operator, Position, RebuildOptions, Result,
};
use uuid::Uuid;

use super::{
    Dialect, Harness,
    deploy::{later_app, later_rows},
    projection::{app, balance, balances, book, catch_up, open, run_while, status},
    verification::Odd,
};
use crate::{
    eventually,
    fixtures::{failure, stream},
    within,
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn operator(log: &Log) -> Operator {
    Operator::new(log, "ada")
}

/// The generations of the balances, with their states.
pub(super) async fn generations(log: &Log) -> Vec<(u32, GenerationState)> {
    let all = log.store().checkpoints().await.expect("they can be listed");
    let own = all.iter().filter(|checkpoint| checkpoint.projection == "balances");
    own.map(|checkpoint| (checkpoint.generation, checkpoint.state)).collect()
}

async fn becomes(log: &Log, expected: &[(u32, GenerationState)]) {
    eventually(&format!("{expected:?}"), async || {
        (generations(log).await == expected).then_some(())
    })
    .await;
}

pub(super) async fn reaches(log: &Log, position: Position) {
    assert_eq!(log.wait_for("balances", position, PATIENCE).await, Ok(true), "it goes on");
}

/// The acts that were recorded, oldest first.
async fn acts(log: &Log) -> Vec<(String, String)> {
    let sql = "select action, done_by from {all_operations} order by id";
    let rows = log.query(sql, &[]).await.expect("they can be listed");
    let act = |row: &headwater::Row| {
        Ok::<_, Error>((row.get::<String>("action")?, row.get::<String>("done_by")?))
    };
    rows.iter().map(act).collect::<Result<_>>().expect("they are text")
}

/// Others go on, queries as well; and nothing is missing when it goes on.
pub async fn a_paused_projection_stands_still_until_it_is_resumed(harness: &dyn Harness) {
    let log = harness.log();
    let work = async {
        let first = open(log, "a", "ada").await;
        reaches(log, first).await;
        let paused = operator(log).pause("balances").await.expect("it is paused");
        assert!(paused.paused && paused.position >= first);
        let later = open(log, "b", "bob").await;
        assert_eq!(log.wait_for("owners", later, PATIENCE).await, Ok(true), "the other goes on");
        let stands = status(log, "balances").await;
        assert!(stands.paused && stands.position < later && stands.owner.is_none(), "{stands:?}");
        assert_eq!(balances(log).await, [balance("a", "ada", 0, 0)]);
        let refused = failure(within("it is told", app().catch_up(log)).await);
        assert_eq!(refused, Error::ProjectionPaused { projection: "balances".into() });
        operator(log).resume("balances").await.expect("it is resumed");
        reaches(log, later).await;
        assert_eq!(balances(log).await.len(), 2);
    };
    run_while(&app(), log, work).await;
    let by_ada = |action: &str| (action.to_owned(), "ada".to_owned());
    assert_eq!(acts(log).await, [by_ada("pause"), by_ada("resume")]);
}

/// It stays so over a rebuild.
pub async fn a_paused_projection_can_be_rebuilt(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    operator(log).pause("balances").await.expect("it is paused");
    book(log, "a", 5).await;
    let names = ["balances".to_owned()];
    within("a rebuild", app().rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    assert_eq!(balances(log).await, [balance("a", "ada", 5, 1)]);
    assert!(status(log, "balances").await.paused);
}

/// Makes the balances stand still at an event that nobody can read; yields it.
pub(super) async fn poison(log: &Log) -> NewEvent {
    let poison = NewEvent::from_json("account.booked", 2, r#"{"secret":1}"#);
    log.append(&stream("account-a"), Any, [poison.clone()]).await.expect("it is JSON");
    book(log, "a", 7).await;
    poison
}

/// The one that it names, and no other; what comes behind it is applied.
pub async fn an_event_is_left_out_by_an_operators_word(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    let poison = poison(log).await;
    let work = async {
        eventually("it stands still", async || {
            let all = app().status(log).await.expect("they have a status");
            all.iter().any(|status| status.failure.is_some()).then_some(())
        })
        .await;
        let other = failure(operator(log).skip("balances", Uuid::from_u128(7)).await);
        assert!(matches!(other, Error::InvalidInput(_)), "{other:?}");
        operator(log).retry("balances").await.expect("it tries again");
        eventually("it stands still again", async || {
            let failure = status(log, "balances").await.failure;
            failure.filter(|failure| failure.event_id == Some(poison.id))
        })
        .await;
        operator(log).skip("balances", poison.id).await.expect("it is left out");
        let last = book(log, "a", 1).await;
        reaches(log, last).await;
    };
    run_while(&app(), log, work).await;
    assert_eq!(balances(log).await, [balance("a", "ada", 8, 2)]);
    let acts: Vec<_> = acts(log).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(acts, ["retry", "skip"]);
    assert_eq!(skips(log, 1).await, 1);
    let again = failure(within("a rebuild", app().rebuild(log, &[], &|_| {})).await);
    assert!(matches!(again, Error::Decode { event_id, .. } if event_id == poison.id), "{again:?}");
}

/// Those before it in its batch are applied, and those behind it.
pub async fn an_event_is_left_out_of_a_build(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let work = async {
        operator(log).pause("balances").await.expect("it stands still");
        eventually("the instance has made itself known", async || {
            let all = log.store().checkpoints().await.expect("they can be listed");
            let leases = log.store().leases().await.expect("they can be listed");
            leases.has_code(all.first()?.definition_id()).then_some(())
        })
        .await;
        book(log, "a", 2).await;
        let poison = poison(log).await;
        let there = log.event(poison.id).await.expect("it can be read").expect("it is there");
        let there = there.position;
        book(log, "a", 3).await;
        operator(log).rebuild("balances", false).await.expect("it is asked for");
        let builds = async || {
            let all = log.store().checkpoints().await.expect("they can be listed");
            all.into_iter().find(|at| at.projection == "balances" && at.generation == 2)
        };
        eventually("the build stands still at it", async || {
            let failure = builds().await?.failure?;
            (failure.event_id == Some(poison.id) && failure.position == there).then_some(())
        })
        .await;
        let waits =
            Error::BuildWaits { projection: "balances".into(), generation: 2, failed: true };
        let back = failure(operator(log).roll_back("balances").await);
        assert_eq!(back, waits);
        let again = operator(log).rebuild("balances", true).await.expect("it is tried again");
        assert!(again.held_back, "by another word than the first");
        eventually("it fails again", async || builds().await?.failure).await;
        let again = operator(log).rebuild("balances", false).await.expect("it is tried again");
        assert!(!again.held_back);
        eventually("and again", async || builds().await?.failure).await;
        operator(log).skip("balances", poison.id).await.expect("it is left out of the build");
        eventually("the build is in service", async || {
            builds().await.filter(|at| at.state == GenerationState::Live).map(drop)
        })
        .await;
    };
    run_while(&app(), log, work).await;
    let [row] = &balances(log).await[..] else { panic!("it is one account") };
    assert_eq!((row.cents, row.bookings), (12, 3));
    assert_eq!(skips(log, 2).await, 1, "also once it is in service");
}

/// How often events were left out of a generation, as a checkpoint and its status tell.
async fn skips(log: &Log, generation: u32) -> u64 {
    let all = log.checkpoints().await.expect("they can be listed");
    let of = |at: &&Checkpoint| (&*at.projection, at.generation) == ("balances", generation);
    let skips = all.iter().find(of).expect("it is there").skips;
    let status = app().status(log).await.expect("it has one");
    let told = status.iter().find(|at| at.projection == "balances" && at.generation == generation);
    assert_eq!(told.expect("it is there").skips, skips);
    skips
}

/// Back, so that it applies again, and never behind the end of the log.
pub async fn a_projection_is_moved_to_a_position(harness: &dyn Harness) {
    let log = harness.log();
    let opened = open(log, "a", "ada").await;
    let work = async {
        let booked = book(log, "a", 5).await;
        reaches(log, booked).await;
        let beyond = Position(booked.0 + 1);
        let refused = failure(operator(log).seek("balances", beyond).await);
        assert!(matches!(refused, Error::InvalidInput(_)), "{refused:?}");
        operator(log).seek("balances", opened).await.expect("it is moved");
        eventually("it is applied again", async || {
            (balances(log).await == [balance("a", "ada", 10, 2)]).then_some(())
        })
        .await;
        assert_eq!(skips(log, 1).await, 1, "one is in it twice");
        operator(log).pause("balances").await.expect("it stands still");
        let left_out = book(log, "a", 1).await;
        operator(log).seek("balances", left_out).await.expect("it is moved");
        operator(log).resume("balances").await.expect("it goes on");
        reaches(log, book(log, "a", 1).await).await;
        assert_eq!(balances(log).await, [balance("a", "ada", 11, 3)]);
        assert_eq!(skips(log, 1).await, 2);
        let sql = "select detail from {all_operations} where action = 'seek' order by id";
        let rows = log.query(sql, &[]).await.expect("they can be listed");
        let details: Vec<String> =
            rows.iter().map(|row| row.get("detail").expect("it is text")).collect();
        let expected = |to| format!("from position {booked} to {to}");
        assert_eq!(details, [expected(opened), expected(left_out)]);
        let start = failure(operator(log).seek("balances", Position::START).await);
        assert!(matches!(start, Error::InvalidInput(_)), "{start:?}");
    };
    run_while(&app(), log, work).await;
}

/// Whoever has the code builds it, beside the one in service.
pub async fn a_running_instance_rebuilds_what_it_is_asked_for(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let nobody = failure(operator(log).rebuild("balances", false).await);
    assert!(matches!(nobody, Error::NoInstance { generation: 1, .. }), "{nobody:?}");
    let work = async {
        let last = book(log, "a", 5).await;
        reaches(log, last).await;
        operator(log).rebuild("balances", false).await.expect("it is asked for");
        becomes(log, &[(1, Retired), (2, Live)]).await;
        let last = book(log, "a", 5).await;
        reaches(log, last).await;
        assert_eq!(balances(log).await, [balance("a", "ada", 10, 2)]);
    };
    run_while(&app(), log, work).await;
}

/// A build that is held back is kept up to date, put into service by one word, and left by another.
pub async fn a_build_is_held_back_promoted_and_left_again(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    let work = async {
        let last = book(log, "a", 1).await;
        reaches(log, last).await;
        let none = failure(operator(log).promote("balances").await);
        assert!(matches!(none, Error::NoGeneration { .. }), "{none:?}");
        operator(log).rebuild("balances", true).await.expect("it is asked for");
        becomes(log, &[(1, Live), (2, Building)]).await;
        let again = failure(operator(log).rebuild("balances", false).await);
        let back = failure(operator(log).roll_back("balances").await);
        assert_eq!(again, waits("balances", 2));
        assert_eq!(back, waits("balances", 2));
        let last = book(log, "a", 1).await;
        eventually("what is held back is kept up to date", async || {
            let all = log.checkpoints().await.expect("they can be listed");
            all.iter().any(|c| c.state == Building && c.position >= last).then_some(())
        })
        .await;
        assert_eq!(generations(log).await, [(1, Live), (2, Building)]);
        operator(log).promote("balances").await.expect("it is promoted");
        becomes(log, &[(1, Retired), (2, Live)]).await;
        let last = book(log, "a", 1).await;
        reaches(log, last).await;
        operator(log).roll_back("balances").await.expect("it goes back");
        becomes(log, &[(1, Live), (2, Retired)]).await;
        assert_eq!(balances(log).await, [balance("a", "ada", 3, 3)], "brought up to date first");
        let last = book(log, "a", 1).await;
        reaches(log, last).await;
        assert_eq!(balances(log).await, [balance("a", "ada", 4, 4)]);
    };
    run_while(&app(), log, work).await;
    let acts: Vec<_> = acts(log).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(acts, ["rebuild", "promote", "rollback"]);
}

/// By the program itself, where no instance runs.
pub async fn a_rebuild_can_be_held_back(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let names = ["balances".to_owned()];
    let app = app();
    let by = Some("grace".to_owned());
    let held = RebuildOptions { hold: true, by, ..RebuildOptions::default() };
    let rebuilt = within("a rebuild", app.rebuild_with(log, &names, &held, &|_| {})).await;
    let rebuilt = rebuilt.and_then(Builds::into_result).expect("it is rebuilt");
    assert_eq!((rebuilt[0].generation, rebuilt[0].held_back), (2, true));
    assert_eq!(generations(log).await, [(1, Live), (2, Building)]);
    let nobody = failure(operator(log).promote("balances").await);
    let (projection, generation) = ("balances".into(), 2);
    assert_eq!(nobody, Error::NoInstance { projection, generation });
    let own = operator(log).with_code(&app);
    for n in 0..11 {
        crate::fixtures::append_to(log, &format!("thing-{n}"), 1_000).await;
    }
    let behind = failure(own.promote("balances").await);
    assert!(matches!(behind, Error::NotCaughtUp { behind, .. } if behind > 10_000), "{behind:?}");
    let swap = failure(within("it is refused", app.rebuild(log, &names, &|_| {})).await);
    assert_eq!(swap, waits("balances", 2));
    let catch_up = app.rebuild_with(log, &names, &held, &|_| {});
    within("it catches up", catch_up).await.and_then(Builds::into_result).expect("it catches up");
    own.promote("balances").await.expect("it has caught up");
    let rebuilt = within("a swap", app.rebuild(log, &names, &|_| {})).await.expect("it is swapped");
    assert_eq!((rebuilt[0].generation, rebuilt[0].held_back), (2, false));
    assert_eq!(generations(log).await, [(1, Retired), (2, Live)]);
    let acts: Vec<_> = acts(log).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(acts, ["rebuild", "rebuild", "promote"], "also where a build goes on");
}

/// Also one that was begun without that word, and left.
pub async fn a_build_that_was_left_can_be_held_back(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let (app, names) = (app(), ["balances".to_owned()]);
    let slow = RebuildOptions { max_rate: NonZeroU32::new(1), ..RebuildOptions::default() };
    for _ in 0..5 {
        book(log, "a", 1).await;
    }
    let left = async {
        becomes(log, &[(1, Live), (2, Building)]).await;
    };
    let rebuild = Box::pin(app.rebuild_with(log, &names, &slow, &|_| {}));
    match futures_util::future::select(rebuild, Box::pin(left)).await {
        Either::Left((ended, _)) => panic!("it is too quick: {ended:?}"),
        Either::Right(((), rebuild)) => drop(rebuild),
    }
    let held = RebuildOptions { hold: true, ..RebuildOptions::default() };
    let rebuilt = eventually("its lease is free", async || {
        app.rebuild_with(log, &names, &held, &|_| {}).await.ok()?.into_result().ok()
    });
    let rebuilt = rebuilt.await.remove(0);
    assert_eq!((rebuilt.generation, rebuilt.resumed, rebuilt.held_back), (2, true, true));
    assert_eq!(generations(log).await, [(1, Live), (2, Building)]);
}

/// Why nothing is built beside a generation that is held back.
fn waits(projection: &str, generation: u32) -> Error {
    Error::BuildWaits { projection: projection.into(), generation, failed: false }
}

/// What is not in service can be dropped, and what is in service cannot.
pub async fn a_generation_is_dropped_by_its_number(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let names = ["balances".to_owned()];
    let app = app();
    within("a rebuild", app.rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    for generation in [2, 3] {
        let refused = failure(app.drop_generation(log, "balances", generation, "ada").await);
        assert!(matches!(refused, Error::NoGeneration { .. }), "{refused:?}");
    }
    app.drop_generation(log, "balances", 1, "ada").await.expect("it is dropped");
    assert_eq!(generations(log).await, [(2, Live)]);
    let none = failure(operator(log).roll_back("balances").await);
    assert!(matches!(none, Error::NoGeneration { .. }), "{none:?}");
    assert_eq!(acts(log).await, [("drop".to_owned(), "ada".to_owned())]);
}

/// A build that is dropped is not begun again, by whoever was asked for it.
pub async fn a_build_that_is_dropped_is_not_asked_for_any_more(harness: &dyn Harness) {
    let log = harness.log();
    let running = app();
    open(log, "a", "ada").await;
    let work = async {
        let last = book(log, "a", 1).await;
        reaches(log, last).await;
        operator(log).rebuild("balances", true).await.expect("it is asked for");
        becomes(log, &[(1, Live), (2, Building)]).await;
        app().drop_generation(log, "balances", 2, "ada").await.expect("it is dropped");
        // Long enough for a keeper to look several times.
        let last = book(log, "a", 1).await;
        reaches(log, last).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(generations(log).await, [(1, Live)]);
    };
    run_while(&running, log, work).await;
}

/// A build that a running instance keeps up to date is gone when it is dropped, and never in service.
pub async fn a_build_that_is_held_back_can_be_dropped(harness: &dyn Harness) {
    let log = harness.log();
    let running = app();
    open(log, "a", "ada").await;
    let work = async {
        let names = ["balances".to_owned()];
        let hold = RebuildOptions { hold: true, ..RebuildOptions::default() };
        let app = app();
        let last = book(log, "a", 1).await;
        reaches(log, last).await;
        within("a rebuild", app.rebuild_with(log, &names, &hold, &|_| {}))
            .await
            .and_then(Builds::into_result)
            .expect("it is built");
        eventually("an instance keeps it up to date", async || {
            let status = app.status(log).await.expect("it has a status");
            status.iter().any(|s| s.state == Building && s.owner.is_some()).then_some(())
        })
        .await;
        app.drop_generation(log, "balances", 2, "ada").await.expect("it is dropped");
        let last = book(log, "a", 1).await;
        reaches(log, last).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(generations(log).await, [(1, Live)]);
    };
    run_while(&running, log, work).await;
}

/// An act of an operator does not take a checkpoint of another log for one of this.
pub async fn no_act_but_a_seek_adopts_a_checkpoint_of_another_log(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let (checkpoints, other) = (
        harness.table("checkpoints"),
        match harness.dialect() {
            Dialect::Postgres => "'00000000-0000-0000-0000-000000000007'",
            Dialect::Sqlite => "x'00000000000000000000000000000007'",
        },
    );
    let sql =
        format!("update {checkpoints} set incarnation = {other} where projection = 'balances'");
    harness.execute_raw(&sql).await.expect("the table is as expected");
    let told = status(log, "balances").await.failure.expect("it is told before anybody has tried");
    assert!(told.error.contains("not of this log"), "{told:?}");
    operator(log).pause("balances").await.expect("it is paused");
    operator(log).resume("balances").await.expect("it is resumed");
    let last = book(log, "a", 1).await;
    let stopped = failure(within("it stops", app().catch_up(log)).await);
    assert!(matches!(stopped, Error::LogDiverged { .. }), "{stopped:?}");
    let at = status(log, "balances").await.position;
    operator(log).seek("balances", at).await.expect("it is of this log from now on");
    let skips = status(log, "balances").await.skips;
    assert_eq!(skips, 1, "what the other log had at these positions is in its rows");
    operator(log).seek("balances", last).await.expect("it is moved");
    catch_up(log).await;
}

/// One that cannot be begun, since its table's name is taken, holds up no other.
pub async fn a_projection_that_cannot_be_begun_holds_up_no_other(harness: &dyn Harness) {
    let log = harness.log();
    let taken = harness.table("odd__1");
    harness.execute_raw(&format!("create table {taken} (a bigint)")).await.expect("it is made");
    let running = app().sql_projection(Odd);
    let work = async {
        let last = open(log, "a", "ada").await;
        reaches(log, last).await;
    };
    run_while(&running, log, work).await;
}

/// A rolling deploy: the new code builds its read model beside the old one, which the old code keeps up
/// to date until they are swapped; and an operator can go back.
pub async fn changed_code_builds_itself_beside_the_old(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    let (older, newer): (App, App) = (app(), later_app());
    let deploy = async {
        let last = book(log, "a", 5).await;
        reaches(log, last).await;
        let beside = async {
            becomes(log, &[(1, Retired), (2, Live)]).await;
            let last = book(log, "a", 5).await;
            reaches(log, last).await;
            assert_eq!(later_rows(log).await, [("a".to_owned(), 20)], "as the newer code has it");
            operator(log).roll_back("balances").await.expect("it goes back");
            becomes(log, &[(1, Live), (2, Retired)]).await;
            let last = book(log, "a", 5).await;
            reaches(log, last).await;
            assert_eq!(balances(log).await, [balance("a", "ada", 15, 3)], "as the older has it");
            // Long enough for the newer instance to look several times.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(generations(log).await, [(1, Live), (2, Retired)], "it is not built again");
        };
        run_while(&newer, log, beside).await;
        assert_eq!(generations(log).await, [(1, Live), (2, Retired)], "and it stays so");
    };
    run_while(&older, log, deploy).await;
}

/// Only the code that has built it can bring it up to date: a rebuild by other code must not take it for a build that was
/// left.
pub async fn what_an_operator_goes_back_to_is_not_removed_by_other_code(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let (older, newer, names) = (app(), later_app(), ["balances".to_owned()]);
    let rebuilt = within("a rebuild", newer.rebuild(log, &names, &|_| {})).await;
    assert_eq!(rebuilt.expect("it is rebuilt")[0].generation, 2);
    let back = operator(log).with_code(&older).roll_back("balances").await;
    back.expect("it is asked for");
    let refused = failure(within("it is refused", newer.rebuild(log, &names, &|_| {})).await);
    let (projection, generation) = ("balances".into(), 1);
    assert_eq!(refused, Error::NoInstance { projection, generation });
    assert_eq!(generations(log).await, [(1, Building), (2, Live)]);
    within("it goes back", older.rebuild(log, &names, &|_| {})).await.expect("it goes back");
    assert_eq!(generations(log).await, [(1, Live), (2, Retired)]);
    let forward = operator(log).with_code(&newer).roll_back("balances").await;
    forward.expect("it is asked for");
    let refused = failure(within("it is refused", older.rebuild(log, &names, &|_| {})).await);
    assert_eq!(refused, Error::NoInstance { projection: "balances".into(), generation: 2 });
    assert_eq!(generations(log).await, [(1, Live), (2, Building)]);
}

/// Numbers do not tell which generation was in service last: an operator may have gone back.
pub async fn what_was_in_service_last_is_kept_and_gone_back_to(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let (app, names) = (app(), ["balances".to_owned()]);
    let rebuild = async || {
        within("a rebuild", app.rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    };
    let back = async || {
        let back = operator(log).with_code(&app).roll_back("balances").await;
        let to = back.expect("it is asked for").generation;
        rebuild().await;
        to
    };
    rebuild().await;
    assert_eq!(generations(log).await, [(1, Retired), (2, Live)]);
    assert_eq!(back().await, 1);
    assert_eq!(generations(log).await, [(1, Live), (2, Retired)]);
    rebuild().await;
    assert_eq!(generations(log).await, [(1, Retired), (3, Live)], "2 was in service before 1");
    assert_eq!(back().await, 1);
    assert_eq!(generations(log).await, [(1, Live), (3, Retired)]);
    let later = later_app();
    within("a rebuild", later.rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    assert_eq!(generations(log).await, [(1, Retired), (4, Live)]);
    let forth = operator(log).with_code(&app).roll_back("balances").await;
    assert_eq!(forth.expect("it is asked for").generation, 1);
    rebuild().await;
    rebuild().await;
    let kept = [(1, Retired), (4, Retired), (5, Live)];
    assert_eq!(generations(log).await, kept, "newer code is to see that it was gone back from");
}

/// What is recorded of a build is recorded of that one: another has another number.
pub async fn the_number_of_a_build_that_was_dropped_is_not_used_again(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let (app, names) = (app(), ["balances".to_owned()]);
    let held = RebuildOptions { hold: true, ..RebuildOptions::default() };
    for expected in 2..4 {
        let built = within("a build", app.rebuild_with(log, &names, &held, &|_| {})).await;
        let built = built.and_then(Builds::into_result).expect("it is built");
        assert_eq!(built[0].generation, expected);
        app.drop_generation(log, "balances", expected, "ada").await.expect("it is dropped");
    }
}

/// A name that nobody knows is answered with those that are known, the nearest first.
pub async fn an_act_on_an_unknown_projection_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    for (name, nearest) in [("balence", "balances, owners"), ("owner", "owners, balances")] {
        let known = nearest.to_owned();
        let expected = Error::UnknownProjection { projection: name.into(), known };
        assert_eq!(failure(operator(log).pause(name).await), expected);
        assert_eq!(failure(operator(log).rebuild(name, false).await), expected);
        assert_eq!(failure(app().drop_generation(log, name, 1, "ada").await), expected);
    }
    assert_eq!(acts(log).await, []);
}

/// Slow on purpose, until it is at the log's end.
pub async fn a_rebuild_keeps_to_its_rate(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..30 {
        open(log, &format!("a{n}"), "ada").await;
    }
    catch_up(log).await;
    let how = RebuildOptions { max_rate: NonZeroU32::new(50), ..RebuildOptions::default() };
    let begun = Instant::now();
    let names = ["balances".to_owned()];
    let rebuilt = app().rebuild_with(log, &names, &how, &|_| {}).await;
    rebuilt.and_then(Builds::into_result).expect("it is rebuilt");
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
    assert_eq!(balances(log).await.len(), 30);
}
