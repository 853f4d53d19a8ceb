//! Optimistic concurrency in rounds: of 32 writers who believe the same, exactly one is right.

use std::sync::Arc;

use headwater::{Error, ExpectedVersion::Exact, Log};
use headwater_testkit::{
    conformance::{self, Harness, Postgres, SqliteFile, SqliteMemory},
    fixtures::{collect, event, stream, versions},
    scale,
};
use tokio::sync::Barrier;

const WRITERS: u64 = 32;

/// One try, begun at the same moment as all others.
async fn rival(log: Log, start: Arc<Barrier>, round: u64, writer: u64) -> Result<u64, Error> {
    start.wait().await;
    let appended = log.append(&stream("thing-1"), Exact(round), [event(writer)]).await;
    appended.map(|appended| appended.version())
}

async fn rounds(harness: &dyn Harness) {
    let log = harness.log();
    let count = u64::from(20 * scale());
    for round in 0..count {
        let start = Arc::new(Barrier::new(32));
        let rivals = (0..WRITERS).map(|n| rival(log.clone(), start.clone(), round, n));
        let tasks: Vec<_> = rivals.map(tokio::spawn).collect();
        let mut won = 0;
        for task in tasks {
            match task.await.expect("no writer panics") {
                Ok(version) => {
                    assert_eq!(version, round + 1);
                    won += 1;
                }
                Err(Error::VersionConflict { actual, .. }) => assert_eq!(actual, round + 1),
                Err(other) => panic!("round {round}: {other}"),
            }
        }
        assert_eq!(won, 1, "round {round} has {won} winners");
    }
    let read = collect(log.read_stream(&stream("thing-1"), 1)).await;
    assert_eq!(versions(&read), (1..=count).collect::<Vec<_>>());
    println!("{count} rounds of {WRITERS} writers, one winner in each");
}

#[test]
fn of_thirty_two_writers_in_postgres_exactly_one_wins_each_round() {
    conformance::run(async || Postgres::fresh().await, rounds);
}

#[test]
fn of_thirty_two_writers_in_a_file_exactly_one_wins_each_round() {
    conformance::run(async || SqliteFile::fresh().await, rounds);
}

#[test]
fn of_thirty_two_writers_in_memory_exactly_one_wins_each_round() {
    conformance::run(async || SqliteMemory::fresh().await, rounds);
}
