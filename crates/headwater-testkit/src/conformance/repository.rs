//! Repositories: load, decide, append, and decide anew where somebody else was faster.

use std::sync::mpsc;

use futures_util::future::join_all;
use headwater::{
    CommandError, Error,
    ExpectedVersion::{Any, Exact},
    Log, NewEvent, Repository, RetryPolicy,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Harness;
use crate::{
    account::{Account, AccountEvent, Refusal},
    fixtures::{all, dump, stream},
    within,
};

fn accounts(log: &Log) -> Repository<Account> {
    Repository::new(log).expect("the events are declared well")
}

fn id(name: &str) -> String {
    name.into()
}

fn booked(cents: i64) -> AccountEvent {
    AccountEvent::Booked { cents }
}

async fn open(log: &Log, name: &str) -> Repository<Account> {
    let accounts = accounts(log);
    accounts.execute(&id(name), |account| account.open("ada")).await.expect("it is opened");
    accounts
}

/// State in, events out, and the place where they lie.
pub async fn a_command_loads_decides_and_appends(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = open(log, "a").await;
    let done = accounts.execute(&id("a"), |account| account.book(500)).await.expect("it books");
    assert_eq!((done.version, &done.events[..], done.repeated), (2, &[booked(500)][..], false));
    let events = all(log).await;
    assert_eq!(events[1].position, done.position);
    assert_eq!(events[1].stream, stream("account-a"));
    let loaded = accounts.load(&id("a")).await.expect("it loads");
    assert_eq!((loaded.version, loaded.position), (2, done.position));
    assert_eq!(loaded.state, Account { open: true, cents: 500, bookings: 1 });
    let earlier = accounts.load_until(&id("a"), 1).await.expect("it loads");
    assert_eq!((earlier.version, earlier.state.cents), (1, 0));
    let missing = accounts.load(&id("b")).await.expect("one without events loads as well");
    assert_eq!((missing.version, missing.state), (0, Account::default()));
}

/// A decision that sees nothing to do writes nothing.
pub async fn a_decision_without_events_writes_nothing(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = open(log, "a").await;
    let before = dump(log).await;
    let done = accounts.execute(&id("a"), |_| Ok::<_, Refusal>(vec![])).await.expect("it is done");
    assert_eq!((done.version, done.events), (1, vec![]));
    assert_eq!(dump(log).await, before);
}

/// A refusal is the domain's own type, and nothing is written.
pub async fn a_refusal_comes_back_as_the_domains_own(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = open(log, "a").await;
    let before = dump(log).await;
    for (name, cents, refusal) in [("a", -1, Refusal::Overdrawn), ("b", 1, Refusal::NotOpen)] {
        let refused = accounts.execute(&id(name), |account| account.book(cents)).await;
        assert_eq!(refused.map(drop), Err(CommandError::Refused(refusal)));
    }
    let both = |account: &Account, cents: &i64| account.book(*cents);
    let refused = accounts.execute_all(&id("a"), [5, -9], both).await;
    assert_eq!(refused.map(drop), Err(CommandError::Refused(Refusal::Overdrawn)));
    assert_eq!(dump(log).await, before);
}

/// The first decision waits until another writer has appended: it is made again, on what is there.
pub async fn a_decision_is_made_anew_after_a_conflict(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = open(log, "a").await;
    let (deciding, decides) = oneshot::channel();
    let (appended, wait) = mpsc::channel();
    let rival_accounts = self::accounts(log);
    // A task of its own, since the decision below blocks the one it runs in.
    let rival = tokio::spawn(async move {
        decides.await.expect("the first decision begins");
        let done = rival_accounts.execute(&id("a"), |account| account.book(100)).await;
        appended.send(()).expect("the first decision waits");
        done.expect("nobody was faster").version
    });
    let (mut seen, mut deciding) = (Vec::new(), Some(deciding));
    let account = id("a");
    let command = accounts.execute(&account, |account| {
        seen.push(account.cents);
        if let Some(deciding) = deciding.take() {
            deciding.send(()).expect("the rival waits");
            tokio::task::block_in_place(|| wait.recv()).expect("the rival appends");
        }
        Ok::<_, Refusal>(vec![booked(account.cents + 1)])
    });
    let done = within("the second decision", command).await.expect("nobody was faster");
    assert_eq!((rival.await.expect("it does not panic"), done.version), (2, 3));
    assert_eq!(seen, [0, 100]);
}

/// Each time somebody else is faster.
pub async fn a_decision_is_made_anew_until_it_is_applied(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a").await;
    let accounts = accounts(log);
    let (account, mut seen) = (id("a"), Vec::new());
    let done = accounts.execute(&account, |account| {
        seen.push(account.cents);
        if seen.len() <= 3 {
            rival_books(log);
        }
        Ok::<_, Refusal>(vec![booked(-50)])
    });
    let done = within("a command with three conflicts", done).await.expect("the fourth is applied");
    assert_eq!(seen, [0, 10, 20, 30]);
    assert_eq!((done.version, done.events), (5, vec![booked(-50)]));
}

/// Somebody else, who knows nothing of this repository, books in the middle of a decision.
fn rival_books(log: &Log) {
    let (accounts, id) = (accounts(log), id("a"));
    let rival = accounts.execute(&id, |account| account.book(10));
    let handle = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| handle.block_on(rival)).expect("nobody was faster");
}

