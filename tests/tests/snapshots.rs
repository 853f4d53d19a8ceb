//! What a snapshot of older code does to a state with other fields, deep inside.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use headwater::{Aggregate, Event, Log, Repository, Snapshots, connect};
use headwater_testkit::eventually;
use serde::{Deserialize, Serialize};

/// Whether the code is that of today, in which an item has a price. One test of this program may turn it.
static TODAY: AtomicBool = AtomicBool::new(false);

#[derive(Event, Serialize, Deserialize)]
#[event(category = "basket")]
enum BasketEvent {
    #[event(name = "basket.added")]
    Added { sku: String, cents: i64, weight: f64 },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Basket {
    items: BTreeMap<String, Item>,
    seen: HashSet<String>,
    weights: HashMap<String, f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Item {
    quantity: i64,
    #[serde(default, skip_serializing_if = "older")]
    cents: Option<i64>,
}

fn older(_: &Option<i64>) -> bool {
    !TODAY.load(Ordering::SeqCst)
}

impl Aggregate for Basket {
    const CATEGORY: &'static str = "basket";
    type Id = u32;
    type Event = BasketEvent;

    fn apply(&mut self, BasketEvent::Added { sku, cents, weight }: &BasketEvent) {
        let item = self.items.entry(sku.clone()).or_default();
        item.quantity += 1;
        item.cents = TODAY.load(Ordering::SeqCst).then_some(*cents);
        self.seen.insert(sku.clone());
        *self.weights.entry(sku.clone()).or_default() += weight;
    }
}

fn baskets(log: &Log) -> Repository<Basket> {
    let every_event = Snapshots { every: 1, ..Snapshots::default() };
    Repository::new(log).expect("the events are declared well").snapshots(every_event)
}

async fn snapshot(log: &Log) -> Option<String> {
    let stream = baskets(log).stream(&1).expect("the name is valid");
    let kept = log.store().snapshot(&stream).await.expect("the store is there");
    kept.map(|kept| kept.state)
}

async fn kept_other_than(log: &Log, older: Option<&String>) -> String {
    let other = async || snapshot(log).await.filter(|kept| Some(kept) != older);
    eventually("a snapshot is kept", other).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_new_deep_inside_are_noticed_and_the_order_of_a_map_is_no_change() {
    let log = connect("sqlite::memory:").await.unwrap();
    let add = |n: i32| BasketEvent::Added {
        sku: format!("sku-{n}"),
        cents: i64::from(n),
        weight: 0.1 / f64::from(n),
    };
    let fill = |_: &Basket| Ok::<_, Infallible>((1..50).map(add).collect());
    baskets(&log).execute(&1, fill).await.unwrap();
    let older = kept_other_than(&log, None).await;
    // Each repository has a cache of its own: this one loads from the snapshot, and keeps it.
    let loaded = baskets(&log).load(&1).await.unwrap();
    assert_eq!(loaded.state.items["sku-7"], Item { quantity: 1, cents: None });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(snapshot(&log).await.as_ref(), Some(&older), "it was replaced for nothing");
    TODAY.store(true, Ordering::SeqCst);
    let loaded = baskets(&log).load(&1).await.unwrap();
    assert_eq!(loaded.state.items["sku-7"].cents, Some(7));
    let newer = kept_other_than(&log, Some(&older)).await;
    assert_eq!(serde_json::from_str::<Basket>(&newer).unwrap(), loaded.state);
}
