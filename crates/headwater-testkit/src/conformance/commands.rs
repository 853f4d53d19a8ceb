//! Commands to one aggregate that come together: decided one after the other in memory, on top of what
//! is under way, and durable before anybody is told.

use futures_util::{FutureExt as _, future::join_all};
use headwater::{CommandError, Done, Error, Log, Repository, RetryPolicy, Settings};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::Harness;
use crate::{
    account::{Account, AccountEvent, Refusal},
    fixtures::{all, dump, stream},
    gate::{Fate, Gate},
    within,
};

type Outcome = Result<Done<AccountEvent>, CommandError<Refusal>>;

fn accounts(log: &Log) -> Repository<Account> {
    Repository::new(log).expect("the events are declared well")
}

/// Whoever meets another writer fails.
fn once(accounts: Repository<Account>) -> Repository<Account> {
    accounts.retry(RetryPolicy { retries: 0, ..RetryPolicy::default() })
}

fn unavailable() -> Error {
    Error::Unavailable { reason: "on purpose".into() }
}

/// The account `a`, open, and a gate in front of it through which nothing has passed yet.
struct Bench {
    gate: Gate,
    accounts: Repository<Account>,
    /// Another process.
    others: Repository<Account>,
}

impl Bench {
    async fn new(log: &Log) -> Self {
        let gate = Gate::before(log);
        let (accounts, others) = (once(accounts(gate.log())), accounts(log));
        others.execute(&"a".into(), |account| account.open("ada")).await.expect("it is opened");
        accounts.load(&"a".into()).await.expect("it loads");
        gate.readings();
        Self { gate, accounts, others }
    }

    /// A command in a task of its own, which was decided, or waits for its turn.
    async fn book(&self, cents: i64) -> JoinHandle<Outcome> {
        let accounts = self.accounts.clone();
        let (decided, seen) = tokio::sync::oneshot::channel();
        let mut decided = Some(decided);
        let task = tokio::spawn(async move {
            let id = "a".to_owned();
            let command = accounts.execute(&id, |account| {
                decided.take().map(|decided| decided.send(()));
                account.book(cents)
            });
            command.await
        });
        within("a decision", seen).await.expect("it is made");
        task
    }

    /// Somebody else books.
    async fn other_books(&self, cents: i64) {
        let booked = self.others.execute(&"a".into(), |account| account.book(cents)).await;
        booked.expect("nobody was faster");
    }

    async fn balance(&self) -> i64 {
        self.others.load(&"a".into()).await.expect("it loads").state.cents
    }
}

async fn ended(task: JoinHandle<Outcome>) -> Outcome {
    within("a command", task).await.expect("it does not panic")
}

fn version(outcome: Outcome) -> u64 {
    outcome.expect("it is carried out").version
}

/// While one append is under way the commands that come are decided and share the next.
pub async fn commands_that_come_together_share_an_append(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    let first = bench.book(1).await;
    bench.gate.arrived(1).await;
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(bench.book(1).await);
    }
    bench.gate.next(Fate::Pass);
    assert_eq!(version(ended(first).await), 2);
    bench.gate.next(Fate::Pass);
    let done: Vec<_> = join_all(others.into_iter().map(ended)).await;
    let mut done: Vec<_> = done.into_iter().map(|done| done.expect("it books")).collect();
    done.sort_by_key(|done| done.version);
    assert_eq!(done.iter().map(|d| d.version).collect::<Vec<_>>(), Vec::from_iter(3..=22));
    let events = all(harness.log()).await;
    for (event, done) in events[2..].iter().zip(&done) {
        assert_eq!((event.version, event.position), (done.version, done.position));
    }
    assert_eq!(bench.gate.readings(), [], "nothing had to be read");
}

/// What was decided on events that then fail is decided anew, and not stored.
pub async fn what_was_decided_on_a_failed_append_is_decided_anew(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    let deposit = bench.book(100).await;
    bench.gate.arrived(1).await;
    let (spends, refused) = (bench.book(-60).await, bench.book(-50).await);
    bench.gate.next(Fate::Fail(unavailable()));
    assert_eq!(ended(deposit).await.map(drop), Err(unavailable().into()));
    let overdrawn = Err(CommandError::Refused(Refusal::Overdrawn));
    assert_eq!(ended(spends).await.map(drop), overdrawn);
    assert_eq!(ended(refused).await.map(drop), overdrawn);
    assert_eq!(all(harness.log()).await.len(), 1);
}

