//! Deploys: code of two ages over one log, after one another and at once.

use std::time::Duration;

use headwater::{App, Checkpoint, Error, Event, EventType, Fold, Log, Recorded, Result};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    Dialect, Harness,
    projection::{
        app, append, balance, balances, balances_checkpoint, book, catch_up, open, status,
    },
};
use crate::{
    account::{AccountEvent, Balance, balance_of_other_code},
    eventually,
    fixtures::failure,
    within,
};

/// The events of an account, as code from before the first transfer knows them.
#[derive(Clone, Debug)]
struct OlderEvent(AccountEvent);

impl Event for OlderEvent {
    fn types() -> Vec<EventType> {
        let mut types = AccountEvent::types();
        types.retain(|event_type| event_type.name != "account.transferred");
        types
    }

    fn event_type(&self) -> (&'static str, u32) {
        self.0.event_type()
    }

    fn encode(&self) -> Result<String, serde_json::Error> {
        self.0.encode()
    }

    fn decode(name: &str, data: &str) -> Option<Result<Self, serde_json::Error>> {
        let known = Self::types().iter().any(|event_type| event_type.name == name);
        AccountEvent::decode(name, data).filter(|_| known).map(|event| event.map(Self))
    }
}

balance_of_other_code!(OlderBalance);

impl Fold for OlderBalance {
    type Event = OlderEvent;

    fn keys(event: &Recorded<OlderEvent>) -> Vec<String> {
        Balance::keys(&event.clone().with(event.event.0.clone()))
    }

    fn fold(row: Option<Self>, key: &String, event: &Recorded<OlderEvent>) -> Option<Self> {
        let event = event.clone().with(event.event.0.clone());
        Balance::fold(row.map(|row| row.0), key, &event).map(Self)
    }
}

fn older_app() -> App {
    App::new().projection::<OlderBalance>()
}

async fn older_catch_up(log: &Log) {
    within("the older code catches up", older_app().catch_up(log)).await.expect("it catches up");
}

async fn transfer(log: &Log, from: &str, to: &str, cents: i64) {
    append(log, from, &[AccountEvent::Transferred { to: to.into(), cents }]).await;
}

// Of later code, which counts everything twice.
balance_of_other_code!(LaterBalance);

impl Fold for LaterBalance {
    type Event = AccountEvent;

    const VERSION: u32 = Balance::VERSION + 1;

    fn keys(event: &Recorded<AccountEvent>) -> Vec<String> {
        Balance::keys(event)
    }

    fn fold(row: Option<Self>, key: &String, event: &Recorded<AccountEvent>) -> Option<Self> {
        let once = Balance::fold(row.map(|row| row.0), key, event);
        Balance::fold(once, key, event).map(Self)
    }
}

/// The app of later code.
pub(super) fn later_app() -> App {
    App::new().projection::<LaterBalance>()
}

/// The rows that later code has made: each account and its cents.
pub(super) async fn later_rows(log: &Log) -> Vec<(String, i64)> {
    balances(log).await.into_iter().map(|row| (row.account, row.cents)).collect()
}

/// A new type of event is no cause for a rebuild, as long as there was none of it.
pub async fn newer_code_goes_on_with_what_older_code_built(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    book(log, "a", 30).await;
    older_catch_up(log).await;
    let built: Checkpoint = balances_checkpoint(log).await;
    // Behind the checkpoint, so that nobody has passed it over.
    transfer(log, "a", "b", 10).await;
    catch_up(log).await;
    assert_eq!(balances_checkpoint(log).await.generation, built.generation);
    let after = [balance("a", "ada", 20, 1), Balance { owner: None, ..balance("b", "", 10, 0) }];
    assert_eq!(balances(log).await, after);
    // The older code leaves it alone from now on.
    open(log, "c", "cy").await;
    let error = failure(within("it stops", older_app().catch_up(log)).await);
    assert_eq!(error, Error::ProjectionTooNew { projection: "balances".into() });
    assert_eq!(balances(log).await, after);
    catch_up(log).await;
    assert_eq!(balances(log).await.len(), 3);
}

