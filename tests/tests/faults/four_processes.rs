//! Four processes on one database, each with its own group commit.

use std::collections::HashSet;

use futures_util::future::join_all;
use headwater::{Error, ExpectedVersion::Exact, Log, connect};
use headwater_testkit::{
    fixtures::{collect, event, stream, versions},
    postgres::{self, direct},
    scale, within,
};
use sqlx::Executor as _;
use uuid::Uuid;

use crate::{
    audit::{Audit, app},
    child::{self, Child},
    follower::Follower,
};

const PROCESSES: usize = 4;
const WRITERS: u64 = 8;

/// In a process of its own: eight writers who believe the same, again and again. In the tests' own
/// process: the same for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_races() {
    let Some(url) = child::database() else {
        let log = connect("sqlite::memory:").await.unwrap();
        assert_eq!(race(&log, 10).await, 10);
        return;
    };
    let log = connect(&url).await.unwrap();
    println!("won {}", race(&log, rounds()).await);
    log.close().await;
}

fn rounds() -> u64 {
    50 * u64::from(scale())
}

/// How many events the writers have appended.
async fn race(log: &Log, rounds: u64) -> u64 {
    let name = stream("thing-1");
    let mut won = 0;
    for _ in 0..rounds {
        let version = log.stream_info(&name).await.unwrap().map_or(0, |info| info.version);
        let rivals = (0..WRITERS).map(|writer| log.append(&name, Exact(version), [event(writer)]));
        for appended in join_all(rivals).await {
            match appended {
                Ok(appended) => {
                    assert_eq!(appended.version(), version + 1);
                    won += 1;
                }
                Err(Error::VersionConflict { actual, .. }) => assert!(actual > version),
                Err(other) => panic!("{other}"),
            }
        }
    }
    won
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writers_in_four_processes_exactly_one_wins_each_version() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    let racer = async |_| {
        let mut child = Child::start("four_processes::a_process_races", database.url());
        child.says("won ").await.expect("it tells how it went").parse::<u64>().unwrap()
    };
    let won: u64 = within("the race", join_all((0..PROCESSES).map(racer))).await.into_iter().sum();
    let read = collect(log.read_stream(&stream("thing-1"), 1)).await;
    assert_eq!(versions(&read), Vec::from_iter(1..=won));
    println!("{won} versions, one winner each");
    log.close().await;
}

/// Two of four services are killed in the middle of their work, while another transaction stays open.
#[tokio::test(flavor = "multi_thread")]
async fn of_four_services_two_are_killed_and_nothing_acknowledged_is_lost() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    let follower = Follower::start(&log);
    // It writes elsewhere: that holds nobody up.
    let mut idle = direct(database.url()).await;
    idle.execute("create table elsewhere (n int)").await.unwrap();
    idle.execute("begin; insert into elsewhere values (1)").await.unwrap();
    let start = |_| Child::start("process_killed::a_service_tells_the_truth", database.url());
    let mut services: Vec<_> = (0..PROCESSES).map(start).collect();
    let mut acknowledged = HashSet::new();
    for phase in 0..2 {
        for _ in 0..100 * scale() {
            for service in &mut services {
                let said = within("a service works", service.says("acknowledged ")).await;
                acknowledged.insert(said.expect("it ends only when it is killed"));
            }
        }
        let killed = if phase == 0 { 2 } else { services.len() };
        for mut service in services.drain(..killed) {
            assert!(service.kill().await, "it ended by itself");
            while let Some(said) = service.says("acknowledged ").await {
                acknowledged.insert(said);
            }
        }
    }
    let audit = Audit::of(&log).await;
    println!("{} appends acknowledged, {} events", acknowledged.len(), audit.events.len());
    for id in acknowledged {
        let id: Uuid = id.parse().unwrap();
        assert!(audit.holds(id), "append {id} was acknowledged and is not there");
    }
    within("the projections catch up", app().catch_up(&log)).await.unwrap();
    audit.agrees_with_read_models(&log).await;
    follower.agrees_with(&audit).await;
    log.close().await;
}
