//! Group commit on PostgreSQL: appends that wait share a transaction, and nothing else.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::{join, join_all};
use headwater::{
    Append, Appended, Error,
    ExpectedVersion::{self, Any, Exact, None as NoStream},
    Log, Result, Settings,
    postgres::PostgresStore,
};
use headwater_testkit::{
    eventually,
    fixtures::{all, append_to, event, stream},
    within,
};

use crate::place::{Open, Place};

fn one(name: &str, expected: ExpectedVersion) -> Append {
    Append::new(stream(name), expected, [event(1)])
}

/// Sends appends while all connections for appends are busy, so that they go out together.
async fn in_one_group(place: &Place, appends: Vec<Vec<Append>>) -> Vec<Result<Appended>> {
    let mut operator = Open::begin(place).await;
    operator.execute("lock table headwater.events in share mode").await;
    let mut first = Vec::new();
    for waiting in 1..=2 {
        // To streams of their own: neither waits for the other.
        let (log, name) = (place.log.clone(), format!("first-{waiting}"));
        first.push(tokio::spawn(async move { log.append_all([one(&name, Any)]).await }));
        let condition = format!(
            "count(*) = {waiting} from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'"
        );
        eventually("a connection for appends is busy", || place.holds(&condition)).await;
    }
    // Each is in the queue once it was polled.
    let sent = join_all(appends.into_iter().map(|appends| place.log.append_all(appends)));
    let (outcomes, ()) = within("a group", join(sent, operator.rollback())).await;
    for first in join_all(first).await {
        first.expect("it does not panic").expect("it is applied");
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn each_append_of_a_group_has_its_own_outcome() {
    let place = Place::fresh().await;
    let (known, other) = (Append::new(stream("known-1"), Any, [event(7)]), event(8));
    let known_at = place.log.append_all([known.clone()]).await.expect("it is applied");
    let taken = Append::new(stream("known-2"), Any, [other.clone()]);
    place.log.append_all([taken]).await.expect("it is applied");
    let taken = Append::new(stream("known-2"), Any, [event(9).id(other.id)]);
    let conflict = |name, expected, actual| {
        Err(Error::VersionConflict { stream: stream(name), expected, actual })
    };
    let (group, expected): (Vec<_>, Vec<Result<Vec<u64>>>) = [
        (vec![one("hot-1", Any)], Ok(vec![1])),
        (vec![one("hot-1", Any)], Ok(vec![2])),
        (vec![Append::new(stream("hot-1"), Exact(2), [event(1), event(2)])], Ok(vec![4])),
        (vec![one("hot-1", Exact(2))], conflict("hot-1", Exact(2), 4)),
        (vec![one("new-1", NoStream)], Ok(vec![1])),
        (vec![one("new-1", NoStream)], conflict("new-1", NoStream, 1)),
        (vec![known], Ok(vec![1])),
        (vec![taken], Err(Error::IdempotencyConflict { event_id: other.id })),
        (vec![one("new-2", NoStream), one("hot-1", Exact(9))], conflict("hot-1", Exact(9), 4)),
        (vec![one("new-3", NoStream), one("hot-1", Exact(4))], Ok(vec![1, 5])),
        (vec![one("none-1", Exact(3))], conflict("none-1", Exact(3), 0)),
    ]
    .into_iter()
    .unzip();
    let outcomes = in_one_group(&place, group).await;
    let versions = |appended: &Appended| appended.streams.iter().map(|s| s.version).collect();
    let found: Vec<_> =
        outcomes.iter().map(|o| o.as_ref().map(versions).map_err(Error::clone)).collect();
    assert_eq!(found, expected);
    assert_eq!(outcomes[6], Ok(Appended { repeated: true, ..known_at }));
    let applied = outcomes.iter().flatten().filter(|appended| !appended.repeated);
    let positions: Vec<_> =
        applied.flat_map(|a| a.streams.iter().flat_map(|s| s.positions.clone())).collect();
    assert!(
        positions.is_sorted_by(|a, b| a < b),
        "{positions:?} are not in the order of the queue"
    );
    let names: Vec<_> =
        all(&place.log).await.iter().map(|event| event.stream.to_string()).collect();
    let hot = names.iter().filter(|name| *name == "hot-1").count();
    assert_eq!((names.len(), hot), (2 + 5 + 2 + 2, 5), "{names:?}");
    assert_eq!(place.log.stream_info(&stream("new-2")).await, Ok(None));
    let together = "count(distinct xmin::text) = 1 from headwater.events
                    where stream in ('hot-1', 'new-1', 'new-3')";
    place.holds(together).await.expect("they were written by one transaction");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_takes_no_other_append_with_it() {
    let place = Place::fresh().await;
    append_to(&place.log, "thing-1", 1).await;
    let mut operator = Open::begin(&place).await;
    operator
        .execute(
            "create function refuse() returns trigger language plpgsql as $$
             begin raise exception 'refused on purpose'; end $$;
             create trigger refuse before insert on headwater.events
             for each row when (new.stream like 'bad-%') execute function refuse()",
        )
        .await;
    operator.commit().await;
    let names = ["good-1", "bad-1", "good-2", "good-3", "bad-2", "good-1"];
    let group = names.map(|name| vec![one(name, Any)]).to_vec();
    let outcomes = in_one_group(&place, group).await;
    for (name, outcome) in names.iter().zip(&outcomes) {
        let refused = matches!(outcome, Err(Error::Database { code, .. }) if code == "P0001");
        assert_eq!(refused, name.starts_with("bad"), "{name}: {outcome:?}");
        assert!(refused || outcome.is_ok(), "{name}: {outcome:?}");
    }
    let good = all(&place.log).await;
    assert_eq!(good.iter().filter(|event| event.stream.category() == "good").count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_transactions_hold_hold_up_no_others() {
    let place = Place::fresh().await;
    append_to(&place.log, "held-1", 1).await;
    // One more than there are connections for appends: of a stream that is there, and of new ones.
    let names = ["held-1", "held-2", "held-3"];
    let mut holders = Vec::new();
    for name in names {
        let mut holder = Open::begin(&place).await;
        holder.append(one(name, Any)).await;
        holders.push(holder);
    }
    let send = |appends: Vec<Append>| {
        let log = place.log.clone();
        tokio::spawn(async move { log.append_all(appends).await })
    };
    let mut waiting = Vec::new();
    for name in names {
        waiting.push(send(vec![one(name, Any)]));
        waiting.push(send(vec![one(name, Any), one("with-1", Any)]));
    }
    for n in 0..100 {
        within("others go on", append_to(&place.log, &format!("other-{n}"), 1)).await;
        append_to(&place.log, "with-1", 1).await;
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "their streams are held");
    let [first, second, third]: [Open; 3] = holders.try_into().ok().expect("three");
    first.commit().await;
    second.rollback().await;
    third.commit().await;
    let outcomes = within("those who waited", join_all(waiting)).await;
    let versions = outcomes.into_iter().map(|outcome| outcome.unwrap().unwrap().streams[0].version);
    let versions: BTreeSet<_> = versions
        .zip([1, 1, 2, 2, 3, 3].map(|n| format!("held-{n}")))
        .map(|(version, name)| (name, version))
        .collect();
    let expected = [(1, 3), (1, 4), (2, 1), (2, 2), (3, 2), (3, 3)];
    assert_eq!(versions, expected.map(|(n, version)| (format!("held-{n}"), version)).into());
    append_to(&place.log, "held-2", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_to_a_stream_that_is_held_too_long_is_refused_and_changes_nothing() {
    let place = Place::fresh().await;
    let settings = Settings { statement_timeout: Duration::from_secs(2), ..Settings::default() };
    let impatient = PostgresStore::connect(&place.url, settings).await.expect("the log opens");
    let log = Log::new(impatient);
    let mut holder = Open::begin(&place).await;
    holder.append(one("held-1", Any)).await;
    let refused = within("an answer", log.append_all([one("held-1", Any)])).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    holder.rollback().await;
    append_to(&log, "held-1", 1).await;
    assert_eq!(all(&log).await.len(), 1);
}