/// What older code passed over is missing in its read model, and newer code does not hide that.
pub async fn events_that_older_code_passed_over_ask_for_a_rebuild(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    transfer(log, "a", "b", 10).await;
    open(log, "c", "cy").await;
    older_catch_up(log).await;
    let error = failure(within("it stops", app().catch_up(log)).await);
    assert_eq!(error, Error::ProjectionChanged { projection: "balances".into() });
    let told = status(log, "balances").await.failure.expect("it is told");
    assert_eq!(told.error, error.to_string());
    older_catch_up(log).await;
    let names = ["balances".to_owned()];
    within("a rebuild", app().rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    assert_eq!(status(log, "balances").await.failure, None);
    let cents: Vec<_> = balances(log).await.iter().map(|balance| balance.cents).collect();
    assert_eq!(cents, [-10, 10, 0]);
}

/// In a rolling deploy both run at once: the older one stops before it passes anything over.
pub async fn newer_code_takes_a_projection_over_from_running_older_code(harness: &dyn Harness) {
    let log = harness.log();
    let opened = open(log, "a", "ada").await;
    let older = older_app();
    let running = async { older.run(log).await.expect("the app is right") };
    let deploy = async {
        eventually("the older code runs", async || {
            let checkpoints = log.checkpoints().await.expect("checkpoints can be read");
            checkpoints.iter().any(|checkpoint| checkpoint.position == opened).then_some(())
        })
        .await;
        catch_up(log).await;
        transfer(log, "a", "b", 10).await;
        book(log, "a", 1).await;
        // Long enough for the older code to read both.
        sleep(Duration::from_millis(300)).await;
        assert_eq!(balances(log).await, [balance("a", "ada", 0, 0)], "the older code went on");
        catch_up(log).await;
        let after =
            [balance("a", "ada", -9, 1), Balance { owner: None, ..balance("b", "", 10, 0) }];
        assert_eq!(balances(log).await, after);
    };
    tokio::select! {
        () = running => {}
        () = deploy => {}
    }
}

/// The code has changed since the read model was built: nothing is mixed up, a rebuild is asked for.
pub async fn a_projection_that_changed_asks_for_a_rebuild(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    set_fingerprint(harness, "other").await;
    book(log, "a", 1).await;
    let error = failure(within("it stops", app().catch_up(log)).await);
    assert_eq!(error, Error::ProjectionChanged { projection: "balances".into() });
    assert_eq!(balances_checkpoint(log).await.failure, None, "the code that built it is right");
    let failure = status(log, "balances").await.failure.expect("it is told");
    assert_eq!((failure.error, failure.event_id), (error.to_string(), None));
    assert_eq!(balances(log).await[0].cents, 0);
    let names = ["balances".to_owned()];
    within("a rebuild", app().rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    catch_up(log).await;
    assert_eq!(balances(log).await, [balance("a", "ada", 1, 1)]);
}

/// An instance of the program before, started by mistake: it leaves the read model alone, and says
/// nothing ill of it.
pub async fn older_code_leaves_a_newer_read_model_alone(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let own = balances_checkpoint(log).await.fingerprint;
    set_fingerprint(harness, "v7\n\n").await;
    let error = failure(within("it stops", app().catch_up(log)).await);
    assert_eq!(error, Error::ProjectionTooNew { projection: "balances".into() });
    assert_eq!(balances_checkpoint(log).await.failure, None);
    set_fingerprint(harness, &own).await;
    book(log, "a", 1).await;
    catch_up(log).await;
    assert_eq!(balances(log).await, [balance("a", "ada", 1, 1)]);
}

/// A failure of the code and not of an event is over when the right code comes, without an event.
pub async fn a_failure_that_names_no_event_is_cleared_by_the_right_code(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let own = balances_checkpoint(log).await;
    let id = own.event_id.expect("it has read an event");
    set_event_id(harness, Uuid::from_u128(7)).await;
    failure(within("it stops", app().catch_up(log)).await);
    assert!(balances_checkpoint(log).await.failure.is_some(), "it is noted");
    set_event_id(harness, id).await;
    catch_up(log).await;
    assert_eq!(balances_checkpoint(log).await.failure, None);
}

async fn set_fingerprint(harness: &dyn Harness, fingerprint: &str) {
    let checkpoints = harness.table("checkpoints");
    let fingerprint = fingerprint.replace('\'', "''");
    let sql = format!(
        "update {checkpoints} set fingerprint = '{fingerprint}' where projection = 'balances'"
    );
    harness.execute_raw(&sql).await.expect("the table of checkpoints is as expected");
}

async fn set_event_id(harness: &dyn Harness, id: Uuid) {
    let id = match harness.dialect() {
        Dialect::Postgres => format!("'{id}'"),
        Dialect::Sqlite => format!("x'{}'", id.simple()),
    };
    let checkpoints = harness.table("checkpoints");
    let sql = format!("update {checkpoints} set event_id = {id} where projection = 'balances'");
    harness.execute_raw(&sql).await.expect("the table of checkpoints is as expected");
}