/// After the last retry the conflict is the caller's.
pub async fn retries_are_bounded(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a").await;
    let accounts = accounts(log);
    let once = accounts.clone().retry(RetryPolicy { retries: 1, ..RetryPolicy::default() });
    let (account, mut decisions) = (id("a"), 0);
    let command = once.execute(&account, |account| {
        decisions += 1;
        rival_books(log);
        account.book(1)
    });
    let error = command.await.map(drop);
    assert_eq!(decisions, 2);
    let (stream, expected) = (stream("account-a"), Exact(2));
    assert_eq!(error, Err(Error::VersionConflict { stream, expected, actual: 3 }.into()));
}

/// A caller who names the version wants to hear of any other.
pub async fn an_expected_version_is_not_tried_again(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = open(log, "a").await;
    let conflict = |expected, actual| {
        let stream = stream("account-a");
        Err(CommandError::Log(Error::VersionConflict { stream, expected: Exact(expected), actual }))
    };
    let account = id("a");
    let command = accounts.command(&account).expect_version(7);
    let mut decided = false;
    let error = command
        .execute(|account| {
            decided = true;
            account.book(1)
        })
        .await
        .map(drop);
    assert_eq!((error, decided), (conflict(7, 1), false));
    let mut decisions = 0;
    let command = accounts.command(&account).expect_version(1).execute(|account| {
        decisions += 1;
        rival_books(log);
        account.book(1)
    });
    assert_eq!(command.await.map(drop), conflict(1, 2));
    assert_eq!(decisions, 1);
    let done =
        accounts.command(&account).expect_version(2).execute(|account| account.book(5)).await;
    assert_eq!(done.map(|done| done.version), Ok(3));
}

/// A command that comes again yields its first result, whatever has happened since.
pub async fn a_command_is_recognised_by_its_id(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = open(log, "a").await;
    let (account, command) = (id("a"), Uuid::now_v7());
    let book = |cents| {
        let command = accounts.command(&account).command_id(command).metadata("{\"by\": 1}");
        command.execute(move |account| {
            Ok::<_, Refusal>([account.book(cents)?, account.book(cents + 1)?].concat())
        })
    };
    let first = book(5).await.expect("it books");
    assert!(!first.repeated);
    accounts.execute(&account, |account| account.book(99)).await.expect("it books");
    let before = dump(log).await;
    for cents in [5, 7] {
        let again = book(cents).await.expect("it is recognised");
        assert!(again.repeated);
        assert_eq!((again.version, again.position), (first.version, first.position));
        assert_eq!((&again.events, &again.metadata), (&first.events, &first.metadata));
    }
    assert_eq!(dump(log).await, before);
}

/// Also where it would be refused by now, or has nothing to do.
pub async fn a_command_is_recognised_where_it_would_be_refused(harness: &dyn Harness) {
    let accounts = accounts(harness.log());
    let (account, opens, books) = (id("a"), Uuid::now_v7(), Uuid::now_v7());
    let open = || accounts.command(&account).command_id(opens).execute(|a| a.open("ada"));
    let book = || {
        accounts.command(&account).command_id(books).execute(|account| match account.cents {
            0 => account.book(5),
            _ => Ok(vec![]),
        })
    };
    let first = [open().await, book().await].map(|done| done.expect("it is carried out"));
    for (again, first) in [open().await, book().await].into_iter().zip(first) {
        let again = again.expect("it is recognised");
        assert_eq!(
            (again.version, again.events, again.repeated),
            (first.version, first.events, true)
        );
    }
}

