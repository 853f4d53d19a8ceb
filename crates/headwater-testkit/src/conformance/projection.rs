//! Projections over a log, run by an [`App`]: rows and checkpoints agree, whatever happens.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all, select};
use headwater::{
    App, BatchTx, Checkpoint, Column, ColumnType, CommandError, Error, ExpectedVersion::Any,
    Failure, Filter, Fold, GenerationState::Live, Log, NewEvent, Position, ProjectionStatus,
    ReadModel, Recorded, Repository, Result, SqlProjection, Table, Value, ValueError,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{Dialect, Harness};
use crate::{
    account::{Account, AccountEvent, AccountOpened, Balance, Owners},
    eventually,
    fixtures::{failure, stream},
    scale, seed, within,
};

/// Both kinds of projection.
pub(super) fn app() -> App {
    App::new().projection::<Balance>().sql_projection(Owners)
}

pub(super) async fn append(log: &Log, account: &str, events: &[AccountEvent]) -> Position {
    let events = events.iter().map(|event| NewEvent::of(event).expect("it is JSON"));
    let stream = stream(&format!("account-{account}"));
    log.append(&stream, Any, events).await.expect("a plain append is applied").position()
}

pub(super) async fn open(log: &Log, account: &str, owner: &str) -> Position {
    append(log, account, &[AccountEvent::Opened { owner: owner.into() }]).await
}

pub(super) async fn book(log: &Log, account: &str, cents: i64) -> Position {
    append(log, account, &[AccountEvent::Booked { cents }]).await
}

pub(super) async fn balances(log: &Log) -> Vec<Balance> {
    log.find("order by account", &[]).await.expect("the read model can be queried")
}

async fn owners(log: &Log) -> Vec<(String, i64)> {
    let rows = log.query("select owner, accounts from {owners} order by owner", &[]).await;
    let pair = |row: &headwater::Row| (row.get("owner").ok(), row.get("accounts").ok());
    let rows = rows.expect("the read model can be queried");
    rows.iter().map(pair).map(|(o, a)| (o.expect("text"), a.expect("a number"))).collect()
}

pub(super) async fn catch_up(log: &Log) {
    within("the projections catch up", app().catch_up(log)).await.expect("they catch up");
}

pub(super) async fn status(log: &Log, name: &str) -> ProjectionStatus {
    let all = app().status(log).await.expect("they have a status");
    let live = all.into_iter().find(|s| s.projection == name && s.state == Live);
    live.unwrap_or_else(|| panic!("{name} is not in the status"))
}

/// The failure that is noted for a projection, which may not have begun yet.
async fn failure_of(log: &Log, app: &App, name: &str) -> Option<Failure> {
    let all = app.status(log).await.expect("they have a status");
    all.into_iter().find(|status| status.projection == name)?.failure
}

pub(super) fn balance(account: &str, owner: &str, cents: i64, bookings: i64) -> Balance {
    Balance { account: account.into(), owner: Some(owner.into()), cents, bookings }
}

/// Both kinds, under the names of their tables.
pub async fn projections_catch_up_with_the_log(harness: &dyn Harness) {
    let log = harness.log();
    assert_eq!(app().names(), ["balances", "owners"]);
    open(log, "a", "ada").await;
    open(log, "b", "ada").await;
    append(log, "a", &[5, 7].map(|cents| AccountEvent::Booked { cents })).await;
    crate::fixtures::append_to(log, "thing-1", 3).await;
    open(log, "c", "bob").await;
    catch_up(log).await;
    let expected =
        [balance("a", "ada", 12, 2), balance("b", "ada", 0, 0), balance("c", "bob", 0, 0)];
    assert_eq!(balances(log).await, expected);
    assert_eq!(owners(log).await, [("ada".into(), 2), ("bob".into(), 1)]);
    let head = log.ceiling().await.expect("the log tells its ceiling").position;
    for name in ["balances", "owners"] {
        let status = status(log, name).await;
        assert_eq!((status.position, status.head, status.lag()), (head, head, 0), "{name}");
        assert_eq!((status.generation, status.failure), (1, None));
    }
}

/// Once more, with nothing new and with something new.
pub async fn catching_up_again_applies_each_event_once(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    for round in 0..4 {
        book(log, "a", 10).await;
        catch_up(log).await;
        catch_up(log).await;
        assert_eq!(balances(log).await, [balance("a", "ada", 10 * (round + 1), round + 1)]);
        assert_eq!(owners(log).await, [("ada".into(), 1)]);
    }
}

/// Where there is no event yet, there is a table to query.
pub async fn an_empty_log_makes_empty_read_models(harness: &dyn Harness) {
    let log = harness.log();
    catch_up(log).await;
    assert_eq!((balances(log).await, owners(log).await), (vec![], vec![]));
}

/// A large batch: more events and more rows than one statement takes parameters.
pub async fn many_events_over_many_rows_are_folded(harness: &dyn Harness) {
    let log = harness.log();
    for part in 0..12 {
        let appends = (0..500).map(|n| {
            let events = [5, 7].map(|cents| AccountEvent::Booked { cents });
            let events = events.iter().map(|event| NewEvent::of(event).expect("it is JSON"));
            headwater::Append::new(stream(&format!("account-{}", part % 4 * 500 + n)), Any, events)
        });
        log.append_all(appends).await.expect("a plain append is applied");
    }
    catch_up(log).await;
    let rows = balances(log).await;
    assert_eq!(rows.len(), 2_000);
    assert!(rows.iter().all(|row| (row.cents, row.bookings) == (36, 6)));
}

/// One event that touches two rows, and one that removes its row: within a batch and over several.
pub async fn an_event_may_touch_many_rows_and_remove_some(harness: &dyn Harness) {
    let log = harness.log();
    let transfer = |to: &str, cents| [AccountEvent::Transferred { to: to.into(), cents }];
    let close = [AccountEvent::Closed { reason: "moved".into() }];
    for one_batch in [true, false] {
        let (a, b) = if one_batch { ("a", "b") } else { ("c", "d") };
        open(log, a, "ada").await;
        open(log, b, "bob").await;
        let steps = [transfer(b, 7), transfer(a, 2), close.clone(), transfer(b, 1)];
        for (n, (account, events)) in [a, b, a, a].into_iter().zip(steps).enumerate() {
            append(log, account, &events).await;
            if !one_batch {
                catch_up(log).await;
                assert_eq!(balances(log).await.iter().any(|row| row.account == a), n != 2);
            }
        }
        catch_up(log).await;
        let found: Vec<_> = balances(log).await;
        let of = |account: &str| found.iter().find(|row| row.account == account).cloned();
        assert_eq!(of(b), Some(balance(b, "bob", 6, 0)));
        let reborn = Balance { account: a.into(), owner: None, cents: -1, bookings: 0 };
        assert_eq!(of(a), Some(reborn), "a row that was removed begins anew");
    }
    append(log, "b", &close).await;
    catch_up(log).await;
    let left: Vec<_> = balances(log).await.into_iter().map(|row| row.account).collect();
    assert_eq!(left, ["a", "c", "d"]);
    let names = ["balances".to_owned()];
    within("a rebuild", app().rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    let rebuilt: Vec<_> = balances(log).await.into_iter().map(|row| row.account).collect();
    assert_eq!(rebuilt, left);
}

/// A transfer to oneself: the fold names the key twice, and sees the event once.
pub async fn a_row_that_an_event_names_twice_is_folded_once(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    append(log, "a", &[AccountEvent::Transferred { to: "a".into(), cents: 5 }]).await;
    catch_up(log).await;
    assert_eq!(balances(log).await, [balance("a", "ada", 5, 0)]);
}

/// Live: each new event comes into the read model, and a writer can wait for it.
pub async fn a_running_projection_sees_new_events(harness: &dyn Harness) {
    let log = harness.log();
    let app = app();
    let work = async {
        open(log, "a", "ada").await;
        for n in 1..=20 {
            let position = book(log, "a", 1).await;
            for name in ["balances", "owners"] {
                let reached = log.wait_for(name, position, Duration::from_secs(30)).await;
                assert_eq!(reached, Ok(true), "{name} has not come to {position}");
            }
            assert_eq!(balances(log).await, [balance("a", "ada", n, n)]);
        }
    };
    run_while(&app, log, work).await;
}

/// Runs the projections as long as `work` takes, and drops them then.
pub(super) async fn run_while<T>(app: &App, log: &Log, work: impl Future<Output = T>) -> T {
    let running = Box::pin(app.run(log));
    let work = Box::pin(within("work beside running projections", work));
    match select(work, running).await {
        futures_util::future::Either::Left((done, _)) => done,
        futures_util::future::Either::Right((ended, _)) => {
            panic!("the projections ended by themselves: {ended:?}")
        }
    }
}

/// No wait of the test's own: whoever has settled sees all rows.
pub async fn settled_projections_hold_all_events(harness: &dyn Harness) {
    let log = harness.log();
    let app = app();
    open(log, "a", "ada").await;
    let work = async {
        for n in 1..=20 * i64::from(scale()) {
            let position = book(log, "a", 1).await;
            app.settled(log, position).await.expect("they go on");
            assert_eq!(balances(log).await, [balance("a", "ada", n, n)]);
        }
        let poison = NewEvent::from_json("account.booked", 2, r#"{"secret":1}"#);
        let poisoned = log.append(&stream("account-a"), Any, [poison]).await.expect("it is JSON");
        let stands = failure(app.settled(log, poisoned.position()).await);
        assert!(matches!(&stands, Error::Mismatch { reason } if reason.contains("balances")));
    };
    run_while(&app, log, work).await;
}

/// A fold of the log up to a position is what the read model was then, and stores nothing.
pub async fn a_fold_can_be_asked_as_of_a_position(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    let opened = open(log, "b", "bob").await;
    let booked = book(log, "a", 5).await;
    append(log, "b", &[AccountEvent::Closed { reason: "moved".into() }]).await;
    let at = async |position| {
        let rows = log.fold_at::<Balance>(position).await.expect("the log can be folded");
        let mut rows: Vec<_> = rows.into_values().collect();
        rows.sort_by(|one, other| one.account.cmp(&other.account));
        rows
    };
    assert_eq!(at(Position::START).await, []);
    assert_eq!(at(opened).await, [balance("a", "ada", 0, 0), balance("b", "bob", 0, 0)]);
    assert_eq!(at(booked).await, [balance("a", "ada", 5, 1), balance("b", "bob", 0, 0)]);
    assert_eq!(at(Position::END).await, [balance("a", "ada", 5, 1)]);
    assert_eq!(log.checkpoints().await.expect("they can be listed"), []);
}

/// At each moment the rows are those of the checkpoint: looked at in one statement.
pub async fn rows_and_checkpoint_agree_at_each_moment(harness: &dyn Harness) {
    let log = harness.log();
    let app = app();
    let look = "select (select count(*) from {all_events} e \
                        where e.type = 'account.booked' and e.position <= c.position) as expected, \
                       (select cast(coalesce(sum(b.bookings), 0) as bigint) from {balances} b) as found \
                from {all_checkpoints} c where c.projection = 'balances' and c.state = 'live'";
    catch_up(log).await;
    let write = async {
        let writer = |n: usize| async move {
            for round in 0..30 {
                book(log, &format!("a{}", (n + round) % 6), 1).await;
            }
        };
        join_all((0..4).map(writer)).await;
    };
    let watch = async {
        let mut found = 0;
        while found < 120 {
            let rows = log.query(look, &[]).await.expect("the read model can be queried");
            let expected: i64 = rows[0].get("expected").expect("a number");
            found = rows[0].get("found").expect("a number");
            assert_eq!(found, expected, "rows and checkpoint do not agree");
            tokio::task::yield_now().await;
        }
    };
    run_while(&app, log, join(write, watch)).await;
}

/// One event that cannot be decoded: its projection stops there and says so, the other goes on.
pub async fn a_failing_projection_stops_while_others_go_on(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    let before = book(log, "a", 5).await;
    let poison = NewEvent::from_json("account.booked", 2, "{\"cents\": \"secret\"}");
    let bad = log.append(&stream("account-a"), Any, [poison.clone()]).await.expect("it is JSON");
    book(log, "a", 7).await;
    let app = app();
    let last = open(log, "b", "ada").await;
    let work = async {
        let reached = log.wait_for("owners", last, Duration::from_secs(30)).await;
        assert_eq!(reached, Ok(true), "the sound projection goes on");
        eventually("the failure is noted", || failure_of(log, &app, "balances")).await
    };
    let failure = run_while(&app, log, work).await;
    assert_eq!((failure.position, failure.event_id), (bad.position(), Some(poison.id)));
    assert!(failure.error.contains("account.booked"), "{}", failure.error);
    assert!(!failure.error.contains("secret"), "an error holds no content");
    assert_eq!(balances(log).await, [balance("a", "ada", 5, 1)], "up to the event before");
    let stopped = status(log, "balances").await;
    assert!(stopped.position >= before && stopped.position < bad.position(), "{stopped:?}");
    assert_eq!(status(log, "owners").await.failure, None);
    let ended = within("catching up fails", app.catch_up(log)).await;
    assert!(
        matches!(ended, Err(Error::Decode { event_id, .. }) if event_id == poison.id),
        "{ended:?}"
    );
    assert_eq!(balances(log).await, [balance("a", "ada", 5, 1)], "it stays where it was");
}

/// Panics where somebody of the name `panic` opens an account.
struct Brittle;

#[async_trait]
impl SqlProjection for Brittle {
    type Event = AccountOpened;
    const NAME: &'static str = "brittle";
    const TABLES: &'static [(&'static str, &'static str)] = &[];

    async fn apply(&self, _: &mut BatchTx<'_>, events: &[Recorded<AccountOpened>]) -> Result<()> {
        for event in events {
            assert_ne!(event.event.owner, "panic", "on purpose");
        }
        Ok(())
    }
}

/// Its batch is rolled back, its failure is noted, and nothing else is torn down with it.
pub async fn a_projection_that_panics_stops_while_others_go_on(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().sql_projection(Brittle).projection::<Balance>();
    open(log, "a", "ada").await;
    let bad = open(log, "b", "panic").await;
    let last = open(log, "c", "bob").await;
    let work = async {
        let reached = log.wait_for("balances", last, Duration::from_secs(30)).await;
        assert_eq!(reached, Ok(true), "the sound projection goes on");
        eventually("the failure is noted", || failure_of(log, &app, "brittle")).await
    };
    let failure = run_while(&app, log, work).await;
    assert_eq!(failure.position, bad);
    let panicked = Error::Panicked { projection: "brittle".into() };
    assert_eq!(failure.error, panicked.to_string());
    let names = ["brittle".to_owned()];
    let rebuilt = app.rebuild(log, &names, &|_| {});
    assert_eq!(within("a rebuild fails", rebuilt).await.err(), Some(panicked));
}

/// Dropped at any moment and begun again, many times, while events come in.
pub async fn an_interrupted_projection_goes_on_where_it_stood(harness: &dyn Harness) {
    let log = harness.log();
    let mut rng = StdRng::seed_from_u64(seed("an_interrupted_projection_goes_on_where_it_stood"));
    let app = app();
    for n in 0..40 {
        let account = format!("a{}", n % 5);
        open(log, &account, "ada").await;
        for _ in 0..5 {
            book(log, &account, 1).await;
        }
        let patience = Duration::from_micros(rng.random_range(0..8_000));
        if n % 2 == 0 {
            let _ = tokio::time::timeout(patience, app.run(log)).await;
        } else {
            let _ = tokio::time::timeout(patience, app.catch_up(log)).await;
        }
    }
    catch_up(log).await;
    let expected: Vec<_> = (0..5).map(|n| balance(&format!("a{n}"), "ada", 40, 40)).collect();
    assert_eq!(balances(log).await, expected);
    assert_eq!(owners(log).await, [("ada".into(), 40)]);
}

/// Two instances of a service, by mistake or on purpose: each event counts once.
pub async fn two_runners_at_once_apply_each_event_once(harness: &dyn Harness) {
    let log = harness.log();
    let other = if harness.is_shared() {
        harness.reopen(headwater::Settings::default()).await.expect("it opens twice")
    } else {
        log.clone()
    };
    let (first, second, third) = (app(), app(), app());
    let work = async {
        let writer = |n: usize| async move {
            for round in 0..40 {
                book(log, &format!("a{}", (n + round) % 4), 1).await;
                open(log, &format!("b{n}-{round}"), "ada").await;
            }
        };
        join_all((0..4).map(writer)).await;
        let last = open(log, "c", "bob").await;
        for name in ["balances", "owners"] {
            let reached = log.wait_for(name, last, Duration::from_secs(40)).await;
            assert_eq!(reached, Ok(true), "{name} has not come to {last}");
        }
    };
    let work = run_while(&second, &other, run_while(&third, log, work));
    run_while(&first, log, work).await;
    let cents: i64 = balances(log).await.iter().map(|row| row.cents).sum();
    assert_eq!(cents, 160);
    assert_eq!(owners(log).await, [("ada".into(), 160), ("bob".into(), 1)]);
    other.close().await;
}

/// A log that was restored from a backup, or is another one: the checkpoint recognises it by its
/// last event, which is missing, or came again and lies elsewhere, or by an end that it lies behind.
pub async fn a_checkpoint_of_another_log_stops_its_projection(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    book(log, "a", 5).await;
    catch_up(log).await;
    let id = match harness.dialect() {
        Dialect::Postgres => "'00000000-0000-0000-0000-000000000007'",
        Dialect::Sqlite => "x'00000000000000000000000000000007'",
    };
    let checkpoints = harness.table("checkpoints");
    let beyond = "position = position + 1000, event_id = null".to_owned();
    for change in ["event_position = event_position - 1", &format!("event_id = {id}"), &beyond] {
        let sql = format!("update {checkpoints} set {change} where projection = 'balances'");
        harness.execute_raw(&sql).await.expect("the table of checkpoints is as expected");
        book(log, "a", 1).await;
        let error = failure(within("it stops", app().catch_up(log)).await);
        assert!(
            matches!(&error, Error::LogDiverged { projection, .. } if projection == "balances"),
            "{error:?}"
        );
        assert_eq!(balances(log).await[0].cents, 5);
    }
}

/// A projection that appends, which a rebuild would do again.
struct Appending(Log);

#[async_trait]
impl SqlProjection for Appending {
    type Event = AccountOpened;
    const NAME: &'static str = "appending";
    const TABLES: &'static [(&'static str, &'static str)] = &[];

    async fn apply(&self, _tx: &mut BatchTx<'_>, events: &[Recorded<AccountOpened>]) -> Result<()> {
        let query = self.0.query("select position from {all_events}", &[]).await;
        assert!(matches!(query, Err(Error::InvalidInput(_))), "{query:?}");
        let opened = self.0.subscription("beside", Filter::all(), Position::START).await;
        assert!(matches!(opened.err(), Some(Error::InvalidInput(_))));
        let accounts = Repository::<Account>::new(&self.0).expect("the events are declared well");
        let command = accounts.execute(&"b".into(), |account| account.open("bob")).await;
        assert!(matches!(command, Err(CommandError::Log(Error::InvalidInput(_)))), "{command:?}");
        let next = NewEvent::of(&events[0].event).expect("it is JSON");
        self.0.append(&events[0].stream, Any, [next]).await.map(drop)
    }
}

/// Code of a projection that goes past the transaction of its batch would wait for it for ever, or
/// act anew with each rebuild.
pub async fn a_projection_can_neither_append_nor_query_beside_its_batch(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    let app = App::new().sql_projection(Appending(log.clone()));
    let error = failure(within("it stops", app.catch_up(log)).await);
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    assert_eq!(log.ceiling().await.expect("the log can be read").position, Position(1));
    let reached = log.wait_for("appending", Position(1), Duration::from_secs(60));
    let reached = within("a projection that stands still is not waited for", reached).await;
    assert!(!reached.expect("the checkpoints can be read"));
}

/// A read model whose key is not what it was written as: its rows would never be found again.
#[derive(Clone, Debug)]
struct Lowered(String);

impl ReadModel for Lowered {
    type Key = String;

    fn table() -> Table {
        let column_type = ColumnType::Text;
        let column = Column { name: "account", column_type, key: true, nullable: false };
        Table { name: "lowered", columns: vec![column] }
    }

    fn key(&self) -> String {
        self.0.clone()
    }

    fn key_values(key: &String) -> Vec<Value> {
        vec![key.as_str().into()]
    }

    fn to_values(&self) -> Vec<Value> {
        vec![self.0.as_str().into()]
    }

    fn from_values(values: Vec<Value>) -> Result<Self, ValueError> {
        let row = headwater::Row { columns: ["account".to_owned()].into(), values };
        Ok(Self(row.get::<String>("account")?.to_lowercase()))
    }
}

impl Fold for Lowered {
    type Event = AccountEvent;

    fn keys(event: &Recorded<AccountEvent>) -> Vec<String> {
        vec![event.stream.id().to_owned()]
    }

    fn fold(_: Option<Self>, key: &String, _: &Recorded<AccountEvent>) -> Option<Self> {
        Some(Self(key.clone()))
    }
}

/// Its row is left as it is, and the failure noted.
pub async fn a_key_that_does_not_read_back_stops_its_projection(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().projection::<Lowered>();
    for account in ["a", "B"] {
        open(log, account, "ada").await;
        within("it catches up", app.catch_up(log)).await.expect("it catches up");
    }
    book(log, "a", 1).await;
    within("it catches up", app.catch_up(log)).await.expect("it catches up");
    let last = book(log, "B", 1).await;
    let error = failure(within("it stops", app.catch_up(log)).await);
    assert!(error.to_string().contains("does not read back"), "{error}");
    let noted = failure_of(log, &app, "lowered").await.expect("it is noted");
    assert_eq!(noted.position, last);
}

/// A thousand rows for each thousand that is booked: soon more than a projection keeps in memory.
#[derive(Clone, Debug, ReadModel)]
#[read_model(table = "crowd")]
struct Crowd {
    #[key]
    n: i64,
    times: i64,
}

impl Fold for Crowd {
    type Event = AccountEvent;

    fn keys(event: &Recorded<AccountEvent>) -> Vec<i64> {
        match event.event {
            AccountEvent::Booked { cents } => (cents * 1_000..(cents + 1) * 1_000).collect(),
            _ => Vec::new(),
        }
    }

    fn fold(row: Option<Self>, n: &i64, _: &Recorded<AccountEvent>) -> Option<Self> {
        Some(Self { n: *n, times: row.map_or(0, |row| row.times) + 1 })
    }
}

/// Rows that it no longer keeps are read again.
pub async fn a_read_model_may_be_larger_than_what_is_kept(harness: &dyn Harness) {
    let log = harness.log();
    let work = async {
        for thousands in [0..102, 0..1] {
            let booked: Vec<_> = thousands.map(|cents| AccountEvent::Booked { cents }).collect();
            let position = append(log, "a", &booked).await;
            let reached = log.wait_for("crowd", position, Duration::from_secs(60)).await;
            assert_eq!(reached, Ok(true));
        }
    };
    run_while(&App::new().projection::<Crowd>(), log, work).await;
    let sql = "select times, count(*) as rows from {crowd} group by times order by times";
    let rows = log.query(sql, &[]).await.expect("the read model can be queried");
    let counts: Vec<_> = rows.iter().map(|row| (row.get("times"), row.get("rows"))).collect();
    assert_eq!(counts, [(Ok(1), Ok(101_000)), (Ok(2), Ok(1_000))]);
}

/// A projection added twice, and two that would write one table.
pub async fn declarations_that_contradict_each_other_are_refused(harness: &dyn Harness) {
    struct Rival;

    #[async_trait]
    impl SqlProjection for Rival {
        type Event = AccountOpened;
        const NAME: &'static str = "rival";
        const TABLES: &'static [(&'static str, &'static str)] =
            &[("balances", "create table {balances} (n bigint)")];

        async fn apply(&self, _: &mut BatchTx<'_>, _: &[Recorded<AccountOpened>]) -> Result<()> {
            Ok(())
        }
    }

    let log = harness.log();
    for (app, names) in
        [(app().sql_projection(Owners), "owners"), (app().sql_projection(Rival), "balances")]
    {
        let error = failure(app.catch_up(log).await);
        assert!(matches!(&error, Error::InvalidInput(what) if what.contains(names)), "{error:?}");
        assert_eq!(failure(app.run(log).await), error);
        assert_eq!(log.checkpoints().await, Ok(vec![]), "nothing was begun");
    }
}

pub(super) async fn balances_checkpoint(log: &Log) -> Checkpoint {
    let all = log.checkpoints().await.expect("checkpoints can be read");
    all.into_iter().find(|c| c.projection == "balances").expect("it has begun")
}
