//! The shop is asked to end, by SIGTERM, while customers buy.

use std::time::{Duration, Instant};

use headwater::{Position, connect};
use headwater_testkit::{eventually, postgres, seed, within};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::{process::Command, sync::watch, task::JoinSet};

use crate::{
    customer::{Customer, post},
    service::{run, serve},
};

/// How long an orchestrator waits at least before it kills.
const PATIENCE: Duration = Duration::from_secs(10);

async fn ask_to_end(url: &str, seed: u64) {
    let (mut process, address) = serve(url).await;
    let mug = json!({"sku": "mug", "title": "Mug", "category": "products",
                     "price": {"amount": 1250, "currency": "USD"}});
    assert_eq!(post(&address, "/products", "mug", &mug).await.unwrap().0, 201);
    let (answered, count) = watch::channel(0);
    let (_here, address) = watch::channel(address);
    let (_stop, stopped) = watch::channel(false);
    let mut customers = JoinSet::new();
    for number in 0..8 {
        let rng = StdRng::seed_from_u64(seed ^ number);
        let (address, answered) = (address.clone(), answered.clone());
        customers.spawn(Customer { rng, address, answered }.run(stopped.clone()));
    }
    eventually("customers are served", async || (*count.borrow() >= 100).then_some(())).await;
    let log = connect(url).await.unwrap();
    let held = async || {
        let leases = log.store().leases().await.unwrap().leases;
        leases.into_iter().filter(|lease| !lease.left.is_zero()).count()
    };
    eventually("it has its leases", async || (held().await >= 5).then_some(())).await;
    let at_work = async || {
        let checkpoints = log.checkpoints().await.unwrap();
        let carts = checkpoints.into_iter().find(|one| one.projection == "cart_views")?;
        (carts.position > Position::START).then_some(())
    };
    eventually("it is at work", at_work).await;

    let asked = Instant::now();
    let pid = process.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let status = within("the shop ends", process.wait()).await.unwrap();
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{status:?}");
    assert!(took < PATIENCE, "it took {took:?}");
    assert_eq!(held().await, 0, "the leases are given up");
    customers.shutdown().await;
    println!("{} requests answered, it ended after {took:?}", *count.borrow());

    let look = "select c.position, \
                       (select count(*) from {all_events} e \
                        where e.type = 'cart.opened' and e.position <= c.position) as expected, \
                       (select count(*) from {cart_views}) as found \
                from {all_checkpoints} c where c.projection = 'cart_views' and c.state = 'live'";
    let row = log.query(look, &[]).await.unwrap().remove(0);
    let (expected, found): (i64, i64) = (row.get("expected").unwrap(), row.get("found").unwrap());
    assert!(row.get::<i64>("position").unwrap() > 0 && found > 0, "{row:?}");
    assert_eq!(found, expected, "the rows are those of the checkpoint");
    log.close().await;
    // A read model that its checkpoint is ahead of, or behind, would end up with other rows.
    run(url, &["projections", "verify", "--all"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_on_sqlite_that_is_asked_to_end_gives_its_leases_up_and_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("shop.db").display());
    ask_to_end(&url, seed("shop_stopped_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_on_postgresql_that_is_asked_to_end_gives_its_leases_up_and_ends_well() {
    let database = postgres::database().await;
    ask_to_end(database.url(), seed("shop_stopped_on_postgresql")).await;
}
