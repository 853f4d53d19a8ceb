//! Subscriptions whose places the log keeps: each event at least once, behind what was acknowledged.

use futures_util::future::join_all;
use headwater::{
    Error, Filter, Log, Operator, Position, StoredEvent, Subscription, SubscriptionCheckpoint,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::{Dialect, Harness};
use crate::{
    dropped_at,
    fixtures::{self, all, append_to},
    seed, within,
};

async fn open(log: &Log, name: &str) -> Subscription {
    log.subscription(name, Filter::all(), Position::START).await.expect("it opens")
}

fn positions(events: &[StoredEvent]) -> Vec<Position> {
    fixtures::positions(events).into_iter().map(Position).collect()
}

/// The positions of the next events, and the last of them.
async fn next(subscription: &mut Subscription, limit: usize) -> Vec<Position> {
    let batch = within("the next events", subscription.next_batch(limit)).await;
    positions(&batch.expect("the log can be read").events)
}

/// After a crash, or in another process, those come again that were not acknowledged, and no others.
pub async fn a_subscription_goes_on_behind_what_was_acknowledged(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 5).await;
    let there = positions(&all(log).await);
    let mut first = open(log, "mailer").await;
    assert_eq!(next(&mut first, 2).await, there[..2]);
    first.acknowledge(there[0]).await.expect("it is acknowledged");
    assert_eq!(next(&mut first, 2).await, there[2..4]);
    drop(first);
    let mut second = open(log, "mailer").await;
    assert_eq!(second.checkpoint().position, there[0]);
    assert_eq!(next(&mut second, 10).await, there[1..]);
    second.acknowledge(there[4]).await.expect("it is acknowledged");
    append_to(log, "thing-1", 1).await;
    let mut third = open(log, "mailer").await;
    assert_eq!(next(&mut third, 10).await.len(), 1);
    let mut other = open(log, "another").await;
    assert_eq!(next(&mut other, 10).await.len(), 6, "a name is a place of its own");
}

/// A place moves forward alone, and never past what was read.
pub async fn what_was_acknowledged_stays_so(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 4).await;
    let there = positions(&all(log).await);
    let (mut quick, mut slow) = (open(log, "mailer").await, open(log, "mailer").await);
    assert_eq!(next(&mut quick, 4).await, there);
    assert_eq!(next(&mut slow, 2).await, there[..2], "both get all events");
    quick.acknowledge(there[3]).await.expect("it is acknowledged");
    let earlier = slow.checkpoint().clone();
    slow.acknowledge(there[1]).await.expect("it changes nothing");
    assert_eq!(slow.checkpoint().position, there[3]);
    let undelivered = slow.acknowledge(there[3]).await;
    assert!(matches!(undelivered, Err(Error::InvalidInput(_))), "{undelivered:?}");
    let beyond = log.acknowledge(&earlier, Position(there[3].0 + 1)).await;
    assert!(matches!(beyond, Err(Error::InvalidInput(_))), "{beyond:?}");
    let now = log.subscription_checkpoint("mailer").await.expect("it is there");
    assert_eq!(now.position, there[3]);
}

/// The first time it begins where it is told, and later where it stood.
pub async fn a_subscription_begins_where_it_is_told(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 4).await;
    let there = positions(&all(log).await);
    for start in [there[1], there[0]] {
        let at = log.subscription("late", Filter::all(), start).await.expect("it opens");
        assert_eq!(at.checkpoint().position, there[1]);
    }
    let beyond = log.subscription("beyond", Filter::all(), Position(there[3].0 + 1)).await;
    assert!(matches!(beyond.err(), Some(Error::InvalidInput(_))));
    for name in ["", "a\nb", &"a".repeat(513)] {
        let refused = log.subscription(name, Filter::all(), Position::START).await;
        assert!(matches!(refused.err(), Some(Error::InvalidName { .. })), "{name:?}");
    }
    let opened = (0..8).map(|_| open(log, "at once"));
    join_all(opened).await;
    let names: Vec<_> = log.subscriptions().await.expect("they can be listed");
    let names: Vec<_> = names.iter().map(|at| at.subscription.as_str()).collect();
    assert_eq!(names, ["at once", "late"]);
}

