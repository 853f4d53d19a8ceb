use serde_json::json;

use super::{Client, KIT};

#[tokio::test]
async fn a_command_to_another_version_is_refused() {
    no_command_to_another_version(&Client::new().await).await;
}

pub(super) async fn no_command_to_another_version(shop: &Client) {
    let cart = shop.full_cart().await;
    let item = format!("{cart}/items/{KIT}");
    let set = async |tag: &str, quantity: u32| {
        shop.put(&item, json!({ "quantity": quantity })).if_match(tag).reply().await
    };
    let stale = set("\"1\"", 5).await;
    let problem = stale.problem(412, "version-conflict");
    assert_eq!((&problem["expected_version"], &problem["current_version"]), (&json!(1), &json!(2)));
    assert_eq!(problem["detail"], "expected version 1, current version is 2");
    assert_eq!(problem["instance"], item);
    set("W/\"2\"", 5).await.problem(412, "version-conflict");
    set("\"two\"", 5).await.problem(412, "version-conflict");
    assert_eq!(set("\"2\"", 5).await.is(200).header("etag"), "\"3\"");
    assert_eq!(set("\"9\", \"3\"", 6).await.is(200).header("etag"), "\"4\"");
    set("\"9\", \"3\"", 7).await.problem(412, "version-conflict");
    assert_eq!(set("*", 7).await.is(200).header("etag"), "\"5\"");
}

#[tokio::test]
async fn a_checkout_is_of_the_cart_that_the_buyer_saw() {
    let shop = Client::new().await;
    let checkout = format!("{}/checkout", shop.full_cart().await);
    let send = async |tag| shop.post(&checkout, json!({})).key(tag).if_match(tag).reply().await;
    send("\"1\"").await.problem(412, "version-conflict");
    send("\"2\"").await.is(202);
    assert_eq!(send("\"2\"").await.is(202).header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn a_keyed_command_with_a_choice_of_versions_is_carried_out_once() {
    let shop = Client::new().await;
    let item = format!("{}/items/{KIT}", shop.full_cart().await);
    let send =
        || shop.put(&item, json!({ "quantity": 5 })).if_match("\"9\", \"2\"").key("k").reply();
    let first = send().await.is(200);
    let again = send().await.is(200);
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, "true"));
}

#[tokio::test]
async fn a_version_is_looked_at_before_the_cart() {
    let shop = Client::new().await;
    let empty = format!("{}/checkout", shop.cart().await);
    let stale = shop.post(&empty, json!({})).key("k").if_match("\"7\"").reply().await;
    stale.problem(412, "version-conflict");
    shop.post(&empty, json!({}))
        .key("k")
        .if_match("\"1\"")
        .reply()
        .await
        .problem(422, "cart-empty");
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let shop = Client::new().await;
    let order = shop.order().await;
    let read =
        async |path: &str, tag: &str| shop.get(path).header("if-none-match", tag).reply().await;
    let product = format!("/products/{KIT}");
    for (path, tag) in [(order.as_str(), "\"2\""), (product.as_str(), "\"1\"")] {
        for tag in [tag.to_owned(), format!("W/{tag}"), format!("\"77\", {tag}"), "*".into()] {
            let same = read(path, &tag).await.is(304);
            assert!(!same.header("etag").is_empty() && same.body == "", "{same:?}");
        }
        read(path, "\"77\"").await.is(200);
    }
    let cart = shop.cart().await;
    read(&cart, "\"1\"").await.is(304);
    shop.add(&cart, KIT, 1).await;
    read(&cart, "\"1\"").await.is(200);
}
