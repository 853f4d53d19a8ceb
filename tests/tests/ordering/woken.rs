//! Hints between processes: a subscriber elsewhere does not wait for its poll.

use std::time::{Duration, Instant};

use futures_util::future::join;
use headwater::{Append, ExpectedVersion::Any, Filter, Position};
use headwater_testkit::{
    fixtures::{append_to, event, stream},
    within,
};

use crate::place::{Open, Place};

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_in_another_process_is_woken_at_once() {
    let place = Place::direct().await;
    let other = place.again().await;
    let mut cursor = other.log.subscribe(Filter::all(), Position::START);
    let mut delays = Vec::new();
    // The first few may come before the listener listens.
    for version in 1..=12 {
        let write = async {
            // The subscriber is to be asleep by then; nothing depends on it.
            tokio::time::sleep(Duration::from_millis(60)).await;
            append_to(&place.log, "thing-1", 1).await;
            Instant::now()
        };
        let event = async { (cursor.next().await, Instant::now()) };
        let ((event, woken), written) = within("the next event", join(event, write)).await;
        assert_eq!(event.expect("the log can be read").version, version);
        delays.push(woken.saturating_duration_since(written));
    }
    delays.sort_unstable();
    assert!(delays[6] < Duration::from_millis(300), "the median of {delays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_does_not_sleep_while_writers_below_the_ceiling_are_under_way() {
    let place = Place::fresh().await;
    let mut cursor = place.log.subscribe(Filter::all(), Position::START);
    let mut waited = Duration::ZERO;
    for version in 1..=5 {
        let mut late = Open::begin(&place).await;
        late.append(Append::new(stream("late-1"), Any, [event(version)])).await;
        append_to(&place.log, "thing-1", 1).await;
        // Nothing tells of this commit.
        let commit = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            late.execute("commit").await;
        };
        let read = async {
            for _ in 0..2 {
                within("the next event", cursor.next()).await.expect("the log can be read");
            }
        };
        let begun = Instant::now();
        join(read, commit).await;
        waited += begun.elapsed();
    }
    assert!(waited < Duration::from_secs(4), "it took {waited:?}");
}
