//! The shop is killed while customers buy; they send again what was not answered.

use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;
use headwater::{Log, StreamName, connect};
use headwater_testkit::{eventually, postgres, scale, seed, within};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    customer::{Customer, Filled, post},
    service::{kill, run, serve},
    views::{caught_up, look_at_all, names},
};

async fn types_of(log: &Log, category: &str, id: &str) -> Vec<(u64, String)> {
    let stream = StreamName::new(category, id).unwrap();
    let events: Vec<_> = log.read_stream(&stream, 1).try_collect().await.unwrap();
    events.into_iter().map(|event| (event.version, event.event.event_type)).collect()
}

/// Checks that a cart holds what was answered, each command once, and that its order was placed.
async fn is_kept(log: &Log, filled: &Filled) {
    let mut expected = Vec::new();
    for (version, events) in &filled.commands {
        expected.extend(events.iter().cloned());
        assert_eq!(u64::try_from(expected.len()), Ok(*version), "{filled:?}");
    }
    if filled.order.is_some() {
        expected.push("cart.checked_out".into());
    }
    let expected: Vec<_> = (1..).zip(expected).collect();
    assert_eq!(types_of(log, "cart", &filled.cart).await, expected, "{filled:?}");
    if let Some(order) = &filled.order {
        let types = types_of(log, "order", order).await;
        assert_eq!(types.first().map(|(_, name)| name.as_str()), Some("order.placed"));
    }
}

async fn kill_and_audit(url: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut process, address) = serve(url).await;
    let mug = json!({"sku": "mug", "title": "Mug", "category": "products",
                     "price": {"amount": 1250, "currency": "USD"}});
    let (status, answer) = post(&address, "/products", "mug", &mug).await.unwrap();
    assert_eq!(status, 201, "{answer}");
    let (here, address) = watch::channel(address);
    let (answered, count) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let mut customers = JoinSet::new();
    for number in 0..8 {
        let rng = StdRng::seed_from_u64(!seed ^ number);
        let (address, answered) = (address.clone(), answered.clone());
        customers.spawn(Customer { rng, address, answered }.run(stopped.clone()));
    }
    let kills = if scale() >= 4 { 20 } else { 5 * scale() };
    for _ in 0..kills {
        let goal = *count.borrow() + rng.random_range(10..80);
        eventually("customers are served", async || (*count.borrow() >= goal).then_some(())).await;
        assert!(kill(&mut process).await, "it ended by itself");
        let address;
        (process, address) = serve(url).await;
        here.send_replace(address);
    }
    stop.send_replace(true);
    let filled = within("the last carts", customers.join_all()).await;
    let filled: Vec<_> = filled.into_iter().flatten().collect();
    caught_up(url).await;
    kill(&mut process).await;
    let log = connect(url).await.unwrap();
    println!("{kills} kills, {} requests answered, {} carts", *count.borrow(), filled.len());
    for filled in &filled {
        is_kept(&log, filled).await;
    }
    let carts: Vec<_> = log.streams(Some("cart")).try_collect().await.unwrap();
    let carts: BTreeSet<_> = carts.iter().map(|info| info.stream.id().to_owned()).collect();
    assert_eq!(carts, filled.iter().map(|filled| filled.cart.clone()).collect::<BTreeSet<_>>());
    let names = names(url).await;
    let before = look_at_all(&log, &names).await;
    run(url, &["projections", "rebuild", "--all"]).await;
    assert!(look_at_all(&log, &names).await == before, "a fold of the log is something else");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_on_sqlite_that_is_killed_carries_each_request_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("shop.db").display());
    kill_and_audit(&url, seed("shop_killed_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_on_postgresql_that_is_killed_carries_each_request_out_once() {
    let database = postgres::database().await;
    kill_and_audit(database.url(), seed("shop_killed_on_postgresql")).await;
}