/// Another process takes the version that a decision in memory was to have, and so a later decision
/// finds the version that it expects, with another event there.
pub async fn no_decision_is_stored_behind_an_event_that_it_has_not_seen(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    bench.other_books(5).await;
    bench.accounts.load(&"a".into()).await.expect("it loads");
    let deposit = bench.book(100).await;
    bench.gate.arrived(1).await;
    let spends = bench.book(-60).await;
    bench.other_books(1).await;
    bench.gate.open().await;
    let conflict = ended(deposit).await.map(drop);
    assert!(matches!(conflict, Err(CommandError::Log(Error::VersionConflict { actual: 3, .. }))));
    assert_eq!(ended(spends).await.map(drop), Err(CommandError::Refused(Refusal::Overdrawn)));
    assert_eq!(bench.balance().await, 6);
}

/// A refusal, or that there is nothing to do, is told once what it was decided on is durable.
pub async fn a_refusal_waits_for_what_it_was_decided_on(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    bench.other_books(50).await;
    bench.accounts.load(&"a".into()).await.expect("it loads");
    let spends = bench.book(-50).await;
    bench.gate.arrived(1).await;
    let mut refused = bench.book(-1).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
        assert!((&mut refused).now_or_never().is_none(), "the money is not spent yet");
    }
    bench.gate.next(Fate::Pass);
    assert_eq!(version(ended(spends).await), 3);
    assert_eq!(ended(refused).await.map(drop), Err(CommandError::Refused(Refusal::Overdrawn)));
}

/// A refusal that was decided on events that then fail is decided anew as well.
pub async fn a_refusal_on_a_failed_append_is_decided_anew(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    bench.other_books(50).await;
    bench.accounts.load(&"a".into()).await.expect("it loads");
    let spends = bench.book(-50).await;
    bench.gate.arrived(1).await;
    let refused = bench.book(-1).await;
    bench.gate.next(Fate::Fail(unavailable()));
    bench.gate.next(Fate::Pass);
    assert_eq!(ended(spends).await.map(drop), Err(unavailable().into()));
    assert_eq!(version(ended(refused).await), 3);
    assert_eq!(bench.balance().await, 49);
}

/// A state in memory that another process has passed by neither refuses nor loads.
pub async fn a_state_in_memory_is_never_older_than_the_call(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    bench.gate.open().await;
    bench.other_books(100).await;
    assert_eq!(version(ended(bench.book(-100).await).await), 3);
    bench.other_books(7).await;
    assert_eq!(bench.accounts.load(&"a".into()).await.expect("it loads").state.cents, 7);
    bench.other_books(1).await;
    let id = "a".to_owned();
    let command = bench.accounts.command(&id).expect_version(5);
    assert_eq!(version(command.execute(|account| account.book(0)).await), 6);
    // A decision on an old state costs one conflict, and no more.
    bench.other_books(1).await;
    let twice = bench.accounts.clone().retry(RetryPolicy { retries: 1, ..RetryPolicy::default() });
    assert_eq!(version(twice.execute(&id, |account| account.book(0)).await), 8);
}

/// Of an aggregate in memory only the last event is read again, and what follows it.
pub async fn a_state_in_memory_is_not_read_again(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    for _ in 0..9 {
        bench.other_books(1).await;
    }
    bench.gate.open().await;
    for from in [1, 10] {
        let loaded = bench.accounts.load(&"a".into()).await.expect("it loads");
        assert_eq!((loaded.version, loaded.state.cents), (10, 9));
        assert_eq!(bench.gate.readings(), [(stream("account-a"), from)]);
    }
    ended(bench.book(1).await).await.expect("it books");
    assert_eq!(bench.gate.readings(), []);
    let cold = bench.accounts.clone().cache(0);
    for _ in 0..2 {
        cold.execute(&"a".into(), |account| account.book(1)).await.expect("it books");
        assert_eq!(bench.gate.readings(), [(stream("account-a"), 1)]);
    }
}

/// The states in memory keep to their bound: the ones not used for longest go.
pub async fn states_in_memory_keep_to_their_bound(harness: &dyn Harness) {
    let gate = Gate::before(harness.log());
    gate.open().await;
    let accounts = accounts(gate.log()).cache(64 << 10);
    let owner = "x".repeat(10_000);
    for n in 0..20 {
        let id = n.to_string();
        accounts.execute(&id, |account| account.open(&owner)).await.expect("it opens");
        accounts.execute(&id, |account| account.book(1)).await.expect("it books");
    }
    gate.readings();
    for n in [19, 18, 0] {
        accounts.load(&n.to_string()).await.expect("it loads");
    }
    let expected = [("account-19", 2), ("account-18", 2), ("account-0", 1)];
    assert_eq!(gate.readings(), expected.map(|(name, from)| (stream(name), from)));
}

