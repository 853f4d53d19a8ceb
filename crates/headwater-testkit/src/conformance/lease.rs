//! Leases: each piece of work has one owner, who can be relied upon to lose it.

use std::time::Duration;

use futures_util::future::{join, join_all};
use headwater::{
    App, Checkpoint, Error,
    GenerationState::Live,
    Log, Position, Settings,
    store::{Instance, Work},
};
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use super::{
    Harness,
    projection::{app, balance, balances, balances_checkpoint, book, catch_up, open, run_while},
};
use crate::{eight, eventually, fixtures::failure, gate::Gate, within};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

pub(super) fn instance(name: &str) -> Instance {
    Instance {
        id: Uuid::now_v7(),
        name: name.into(),
        process: String::new(),
        runs: vec![Uuid::from_u128(7)],
    }
}

async fn keep(log: &Log, own: &Instance, wanted: &[Work], lease: Duration) -> Vec<Work> {
    let mut granted =
        log.store().keep_leases(own, wanted, lease).await.expect("leases can be kept");
    granted.sort();
    granted
}

async fn owner(log: &Log, work: &Work) -> Option<Uuid> {
    let leases = log.store().leases().await.expect("leases can be listed");
    leases.held(work).map(|lease| lease.owner)
}

/// Who has it keeps it by renewing it, and gives up what it does not ask for again.
pub async fn a_lease_is_one_instances(harness: &dyn Harness) {
    let log = harness.log();
    let (first, second) = (instance("first"), instance("second"));
    let (live, building) = (Work::live("a"), Work::building("a"));
    let both = [building.clone(), live.clone()];
    assert_eq!(keep(log, &first, &both, LONG).await, both);
    assert_eq!(keep(log, &second, &both, LONG).await, []);
    assert_eq!(keep(log, &first, &both[1..], LONG).await, both[1..]);
    assert_eq!(keep(log, &second, &both, LONG).await, both[..1]);
    let leases = log.store().leases().await.expect("leases can be listed");
    assert_eq!(leases.held(&live).map(|lease| lease.owner), Some(first.id));
    assert_eq!(leases.held(&building).map(|lease| lease.owner), Some(second.id));
    let left = leases.held(&live).expect("it is held").left;
    assert!(left > LONG / 2 && left <= LONG, "{left:?}");
    assert_eq!(leases.instances, [first.clone(), second.clone()]);
    assert_eq!(leases.name_of(second.id), "second");
    keep(log, &first, &[], Duration::ZERO).await;
    let leases = log.store().leases().await.expect("leases can be listed");
    assert_eq!(leases.instances, std::slice::from_ref(&second), "it has taken its leave");
    assert_eq!(keep(log, &second, &both, LONG).await, both);
}

/// Nobody renews it: it is free when its time has passed, and not before.
pub async fn a_lease_runs_out(harness: &dyn Harness) {
    let log = harness.log();
    let (first, second) = (instance("first"), instance("second"));
    let work = [Work::live("a")];
    let begun = Instant::now();
    keep(log, &first, &work, SHORT).await;
    let taken = eventually("it runs out", async || {
        let granted = keep(log, &second, &work, LONG).await;
        (granted == work).then(Instant::now)
    });
    let after = taken.await - begun;
    assert!(after >= SHORT, "after {after:?}");
    let leases = log.store().leases().await.expect("leases can be listed");
    assert_eq!(leases.instances, [second], "the first is gone");
    assert_eq!(keep(log, &first, &work, LONG).await, [], "it comes too late");
}

/// However many ask at the same moment.
pub async fn of_many_instances_one_gets_a_lease(harness: &dyn Harness) {
    let log = harness.log();
    let work: Vec<_> = (0..20).map(|n| Work::live(format!("p{n:02}"))).collect();
    let instances: Vec<_> = (0..8).map(|n| instance(&n.to_string())).collect();
    let granted = join_all(instances.iter().map(|own| keep(log, own, &work, LONG))).await;
    let mut all: Vec<_> = granted.into_iter().flatten().collect();
    all.sort();
    assert_eq!(all, work);
}

/// The write of an instance that was away while another took over is refused, also where nothing has
/// happened in between.
pub async fn an_earlier_owner_cannot_write(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let earlier = balances_checkpoint(log).await;
    let app = app().lease(SHORT);
    let taken = async {
        eventually("it is taken over", async || {
            let epoch = balances_checkpoint(log).await.epoch;
            (epoch > earlier.epoch).then_some(())
        })
        .await;
    };
    run_while(&app, log, taken).await;
    let mut tx = log.store().begin().await.expect("the store takes transactions");
    let to = Position(earlier.position.0 + 1);
    let error = failure(tx.advance(&earlier, to).await);
    assert_eq!(error, Error::CheckpointMoved { projection: "balances".into() });
    tx.rollback().await.expect("it rolls back");
    // And it cannot take it back, since the lease is another's.
    let other = instance("other");
    let mut tx = log.store().begin().await.expect("the store takes transactions");
    let held = tx.hold("balances", 1).await.expect("it can be read").expect("it is there");
    let error = failure(tx.amend(&held, &held, Some(other.id)).await);
    assert_eq!(error, Error::CheckpointMoved { projection: "balances".into() });
    tx.rollback().await.expect("it rolls back");
    book(log, "a", 5).await;
    catch_up(log).await;
    assert_eq!(balances(log).await, [balance("a", "ada", 5, 1)]);
}

