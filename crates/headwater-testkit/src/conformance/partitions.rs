//! Partitions: a fold in parts, each with a lease and a checkpoint of its own, and rows as if it were whole.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join;
use headwater::{App, Builds, Error, GenerationState, Log, Operator, Position, Settings};
use uuid::Uuid;

use super::{
    Harness,
    projection::{app, append, balances, book, open, run_while},
};
use crate::{
    account::{AccountEvent, Balance, PartitionedBalance, partitioned_balance},
    eventually, fixtures, within,
};

const PATIENCE: Duration = Duration::from_secs(30);

partitioned_balance! {
    /// In another number.
    InTwo, 2
}

partitioned_balance! {
    /// What one of them cannot apply it sets aside alone.
    pub(super) SettingAside, 2, PARK
}

fn in_four() -> App {
    App::new().projection::<PartitionedBalance>()
}

fn in_two() -> App {
    App::new().projection::<InTwo>()
}

/// Transfers between many accounts, of which each touches the rows of two partitions as a rule.
async fn transfer(log: &Log, count: usize) -> Position {
    let mut last = Position::START;
    for n in 0..count {
        let (from, to) = (format!("a{}", n % 13), format!("a{}", n % 7 + 20));
        let transfer = AccountEvent::Transferred { to, cents: 1 };
        last = append(log, &from, &[transfer]).await;
    }
    last
}

/// Checks that the rows are those of the log, folded as a whole.
async fn holds_all(log: &Log) {
    let head = log.ceiling().await.expect("it has one").position;
    assert_eq!(log.wait_for("balances", head, PATIENCE).await, Ok(true), "it gets there");
    let folded = log.fold_at::<Balance>(head).await.expect("it can be folded");
    let folded: Vec<_> = BTreeMap::from_iter(folded).into_values().collect();
    assert_eq!(balances(log).await, folded);
}

/// The units in service: each with its generation.
async fn units(log: &Log) -> Vec<(String, u32)> {
    let all = log.checkpoints().await.expect("they can be listed");
    let live = all.into_iter().filter(|c| c.state == GenerationState::Live);
    live.map(|checkpoint| (checkpoint.projection, checkpoint.generation)).collect()
}

fn named(count: u32, generation: u32) -> Vec<(String, u32)> {
    let name = |n| if n == 0 { "balances".to_owned() } else { format!("balances/{n}") };
    (0..count).map(|n| (name(n), generation)).collect()
}

/// Each row is that of a whole fold; waiting for the projection waits for all of them.
pub async fn partitions_hold_the_rows_of_a_whole_fold(harness: &dyn Harness) {
    let log = harness.log();
    transfer(log, 60).await;
    let app = in_four();
    app.catch_up(log).await.expect("it catches up");
    holds_all(log).await;
    assert_eq!(units(log).await, named(4, 1));
    let work = async {
        for _ in 0..5 {
            let last = transfer(log, 20).await;
            app.settled(log, last).await.expect("it settles");
            holds_all(log).await;
        }
        append(log, "a3", &[AccountEvent::Closed { reason: "done".into() }]).await;
        holds_all(log).await;
        let status = app.status(log).await.expect("they have a status");
        assert_eq!(status.len(), 4);
        assert!(status.iter().all(|s| s.is_of("balances") && s.owner.is_some() && s.lag() == 0));
    };
    run_while(&app, log, work).await;
}

/// Instances share the partitions of one projection.
pub async fn instances_share_the_partitions_of_a_fold(harness: &dyn Harness) {
    if !harness.is_shared() {
        return super::only_where_shared();
    }
    let log = harness.log();
    let other = harness.reopen(Settings::default()).await.expect("it opens");
    let (here, there) = (in_four().instance_name("here"), in_four().instance_name("there"));
    let work = async {
        let owned = async || {
            let status = here.status(log).await.expect("they have a status");
            let by =
                |name: &str| status.iter().filter(|s| s.owner.as_deref() == Some(name)).count();
            (by("here"), by("there"))
        };
        eventually("each has two", async || (owned().await == (2, 2)).then_some(())).await;
        join(transfer(log, 60), transfer(&other, 60)).await;
        holds_all(log).await;
    };
    run_while(&here, log, run_while(&there, &other, work)).await;
    other.close().await;
}

/// Another number of partitions is other code: it is built beside, and swapped in.
pub async fn another_number_of_partitions_is_built_anew(harness: &dyn Harness) {
    let log = harness.log();
    let becomes = async |expected: &[(String, u32)]| {
        eventually(&format!("{expected:?}"), async || (units(log).await == expected).then_some(()))
            .await;
    };
    transfer(log, 30).await;
    app().catch_up(log).await.expect("it catches up");
    let work = async {
        becomes(&[named(4, 2), vec![("owners".into(), 1)]].concat()).await;
        transfer(log, 30).await;
        holds_all(log).await;
    };
    run_while(&in_four(), log, work).await;
    let work = async {
        becomes(&[named(2, 3), vec![("owners".into(), 1)]].concat()).await;
        transfer(log, 30).await;
        holds_all(log).await;
    };
    run_while(&in_two(), log, work).await;
}

/// The partitions of what was in service before stand at places of their own.
pub async fn a_partitioned_generation_is_rebuilt_verified_and_left_again(harness: &dyn Harness) {
    let log = harness.log();
    let app = in_four();
    let (operator, names) = (Operator::new(log, "ada"), ["balances".to_owned()]);
    let work = async {
        transfer(log, 30).await;
        holds_all(log).await;
        let (verified, _) = join(app.verify(log, &names, &|_| {}), transfer(log, 30)).await;
        let verified = verified.and_then(Builds::into_result).expect("it is verified");
        assert_eq!(verified[0].verified.as_deref(), Some(&[][..]), "they are the same");
        let (rebuilt, _) = join(app.rebuild(log, &names, &|_| {}), transfer(log, 30)).await;
        assert!(rebuilt.expect("it is rebuilt")[0].generation > 1);
        let rebuilt = units(log).await;
        assert_eq!(rebuilt.len(), 4);
        holds_all(log).await;
        operator.roll_back("balances").await.expect("it is left");
        eventually("the one before is in service", async || {
            (units(log).await == named(4, 1)).then_some(())
        })
        .await;
        transfer(log, 30).await;
        holds_all(log).await;
    };
    run_while(&app, log, work).await;
}

