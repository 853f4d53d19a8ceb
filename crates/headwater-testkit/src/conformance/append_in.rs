//! Appending inside the user's own transaction: its rows and the events, or nothing.

use headwater::{
    Append, Error,
    ExpectedVersion::{self, Any, Exact, None},
    NewEvent,
};

use super::Harness;
use crate::fixtures::{
    all, append, append_to, collect, dump, event, events, failure, stream, versions,
};

const ORDERS: &str = "create table orders (id integer primary key, note text)";

async fn orders(harness: &dyn Harness) -> i64 {
    harness.number_raw("select count(*) from orders").await.expect("the user's table is there")
}

fn one(name: &str, expected: ExpectedVersion) -> Vec<Append> {
    vec![Append::new(stream(name), expected, [event(1)])]
}

/// Committed: both. Rolled back or dropped: neither.
pub async fn events_share_the_fate_of_the_users_transaction(harness: &dyn Harness) {
    let log = harness.log();
    harness.execute_raw(ORDERS).await.expect("the user has a table of his own");
    for n in 1..=3 {
        let mut tx = harness.begin().await;
        let order = format!("insert into orders (id, note) values ({n}, 'placed')");
        tx.execute(&order).await.expect("the user writes");
        let appended = tx.append(vec![append("order-1", 2)]).await.expect("it is applied");
        assert_eq!((appended.version(), appended.repeated), (2, false));
        match n {
            1 => tx.rollback().await,
            2 => drop(tx),
            _ => tx.commit().await,
        }
    }
    assert_eq!(orders(harness).await, 1);
    let events = collect(log.read_stream(&stream("order-1"), 1)).await;
    assert_eq!(versions(&events), [1, 2]);
    assert_eq!(append_to(log, "order-1", 1).await.version(), 3);
}

/// Until the commit, nobody else sees the events; the transaction itself goes on from them.
pub async fn events_are_seen_from_the_commit_on(harness: &dyn Harness) {
    let log = harness.log();
    let mut tx = harness.begin().await;
    let first = tx.append(one("order-1", None)).await.expect("it is applied");
    let second = tx.append(one("order-1", Exact(1))).await.expect("it sees its own event");
    assert!(second.position() > first.position());
    assert_eq!(
        failure(tx.append(one("order-1", Exact(1))).await),
        Error::VersionConflict { stream: stream("order-1"), expected: Exact(1), actual: 2 }
    );
    // In memory a reader would wait for the transaction to end.
    if harness.is_shared() {
        assert_eq!(all(log).await, []);
    }
    tx.commit().await;
    assert_eq!(versions(&all(log).await), [1, 2]);
}

/// An append that is refused is the user's to deal with; the transaction goes on.
pub async fn a_refused_append_leaves_the_transaction_usable(harness: &dyn Harness) {
    let log = harness.log();
    harness.execute_raw(ORDERS).await.expect("the user has a table of his own");
    let taken = event(1);
    log.append(&stream("order-1"), None, [taken.clone()]).await.expect("it is applied");
    let before = dump(log).await;
    let mut tx = harness.begin().await;
    tx.execute("insert into orders (id, note) values (1, 'before')").await.expect("it writes");
    let mut other = taken.clone();
    other.data = "2".into();
    for (appends, code) in [
        (one("order-1", None), "version-conflict"),
        (one("order-2", Exact(5)), "version-conflict"),
        (vec![Append::new(stream("order-1"), Any, [other])], "idempotency-conflict"),
        (
            vec![Append::new(stream("order-2"), Any, [NewEvent::from_json("a", 1, "")])],
            "invalid-input",
        ),
        (vec![Append::new(stream("order-2"), Any, events(1_001))], "too-large"),
        (vec![], "invalid-input"),
    ] {
        assert_eq!(failure(tx.append(appends).await).code(), code);
    }
    tx.execute("insert into orders (id, note) values (2, 'after')").await.expect("it goes on");
    tx.commit().await;
    assert_eq!(orders(harness).await, 2);
    assert_eq!(dump(log).await, before);
}

/// A transaction that the driver did not begin is one as well.
pub async fn a_transaction_begun_in_sql_takes_events(harness: &dyn Harness) {
    let log = harness.log();
    for (n, commits) in [false, true].into_iter().enumerate() {
        let mut tx = harness.begin_in_sql().await;
        tx.append(vec![append(&format!("order-{n}"), 2)]).await.expect("it is applied");
        assert_eq!(failure(tx.append(one("order-9", Exact(3))).await).code(), "version-conflict");
        if commits { tx.commit().await } else { tx.rollback().await }
    }
    let events = all(log).await;
    assert_eq!((events.len(), events[0].stream.as_str()), (2, "order-1"));
}

/// The transaction is run anew after its commit was lost in the network.
pub async fn an_append_that_was_committed_is_recognised(harness: &dyn Harness) {
    let log = harness.log();
    let appends = vec![append("order-1", 2), append("order-2", 1)];
    let mut results = Vec::new();
    for _ in 0..2 {
        let mut tx = harness.begin().await;
        results.push(tx.append(appends.clone()).await.expect("it is applied or recognised"));
        tx.commit().await;
    }
    assert_eq!(results[0].streams, results[1].streams);
    assert_eq!((results[0].repeated, results[1].repeated), (false, true));
    assert_eq!(all(log).await.len(), 3);
}

/// A subscriber hears of such events as of any others.
pub async fn a_subscriber_gets_events_of_such_a_transaction(harness: &dyn Harness) {
    let log = harness.log();
    let mut cursor = log.subscribe(headwater::Filter::all(), headwater::Position::START);
    for version in 1..=3 {
        let mut tx = harness.begin().await;
        tx.append(one("order-1", Any)).await.expect("it is applied");
        tx.commit().await;
        let event = crate::within("the event", cursor.next()).await.expect("the log can be read");
        assert_eq!(event.version, version);
    }
}