/// A caller who goes away, or panics, leaves no state behind that nobody counts.
pub async fn the_states_of_callers_who_went_away_keep_to_the_bound(harness: &dyn Harness) {
    let gate = Gate::before(harness.log());
    gate.open().await;
    let others = accounts(gate.log()).cache(0);
    let accounts = accounts(gate.log()).cache(64 << 10);
    for n in 0..20 {
        let (id, owner) = (n.to_string(), "x".repeat(10_000));
        others.execute(&id, |account| account.open(&owner)).await.expect("it opens");
        others.execute(&id, |account| account.book(1)).await.expect("it books");
        let accounts = accounts.clone();
        let gone = tokio::spawn(async move {
            let panics = |_: &Account| -> Result<_, Refusal> { panic!("on purpose") };
            accounts.execute(&id, panics).await
        });
        assert!(gone.await.is_err_and(|error| error.is_panic()));
    }
    gate.readings();
    for n in [19, 0] {
        accounts.load(&n.to_string()).await.expect("it loads");
    }
    assert_eq!(gate.readings(), [(stream("account-19"), 2), (stream("account-0"), 1)]);
}

/// After a restore, or a failover that lost the newest events, the log may hold less than the memory,
/// or other events in the same places.
pub async fn a_state_that_the_log_no_longer_holds_is_forgotten(harness: &dyn Harness) {
    let mut bench = Bench::new(harness.log()).await;
    bench.accounts = bench.accounts.retry(RetryPolicy::default());
    bench.gate.open().await;
    for _ in 0..3 {
        ended(bench.book(100).await).await.expect("it books");
    }
    for other_events in [2, 4] {
        let restored = harness.open_empty(Settings::default(), 1).await.remove(0);
        let restored = restored.expect("an empty database takes the schema");
        let others = accounts(&restored);
        others.execute(&"a".into(), |account| account.open("bob")).await.expect("it is opened");
        for _ in 1..other_events {
            others.execute(&"a".into(), |account| account.book(1)).await.expect("it books");
        }
        bench.gate.swap(&restored);
        let refused = ended(bench.book(-200).await).await;
        assert_eq!(refused.map(drop), Err(CommandError::Refused(Refusal::Overdrawn)));
        assert_eq!(version(ended(bench.book(5).await).await), other_events + 1);
        let loaded = bench.accounts.load(&"a".into()).await.expect("it loads");
        assert_eq!(loaded.state.cents, i64::try_from(other_events).unwrap_or(0) + 4);
        restored.close().await;
    }
}

/// What the log refuses of one command is not refused to the others that share its append.
pub async fn a_command_that_the_log_refuses_takes_no_other_with_it(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    let first = bench.book(1).await;
    bench.gate.arrived(1).await;
    let good = [bench.book(2).await, bench.book(3).await];
    let accounts = bench.accounts.clone();
    let too_large = tokio::spawn(async move {
        let id = "a".to_owned();
        let command =
            accounts.command(&id).metadata(format!("{{\"a\":\"{}\"}}", "x".repeat(70_000)));
        command.execute(|account| account.book(9)).await
    });
    let also_good = bench.book(4).await;
    bench.gate.open().await;
    assert_eq!(version(ended(first).await), 2);
    let refused = ended(too_large).await.map(drop);
    assert!(matches!(refused, Err(CommandError::Log(Error::TooLarge { .. }))), "{refused:?}");
    for task in good.into_iter().chain([also_good]) {
        ended(task).await.expect("it books");
    }
    assert_eq!(bench.balance().await, 10);
}

/// An answer that was lost is looked for; where it stays lost, the next command decides on what the log
/// holds.
pub async fn after_a_lost_answer_the_log_is_asked(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    let found = bench.book(10).await;
    bench.gate.next(Fate::LoseAnswer);
    bench.gate.next(Fate::Pass);
    let done = ended(found).await.expect("it is found");
    assert_eq!((done.version, done.repeated), (2, false));
    let lost = bench.book(10).await;
    for _ in 0..20 {
        bench.gate.next(Fate::LoseAnswer);
    }
    let unknown = ended(lost).await.map(drop);
    assert!(matches!(unknown, Err(CommandError::Log(Error::OutcomeUnknown { .. }))), "{unknown:?}");
    bench.gate.open().await;
    assert_eq!(version(ended(bench.book(-20).await).await), 4);
    assert_eq!(bench.balance().await, 0);
}