/// A double click: the same command, eight times at the same moment.
pub async fn of_the_same_command_many_times_at_once_one_is_carried_out(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = open(log, "a").await;
    let account = id("a");
    for round in 0..10 {
        let command = Uuid::now_v7();
        let all = (0..8).map(|_| {
            accounts.command(&account).command_id(command).execute(|account| account.book(1))
        });
        let done: Vec<_> = join_all(all).await.into_iter().map(|r| r.expect("it books")).collect();
        let place = (done[0].position, done[0].version);
        assert!(done.iter().all(|done| (done.position, done.version) == place), "round {round}");
        assert_eq!(done.iter().filter(|done| !done.repeated).count(), 1, "round {round}");
    }
    assert_eq!(accounts.load(&account).await.expect("it loads").state.cents, 10);
}

/// Several decisions, each on the state that the ones before made, in one append.
pub async fn several_decisions_go_into_one_append(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = open(log, "a").await;
    let commands = [100, -60, -40];
    let done =
        accounts.execute_all(&id("a"), commands, |account, cents| account.book(*cents)).await;
    let done = done.expect("each is covered by the ones before");
    assert_eq!((done.version, done.events), (4, commands.map(booked).to_vec()));
    let loaded = accounts.load(&id("a")).await.expect("it loads");
    assert_eq!((loaded.state.cents, loaded.state.bookings), (0, 3));
}

/// Sixteen writers on one account: each booking is there once.
pub async fn concurrent_commands_are_all_carried_out(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a").await;
    let accounts = accounts(log).retry(RetryPolicy { retries: 1_000, ..RetryPolicy::default() });
    let writer = |_| async {
        for _ in 0..5 {
            accounts.execute(&id("a"), |account| account.book(1)).await.expect("it books");
        }
    };
    join_all((0..16).map(writer)).await;
    let loaded = accounts.load(&id("a")).await.expect("it loads");
    assert_eq!((loaded.version, loaded.state.cents), (81, 80));
}

/// Events say who asked for them and why.
pub async fn a_command_records_its_circumstances(harness: &dyn Harness) {
    let log = harness.log();
    let (accounts, account) = (accounts(log), id("a"));
    let (correlation, causation) = (Uuid::now_v7(), Uuid::now_v7());
    let command = accounts.command(&account).correlation_id(correlation).causation_id(causation);
    let done = command.metadata("{ \"user\":  7 }").execute(|account| account.open("ada")).await;
    let done = done.expect("it is opened");
    let event = all(log).await.remove(0);
    assert_eq!(event.metadata.as_deref(), Some("{ \"user\":  7 }"));
    assert_eq!(event.metadata, done.metadata);
    assert_eq!((event.correlation_id, event.causation_id), (Some(correlation), Some(causation)));
}

/// An event of an older schema meets the aggregate in its newest form.
pub async fn an_event_of_an_older_schema_is_brought_up(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = open(log, "a").await;
    let old = NewEvent::from_json("account.booked", 1, "{\"amount\": 7}");
    log.append(&stream("account-a"), Any, [old]).await.expect("it is applied");
    let loaded = accounts.load(&id("a")).await.expect("it loads");
    assert_eq!(loaded.state.cents, 700);
    let done = accounts.execute(&id("a"), |account| account.book(-700)).await.expect("it books");
    assert_eq!(done.version, 3);
}

/// Foreign, newer or malformed events stop a command before it decides; no error tells the content.
pub async fn an_event_that_cannot_be_decoded_stops_the_command(harness: &dyn Harness) {
    let log = harness.log();
    let accounts = accounts(log);
    for (name, version, data) in [
        ("account.melted", 1, "{\"secret\": 1}"),
        ("account.booked", 3, "{\"cents\": 1}"),
        ("account.booked", 2, "{\"cents\": \"secret\"}"),
        ("account.booked", 1, "{\"amount\": \"secret\"}"),
    ] {
        let account = Uuid::now_v7().to_string();
        let stream = accounts.stream(&account).expect("it is a name");
        let event = NewEvent::from_json(name, version, data);
        log.append(&stream, Any, [event.clone()]).await.expect("the log takes any JSON");
        let error = accounts.execute(&account, |account| account.open("ada")).await.map(drop);
        let Err(CommandError::Log(error)) = error else { panic!("{name} v{version}: {error:?}") };
        assert!(!error.to_string().contains("secret"), "{error}");
        match error {
            Error::Decode { event_id, event_type, schema_version, .. } => {
                assert_eq!((event_id, &*event_type, schema_version), (event.id, name, version));
            }
            other => panic!("{name} v{version}: {other:?}"),
        }
    }
}