/// What an operator has moved is not moved on by whoever had it open.
pub async fn an_operator_moves_and_removes_a_subscription(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 4).await;
    let there = positions(&all(log).await);
    let mut mailer = open(log, "mailer").await;
    assert_eq!(next(&mut mailer, 4).await, there);
    mailer.acknowledge(there[2]).await.expect("it is acknowledged");
    let operator = Operator::new(log, "ada");
    operator.seek_subscription("mailer", there[0]).await.expect("it is moved");
    let moved = mailer.acknowledge(there[3]).await;
    assert_eq!(moved, Err(Error::SubscriptionMoved { subscription: "mailer".into() }));
    let mut again = open(log, "mailer").await;
    assert_eq!(next(&mut again, 4).await, there[1..]);
    let beyond = operator.seek_subscription("mailer", Position(there[3].0 + 1)).await;
    assert!(matches!(beyond, Err(Error::InvalidInput(_))), "{beyond:?}");
    operator.seek_subscription("mailer", Position::START).await.expect("it is moved");
    operator.remove_subscription("mailer").await.expect("it is removed");
    let (subscription, known) = ("mailer".to_owned(), "none".to_owned());
    let unknown = Err(Error::UnknownSubscription { subscription, known });
    assert_eq!(again.acknowledge(there[3]).await, unknown);
    assert_eq!(operator.remove_subscription("mailer").await, unknown);
    assert_eq!(operator.seek_subscription("mailer", there[0]).await, unknown);
    let sql = "select action, projection, detail, done_by from {all_operations} order by id";
    let acts = log.query(sql, &[]).await.expect("they can be read");
    let acts: Vec<(String, String, Option<String>, String)> = acts
        .iter()
        .map(|row| {
            let word = |column| row.get(column).expect("it is text");
            (word("action"), word("projection"), row.get("detail").expect("text"), word("done_by"))
        })
        .collect();
    let act = |action: &str, detail: String| {
        (action.to_owned(), "mailer".to_owned(), Some(detail), "ada".to_owned())
    };
    let seek = "seek subscription";
    assert_eq!(
        acts,
        [
            act(seek, format!("from position {} to {}", there[2], there[0])),
            act(seek, format!("from position {} to 0", there[0])),
            act("remove subscription", "from position 0".into()),
        ]
    );
}

/// What was opened before a removal moves nobody on who has the name afterwards.
pub async fn a_subscription_that_was_made_anew_is_another_one(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 4).await;
    let there = positions(&all(log).await);
    let mut old = open(log, "mailer").await;
    assert_eq!(next(&mut old, 4).await, there);
    Operator::new(log, "ada").remove_subscription("mailer").await.expect("it is removed");
    let mut new = open(log, "mailer").await;
    let moved = Err(Error::SubscriptionMoved { subscription: "mailer".into() });
    assert_eq!(old.acknowledge(there[3]).await, moved);
    assert_eq!(next(&mut new, 4).await, there);
    new.acknowledge(there[1]).await.expect("it is acknowledged");
    assert_eq!(old.acknowledge(there[3]).await, moved);
    assert_eq!(next(&mut open(log, "mailer").await, 4).await, there[2..]);
}

/// One that waits is told of what an operator does, also where nobody appends.
pub async fn a_subscription_that_waits_learns_that_it_was_moved(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 2).await;
    let mut mailer = open(log, "mailer").await;
    let there = next(&mut mailer, 4).await;
    mailer.acknowledge(there[1]).await.expect("it is acknowledged");
    let operator = Operator::new(log, "ada");
    operator.seek_subscription("mailer", there[0]).await.expect("it is moved");
    let told = async {
        while mailer.next_batch(4).await?.events.is_empty() {}
        Ok(())
    };
    let moved = Err(Error::SubscriptionMoved { subscription: "mailer".into() });
    assert_eq!(within("it is told", told).await, moved);
}

