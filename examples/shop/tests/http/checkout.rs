use futures_util::TryStreamExt as _;
use headwater::{Filter, Position};
use serde_json::json;
use uuid::Uuid;

use super::{Client, KIT};

#[tokio::test]
async fn a_cart_becomes_an_order_that_can_be_cancelled() {
    a_sale_from_cart_to_cancellation(&Client::new().await).await;
}

pub(super) async fn a_sale_from_cart_to_cancellation(shop: &Client) {
    let cart = shop.full_cart().await;
    let body = json!({ "payment_token": "tok_ok" });
    let placed = shop.post(format!("{cart}/checkout"), body).key("c1").reply().await.is(202);
    let order = placed.header("location").to_owned();
    assert_eq!(order, format!("/orders/{}", placed.body["order_id"].as_str().unwrap()));
    assert_eq!(placed.body["status"], "placed");
    assert_eq!(placed.header("headwater-position"), placed.body["position"].to_string());

    let read = shop.get(&order).reply().await.is(200);
    assert_eq!((&read.body["status"], read.header("etag")), (&json!("confirmed"), "\"2\""));
    assert_eq!(read.body["lines"][0]["sku"], KIT);
    assert_eq!(read.body["total"], json!({ "amount": 39_696, "currency": "USD" }));
    let closed = shop.get(&cart).reply().await.body;
    assert_eq!(closed["status"], "checked_out");
    assert_eq!(closed["order_id"], read.body["order_id"]);
    shop.add(&cart, KIT, 1).await.problem(409, "cart-closed");

    let cancel = format!("{order}/cancel");
    let cancelled = shop.send(axum::http::Method::POST, &cancel).reply().await.is(202);
    assert_eq!(cancelled.body["status"], "cancelled");
    assert_eq!(shop.get(&order).reply().await.body["status"], "cancelled");
    let again = shop.post(&cancel, json!({ "by": "ann", "reason": "late" })).reply().await;
    again.problem(409, "order-not-cancellable");
    let unknown = "/orders/01900000-0000-7000-8000-000000000000";
    shop.get(unknown).reply().await.problem(404, "not-found");
    shop.post(format!("{unknown}/cancel"), json!({})).reply().await.problem(404, "not-found");
}

#[tokio::test]
async fn the_events_of_a_checkout_lie_together() {
    let shop = Client::new().await;
    let order = shop.order().await;
    let events = shop.log.read(Filter::all(), Position::START);
    let events: Vec<_> = events.try_collect().await.unwrap();
    let types: Vec<_> = events.iter().map(|event| &*event.event.event_type).collect();
    let checkout = ["cart.checked_out", "order.placed", "order.confirmed"];
    assert_eq!(types[types.len() - 3..], checkout);
    let [closed, placed, confirmed] = &events[types.len() - 3..] else { panic!("three") };
    assert_eq!(closed.causation_id, None, "nobody has said what it follows from");
    assert_eq!(placed.causation_id, Some(closed.id));
    assert_eq!(confirmed.causation_id, Some(placed.id));
    assert!(order.ends_with(events.last().unwrap().stream.id()));
}

#[tokio::test]
async fn the_buyer_may_choose_the_order_s_id_and_nobody_else_s() {
    let shop = Client::new().await;
    let id = Uuid::now_v7();
    let checkout = async |key| {
        let cart = shop.full_cart().await;
        let body = json!({ "order_id": id });
        (shop.post(format!("{cart}/checkout"), body).key(key).reply().await, cart)
    };
    let (first, _) = checkout("a").await;
    assert_eq!(first.is(202).header("location"), format!("/orders/{id}"));
    let (second, cart) = checkout("b").await;
    second.problem(409, "already-exists");
    assert_eq!(shop.get(&cart).reply().await.body["status"], "open", "half a checkout");
}

#[tokio::test]
async fn a_checkout_needs_goods_and_a_key() {
    let shop = Client::new().await;
    let cart = shop.cart().await;
    let checkout = format!("{cart}/checkout");
    let unnamed = shop.post(&checkout, json!({})).reply().await;
    unnamed.problem(400, "idempotency-key-missing");
    shop.post(&checkout, json!({})).key("k").reply().await.problem(422, "cart-empty");
}

#[tokio::test]
async fn a_checkout_that_comes_again_is_answered_as_before() {
    let shop = Client::new().await;
    let checkout = format!("{}/checkout", shop.full_cart().await);
    let send = async |key: &str, body| shop.post(&checkout, body).key(key).reply().await;
    let first = send("k", json!({})).await.is(202);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let again = send("k", json!({})).await.is(202);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
    let quoted = send("\"k\"", json!({})).await.is(202);
    assert_eq!(quoted.body, first.body);

    let other = send("k", json!({ "order_id": Uuid::nil() })).await;
    other.problem(422, "idempotency-key-reused");
    send("l", json!({})).await.problem(409, "cart-closed");
}

#[tokio::test]
async fn a_checkout_that_comes_many_times_at_once_makes_one_order() {
    one_order_however_often_it_comes(&Client::new().await).await;
}

pub(super) async fn one_order_however_often_it_comes(shop: &Client) {
    let checkout = format!("{}/checkout", shop.full_cart().await);
    let twice = |_| {
        let (shop, checkout) = (shop.clone(), checkout.clone());
        tokio::spawn(async move { shop.post(checkout, json!({})).key("k").reply().await })
    };
    let requests: Vec<_> = (0..16).map(twice).collect();
    let (mut first, mut bodies) = (0, Vec::new());
    for request in requests {
        let reply = request.await.unwrap().is(202);
        first += usize::from(!reply.headers.contains_key("idempotent-replayed"));
        bodies.push(reply.body);
    }
    assert_eq!(first, 1, "one request was carried out, the others were answered");
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn of_several_buyers_with_one_cart_one_gets_the_order() {
    one_order_for_one_of_the_buyers(&Client::new().await).await;
}

pub(super) async fn one_order_for_one_of_the_buyers(shop: &Client) {
    let checkout = format!("{}/checkout", shop.full_cart().await);
    let buy = |buyer: usize| {
        let (shop, checkout) = (shop.clone(), checkout.clone());
        let key = buyer.to_string();
        tokio::spawn(async move { shop.post(checkout, json!({})).key(&key).reply().await })
    };
    let requests: Vec<_> = (0..8).map(buy).collect();
    let mut orders = 0;
    for request in requests {
        let reply = request.await.unwrap();
        if reply.status == 202 {
            orders += 1;
        } else {
            reply.problem(409, "cart-closed");
        }
    }
    assert_eq!(orders, 1);
}
