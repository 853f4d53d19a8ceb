use std::time::Duration;

use axum::http::Method;
use headwater::{Operator, Position};
use serde_json::{Value, json};

use crate::support::Service;

pub async fn a_consumer_gets_what_it_has_not_acknowledged(service: Service) {
    service.fill("cart-1", "cart.opened", 5).await;
    let made = service.put("/consumers/mailer", &json!({"from": "beginning"})).await;
    assert_eq!((&made.body["consumer"], &made.body["position"]), (&json!("mailer"), &json!(0)));
    for _ in 0..2 {
        let events = service.get("/consumers/mailer/events?limit=2").await;
        assert_eq!(events.positions(), [1, 2]);
        assert_eq!(events.body["position"], 2);
    }
    let acknowledged = service.post("/consumers/mailer/ack", &json!({"position": 2})).await;
    assert_eq!((&acknowledged.body["position"], &acknowledged.body["lag"]), (&json!(2), &json!(3)));
    let again = service.put("/consumers/mailer", &json!({"from": 0})).await;
    assert_eq!(again.body["position"], 2, "it stays where it stands");
    let events = service.get("/consumers/mailer/events").await;
    assert_eq!(events.positions(), [3, 4, 5]);
    let earlier = service.post("/consumers/mailer/ack", &json!({"position": 1})).await;
    assert_eq!(earlier.body["position"], 2, "it changes nothing");
    let beyond = service.post("/consumers/mailer/ack", &json!({"position": 6})).await;
    assert_eq!(beyond.outcome(), (422, "validation"));
    let listed = service.get("/consumers").await;
    assert_eq!(listed.body.as_array().map(Vec::len), Some(1));
    service.post("/consumers/mailer/ack", &json!({"position": 5})).await;
    let events = service.get("/consumers/mailer/events").await;
    assert_eq!((events.positions(), &events.body["position"]), (vec![], &json!(5)));
}

pub async fn a_consumer_waits_for_events(service: Service) {
    service.put("/consumers/mailer", &json!({})).await;
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        service.fill("cart-1", "cart.opened", 1).await;
        service.fill("order-1", "order.placed", 1).await;
    };
    let path = "/consumers/mailer/events?wait=30&types=order.*";
    let (events, ()) = futures_util::join!(service.get(path), later);
    assert_eq!(events.positions(), [2]);
    let all = service.get("/consumers/mailer/events?types=nothing.*").await;
    assert_eq!((all.positions(), &all.body["position"]), (vec![], &json!(2)), "nothing is left");
}

pub async fn a_place_that_an_operator_has_moved_is_not_acknowledged(service: Service) {
    service.fill("cart-1", "cart.opened", 3).await;
    service.put("/consumers/mailer", &json!({})).await;
    let events = service.get("/consumers/mailer/events").await;
    let acknowledge = |tag: &str, position: u64| {
        let body = json!({"position": position}).to_string();
        let sent = service.send(Method::POST, "/consumers/mailer/ack").json(&body);
        sent.header("if-match", tag)
    };
    assert_eq!(acknowledge(events.header("etag"), 2).reply().await.status, 200);
    Operator::new(&service.log, "ada").seek_subscription("mailer", Position(1)).await.unwrap();
    let refused = acknowledge(events.header("etag"), 3).reply().await;
    assert_eq!(refused.outcome(), (409, "consumer-moved"));
    let again = service.get("/consumers/mailer/events").await;
    assert_eq!(again.positions(), [2, 3]);
    assert_eq!(acknowledge(again.header("etag"), 3).reply().await.status, 200);
}

pub async fn a_consumer_that_is_not_there_is_not_found(service: Service) {
    let nobody: Value = json!({"position": 0});
    for (method, path) in [
        (Method::GET, "/consumers/nobody"),
        (Method::GET, "/consumers/nobody/events"),
        (Method::POST, "/consumers/nobody/ack"),
        (Method::DELETE, "/consumers/nobody"),
    ] {
        let reply = service.send(method, path).json(&nobody.to_string()).reply().await;
        assert_eq!(reply.outcome(), (404, "not-found"), "{path}");
    }
    for (body, outcome) in [
        (json!({"from": 7}), (422, "validation")),
        (json!({"from": "yesterday"}), (400, "malformed-request")),
        (json!({"form": 0}), (422, "validation")),
        (json!({"from": -1}), (422, "validation")),
    ] {
        assert_eq!(service.put("/consumers/mailer", &body).await.outcome(), outcome, "{body}");
    }
    let long = format!("/consumers/{}", "x".repeat(513));
    assert_eq!(service.put(&long, &json!({})).await.outcome(), (422, "validation"));
    service.put("/consumers/the%20%C3%BC%2F", &json!({})).await;
    assert_eq!(service.get("/consumers/the%20%C3%BC%2F").await.body["consumer"], "the ü/");
    for query in ["limit=0", "limit=1001", "wait=31", "wait=-1"] {
        let refused = service.get(&format!("/consumers/the%20%C3%BC%2F/events?{query}")).await;
        assert_eq!(refused.outcome(), (400, "malformed-request"), "{query}");
    }
    let gone = service.send(Method::DELETE, "/consumers/the%20%C3%BC%2F").reply().await;
    assert_eq!(gone.status, 204);
}