/// Where log and place have gone back together, as from a backup, the place does not show it; what a subscriber
/// knows of both does.
pub async fn a_place_is_moved_on_by_one_who_knows_this_log_alone(harness: &dyn Harness) {
    let (log, store) = (harness.log(), harness.log().store());
    append_to(log, "thing-1", 4).await;
    let events = all(log).await;
    let there = positions(&events);
    let mut mailer = open(log, "mailer").await;
    next(&mut mailer, 4).await;
    mailer.acknowledge(there[1]).await.expect("it is acknowledged");
    let at = mailer.checkpoint().clone();
    let further = SubscriptionCheckpoint { position: there[2], ..at.clone() };
    let beyond = Position(there[3].0 + 1);
    let (last, seen) = (there[3], Some((there[3], events[3].id)));
    for (at, to, seen) in [
        (&further, last, seen),
        (&at, last, Some((last, Uuid::nil()))),
        (&at, last, Some((there[2], events[3].id))),
        (&at, beyond, None),
    ] {
        let moved = store.acknowledge(at, to, seen).await.expect("it can be asked");
        assert_eq!(moved, None, "{at:?} to {to} by {seen:?}");
    }
    let diverged =
        Err(Error::SubscriptionDiverged { subscription: "mailer".into(), position: there[1] });
    assert_eq!(log.acknowledge(&further, last).await, diverged);
    let moved = store.acknowledge(&at, last, seen).await.expect("it can be asked");
    assert_eq!(moved.map(|at| at.position), Some(last));
}

/// With each place stands the event by which its log is known again.
pub async fn a_place_is_kept_with_the_event_at_it(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 4).await;
    let there = positions(&all(log).await);
    let (subscriptions, events) = (harness.table("subscriptions"), harness.table("events"));
    let witness = async || {
        let sql = format!(
            "select e.position from {subscriptions} s join {events} e on e.id = s.event_id and e.position = s.event_position"
        );
        let rows = log.query(&sql, &[]).await.expect("the tables are as expected");
        rows.first().map(|row| row.get::<u64>("position").expect("it is a number")).map(Position)
    };
    let mut mailer = log.subscription("mailer", Filter::all(), there[0]).await.expect("it opens");
    assert_eq!(witness().await, Some(there[0]), "opened");
    next(&mut mailer, 4).await;
    mailer.acknowledge(there[2]).await.expect("it is acknowledged");
    assert_eq!(witness().await, Some(there[2]), "acknowledged");
    Operator::new(log, "ada").seek_subscription("mailer", there[1]).await.expect("it is moved");
    assert_eq!(witness().await, Some(there[1]), "moved");
}

/// Of a log that was restored to an earlier moment nothing is passed over.
pub async fn a_subscription_of_another_log_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 3).await;
    let there = positions(&all(log).await);
    let mut mailer = open(log, "mailer").await;
    next(&mut mailer, 3).await;
    mailer.acknowledge(there[1]).await.expect("it is acknowledged");
    let id = match harness.dialect() {
        Dialect::Postgres => "'00000000-0000-0000-0000-000000000007'",
        Dialect::Sqlite => "x'00000000000000000000000000000007'",
    };
    let subscriptions = harness.table("subscriptions");
    for column in ["event_id", "incarnation"] {
        let sql = format!("update {subscriptions} set {column} = {id}");
        harness.execute_raw(&sql).await.expect("the table is as expected");
        let diverged =
            Error::SubscriptionDiverged { subscription: "mailer".into(), position: there[1] };
        assert_eq!(mailer.acknowledge(there[2]).await.as_ref(), Err(&diverged), "{column}");
        let opened = log.subscription("mailer", Filter::all(), Position::START).await;
        assert_eq!(opened.err(), Some(diverged), "{column}");
        let operator = Operator::new(log, "ada");
        operator.seek_subscription("mailer", there[1]).await.expect("it is moved");
        mailer = open(log, "mailer").await;
        assert_eq!(next(&mut mailer, 3).await, there[2..]);
    }
}

/// One that is dropped wherever it waits, again and again, has handled each event, in order, when it is through.
pub async fn dropped_subscribers_miss_nothing(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 40).await;
    let there = positions(&all(log).await);
    let mut rng = StdRng::seed_from_u64(seed("dropped_subscribers_miss_nothing"));
    let mut handled = Vec::new();
    while handled.last() != there.last() {
        let life = async {
            let mut subscription = open(log, "mailer").await;
            let acknowledged = subscription.checkpoint().position;
            // What was handled and not acknowledged comes again, and nothing is left out.
            handled.retain(|position| *position <= acknowledged);
            assert_eq!(handled, there[..handled.len()]);
            assert!(handled.last().is_none_or(|last| *last == acknowledged));
            while handled.last() != there.last() {
                let batch = subscription.next_batch(3).await.expect("the log can be read");
                handled.extend(positions(&batch.events));
                subscription.acknowledge(batch.position).await.expect("it is acknowledged");
            }
        };
        dropped_at(rng.random_range(1..30), life).await;
    }
    assert_eq!(handled, there);
}