/// An act is on all partitions; the one that fails holds up no other.
pub async fn an_operator_acts_on_all_partitions(harness: &dyn Harness) {
    let log = harness.log();
    let app = in_four();
    let operator = Operator::new(log, "ada");
    let work = async {
        transfer(log, 30).await;
        holds_all(log).await;
        operator.pause("balances").await.expect("it is paused");
        let status = app.status(log).await.expect("they have a status");
        assert!(status.iter().all(|unit| unit.paused), "{status:?}");
        transfer(log, 30).await;
        operator.resume("balances").await.expect("it goes on");
        holds_all(log).await;

        let last = one_stands_still(log).await;
        let event = fixtures::all(log).await.into_iter().find(|event| event.position == last);
        let event = event.expect("it was appended").id;
        let refused = operator.skip("balances", Uuid::nil()).await;
        assert!(matches!(refused, Err(Error::InvalidInput(_))), "{refused:?}");
        operator.skip("balances", event).await.expect("it is left out");
        let all = log.checkpoints().await.expect("they can be listed");
        assert_eq!(all.iter().map(|unit| unit.skips).sum::<u64>(), 1, "once, for all of them");
        let last = book(log, "good-1", 5).await;
        assert_eq!(log.wait_for("balances", last, PATIENCE).await, Ok(true));
        assert_eq!(good(log).await, 20);
    };
    run_while(&app, log, work).await;
}

/// One partition comes to an event that it cannot apply, at the position yielded, and the others go on.
async fn one_stands_still(log: &Log) -> Position {
    let last = append(log, "bad", &[AccountEvent::Closed { reason: "bad".into() }]).await;
    for n in 0..20 {
        open(log, &format!("good-{n}"), "ada").await;
    }
    assert_eq!(log.wait_for("balances", last, PATIENCE).await, Ok(false), "one stands still");
    eventually("the others go on", async || (good(log).await > 10).then_some(())).await;
    last
}

/// How many of the accounts behind it are in the read model.
async fn good(log: &Log) -> usize {
    balances(log).await.iter().filter(|row| row.account.starts_with("good")).count()
}

/// Also where it is the position of the one that is furthest behind.
pub async fn a_seek_tells_that_a_partition_was_moved(harness: &dyn Harness) {
    let log = harness.log();
    let app = in_four();
    let work = async {
        transfer(log, 5).await;
        one_stands_still(log).await;
    };
    run_while(&app, log, work).await;
    let units = log.checkpoints().await.expect("they can be listed");
    let lowest = units.iter().map(|unit| unit.position).min().expect("there are four");
    Operator::new(log, "ada").seek("balances", lowest).await.expect("it is moved");
    let units = log.checkpoints().await.expect("they can be listed");
    assert!(units.iter().all(|unit| unit.position == lowest), "{units:?}");
    assert_eq!(units.iter().map(|unit| unit.skips).sum::<u64>(), 1, "what was applied comes again");
}

/// What partitions have set aside, a verification sets aside as well, which builds the fold as a whole.
pub async fn partitions_that_have_set_events_aside_are_verified(harness: &dyn Harness) {
    let log = harness.log();
    let (app, names) = (App::new().projection::<SettingAside>(), ["balances".to_owned()]);
    transfer(log, 20).await;
    append(log, "bad", &[AccountEvent::Closed { reason: "bad".into() }]).await;
    transfer(log, 20).await;
    for _ in 0..3 {
        book(log, "bad", 1).await;
    }
    within("it goes on", app.catch_up(log)).await.expect("it goes on over it");
    let parked = async || {
        let all = log.checkpoints().await.expect("they can be listed");
        all.iter().map(|unit| unit.parked).sum::<u64>()
    };
    assert!(parked().await > 0, "some events are set aside");
    let verified = within("it is verified", app.verify(log, &names, &|_| {})).await;
    let verified = verified.and_then(Builds::into_result).expect("it is compared");
    assert_eq!(verified[0].verified, Some(vec![]));
}

/// Its partitions cannot be made one again without losing what one of them has set aside.
pub async fn a_generation_of_which_a_part_has_set_events_aside_is_not_gone_back_to(
    harness: &dyn Harness,
) {
    let log = harness.log();
    let (app, names) = (App::new().projection::<SettingAside>(), ["balances".to_owned()]);
    let work = async {
        transfer(log, 5).await;
        let last = append(log, "bad", &[AccountEvent::Closed { reason: "bad".into() }]).await;
        assert_eq!(log.wait_for("balances", last, PATIENCE).await, Ok(true));
        app.rebuild(log, &names, &|_| {}).await.expect("it is rebuilt");
        Operator::new(log, "ada").roll_back("balances").await.expect("it is asked for");
        let failure = eventually("it is told why not", async || {
            let all = log.checkpoints().await.expect("they can be listed");
            let mut building = all.into_iter().filter(|c| c.state == GenerationState::Building);
            building.find_map(|building| building.failure)
        })
        .await;
        assert!(failure.error.contains("have set events aside: drop it"), "{failure:?}");
        assert_eq!(units(log).await, named(2, 2), "the other one stays in service");
    };
    run_while(&app, log, work).await;
}
