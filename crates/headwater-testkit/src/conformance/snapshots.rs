//! Snapshots: an aggregate loads from the newest one and what follows it, and comes to the same state as
//! from all its events, whatever has become of the snapshot.

use headwater::{
    ExpectedVersion::Any, Log, NewEvent, Position, Repository, Snapshots, StreamName,
    store::Snapshot,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::Harness;
use crate::{
    account::{Account, AccountEvent, Refusal},
    eventually,
    fixtures::stream,
    gate::Gate,
    scale, seed,
};

/// As a process that has just started has them.
fn accounts(log: &Log, snapshots: Snapshots) -> Repository<Account> {
    let accounts = Repository::new(log).expect("the events are declared well");
    accounts.snapshots(snapshots)
}

fn every(every: u64) -> Snapshots {
    Snapshots { every, ..Snapshots::default() }
}

async fn book(log: &Log, stream: &StreamName, count: u64) {
    let booked = |n| NewEvent::from_json("account.booked", 2, format!("{{\"cents\":{n}}}"));
    log.append(stream, Any, (1..=count).map(booked)).await.expect("it is applied");
}

async fn kept(log: &Log, stream: &StreamName) -> Option<Snapshot> {
    log.store().snapshot(stream).await.expect("the store answers")
}

async fn kept_at(log: &Log, stream: &StreamName, version: u64) -> Snapshot {
    let kept = || async { kept(log, stream).await.filter(|kept| kept.version == version) };
    eventually(&format!("a snapshot at version {version}"), kept).await
}

/// Only what follows the snapshot is read, and its last event.
pub async fn a_long_stream_is_loaded_from_its_snapshot(harness: &dyn Harness) {
    let gate = Gate::before(harness.log());
    gate.open().await;
    let (log, id, name) = (gate.log(), "a".to_owned(), stream("account-a"));
    book(log, &name, 9).await;
    let loaded = accounts(log, every(10)).load(&id).await.expect("it loads");
    assert_eq!((loaded.version, kept(log, &name).await), (9, None), "it is not time yet");
    let writer = accounts(log, every(10));
    for _ in 0..3 {
        writer.execute(&id, |_| booked(1)).await.expect("it books");
    }
    kept_at(log, &name, 10).await;
    for cache in [1 << 20, 0] {
        gate.readings();
        let fresh = accounts(log, every(10)).cache(cache);
        let done = fresh.execute(&id, |account| booked(account.cents)).await.expect("it books");
        let loaded = fresh.load(&id).await.expect("it loads");
        assert_eq!((loaded.version, loaded.position), (done.version, done.position));
        assert!(gate.readings().iter().all(|(_, from)| *from >= 10), "old events were read");
    }
    let earlier = accounts(log, every(10)).load_until(&id, 4).await.expect("it loads");
    assert_eq!((earlier.version, earlier.state.cents), (4, 1 + 2 + 3 + 4));
}

fn booked(cents: i64) -> Result<Vec<AccountEvent>, Refusal> {
    Ok(vec![AccountEvent::Booked { cents }])
}

/// Code that folds in another way takes no notice of it, and puts its own in its place.
pub async fn a_snapshot_of_other_code_is_replaced(harness: &dyn Harness) {
    let (log, name) = (harness.log(), stream("account-a"));
    book(log, &name, 12).await;
    accounts(log, every(10)).load(&"a".into()).await.expect("it loads");
    let first = kept_at(log, &name, 12).await;
    let newer = Snapshots { every: 1_000, schema: 2 };
    let loaded = accounts(log, newer).load(&"a".into()).await.expect("it loads");
    assert_eq!(loaded.version, 12);
    let replaced = || async { kept(log, &name).await.filter(|kept| *kept != first) };
    let second = eventually("a snapshot of the newer code", replaced).await;
    assert_eq!((second.version, second.state), (first.version, first.state));
}

/// Whatever has become of a snapshot, and of the events after it: the state is that of all events.
pub async fn snapshot_and_tail_equal_a_full_replay(harness: &dyn Harness) {
    let log = harness.log();
    let mut rng = StdRng::seed_from_u64(seed("snapshot_and_tail_equal_a_full_replay"));
    let cases = if harness.is_shared() { 100 } else { 1_000 };
    for case in 0..cases * scale() {
        let id = format!("{case}");
        let name = stream(&format!("account-{id}"));
        let (before, after) = (rng.random_range(1..30), rng.random_range(0..30));
        book(log, &name, before).await;
        let snapshots = every(rng.random_range(1..30));
        accounts(log, snapshots).load(&id).await.expect("it loads");
        if before >= snapshots.every {
            let sound = kept_at(log, &name, before).await;
            let spoilt = spoil(sound, rng.random_range(0..10));
            log.store().save_snapshot(&name, spoilt).await.expect("it is kept");
        }
        if after > 0 {
            book(log, &name, after).await;
        }
        let replay = Repository::<Account>::new(log).expect("the events are declared well");
        let until = rng.random_range(0..before + after + 2);
        let accounts = accounts(log, snapshots);
        for (found, expected) in [
            (accounts.load(&id).await, replay.load(&id).await),
            (accounts.load_until(&id, until).await, replay.load_until(&id, until).await),
        ] {
            let (found, expected) = (found.expect("it loads"), expected.expect("it loads"));
            assert_eq!(found.state, expected.state, "case {case}");
            assert_eq!((found.version, found.position), (expected.version, expected.position));
        }
    }
}

/// What may become of a snapshot.
fn spoil(sound: Snapshot, how: u32) -> Snapshot {
    let state = |state: String| Snapshot { state, ..sound.clone() };
    match how {
        0 => state(String::new()),
        1 => state("{\"open\":true".into()),
        2 => state("[]".into()),
        3 => state(sound.state.replace("cents\":", "cents\":9")),
        4 => Snapshot { version: sound.version + 7, ..sound },
        5 => Snapshot { version: sound.version - 1, ..sound },
        6 => Snapshot { event_id: Uuid::now_v7(), ..sound },
        7 => Snapshot { fingerprint: Uuid::now_v7(), ..sound },
        8 => Snapshot { position: Position(sound.position.0 + 1), ..sound },
        _ => sound,
    }
}

/// A snapshot that the log has fallen behind of, after a restore, or beside which it has gone on
/// otherwise.
pub async fn a_snapshot_of_another_past_is_replaced(harness: &dyn Harness) {
    let (log, name) = (harness.log(), stream("account-a"));
    let restored = harness.open_empty(headwater::Settings::default(), 1).await.remove(0);
    let restored = restored.expect("an empty database takes the schema");
    book(log, &name, 20).await;
    accounts(log, every(10)).load(&"a".into()).await.expect("it loads");
    let snapshot = kept_at(log, &name, 20).await;
    for events in [5, 20] {
        restored.store().save_snapshot(&name, snapshot.clone()).await.expect("it is kept");
        book(&restored, &name, events).await;
        let loaded = accounts(&restored, every(100)).load(&"a".into()).await.expect("it loads");
        let sums = |count: u64| (1..=count).sum::<u64>();
        let expected = sums(5) + if events == 20 { sums(20) } else { 0 };
        assert_eq!(loaded.state.cents, i64::try_from(expected).unwrap_or(0));
        kept_at(&restored, &name, loaded.version).await;
    }
    restored.close().await;
}