/// A caller who goes away takes nothing with him: his command, and those decided on it, are stored.
pub async fn a_caller_who_goes_away_takes_no_other_with_him(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    let (gone, also_gone) = (bench.book(100).await, bench.book(-40).await);
    bench.gate.arrived(1).await;
    let stays = bench.book(-50).await;
    gone.abort();
    also_gone.abort();
    bench.gate.open().await;
    assert_eq!(version(ended(stays).await), 4);
    assert_eq!(bench.balance().await, 10);
}

/// A command that is on its way is recognised when it comes again.
pub async fn a_command_that_is_under_way_is_recognised_by_its_id(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    let id = Uuid::now_v7();
    let send = || {
        let accounts = bench.accounts.clone();
        tokio::spawn(async move {
            let account = "a".to_owned();
            accounts.command(&account).command_id(id).execute(|account| account.book(5)).await
        })
    };
    let first = send();
    bench.gate.arrived(1).await;
    let (other, again) = (bench.book(1).await, send());
    bench.gate.open().await;
    let first = ended(first).await.expect("it books");
    let again = ended(again).await.expect("it is recognised");
    assert_eq!((first.version, first.repeated), (2, false));
    assert_eq!((again.version, again.position, again.repeated), (2, first.position, true));
    assert_eq!(version(ended(other).await), 3);
    let later = ended(send()).await.expect("it is recognised");
    assert_eq!((later.version, later.repeated), (2, true));
    assert_eq!(bench.balance().await, 6);
}

/// Its runtime ends, and with it the task that appends: nobody waits for it for ever.
pub async fn an_append_that_ends_with_its_runtime_holds_nobody_up(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be built");
    let accounts = bench.accounts.clone();
    runtime.spawn(async move {
        let _never_ends = accounts.execute(&"a".into(), |account| account.book(100)).await;
    });
    bench.gate.arrived(1).await;
    let second = bench.book(7).await;
    tokio::task::block_in_place(|| drop(runtime));
    bench.gate.open().await;
    assert_eq!(version(ended(second).await), 2);
    assert_eq!(bench.balance().await, 7);
}

/// Its runtime ends before its task has begun.
pub async fn an_append_that_never_begins_holds_nobody_up(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    let accounts = bench.accounts.clone();
    let other = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let id = "a".to_owned();
        let decided = runtime
            .expect("a runtime can be built")
            .block_on(async { accounts.execute(&id, |account| account.book(100)).now_or_never() });
        assert!(decided.is_none(), "its append is under way");
    });
    tokio::task::block_in_place(|| other.join()).expect("it decides");
    bench.gate.open().await;
    assert_eq!(version(ended(bench.book(7).await).await), 2);
    assert_eq!(bench.balance().await, 7);
}

/// More commands at once than an append may hold events: a few appends hold them all.
pub async fn many_commands_at_once_are_cut_into_appends(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    bench.gate.open().await;
    let id = "a".to_owned();
    let book = |_| bench.accounts.execute(&id, |account| account.book(1));
    let done = within("all of them", join_all((0..1_300).map(book))).await;
    let mut versions: Vec<_> = done.into_iter().map(version).collect();
    versions.sort_unstable();
    assert_eq!(versions, Vec::from_iter(2..=1_301));
    assert!(bench.gate.arrivals() < 20, "they went in {} appends", bench.gate.arrivals());
}

/// What panics in a decision, or in taking an event in, is its own caller's.
pub async fn a_panic_in_a_command_is_its_own(harness: &dyn Harness) {
    let bench = Bench::new(harness.log()).await;
    let first = bench.book(10).await;
    bench.gate.arrived(1).await;
    let accounts = bench.accounts.clone();
    let panics = tokio::spawn(async move {
        let decide = |account: &Account| match account.cents {
            10 => panic!("on purpose"),
            _ => account.book(0),
        };
        accounts.execute(&"a".into(), decide).await
    });
    assert!(within("a panic", panics).await.is_err());
    let second = bench.book(-10).await;
    bench.gate.open().await;
    assert_eq!(version(ended(first).await), 2);
    assert_eq!(version(ended(second).await), 3);
    let before = dump(harness.log()).await;
    assert_eq!(before.events.len(), 3);
}
