//! Changes: who follows a read model hears of each row that changes, with the event that has changed it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use headwater::{App, Change, Changes, Error, ExpectedVersion::Any, NewEvent, Position, Replay};
use tokio::time::timeout;

use super::{
    Harness,
    partitions::SettingAside,
    projection::{append, balance, balances, book, open, run_while},
};
use crate::{
    account::{AccountEvent, Balance, Owners},
    fixtures::{failure, stream},
    within,
};

async fn next(changes: &mut Changes<Balance>) -> Change<Balance> {
    within("a change comes", changes.next()).await.expect("the log can be followed")
}

/// Position, key, row, as the one that follows sees them.
fn told(change: &Change<Balance>) -> (Position, &str, Option<&Balance>) {
    (change.position, &change.key, change.row.as_ref())
}

/// In the order of the events; a row that is gone is told as well.
pub async fn each_row_comes_with_the_event_that_has_changed_it(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().projection::<Balance>();
    open(log, "z", "zoe").await;
    let work = async {
        let after = log.ceiling().await.expect("it has one").position;
        let mut changes = log.changes::<Balance>(after).expect("it is declared well");
        let opened = open(log, "a", "ada").await;
        assert_eq!(
            told(&next(&mut changes).await),
            (opened, "a", Some(&balance("a", "ada", 0, 0)))
        );
        let booked = book(log, "a", 5).await;
        assert_eq!(
            told(&next(&mut changes).await),
            (booked, "a", Some(&balance("a", "ada", 5, 1)))
        );
        let closed = append(log, "a", &[AccountEvent::Closed { reason: "done".into() }]).await;
        assert_eq!(told(&next(&mut changes).await), (closed, "a", None));
        let mut again = log.changes::<Balance>(opened).expect("it is declared well");
        let one_for_both = next(&mut again).await;
        assert_eq!(told(&one_for_both), (closed, "a", None), "it was touched twice meanwhile");
        assert!(one_for_both.complete);
    };
    run_while(&app, log, work).await;
}

/// An event that the read model does not hold yet is not told of; whoever is dropped while it waits misses none.
pub async fn a_change_waits_until_the_read_model_holds_it(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().projection::<Balance>();
    within("it catches up", app.catch_up(log)).await.expect("it catches up");
    let mut changes = log.changes::<Balance>(Position::START).expect("it is declared well");
    let opened = open(log, "a", "ada").await;
    for _ in 0..3 {
        let early = timeout(Duration::from_millis(100), changes.next()).await;
        assert!(early.is_err(), "nobody has applied it: {early:?}");
    }
    let work = async {
        assert_eq!(
            told(&next(&mut changes).await),
            (opened, "a", Some(&balance("a", "ada", 0, 0)))
        );
    };
    run_while(&app, log, work).await;
}

/// However many write, and however far the one that follows is behind: its last word on a row is how it stands.
pub async fn the_last_change_of_a_row_is_how_it_stands(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().projection::<Balance>();
    for n in 0..6 {
        open(log, &format!("a{n}"), "ada").await;
    }
    let work = async {
        let mut changes = log.changes::<Balance>(Position::START).expect("it is declared well");
        let writer = |n: usize| async move {
            for round in 0..40 {
                book(log, &format!("a{}", (n + round) % 6), 1).await;
            }
        };
        join_all((0..4).map(writer)).await;
        let last = append(log, "a0", &[AccountEvent::Closed { reason: "done".into() }]).await;
        let (mut rows, mut before, mut complete) = (BTreeMap::new(), Position::START, true);
        while before < last {
            let change = next(&mut changes).await;
            assert!(before < change.position || before == change.position && !complete);
            (before, complete) = (change.position, change.complete);
            match change.row {
                Some(row) => rows.insert(change.key, row),
                None => rows.remove(&change.key),
            };
        }
        assert_eq!(rows.into_values().collect::<Vec<_>>(), balances(log).await);
    };
    run_while(&app, log, work).await;
}

/// Partitions are waited for as one, an event may change several rows, and what nobody can decode changes none.
pub async fn partitions_are_followed_as_one(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().projection::<SettingAside>();
    let transfers = async || {
        let mut last = Position::START;
        for n in 0..150 {
            let transfer = AccountEvent::Transferred { to: format!("a{}", n % 67 + 100), cents: 1 };
            last = append(log, &format!("a{}", n % 71), &[transfer]).await;
        }
        last
    };
    let work = async {
        let mut changes =
            log.changes::<SettingAside>(Position::START).expect("it is declared well");
        transfers().await;
        let poison = NewEvent::from_json("account.booked", 2, r#"{"secret":1}"#);
        log.append(&stream("account-poison"), Any, [poison]).await.expect("it is JSON");
        let last = transfers().await;
        let (mut rows, mut incomplete) = (BTreeMap::new(), 0);
        loop {
            let change = within("a change comes", changes.next()).await.expect("it goes on");
            incomplete += usize::from(!change.complete);
            let (position, complete) = (change.position, change.complete);
            rows.insert(change.key, change.row.expect("none is closed").0);
            if position == last && complete {
                break;
            }
        }
        assert!(incomplete > 50, "{incomplete}");
        assert_eq!(rows.into_values().collect::<Vec<_>>(), balances(log).await);
    };
    run_while(&app, log, work).await;
}

/// Where nobody knows which rows an event changes, or there is no such projection, that is said.
pub async fn what_cannot_be_followed_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().projection::<Balance>().sql_projection(Owners);
    let refused = |name: &str| failure(app.changes(log, name, Position::START).map(drop));
    assert!(matches!(refused("owners"), Error::InvalidInput(why) if why.contains("in SQL")));
    assert!(matches!(refused("balance"), Error::UnknownProjection { .. }));
}

/// Forward by what lies between, and back from the start: at each position it is what the read model was.
pub async fn a_replay_goes_to_any_position(harness: &dyn Harness) {
    let log = harness.log();
    let mut expected = vec![(open(log, "a", "ada").await, Some(balance("a", "ada", 0, 0)))];
    for n in 1..=5 {
        expected.push((book(log, "a", n).await, Some(balance("a", "ada", n * (n + 1) / 2, n))));
    }
    let closed = append(log, "a", &[AccountEvent::Closed { reason: "done".into() }]).await;
    expected.push((closed, None));
    let mut replay = Replay::<Balance>::new(log).expect("it is declared well");
    assert!(replay.rows().is_empty());
    for at in [0, 2, 3, 6, 6, 4, 0, 6] {
        let (position, row) = &expected[at];
        replay.go_to(*position).await.expect("the log can be read");
        assert_eq!((replay.position(), replay.rows().get("a")), (*position, row.as_ref()));
    }
    replay.go_to(Position::END).await.expect("the log can be read");
    assert_eq!(replay.position(), log.ceiling().await.expect("it has one").position);
}