/// An operator's change makes the owner look anew.
pub async fn an_amendment_revokes_the_lease(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let own = instance("own");
    let work = Work::live("balances");
    keep(log, &own, std::slice::from_ref(&work), LONG).await;
    let amend = async |owner| {
        let mut tx = log.store().begin().await.expect("the store takes transactions");
        let held = tx.hold("balances", 1).await.expect("it can be read").expect("it is there");
        let paused = Checkpoint { paused: true, ..held.clone() };
        let amended = tx.amend(&held, &paused, owner).await.expect("it is amended");
        tx.commit().await.expect("it commits");
        assert_eq!(amended, balances_checkpoint(log).await);
        assert_eq!((amended.epoch, amended.paused), (held.epoch + 1, true));
    };
    amend(Some(own.id)).await;
    assert_eq!(owner(log, &work).await, Some(own.id), "by the owner itself");
    let mut tx = log.store().begin().await.expect("the store takes transactions");
    let held = tx.hold("balances", 1).await.expect("it can be read").expect("it is there");
    let error = failure(tx.amend(&held, &held, Some(instance("other").id)).await);
    let moved = Error::CheckpointMoved { projection: "balances".into() };
    assert_eq!(error, moved, "somebody else has the lease");
    tx.rollback().await.expect("it rolls back");
    let build = instance("build");
    keep(log, &build, &[Work::building("balances")], LONG).await;
    let mut tx = log.store().begin().await.expect("the store takes transactions");
    let held = tx.hold("balances", 1).await.expect("it can be read").expect("it is there");
    let error = failure(tx.amend(&held, &held, Some(build.id)).await);
    assert_eq!(error, moved, "its lease is on other work");
    tx.rollback().await.expect("it rolls back");
    amend(None).await;
    assert_eq!(owner(log, &work).await, None);
}

/// How long after `stopped` the second instance has applied what was appended then.
async fn handed_over(
    log: &Log,
    first: &App,
    stop: impl AsyncFnOnce(oneshot::Sender<()>),
) -> Duration {
    let second = app();
    open(log, "a", "ada").await;
    let (sender, stopped) = oneshot::channel();
    let stopped = async {
        let _asked = stopped.await;
    };
    let running = first.run_until(log, stopped);
    let work = async {
        let at = book(log, "a", 1).await;
        assert_eq!(log.wait_for("balances", at, LONG).await, Ok(true), "the first one works");
        let take_over = async {
            stop(sender).await;
            let stopped = Instant::now();
            let at = book(log, "a", 1).await;
            assert_eq!(log.wait_for("balances", at, LONG).await, Ok(true), "the second one works");
            stopped.elapsed()
        };
        run_while(&second, log, take_over).await
    };
    let (ended, took) = join(running, work).await;
    ended.expect("the app is right");
    took
}

/// A service that is stopped tells the others, who take over within a second.
pub async fn an_instance_that_stops_hands_its_work_over(harness: &dyn Harness) {
    let log = harness.log();
    let took = handed_over(log, &app(), async |stop| drop(stop)).await;
    println!("taken over after {took:?}");
    assert!(took < Duration::from_secs(3), "taken over after {took:?}");
}

/// What an instance has sent before it stops arrives before its farewell, and takes nothing back.
pub async fn a_renewal_that_is_under_way_does_not_outlive_its_instance(harness: &dyn Harness) {
    let log = harness.log();
    let gate = Gate::before(log);
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _asked = stopped.await;
    };
    let app = app().lease(Duration::from_secs(2));
    let running = app.run_until(gate.log(), stopped);
    let work = async {
        let begun = async || owner(log, &Work::live("balances")).await;
        eventually("it has begun", begun).await;
        gate.hold_renewals(async {
            drop(stop);
            // It has long taken its leave by then, or waits for the renewal.
            tokio::time::sleep(Duration::from_millis(200)).await;
        })
        .await;
    };
    let (ended, ()) = within("it ends", join(running, work)).await;
    ended.expect("the app is right");
    assert_eq!(owner(log, &Work::live("balances")).await, None);
    assert_eq!(log.store().leases().await.expect("they can be listed").instances, []);
}

