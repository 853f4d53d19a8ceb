use serde_json::json;

use super::{Client, KIT};

#[tokio::test]
async fn a_cart_is_opened_filled_changed_and_read() {
    let shop = Client::new().await;
    let body = json!({ "currency": "USD", "customer": "ann" });
    let opened = shop.post("/carts", body).reply().await.is(201);
    let cart = opened.header("location").to_owned();
    assert_eq!(cart, format!("/carts/{}", opened.body["cart_id"].as_str().unwrap()));
    assert_eq!((opened.header("etag"), &opened.body["version"]), ("\"1\"", &json!(1)));
    assert_eq!(opened.header("headwater-position"), opened.body["position"].to_string());

    let added = shop.add(&cart, KIT, 1).await.is(200);
    assert_eq!(added.body["events"], json!(["cart.item_added"]));
    assert_eq!((added.header("etag"), &added.body["version"]), ("\"2\"", &json!(2)));
    shop.add(&cart, "bunum-wo-aa,-papua-new-guinea", 2).await.is(200);
    shop.add(&cart, "the-camper's-kit", 1).await.is(200);

    let item = format!("{cart}/items/{KIT}");
    let set = shop.put(&item, json!({ "quantity": 3 })).reply().await.is(200);
    assert_eq!(set.body["events"], json!(["cart.quantity_set"]));
    let same = shop.put(&item, json!({ "quantity": 3 })).reply().await.is(200);
    assert_eq!((&same.body["events"], &same.body["version"]), (&json!([]), &json!(5)));
    let gone = shop.delete(format!("{cart}/items/the-camper's-kit")).reply().await.is(204);
    assert_eq!((gone.header("etag"), &gone.body), ("\"6\"", &json!("")));

    let read = shop.get(&cart).reply().await.is(200);
    assert_eq!(read.header("etag"), "\"6\"");
    assert_eq!((&read.body["status"], &read.body["customer"]), (&json!("open"), &json!("ann")));
    assert_eq!(read.body["total"], json!({ "amount": 2 * 2199 + 3 * 39_696, "currency": "USD" }));
    assert_eq!(
        read.body["lines"][1],
        json!({
            "sku": KIT, "title": "The Chemex Kit", "quantity": 3,
            "unit_price": { "amount": 39_696, "currency": "USD" },
            "total": { "amount": 119_088, "currency": "USD" },
        })
    );
    let removed = shop.put(&item, json!({ "quantity": 0 })).reply().await.is(200);
    assert_eq!(removed.body["events"], json!(["cart.item_removed"]));
}

#[tokio::test]
async fn a_cart_refuses_what_cannot_be_bought() {
    let shop = Client::new().await;
    let cart = shop.cart().await;
    let unknown = shop.add(&cart, "tea", 1).await;
    assert_eq!(unknown.problem(422, "unknown-product")["errors"][0]["pointer"], "/sku");
    for quantity in [0, 10_000] {
        let refused = shop.add(&cart, KIT, quantity).await;
        assert_eq!(refused.problem(422, "validation")["errors"][0]["pointer"], "/quantity");
    }
    let british = shop.post("/carts", json!({ "currency": "GBP" })).reply().await;
    let refused = shop.add(british.header("location"), KIT, 1).await;
    assert_eq!(refused.problem(422, "validation")["errors"][0]["pointer"], "/sku");
    shop.put(format!("{cart}/items/{KIT}"), json!({ "quantity": 1 }))
        .reply()
        .await
        .problem(404, "not-found");
    shop.delete(format!("{cart}/items/{KIT}")).reply().await.problem(404, "not-found");
    assert_eq!(shop.get(&cart).reply().await.body["version"], 1, "a refusal wrote something");
}

#[tokio::test]
async fn a_cart_that_does_not_exist_is_not_found() {
    let shop = Client::new().await;
    let cart = "/carts/01900000-0000-7000-8000-000000000000";
    shop.get(cart).reply().await.problem(404, "not-found");
    shop.get("/carts/seven").reply().await.problem(404, "not-found");
    shop.add(cart, KIT, 1).await.problem(404, "not-found");
    shop.get(format!("{cart}/events")).reply().await.problem(404, "not-found");
    shop.get(format!("{cart}?at_version=1")).reply().await.problem(404, "not-found");
    let checkout = shop.post(format!("{cart}/checkout"), json!({})).key("k").reply().await;
    checkout.problem(404, "not-found");
}

#[tokio::test]
async fn a_cart_is_shown_as_it_was() {
    let shop = Client::new().await;
    let cart = shop.full_cart().await;
    shop.add(&cart, "the-cold-brew-kit", 1).await;
    let before = shop.get(format!("{cart}?at_version=2")).reply().await.is(200);
    assert_eq!(before.header("etag"), "\"2\"");
    assert_eq!(before.body["lines"].as_array().unwrap().len(), 1);
    shop.get(format!("{cart}?at_version=9")).reply().await.problem(404, "not-found");
    shop.get(format!("{cart}?at_version=0")).reply().await.problem(404, "not-found");

    let events = shop.get(format!("{cart}/events")).reply().await.body;
    let second = events["events"][1]["occurred_at"].as_str().unwrap();
    let then = shop.get(format!("{cart}?as_of={second}")).reply().await.is(200);
    assert_eq!(then.body["version"], 2);
    let later = shop.get(format!("{cart}?as_of=2999-01-01T00:00:00Z")).reply().await.is(200);
    assert_eq!(later.body["version"], 3);
    shop.get(format!("{cart}?as_of=1999-01-01T00:00:00Z")).reply().await.problem(404, "not-found");
    let both = shop.get(format!("{cart}?as_of={second}&at_version=1")).reply().await;
    both.problem(400, "malformed-request");
    let what = shop.get(format!("{cart}?as_of=yesterday")).reply().await;
    what.problem(400, "malformed-request");
}
