use serde_json::json;
use uuid::Uuid;

use super::{Client, KIT};

#[tokio::test]
async fn a_keyed_command_is_carried_out_once() {
    let shop = Client::new().await;
    let cart = shop.cart().await;
    let items = format!("{cart}/items");
    let body = json!({ "sku": KIT, "quantity": 2 });
    let first = shop.post(&items, body.clone()).key("k").reply().await.is(200);
    shop.add(&cart, "the-cold-brew-kit", 1).await;

    // The same JSON, written in another way, in another conversation.
    let again = shop
        .send(axum::http::Method::POST, &items)
        .body(format!(r#"{{ "quantity": 2,  "sku": "{KIT}" }}"#))
        .header("content-type", "application/json; charset=utf-8")
        .header("x-correlation-id", Uuid::nil())
        .key("k")
        .reply()
        .await
        .is(200);
    assert_eq!((&again.body, again.header("etag")), (&first.body, "\"2\""));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(shop.get(&cart).reply().await.body["version"], 3);

    let other = shop.post(&items, json!({ "sku": KIT, "quantity": 3 })).key("k").reply().await;
    other.problem(422, "idempotency-key-reused");
    let elsewhere = format!("{}/items", shop.cart().await);
    shop.post(elsewhere, body).key("k").reply().await.is(200);
}

#[tokio::test]
async fn a_key_belongs_to_one_route() {
    let shop = Client::new().await;
    let cart = shop.cart().await;
    for (sku, version) in [(KIT, 3), ("the-cold-brew-kit", 5)] {
        shop.add(&cart, sku, 1).await;
        let quantity = shop.put(format!("{cart}/items/{sku}"), json!({ "quantity": 2 })).key("k");
        assert_eq!(quantity.reply().await.is(200).body["version"], version);
    }
    let removed = shop.delete(format!("{cart}/items/{KIT}")).key("k").reply().await.is(204);
    assert_eq!(removed.header("etag"), "\"6\"");
}

#[tokio::test]
async fn the_first_answer_stays_when_the_world_has_moved_on() {
    let shop = Client::new().await;
    let cart = shop.cart().await;
    let (items, body) = (format!("{cart}/items"), json!({ "sku": KIT, "quantity": 2 }));
    let first = shop.post(&items, body.clone()).key("k").reply().await.is(200);
    shop.post(format!("{cart}/checkout"), json!({})).key("k").reply().await.is(202);
    let again = shop.post(&items, body).key("k").reply().await.is(200);
    assert_eq!(again.body, first.body);
}

#[tokio::test]
async fn a_cart_that_is_opened_twice_with_a_key_is_one() {
    let shop = Client::new().await;
    let key = Uuid::now_v7().to_string();
    let open = async |body| shop.post("/carts", body).key(&key).reply().await;
    let first = open(json!({ "currency": "USD" })).await.is(201);
    let again = open(json!({ "currency": "USD" })).await.is(201);
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, "true"));
    open(json!({ "currency": "GBP" })).await.problem(422, "idempotency-key-reused");
    // Others would choose it too, and share the cart.
    let common = shop.post("/carts", json!({ "currency": "USD" })).key("1").reply().await;
    common.problem(400, "malformed-request");
}

#[tokio::test]
async fn the_same_request_many_times_at_once_changes_the_cart_once() {
    one_change_however_often_it_comes(&Client::new().await).await;
}

pub(super) async fn one_change_however_often_it_comes(shop: &Client) {
    let cart = shop.cart().await;
    let send = |n: u128| {
        let (shop, path) = (shop.clone(), format!("{cart}/items"));
        let body = json!({ "sku": KIT, "quantity": 1 });
        tokio::spawn(async move {
            let conversation = Uuid::from_u128(n % 3 + 1);
            let sent = shop.post(path, body).key("k").header("x-correlation-id", conversation);
            sent.reply().await
        })
    };
    let requests: Vec<_> = (0..16).map(send).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().is(200).body["version"], 2);
    }
    assert_eq!(shop.get(&cart).reply().await.body["version"], 2);
}

#[tokio::test]
async fn a_key_is_text_of_sensible_length() {
    let shop = Client::new().await;
    for key in ["", "\"\"", &"k".repeat(256)] {
        let refused = shop.post("/carts", json!({ "currency": "USD" })).key(key).reply().await;
        refused.problem(400, "malformed-request");
    }
}
