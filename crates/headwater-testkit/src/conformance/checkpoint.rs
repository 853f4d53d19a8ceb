//! Checkpoints: they move by compare-and-set, in one transaction with the rows.

use std::time::Duration;

use headwater::{
    Checkpoint, Error, Failure,
    GenerationState::{Building, Live, Retired},
    Log, Position, ReadModel as _, Value,
    store::StoreTx,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::Harness;
use crate::{
    account::{Balance, balances},
    dropped_at,
    fixtures::{all, append_to, failure},
    seed, within,
};

async fn begin(log: &Log) -> Box<dyn StoreTx> {
    within("a transaction begins", log.store().begin()).await.expect("the store takes transactions")
}

/// A first generation in service, at position 0.
async fn live(log: &Log) -> Checkpoint {
    let mut tx = begin(log).await;
    let made = tx.create_generation(&balances(), 1, Live).await.expect("it is made");
    tx.commit().await.expect("it commits");
    made
}

async fn hold(tx: &mut Box<dyn StoreTx>, generation: u32) -> Option<Checkpoint> {
    tx.hold("balances", generation).await.expect("a checkpoint can be read")
}

async fn read(log: &Log, generation: u32) -> Option<Checkpoint> {
    let all = log.store().checkpoints().await.expect("checkpoints can be listed");
    all.into_iter().find(|c| c.projection == "balances" && c.generation == generation)
}

fn row(account: &str, cents: i64) -> Vec<Value> {
    let account = account.to_owned();
    Balance { account, owner: None, cents, bookings: 1 }.to_values()
}

async fn rows(log: &Log) -> Vec<Balance> {
    log.find("order by account", &[]).await.expect("the read model can be queried")
}

async fn save(tx: &mut Box<dyn StoreTx>, account: &str, cents: i64) {
    let rows = vec![(row(account, cents), Position(1))];
    tx.save(&Balance::table(), 1, rows).await.expect("a row is written");
}

/// It starts before the first event, and everything of it reads back.
pub async fn a_new_checkpoint_lies_before_the_first_event(harness: &dyn Harness) {
    let log = harness.log();
    let mut tx = begin(log).await;
    assert_eq!(hold(&mut tx, 1).await, None);
    let made = tx.create_generation(&balances(), 1, Live).await.expect("it is made");
    assert_eq!((made.position, made.event_id, made.state), (Position::START, None, Live));
    assert_eq!((&*made.projection, made.generation), ("balances", 1));
    assert_eq!((made.fingerprint.clone(), made.failure.clone()), (balances().fingerprint, None));
    assert_eq!(hold(&mut tx, 1).await, Some(made.clone()));
    tx.commit().await.expect("it commits");
    assert_eq!(read(log, 1).await, Some(made));
    assert_eq!(rows(log).await, []);
}

/// Appends so many events, and yields where the last one lies, and its id.
async fn events(log: &Log, count: u64) -> (Position, Uuid) {
    append_to(log, "thing-1", count).await;
    let last = all(log).await.pop().expect("they are there");
    (last.position, last.id)
}

/// Rows and checkpoint, together.
pub async fn rows_and_checkpoint_move_in_one_transaction(harness: &dyn Harness) {
    let log = harness.log();
    let from = live(log).await;
    let last = events(log, 7).await;
    for ending in ["drop", "rollback", "commit"] {
        let mut tx = begin(log).await;
        save(&mut tx, "a", 5).await;
        let to = Position(last.0.0 + 2);
        tx.advance(&from, to).await.expect("it is there");
        match ending {
            "drop" => drop(tx),
            "rollback" => tx.rollback().await.expect("it rolls back"),
            _ => tx.commit().await.expect("it commits"),
        }
        let (written, position) = (rows(log).await.len(), read(log, 1).await.map(|c| c.position));
        let expected = if ending == "commit" { (1, Some(to)) } else { (0, Some(Position::START)) };
        assert_eq!((written, position), expected, "{ending}");
    }
    let moved = read(log, 1).await.expect("it is there");
    assert_eq!((moved.event_position, moved.event_id), (last.0, Some(last.1)));
}

/// A runner that was asleep while another one went on: nothing of its batch is written.
pub async fn a_stale_checkpoint_does_not_move(harness: &dyn Harness) {
    let log = harness.log();
    let stale = live(log).await;
    let mut tx = begin(log).await;
    tx.advance(&stale, Position(5)).await.expect("it is where it was");
    tx.commit().await.expect("it commits");
    let now = read(log, 1).await.expect("it is there");
    let other_epoch = Checkpoint { epoch: now.epoch + 1, ..now.clone() };
    let retired = Checkpoint { state: Retired, ..now.clone() };
    let missing = Checkpoint { generation: 2, ..now.clone() };
    for from in [stale, other_epoch, retired, missing] {
        let mut tx = begin(log).await;
        save(&mut tx, "a", 5).await;
        let error = failure(tx.advance(&from, Position(6)).await);
        assert_eq!(error, Error::CheckpointMoved { projection: "balances".into() }, "{from:?}");
        drop(tx);
        assert_eq!((rows(log).await.len(), read(log, 1).await), (0, Some(now.clone())));
    }
}

/// A runner that was asleep while its build was dropped, and another one was made under the same number.
pub async fn a_checkpoint_of_a_build_that_is_gone_does_not_move_its_successor(
    harness: &dyn Harness,
) {
    let log = harness.log();
    let make = async || {
        let mut tx = begin(log).await;
        let made = tx.create_generation(&balances(), 2, Building).await.expect("it is made");
        tx.commit().await.expect("it commits");
        made
    };
    let earlier = make().await;
    let mut tx = begin(log).await;
    tx.drop_generation(&balances(), 2).await.expect("it is dropped");
    tx.commit().await.expect("it commits");
    let later = make().await;
    assert!(earlier.epoch < later.epoch);
    let moved = Error::CheckpointMoved { projection: "balances".into() };
    let mut tx = begin(log).await;
    assert_eq!(failure(tx.advance(&earlier, Position(6)).await), moved);
    drop(tx);
    let mut tx = begin(log).await;
    assert_eq!(failure(tx.amend(&earlier, &earlier, None).await), moved);
    drop(tx);
    let mut tx = begin(log).await;
    tx.advance(&later, Position(6)).await.expect("it is where it was");
    tx.commit().await.expect("it commits");
}

/// The same checkpoint as other code has it.
fn of(fingerprint: &str, checkpoint: &Checkpoint) -> Checkpoint {
    Checkpoint { fingerprint: fingerprint.into(), ..checkpoint.clone() }
}

/// Newer code that is late: somebody else has taken the generation over, or it is gone.
pub async fn a_stale_checkpoint_is_not_amended(harness: &dyn Harness) {
    let log = harness.log();
    let first = live(log).await;
    let mut tx = begin(log).await;
    tx.amend(&first, &of("v2", &first), None).await.expect("it is there");
    tx.commit().await.expect("it commits");
    let now = read(log, 1).await.expect("it is there");
    assert_eq!((now.epoch, now.fingerprint.as_str()), (first.epoch + 1, "v2"));
    let missing = Checkpoint { generation: 2, ..now.clone() };
    for from in [first, missing] {
        let mut tx = begin(log).await;
        let error = failure(tx.amend(&from, &of("v3", &from), None).await);
        assert_eq!(error, Error::CheckpointMoved { projection: "balances".into() }, "{from:?}");
        drop(tx);
        assert_eq!(read(log, 1).await, Some(now.clone()));
    }
}

/// The last event of the log at or below a checkpoint, so that another log is noticed.
pub async fn a_checkpoint_knows_the_last_event_below_it(harness: &dyn Harness) {
    let log = harness.log();
    let mut from = live(log).await;
    let last = events(log, 3).await;
    for to in [last.0, Position(last.0.0 + 5)] {
        let mut tx = begin(log).await;
        let moved = tx.advance(&from, to).await.expect("it is where it was");
        tx.commit().await.expect("it commits");
        from = read(log, 1).await.expect("it is there");
        assert_eq!((from.event_position, from.event_id), (last.0, Some(last.1)));
        assert_eq!(from, Checkpoint { updated_at: from.updated_at, ..moved });
        assert_eq!((from.position, from.of_this_log), (to, true));
    }
}

/// Two runners at once: the second one waits, and finds the checkpoint moved.
pub async fn a_held_checkpoint_makes_the_next_one_wait(harness: &dyn Harness) {
    let log = harness.log();
    let from = live(log).await;
    let mut first = begin(log).await;
    assert_eq!(hold(&mut first, 1).await, Some(from.clone()));
    let mut second = Box::pin(async {
        let mut tx = log.store().begin().await?;
        let held = tx.hold("balances", 1).await?;
        tx.rollback().await?;
        Ok::<_, Error>(held)
    });
    // It cannot have ended, however long it is given: a moment is enough to see it if it has.
    let early = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
    assert!(early.is_err(), "a second transaction held the checkpoint as well");
    first.advance(&from, Position(4)).await.expect("it is held");
    first.commit().await.expect("it commits");
    let held = within("the second one", second).await.expect("it comes next");
    assert_eq!(held.map(|c| c.position), Some(Position(4)));
}

/// After a refused statement there is nothing left to commit, on either database.
pub async fn a_transaction_with_a_refused_statement_cannot_be_committed(harness: &dyn Harness) {
    let log = harness.log();
    let from = live(log).await;
    let mut tx = begin(log).await;
    tx.advance(&from, Position(5)).await.expect("it is where it was");
    save(&mut tx, "a", 5).await;
    let refused = tx.execute(1, "insert into {missing} values (1)", &[]).await;
    assert!(refused.is_err());
    let error = failure(tx.commit().await);
    assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
    assert_eq!((rows(log).await.len(), read(log, 1).await), (0, Some(from)));
}

/// Of a statement that was dropped half-way nobody knows whether it is in the transaction.
pub async fn a_transaction_with_a_dropped_statement_cannot_be_committed(harness: &dyn Harness) {
    let log = harness.log();
    let from = live(log).await;
    for wakes in 1.. {
        let mut tx = begin(log).await;
        tx.advance(&from, Position(5)).await.expect("it is where it was");
        let sql = "update {balances} set cents = cents";
        if dropped_at(wakes, tx.execute(1, sql, &[])).await.is_some() {
            break;
        }
        let next = within("the next statement", tx.hold("balances", 1)).await;
        assert!(next.expect("it is answered").is_some());
        let error = failure(within("the commit", tx.commit()).await);
        assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
        assert_eq!(read(log, 1).await.as_ref(), Some(&from), "after {wakes} wakes");
    }
}

/// What is kept for a rollback stays as it was when it was replaced.
pub async fn a_retired_generation_does_not_move(harness: &dyn Harness) {
    let log = harness.log();
    live(log).await;
    let mut tx = begin(log).await;
    tx.create_generation(&balances(), 2, Building).await.expect("it is made");
    tx.promote(&balances(), 2).await.expect("it takes the place of the first");
    tx.commit().await.expect("it commits");
    let retired = read(log, 1).await.expect("it is there");
    assert_eq!(retired.state, Retired);
    let mut tx = begin(log).await;
    let error = failure(tx.advance(&retired, Position(6)).await);
    assert_eq!(error, Error::CheckpointMoved { projection: "balances".into() });
    drop(tx);
    let mut tx = begin(log).await;
    let error = failure(tx.promote(&balances(), 1).await);
    assert_eq!(error, Error::CheckpointMoved { projection: "balances".into() });
    drop(tx);
    assert_eq!(read(log, 1).await, Some(retired));
}

/// The future of a commit is dropped at any moment: rows and checkpoint agree all the same.
pub async fn a_dropped_commit_is_whole_or_nothing(harness: &dyn Harness) {
    let log = harness.log();
    live(log).await;
    let mut rng = StdRng::seed_from_u64(seed("a_dropped_commit_is_whole_or_nothing"));
    for n in 0..60 {
        let account = format!("a{n:03}");
        let mut tx = begin(log).await;
        let from = hold(&mut tx, 1).await.expect("it is there");
        save(&mut tx, &account, n).await;
        tx.advance(&from, Position(from.position.0 + 1)).await.expect("it is held");
        let patience = Duration::from_micros(rng.random_range(0..800));
        let _ = tokio::time::timeout(patience, tx.commit()).await;
        // The next transaction waits for whatever is still under way.
        let mut tx = begin(log).await;
        let now = hold(&mut tx, 1).await.expect("it is there").position.0;
        let written = tx.load(&Balance::table(), 1, vec![vec![account.as_str().into()]]).await;
        let written = u64::try_from(written.expect("rows can be read").len());
        assert_eq!(Ok(now - from.position.0), written, "round {n}");
        tx.rollback().await.expect("it rolls back");
    }
}

/// A transaction dropped at any moment, in any step, blocks nobody.
pub async fn dropped_transactions_leave_the_store_usable(harness: &dyn Harness) {
    let log = harness.log();
    let from = live(log).await;
    let mut rng = StdRng::seed_from_u64(seed("dropped_transactions_leave_the_store_usable"));
    for n in 0..100 {
        let work = async {
            let mut tx = log.store().begin().await?;
            tx.hold("balances", 1).await?;
            tx.save(&Balance::table(), 1, vec![(row("a", n), Position(1))]).await?;
            tx.fetch(1, "select 1 as one", &[]).await?;
            std::future::pending::<Result<(), Error>>().await
        };
        let patience = Duration::from_micros(rng.random_range(0..2_000));
        assert!(tokio::time::timeout(patience, work).await.is_err(), "it never ends by itself");
    }
    assert_eq!(rows(log).await, []);
    let mut tx = begin(log).await;
    within("a held checkpoint", tx.advance(&from, Position(1))).await.expect("nobody holds it");
    tx.commit().await.expect("it commits");
}

/// The generation in service is retired by the next one, and queries see the next one.
pub async fn a_promoted_generation_takes_the_place_of_the_one_before(harness: &dyn Harness) {
    let log = harness.log();
    live(log).await;
    let mut tx = begin(log).await;
    save(&mut tx, "old", 1).await;
    let building = tx.create_generation(&balances(), 2, Building).await.expect("it is made");
    tx.save(&Balance::table(), 2, vec![(row("new", 2), Position(1))]).await.expect("written");
    tx.advance(&building, Position(3)).await.expect("a build moves as well");
    tx.commit().await.expect("it commits");
    assert_eq!(rows(log).await[0].account, "old");
    let mut tx = begin(log).await;
    tx.promote(&balances(), 2).await.expect("nobody reads the old one");
    tx.commit().await.expect("it commits");
    assert_eq!(rows(log).await[0].account, "new");
    let states = [read(log, 1).await, read(log, 2).await].map(|c| c.map(|c| c.state));
    assert_eq!(states, [Some(Retired), Some(Live)]);
    let listed = log.checkpoints().await.expect("they can be listed");
    assert_eq!(listed.len(), 1, "one that has retired is not listed");
    let mut tx = begin(log).await;
    tx.drop_generation(&balances(), 1).await.expect("it is out of service");
    tx.commit().await.expect("it commits");
    assert_eq!((read(log, 1).await, rows(log).await.len()), (None, 1));
}

/// Why a projection stands still is noted, seen by all, and taken back.
pub async fn a_failure_is_noted_and_taken_back(harness: &dyn Harness) {
    let log = harness.log();
    let at = live(log).await;
    let failure = Failure {
        position: Position(12),
        event_id: Some(Uuid::now_v7()),
        code: "decode".into(),
        error: "it cannot be decoded: 'é' \u{1F600}".into(),
    };
    for noted in [Some(failure), None] {
        log.store().record_failure(&at, noted.as_ref()).await.expect("it is noted");
        assert_eq!(read(log, 1).await.expect("it is there").failure, noted);
        let failed = log.query("select failed, position from {all_checkpoints}", &[]).await;
        let failed = failed.expect("the view can be queried");
        assert_eq!(failed[0].get::<bool>("failed"), Ok(noted.is_some()));
    }
}

/// A runner that was asleep while another one went on does not stop it.
pub async fn a_stale_failure_is_not_noted(harness: &dyn Harness) {
    let log = harness.log();
    let stale = live(log).await;
    let mut tx = begin(log).await;
    tx.advance(&stale, Position(5)).await.expect("it is where it was");
    tx.commit().await.expect("it commits");
    let now = read(log, 1).await.expect("it is there");
    let other_epoch = Checkpoint { epoch: now.epoch + 1, ..now.clone() };
    let (code, error) = ("panicked".into(), "late".into());
    let failure = Failure { position: Position(3), event_id: None, code, error };
    for at in [stale, other_epoch] {
        log.store().record_failure(&at, Some(&failure)).await.expect("it is left alone");
        assert_eq!(read(log, 1).await, Some(now.clone()), "{at:?}");
    }
}

/// A writer waits until its own event is in the read model.
pub async fn one_can_wait_for_a_read_model(harness: &dyn Harness) {
    let log = harness.log();
    let soon = Duration::from_millis(50);
    assert_eq!(log.wait_for("balances", Position(1), soon).await, Ok(false));
    let from = live(log).await;
    let patience = Duration::from_secs(30);
    assert_eq!(log.wait_for("balances", Position(0), patience).await, Ok(true));
    assert_eq!(log.wait_for("balances", Position(5), soon).await, Ok(false));
    let mover = async {
        let mut tx = begin(log).await;
        tx.advance(&from, Position(6)).await.expect("it is where it was");
        tx.commit().await.expect("it commits");
    };
    let waiter = log.wait_for("balances", Position(5), patience);
    assert_eq!(futures_util::future::join(waiter, mover).await.0, Ok(true));
}
