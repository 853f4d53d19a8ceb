use serde_json::{Value, json};
use uuid::Uuid;

use headwater::{ExpectedVersion, NewEvent, StreamName};

use super::{Client, KIT};

#[tokio::test]
async fn a_history_is_told_in_envelopes() {
    let shop = Client::new().await;
    let conversation = Uuid::now_v7();
    let cart = shop.cart().await;
    let added = shop
        .post(format!("{cart}/items"), json!({ "sku": KIT, "quantity": 1 }))
        .header("x-correlation-id", conversation)
        .header("x-causation-id", Uuid::max())
        .reply()
        .await;
    assert_eq!(added.header("x-correlation-id"), conversation.to_string());
    let history = shop.get(format!("{cart}/events")).reply().await.is(200).body;
    assert_eq!(history["next"], json!(null));
    let event = &history["events"][1];
    assert_eq!(event["position"], added.body["position"]);
    assert_eq!(event["stream"], cart.replace("/carts/", "cart-"));
    assert_eq!((&event["version"], &event["schema"]), (&json!(2), &json!(2)));
    assert_eq!(event["type"], "cart.item_added");
    assert_eq!(event["correlation_id"], conversation.to_string());
    assert_eq!(event["causation_id"], Uuid::max().to_string());
    assert_eq!(event["data"]["unit_price"], json!({ "amount": 39_696, "currency": "USD" }));
    for member in ["event_id", "occurred_at", "recorded_at"] {
        assert!(event[member].is_string(), "{member}: {event}");
    }
}

#[tokio::test]
async fn a_history_comes_in_pages() {
    let shop = Client::new().await;
    let cart = shop.cart().await;
    for quantity in 1..=4 {
        shop.add(&cart, KIT, quantity).await;
    }
    let mut next = format!("{cart}/events?limit=2");
    let mut pages = Vec::new();
    loop {
        let page = shop.get(&next).reply().await.is(200).body;
        let events = page["events"].as_array().unwrap();
        let version = |event: &Value| event["version"].as_u64().unwrap();
        pages.push(events.iter().map(version).collect::<Vec<_>>());
        let Some(link) = page["next"].as_str() else { break };
        next = link.into();
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);
    let behind = shop.get(format!("{cart}/events?from=6")).reply().await.is(200).body;
    assert_eq!(behind, json!({ "events": [], "next": null }));
    let unknown = format!("/carts/{}/events", Uuid::now_v7());
    shop.get(unknown).reply().await.problem(404, "not-found");
    let order = shop.order().await;
    let events = shop.get(format!("{order}/events")).reply().await.is(200).body;
    assert_eq!(events["events"][0]["type"], "order.placed");
    assert_eq!(events["events"][1]["data"], json!({}));
}

#[tokio::test]
async fn old_events_are_shown_in_the_newest_schema() {
    let shop = Client::new().await;
    let cart = shop.cart().await;
    let stream = StreamName::parse(&cart.replace("/carts/", "cart-")).unwrap();
    let data = r#"{"sku":"22423","quantity":2,"unit_price":{"amount":1275,"currency":"USD"}}"#;
    let old = NewEvent::from_json("cart.item_added", 1, data);
    shop.log.append(&stream, ExpectedVersion::Exact(1), [old]).await.unwrap();
    let events = shop.get(format!("{cart}/events")).reply().await.body;
    let event = &events["events"][1];
    assert_eq!((&event["schema"], &event["data"]["title"]), (&json!(2), &json!("22423")));
    assert_eq!(shop.get(&cart).reply().await.body["total"]["amount"], 2550);
}
