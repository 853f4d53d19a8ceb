//! PostgreSQL is killed, as by a power cut, while a service works.

use std::{sync::Arc, time::Instant};

use headwater::connect;
use headwater_testkit::{postgres::Server, scale, seed};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    audit::{Audit, app, caught_up},
    follower::Follower,
    load::Load,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_on_by_itself_when_postgresql_was_killed_and_nothing_is_lost_or_torn() {
    let seed = seed("server_killed");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = Server::start_private().await;
    let url = server.create_database("shop").await;
    let log = connect(&url).await.unwrap();
    let running = tokio::spawn({
        let log = log.clone();
        async move { app().run(&log).await }
    });
    let follower = Follower::start(&log);
    let load = Load::start(&log, 8, seed, Arc::new(|_| {}));
    let kills = if scale() >= 4 { 10 } else { 3 * scale() };
    for kill in 1..=kills {
        load.progress(rng.random_range(20..200)).await;
        tokio::task::block_in_place(|| server.kill());
        server.restart().await;
        let restarted = Instant::now();
        load.progress(1).await;
        println!(
            "kill {kill} of {kills}: the load went on {:?} after the start",
            restarted.elapsed()
        );
    }
    load.progress(50).await;
    let ledger = load.stop().await;
    let audit = Audit::of(&log).await;
    audit.agrees_with(&ledger);
    follower.agrees_with(&audit).await;
    caught_up(&log).await;
    audit.agrees_with_read_models(&log).await;
    assert!(!running.is_finished());
    running.abort();
    log.close().await;
}
