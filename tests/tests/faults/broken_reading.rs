//! A reading that the server breaks off while its reader holds events that he has not got yet.

use headwater::{Append, ExpectedVersion::Any, Filter, NewEvent, Position, connect};
use headwater_testkit::{
    dropped_at,
    fixtures::{all, positions, stream},
    postgres::{self, direct},
    within,
};
use sqlx::Executor as _;

/// More than the buffers between server and reader take, so that a reading is under way for long.
const EVENTS: u64 = 64;
const BYTES: usize = 512 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_whose_reading_breaks_off_yields_each_event_once() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    let data = serde_json::to_string(&"x".repeat(BYTES)).unwrap();
    for n in 0..EVENTS {
        let event = NewEvent::from_json("thing.happened", 1, &data);
        let append = Append::new(stream(&format!("thing-{n}")), Any, [event]);
        log.append_all([append]).await.unwrap();
    }
    let expected = positions(&all(&log).await);
    let mut operator = direct(database.url()).await;
    let mut broken = 0;
    // Where a reading stands after so many wakes is the machine's affair: again, until one was broken off.
    for wakes in (1..12).cycle().take(110) {
        if wakes == 1 && broken > 0 {
            break;
        }
        let mut cursor = log.subscribe(Filter::all(), Position::START);
        if dropped_at(wakes, cursor.available(1_000)).await.is_some() {
            continue;
        }
        let others = "select pg_terminate_backend(pid) from pg_stat_activity
                      where datname = current_database() and pid <> pg_backend_pid()";
        operator.execute(others).await.unwrap();
        let mut seen = Vec::new();
        while seen.last() < expected.last() {
            match within("the rest", cursor.next_batch(1_000)).await {
                Ok(batch) => seen.extend(positions(&batch.events)),
                Err(_) => broken += 1,
            }
        }
        assert!(seen == expected, "after {wakes} wakes: {seen:?}");
    }
    assert!(broken > 0, "no reading broke off");
    log.close().await;
}
