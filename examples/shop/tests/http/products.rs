use serde_json::{Value, json};

use super::{Client, KIT};

fn mug(sku: &str) -> Value {
    let price = json!({ "amount": 1250, "currency": "USD" });
    json!({ "sku": sku, "title": "Mug", "category": "products", "price": price })
}

#[tokio::test]
async fn a_product_is_listed_once() {
    let shop = Client::new().await;
    let listed = shop.post("/products", mug("mug #1/ü")).reply().await.is(201);
    let path = listed.header("location").to_owned();
    assert_eq!((path.as_str(), listed.header("etag")), ("/products/mug%20%231%2F%C3%BC", "\"1\""));
    let read = shop.get(&path).reply().await.is(200).body;
    assert_eq!((&read["sku"], &read["title"]), (&json!("mug #1/ü"), &json!("Mug")));
    shop.post("/products", mug("mug #1/ü")).reply().await.problem(409, "already-exists");
    shop.get("/products/tea").reply().await.problem(404, "not-found");
}

#[tokio::test]
async fn a_product_that_cannot_be_sold_is_refused() {
    let shop = Client::new().await;
    let refused = async |member: &str, value: Value| {
        let mut product = mug("mug");
        *product.pointer_mut(member).unwrap() = value;
        let reply = shop.post("/products", product).reply().await;
        assert_eq!(reply.problem(422, "validation")["errors"][0]["pointer"], member);
    };
    refused("/title", json!("")).await;
    refused("/price/amount", json!(0)).await;
    refused("/price/amount", json!("12.50")).await;
    refused("/price/currency", json!("XAU")).await;
    refused("/sku", json!("a\nb")).await;
    refused("/sku", json!("")).await;
    refused("/sku", json!("x".repeat(501))).await;
}

#[tokio::test]
async fn a_price_is_changed_by_who_has_read_it() {
    let shop = Client::new().await;
    let path = "/products/the-camper's-kit/price";
    let body = json!({ "price": { "amount": 25_000, "currency": "USD" }, "reason": "sale" });
    let blind = shop.put(path, body.clone()).reply().await;
    blind.problem(428, "precondition-required");
    let change = async |tag| shop.put(path, body.clone()).if_match(tag).reply().await;
    change("\"7\"").await.problem(412, "version-conflict");
    let changed = change("\"1\"").await.is(200);
    assert_eq!(changed.body["events"], json!(["product.price_changed"]));
    assert_eq!(change("\"1\"").await.problem(412, "version-conflict")["current_version"], 2);

    let cart = shop.cart().await;
    shop.add(&cart, "the-camper's-kit", 1).await;
    assert_eq!(shop.get(&cart).reply().await.body["total"]["amount"], 25_000);
    let british = json!({ "price": { "amount": 1, "currency": "GBP" } });
    let refused = shop.put(path, british).if_match("*").reply().await;
    assert_eq!(refused.problem(422, "validation")["errors"][0]["pointer"], "/price/currency");
    let unknown = shop.put("/products/tea/price", body.clone()).if_match("*").reply().await;
    unknown.problem(404, "not-found");
}

#[tokio::test]
async fn the_catalogue_is_listed_as_far_as_its_reader_wants() {
    a_list_as_far_as_its_reader_wants(&Client::new().await).await;
}

pub(super) async fn a_list_as_far_as_its_reader_wants(shop: &Client) {
    let listed = shop.post("/products", mug("a-mug")).reply().await.is(201);
    let position = listed.header("headwater-position").to_owned();
    let list = async |path: &str, position: &str| {
        shop.get(path).header("headwater-min-position", position).reply().await
    };
    let behind = list("/products", &position).await;
    behind.problem(503, "projection-behind");
    assert_eq!(behind.header("retry-after"), "1");
    list("/products", "soon").await.problem(400, "malformed-request");

    shop::app().catch_up(&shop.log).await.unwrap();
    let all = list("/products", &position).await.is(200).body;
    let products = all["products"].as_array().unwrap();
    assert_eq!((products.len(), &all["next"]), (10, &Value::Null));
    assert_eq!(products[0], mug("a-mug"));
    let first = list("/products?limit=9", &position).await.is(200).body;
    let rest = list(first["next"].as_str().unwrap(), &position).await.is(200).body;
    assert_eq!(rest["products"].as_array().unwrap().len(), 1);
    assert!(products.iter().any(|product| product["sku"] == KIT));
}
