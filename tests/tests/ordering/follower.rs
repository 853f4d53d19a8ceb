//! A follower among 32 writers who commit late, roll back and leave holes: it gets every committed
//! event once and in order. A reader by the highest position, beside it, does not.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use headwater::{Filter, Position};
use headwater_testkit::{
    fixtures::{append, events, stream},
    postgres::{database, direct},
    scale, seed, within,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sqlx::Row as _;
use tokio::sync::watch;
use uuid::Uuid;

use crate::place::{Open, Place};

const WRITERS: u64 = 32;

/// What the writers know: the positions and ids of events that were committed.
type Committed = Arc<Mutex<BTreeSet<(u64, Uuid)>>>;

#[derive(Clone, Copy)]
enum Plan {
    /// Through the log.
    AtOnce,
    /// In a transaction of the user's, held open for a while.
    Late(Duration),
    /// The same, and rolled back.
    RolledBack(Duration),
}

fn draw(rng: &mut StdRng) -> Plan {
    let pause = if rng.random_bool(0.01) { 1_300 } else { rng.random_range(0..60) };
    let pause = Duration::from_millis(pause);
    match rng.random_range(0..10) {
        0..4 => Plan::AtOnce,
        4 => Plan::RolledBack(pause),
        _ => Plan::Late(pause),
    }
}

async fn writer(place: Arc<Place>, committed: Committed, n: u64, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed ^ n);
    let mut connection = Open::begin(&place).await;
    connection.execute("commit").await;
    for _ in 0..40 * scale() {
        // A stream of its own mostly, since a late one holds up all writers of its stream.
        let shared = rng.random_bool(0.05);
        let name = if shared { "shared-1".to_owned() } else { format!("thing-{n}") };
        let append = append(&name, rng.random_range(1..4));
        let ids: Vec<_> = append.events.iter().map(|event| event.id).collect();
        let appended = match draw(&mut rng) {
            Plan::AtOnce => place.log.append_all([append]).await.expect("it is applied"),
            Plan::Late(pause) => {
                connection.execute("begin").await;
                let appended = connection.append(append).await;
                tokio::time::sleep(pause).await;
                connection.execute("commit").await;
                appended
            }
            Plan::RolledBack(pause) => {
                connection.execute("begin").await;
                connection.append(append).await;
                tokio::time::sleep(pause).await;
                connection.execute("rollback").await;
                continue;
            }
        };
        let positions = appended.streams[0].positions.iter().map(|position| position.0);
        committed.lock().expect("no writer panics in here").extend(positions.zip(ids));
    }
}

/// Follows the log until `until` is reached, which may be set when everything has been read already.
async fn follower(place: Arc<Place>, mut until: watch::Receiver<u64>) -> Vec<(u64, Uuid)> {
    let mut cursor = place.log.subscribe(Filter::all(), Position::START);
    let mut read = Vec::new();
    while cursor.position().0 < *until.borrow_and_update() {
        let batch = tokio::select! {
            batch = within("the follower gets on", cursor.next_batch(500)) => batch,
            _ = until.changed() => continue,
        };
        let events = batch.expect("the log can be followed").events;
        read.extend(events.into_iter().map(|event| (event.position.0, event.id)));
    }
    read
}

/// What one would write first: everything above the highest position seen.
async fn naive(place: Arc<Place>, until: watch::Receiver<u64>) -> BTreeSet<(u64, Uuid)> {
    let mut connection = direct(&place.url).await;
    let (mut read, mut last) = (BTreeSet::new(), 0_i64);
    while u64::try_from(last).is_ok_and(|last| last < *until.borrow()) {
        let sql = "select position, id from headwater.events where position > $1 order by position";
        let rows = sqlx::query(sql).bind(last).fetch_all(&mut connection).await;
        for row in rows.expect("events can be read") {
            last = row.get(0);
            read.insert((u64::try_from(last).expect("positions are positive"), row.get(1)));
        }
        tokio::task::yield_now().await;
    }
    read
}

/// One run; yields how many events there were and how many the naive reader missed.
async fn run(seed: u64) -> (usize, usize) {
    let place = Arc::new(Place::fresh().await);
    let other = database().await;
    let mut idle = Open::begin_at(other.url(), &place).await;
    idle.execute("create table elsewhere (id bigint); insert into elsewhere values (1)").await;
    let committed = Committed::default();
    let (reached, until) = watch::channel(u64::MAX);
    let follower = tokio::spawn(follower(place.clone(), until.clone()));
    let naive = tokio::spawn(naive(place.clone(), until));
    let writers =
        (0..WRITERS).map(|n| tokio::spawn(writer(place.clone(), committed.clone(), n, seed)));
    let hole = place.draw_positions(1_000_000);
    let (written, ()) = futures_util::future::join(join_all(writers), hole).await;
    for ended in written {
        ended.expect("no writer panics");
    }
    let last =
        place.log.append(&stream("last-1"), headwater::ExpectedVersion::None, events(1)).await;
    let last = last.expect("it is applied").position().0;
    reached.send(last).expect("the readers go on");
    let read = within("the follower ends", follower).await.expect("it does not panic");
    let naively = within("the naive reader ends", naive).await.expect("it does not panic");
    idle.rollback().await;

    assert!(read.is_sorted_by(|a, b| a.0 < b.0), "the follower went back or got an event twice");
    let committed = committed.lock().expect("no writer panics in here").clone();
    let read: BTreeSet<_> = read.into_iter().filter(|(position, _)| *position < last).collect();
    let missed = committed.difference(&read).count();
    let invented = read.difference(&committed).count();
    assert_eq!((missed, invented), (0, 0), "of {} events", committed.len());
    (committed.len(), committed.difference(&naively).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_gets_every_committed_event_once_and_in_order() {
    let seed = seed("a_follower_gets_every_committed_event_once_and_in_order");
    let mut missed_naively = 0;
    for attempt in 0..4 {
        let (events, missed) = run(seed ^ attempt).await;
        println!("{events} events: the follower missed 0, a naive reader missed {missed}");
        missed_naively += missed;
        if missed_naively > 0 {
            return;
        }
    }
    panic!("a naive reader missed nothing in four runs: this test does not try hard enough");
}