/// One that has been lost without a word is waited for until its lease has run out.
pub async fn the_work_of_an_instance_that_is_gone_is_taken_over(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let gone = instance("gone");
    let work = ["balances", "owners"].map(Work::live);
    let begun = Instant::now();
    keep(log, &gone, &work, Duration::from_secs(1)).await;
    let at = book(log, "a", 1).await;
    let running = app().lease(Duration::from_secs(1));
    let taken = async {
        assert_eq!(log.wait_for("balances", at, LONG).await, Ok(true), "it is taken over");
        begun.elapsed()
    };
    let took = run_while(&running, log, taken).await;
    println!("taken over after {took:?}");
    assert!(took >= Duration::from_millis(990) && took < Duration::from_secs(3), "{took:?}");
}

/// Instances that come and go: soon after that each of those that are left has as many as another.
pub async fn instances_share_the_projections_evenly(harness: &dyn Harness) {
    if !harness.is_shared() {
        return super::only_where_shared();
    }
    let lease = Duration::from_secs(1);
    let log = harness.log();
    let mut stops = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    for n in 0..4 {
        let other = harness.reopen(Settings::default()).await.expect("it opens twice");
        let (stop, stopped) = oneshot::channel::<()>();
        stops.push(stop);
        running.spawn(async move {
            let app = eight::app().lease(lease).instance_name(n.to_string());
            let stopped = async {
                let _asked = stopped.await;
            };
            app.run_until(&other, stopped).await.expect("the app is right");
            other.close().await;
        });
    }
    for left in [4, 2, 1] {
        stops.truncate(left);
        shared_among(log, left).await;
        let at = open(log, &format!("a{left}"), "ada").await;
        for name in eight::NAMES {
            assert_eq!(log.wait_for(name, at, LONG).await, Ok(true), "{name} goes on");
        }
    }
    stops.clear();
    while let Some(ended) = within("they end", running.join_next()).await {
        ended.expect("it ends well");
    }
    assert_eq!(log.store().leases().await.expect("they can be listed").instances, []);
}

/// Waits until so many instances have all eight projections in even shares.
async fn shared_among(log: &Log, instances: usize) {
    eventually("the projections are shared", async || {
        let leases = log.store().leases().await.expect("leases can be listed");
        let count = |own: Uuid| {
            let own = |work: &Work| leases.held(work).is_some_and(|lease| lease.owner == own);
            eight::NAMES.iter().filter(|name| own(&Work::live(**name))).count()
        };
        let counts: Vec<_> = leases.instances.iter().map(|there| count(there.id)).collect();
        let even = counts.iter().all(|count| *count == 8 / instances);
        (counts.len() == instances && even).then_some(())
    })
    .await;
}

/// A build that an instance was lost over is gone on with by one that runs.
pub async fn a_build_that_was_left_is_finished(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..50 {
        open(log, &format!("a{n}"), "ada").await;
    }
    catch_up(log).await;
    let before = balances(log).await;
    let mut tx = log.store().begin().await.expect("the store takes transactions");
    let definition = crate::account::balances();
    let building = headwater::GenerationState::Building;
    tx.create_generation(&definition, 2, building).await.expect("it is made");
    tx.commit().await.expect("it commits");
    let swapped = async {
        eventually("it is finished and swapped in", async || {
            let live = balances_checkpoint(log).await;
            (live.generation == 2 && live.state == Live).then_some(())
        })
        .await;
        let at = book(log, "a1", 5).await;
        assert_eq!(log.wait_for("balances", at, LONG).await, Ok(true), "it goes on");
    };
    run_while(&app(), log, swapped).await;
    let after = balances(log).await;
    assert_eq!(after.len(), before.len());
    assert_eq!(after.iter().map(|row| row.cents).sum::<i64>(), 5);
}

/// A second rebuild of the same projection is refused, and the first is not disturbed.
pub async fn a_second_rebuild_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let other = instance("the-other-host:7");
    let (work, lease) = ([Work::building("balances")], Duration::from_secs(3));
    keep(log, &other, &work, lease).await;
    let renew = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            keep(log, &other, &work, lease).await;
        }
    };
    let names = ["balances".to_owned()];
    let app = app();
    let refused = tokio::select! {
        () = renew => None,
        ended = within("it is refused", app.rebuild(log, &names, &|_| {})) => Some(ended),
    };
    let error = failure(refused.expect("it ends first"));
    let (projection, owner) = ("balances".into(), Some("the-other-host:7".into()));
    assert_eq!(error, Error::RebuildUnderWay { projection, owner });
    let all = log.store().checkpoints().await.expect("they can be listed");
    assert!(all.iter().all(|checkpoint| checkpoint.state == Live), "{all:?}");
    // The other is gone: what is left of its lease is waited for. Its last renewal may still be under way.
    eventually("it is rebuilt", async || app.rebuild(log, &names, &|_| {}).await.ok()).await;
}
