//! The readable ceiling in PostgreSQL: what holds it, and what does not. The races are steered: one
//! connection holds its commit until the other has been looked at.

use futures_util::TryStreamExt as _;
use headwater::{
    Append, Error,
    ExpectedVersion::{Any, None as NoStream},
    Filter, Log, Position,
};
use headwater_testkit::{
    eventually,
    fixtures::{append, append_to, event, events, failure, positions, stream},
    postgres::database,
    within,
};

use crate::place::{Open, Place};

/// What a reader gets now, asked again and again: a ceiling that is held stays where it is.
async fn readable(log: &Log) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..20 {
        let events = headwater_testkit::fixtures::all(log).await;
        names = events.iter().map(|event| event.stream.to_string()).collect();
        tokio::task::yield_now().await;
    }
    names
}

/// The next events of a subscription, by their streams.
async fn next(cursor: &mut headwater::Cursor, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        let event = within("the next event", cursor.next()).await.expect("the log can be read");
        names.push(event.stream.to_string());
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_does_not_pass_an_uncommitted_lower_position() {
    let place = Place::fresh().await;
    let mut cursor = place.log.subscribe(Filter::all(), Position::START);
    for commits in [true, false] {
        let before = readable(&place.log).await;
        let mut late = Open::begin(&place).await;
        let low = late.append(append("late-1", 1)).await.position();
        let high = append_to(&place.log, "soon-1", 1).await.position();
        assert!(low < high, "the late one drew its position first");
        assert_eq!(readable(&place.log).await, before, "nothing passes the uncommitted position");
        let batch = cursor.available(10).await.expect("the log can be read");
        assert!(batch.is_none_or(|batch| batch.events.is_empty()), "nor does a subscription");
        let ceiling = place.log.ceiling().await.expect("the log tells its ceiling");
        assert!(ceiling.position < low && ceiling.unsettled, "{ceiling:?}");
        if commits {
            late.commit().await;
            assert_eq!(next(&mut cursor, 2).await, ["late-1", "soon-1"]);
        } else {
            late.rollback().await;
            assert_eq!(next(&mut cursor, 1).await, ["soon-1"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_late_transactions_come_in_the_order_of_their_positions() {
    let place = Place::fresh().await;
    let mut cursor = place.log.subscribe(Filter::all(), Position::START);
    let mut open = Vec::new();
    for n in 0..3 {
        let mut late = Open::begin(&place).await;
        late.append(append(&format!("late-{n}"), 1)).await;
        append_to(&place.log, &format!("soon-{n}"), 1).await;
        open.push(late);
    }
    // The last one first: what it wrote waits for those below it.
    open.pop().expect("three are open").commit().await;
    assert_eq!(readable(&place.log).await, [""; 0]);
    open.remove(0).commit().await;
    // The store need not know yet that the one still open lies above these two.
    let below = readable(&place.log).await;
    assert!(
        ["late-0", "soon-0"].map(str::to_owned).starts_with(&below),
        "{below:?} passes the one still open"
    );
    open.remove(0).rollback().await;
    let expected = ["late-0", "soon-0", "soon-1", "late-2", "soon-2"];
    assert_eq!(next(&mut cursor, 5).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_has_not_appended_yet_holds_nothing() {
    let place = Place::fresh().await;
    let mut late = Open::begin(&place).await;
    late.execute("select 1").await;
    let soon = append_to(&place.log, "soon-1", 1).await.position();
    assert!(place.log.ceiling().await.expect("the log tells its ceiling").position >= soon);
    assert!(late.append(append("late-1", 1)).await.position() > soon, "it draws above");
    late.commit().await;
}

/// A look that stands still between its two steps, before it has read the second. What commits in
/// between lies above what it read first, and so it must not matter that it sees no writer.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_reads_the_highest_position_before_it_looks_for_writers() {
    let place = Place::direct().await;
    append_to(&place.log, "soon-1", 1).await;
    let mut gate = Open::begin(&place).await;
    gate.execute(
        "create schema steered;
         create function steered.stop() returns setof pg_catalog.pg_locks language plpgsql as $$
         begin perform pg_advisory_xact_lock_shared(1); end $$;
         create view steered.pg_locks as
         select * from pg_catalog.pg_locks union all select * from steered.stop()",
    )
    .await;
    gate.look_first_in("steered").await;
    gate.execute("commit; begin; select pg_advisory_xact_lock(1)").await;
    // Opened now, its connections look for writers in the view that stands still behind its rows.
    let other = place.in_schema("headwater").await;
    let look = tokio::spawn(async move { other.log.ceiling().await });
    let stopped = "exists (select from pg_catalog.pg_locks l
                   join pg_catalog.pg_database d on d.oid = l.database
                   where d.datname = current_database()
                     and l.locktype = 'advisory' and not l.granted)";
    eventually("the look has seen who writes", || place.holds(stopped)).await;
    let mut late = Open::begin(&place).await;
    let low = late.append(append("late-1", 1)).await.position();
    append_to(&place.log, "soon-1", 1).await;
    gate.commit().await;
    let ceiling = within("the look", look).await.expect("it does not panic");
    let ceiling = ceiling.expect("the log tells its ceiling").position;
    assert!(ceiling < low, "{ceiling} passes the uncommitted {low}");
    late.rollback().await;
}

/// Its first look must not say that the log is empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_beside_a_late_transaction_reads_what_was_settled_before() {
    let place = Place::fresh().await;
    append_to(&place.log, "soon-1", 1).await;
    assert_eq!(readable(&place.log).await, ["soon-1"]);
    let mut late = Open::begin(&place).await;
    let published = "exists (select from headwater.settled where position > 0)";
    eventually("what is settled is published", || place.holds(published)).await;
    late.append(append("late-1", 1)).await;
    let above = event(1);
    let id = above.id;
    place.log.append(&stream("soon-2"), Any, [above]).await.expect("it is applied");
    let starter = place.in_schema("headwater").await;
    assert_eq!(readable(&starter.log).await, ["soon-1"]);
    let above = starter.log.event(id).await.expect("the log can be read");
    assert!(above.is_some(), "what was acknowledged can be looked up by its id");
    late.commit().await;
}

/// A look brings what is new along: nothing of it may lie above the ceiling.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_nothing_from_above_the_ceiling() {
    let place = Place::fresh().await;
    append_to(&place.log, "soon-0", 1).await;
    let (mut cursor, mut seen) = (place.log.subscribe(Filter::all(), Position::START), Vec::new());
    let mut take = async || {
        while let Some(batch) = cursor.available(100).await.expect("the log can be read") {
            seen.extend(batch.events.iter().map(|event| event.position));
        }
        seen.clone()
    };
    take().await;
    let mut late = Open::begin(&place).await;
    for round in 1..=10 {
        // The ceiling rises to what is visible here, while the next one is open already.
        late.append(append(&format!("late-{round}"), 1)).await;
        append_to(&place.log, &format!("soon-{round}"), 1).await;
        take().await;
        let mut next = Open::begin(&place).await;
        next.append(append(&format!("next-{round}"), 1)).await;
        append_to(&place.log, &format!("soon-{round}"), 1).await;
        late.commit().await;
        take().await;
        next.commit().await;
        late = Open::begin(&place).await;
    }
    late.rollback().await;
    let seen = take().await;
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert_eq!(seen.len(), 41);
}

/// Nobody has published anything, and somebody is always writing.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_beside_busy_writers_waits_for_those_it_finds() {
    let place = Place::fresh().await;
    let first = append_to(&place.log, "soon-1", 1).await.position();
    let mut late = Open::begin(&place).await;
    late.append(append("late-1", 1)).await;
    let starter = place.in_schema("headwater").await;
    let look = tokio::spawn(async move { starter.log.ceiling().await });
    let looked = "exists (select from pg_stat_activity where datname = current_database()
                  and query like 'select * from%newest(%')";
    eventually("it has looked once", || place.holds(looked)).await;
    let mut next = Open::begin(&place).await;
    next.append(append("late-2", 1)).await;
    late.commit().await;
    let ceiling = within("the look", look).await.expect("it does not panic");
    let ceiling = ceiling.expect("the log tells its ceiling").position;
    assert!(ceiling >= first, "{first} was acknowledged before, and the ceiling is {ceiling}");
    next.rollback().await;
}

/// What was learnt before is no longer so: the log behind the same address is shorter.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_that_lost_events_nothing_passes_an_uncommitted_position() {
    let place = Place::fresh().await;
    let last = append_to(&place.log, "soon-1", 9).await.position();
    assert!(place.log.ceiling().await.expect("the log tells its ceiling").position >= last);
    let published = "(select position from headwater.settled) >= 9";
    eventually("what is settled is published", || place.holds(published)).await;
    let mut operator = Open::begin(&place).await;
    operator
        .execute(
            "alter table headwater.events disable trigger append_only;
             delete from headwater.events where position > 2;
             update headwater.streams set version = 2;
             update headwater.settled set position = 2;
             alter table headwater.events alter position restart with 3",
        )
        .await;
    operator.commit().await;
    let mut late = Open::begin(&place).await;
    let low = late.append(append("late-1", 1)).await.position();
    let high = append_to(&place.log, "soon-2", 1).await.position();
    assert!(low < high && high < last);
    for _ in 0..5 {
        let ceiling = place.log.ceiling().await.expect("the log tells its ceiling").position;
        assert!(ceiling < low, "{ceiling} passes the uncommitted {low}");
    }
    late.rollback().await;
    assert_eq!(readable(&place.log).await, ["soon-1", "soon-1", "soon-2"]);
}

/// It does not show the writers of its primary.
#[tokio::test]
async fn a_standby_does_not_tell_the_ceiling() {
    let place = Place::direct().await;
    append_to(&place.log, "soon-1", 1).await;
    let mut operator = Open::begin(&place).await;
    operator
        .execute(
            "create schema steered;
             create function steered.pg_is_in_recovery() returns boolean
             language sql as 'select true'",
        )
        .await;
    operator.look_first_in("steered").await;
    operator.commit().await;
    let standby = place.in_schema("headwater").await;
    let refused = failure(standby.log.ceiling().await);
    assert!(matches!(&refused, Error::Database { code, .. } if code == "25006"), "{refused:?}");
    assert_eq!(failure(standby.log.read(Filter::all(), Position::START).try_next().await), refused);
}

/// Appends, and demands that a reader gets the event at once.
async fn nothing_holds_the_ceiling(log: &Log, what: &str) {
    let position = append_to(log, "soon-1", 1).await.position();
    let ceiling = log.ceiling().await.expect("the log tells its ceiling");
    assert!(ceiling.position >= position && !ceiling.unsettled, "{what} holds {ceiling:?}");
    let last = positions(&headwater_testkit::fixtures::all(log).await).pop();
    assert_eq!(last, Some(position.0), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_only_reads_does_not_hold_the_ceiling() {
    let place = Place::fresh().await;
    append_to(&place.log, "soon-1", 1).await;
    let mut reader = Open::begin(&place).await;
    reader.execute("set transaction isolation level serializable").await;
    reader.execute("select count(*) from headwater.events").await;
    reader.execute("select * from headwater.events for share").await;
    nothing_holds_the_ceiling(&place.log, "a reader").await;
    reader.rollback().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_writes_elsewhere_does_not_hold_the_ceiling() {
    let place = Place::fresh().await;
    let other = database().await;
    let table = "create table orders (id bigint); insert into orders values (1)";
    let mut same_database = Open::begin(&place).await;
    same_database.execute(table).await;
    let mut other_database = Open::begin_at(other.url(), &place).await;
    other_database.execute(table).await;
    other_database.execute("select pg_current_xact_id()").await;
    nothing_holds_the_ceiling(&place.log, "a writer elsewhere").await;
    same_database.rollback().await;
    other_database.rollback().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_in_the_same_database_does_not_hold_the_ceiling() {
    let place = Place::fresh().await;
    let other = place.in_schema("other").await;
    let mut late = Open::begin(&other).await;
    late.append(append("late-1", 1)).await;
    nothing_holds_the_ceiling(&place.log, "another log").await;
    late.rollback().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_of_a_million_positions_delays_nobody() {
    let place = Place::fresh().await;
    let mut cursor = place.log.subscribe(Filter::all(), Position::START);
    let before = append_to(&place.log, "soon-1", 1).await.position();
    place.draw_positions(1_000_000).await;
    nothing_holds_the_ceiling(&place.log, "a hole").await;
    let ceiling = place.log.ceiling().await.expect("the log tells its ceiling").position;
    assert!(ceiling.0 > before.0 + 1_000_000);
    assert_eq!(next(&mut cursor, 2).await, ["soon-1", "soon-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_transaction_makes_writers_of_its_stream_wait_and_no_others() {
    let place = Place::fresh().await;
    let mut late = Open::begin(&place).await;
    late.append(append("late-1", 1)).await;
    let (log, stream_name) = (place.log.clone(), stream("late-1"));
    let waiting = tokio::spawn(async move { log.append(&stream_name, NoStream, [event(1)]).await });
    for n in 0..50 {
        let name = format!("soon-{n}");
        within("others go on", append_to(&place.log, &name, 1)).await;
    }
    assert!(!waiting.is_finished(), "its version is not known before the late one ends");
    late.rollback().await;
    let appended = within("the one who waited", waiting).await.expect("it does not panic");
    assert_eq!(appended.map(|appended| appended.version()), Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_holds_nothing() {
    let place = Place::fresh().await;
    let mut late = Open::begin(&place).await;
    late.append(Append::new(stream("late-1"), Any, events(3))).await;
    append_to(&place.log, "soon-1", 1).await;
    assert_eq!(readable(&place.log).await, [""; 0]);
    drop(late);
    let mut cursor = place.log.subscribe(Filter::all(), Position::START);
    assert_eq!(next(&mut cursor, 1).await, ["soon-1"]);
}
