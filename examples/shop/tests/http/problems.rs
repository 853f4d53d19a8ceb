use axum::http::Method;
use serde_json::json;
use shop::http::Kind;

use super::{Client, KIT};

#[tokio::test]
async fn every_problem_is_explained() {
    let shop = Client::new().await;
    for kind in Kind::ALL {
        let page = shop.get(format!("/problems/{}", kind.name())).reply().await.is(200);
        assert!(page.body.as_str().unwrap().contains(&kind.status().as_u16().to_string()));
    }
    shop.get("/problems/none").reply().await.problem(404, "not-found");
}

#[tokio::test]
async fn a_route_or_method_that_is_not_there_is_a_problem_too() {
    let shop = Client::new().await;
    shop.get("/nowhere").reply().await.problem(404, "not-found");
    let patched = shop.send(Method::PATCH, "/carts").reply().await;
    patched.problem(405, "method-not-allowed");
    assert_eq!(patched.header("allow"), "POST");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let shop = Client::new().await;
    let send = async |media_type: &'static str, body: &str| {
        let sent = shop.send(Method::POST, "/carts").header("content-type", media_type);
        sent.body(body).reply().await
    };
    for body in ["", "{", "{\"currency\":}", "USD"] {
        send("application/json", body).await.problem(400, "malformed-json");
    }
    let form = send("application/x-www-form-urlencoded", "currency=USD").await;
    form.problem(415, "unsupported-media-type");
    let bare = shop.send(Method::POST, "/carts").body("{}").reply().await;
    bare.problem(415, "unsupported-media-type");
    let large = format!("{{\"currency\":\"{}\"}}", "x".repeat(16 * 1024));
    send("application/json", &large).await.problem(413, "payload-too-large");
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_pointed_to() {
    let shop = Client::new().await;
    let items = format!("{}/items", shop.cart().await);
    for (body, pointer) in [
        (json!({ "sku": KIT, "quantity": "many" }), "/quantity"),
        (json!({ "sku": KIT, "quantity": -1 }), "/quantity"),
        (json!({ "sku": KIT, "quantity": 1.5 }), "/quantity"),
        (json!({ "sku": 7, "quantity": 1 }), "/sku"),
        (json!({ "sku": KIT }), ""),
        (json!([]), ""),
    ] {
        let reply = shop.post(&items, body).reply().await;
        let problem = reply.problem(422, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn a_value_is_described_in_the_words_of_json() {
    let shop = Client::new().await;
    let items = format!("{}/items", shop.cart().await);
    for (body, detail) in [
        (
            json!({ "sku": KIT, "quantity": "2" }),
            "invalid type: string \"2\", expected a whole number",
        ),
        (json!([]), "invalid length 0, expected an object"),
        (json!("x"), "invalid type: string \"x\", expected an object"),
        (json!({ "sku": KIT, "qty": 1 }), "unknown field `qty`, expected `sku` or `quantity`"),
    ] {
        let reply = shop.post(&items, body).reply().await;
        assert_eq!(reply.problem(422, "validation")["detail"], detail);
    }
}

/// What a read model cannot hold would stop it, for all and for good.
#[tokio::test]
async fn a_name_that_no_list_could_hold_is_refused_before_it_is_an_event() {
    let shop = Client::new().await;
    let ceiling = shop.log.ceiling().await.unwrap();
    let price = json!({ "amount": 100, "currency": "USD" });
    for name in ["", "a\u{0}", &"x".repeat(3_000)] {
        let cart = json!({ "currency": "USD", "customer": name });
        let titled = json!({ "sku": "mug", "title": name, "category": "cups", "price": price });
        let shelved = json!({ "sku": "mug", "title": "Mug", "category": name, "price": price });
        for (path, body) in [("/carts", cart), ("/products", titled), ("/products", shelved)] {
            shop.post(path, body).reply().await.problem(422, "validation");
        }
    }
    shop.get("/products?after=%00").reply().await.problem(400, "malformed-request");
    assert_eq!(shop.log.ceiling().await.unwrap(), ceiling, "nothing was stored");
    shop::app().catch_up(&shop.log).await.unwrap();
}

#[tokio::test]
async fn a_failing_store_shows_nothing_of_itself() {
    let shop = Client::new().await;
    let cart = shop.cart().await;
    shop.log.close().await;
    let failed = shop.get(&cart).reply().await;
    let problem = failed.problem(503, "store-unavailable").to_string();
    assert_eq!(failed.header("retry-after"), "1");
    assert!(!problem.to_lowercase().contains("sqlite"), "{problem}");
}
