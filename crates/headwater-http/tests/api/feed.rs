use axum::http::Method;
use serde_json::json;

use crate::support::{Message, Service};

pub async fn each_event_comes_once_and_in_order(service: Service) {
    service.fill("cart-1", "cart.opened", 40).await;
    let mut early = service.listen("/feed?from=beginning", None).await;
    let mut late = service.listen("/feed", None).await;
    let first = early.next().await;
    assert_eq!((first.id, &*first.event), (1, "cart.opened"));
    let told = ["position", "stream", "version", "data"].map(|name| &first.data[name]);
    assert_eq!(told, [&json!(1), &json!("cart-1"), &json!(1), &json!({"n": 0})]);
    assert_eq!(early.ids(39).await, (2..=40).collect::<Vec<_>>());
    for n in 0..5 {
        service.fill("cart-2", "cart.opened", 10).await;
        let expected: Vec<_> = (41 + 10 * n..51 + 10 * n).collect();
        assert_eq!(early.ids(10).await, expected);
        assert_eq!(late.ids(10).await, expected, "one that begins now gets what comes");
    }
}

pub async fn a_client_that_was_cut_off_goes_on_behind_what_it_has(service: Service) {
    service.fill("cart-1", "cart.opened", 20).await;
    let mut feed = service.listen("/feed?from=beginning", None).await;
    let mut got = feed.ids(7).await;
    drop(feed);
    service.fill("cart-1", "cart.opened", 5).await;
    // The browser sends the address of the beginning again, and the last id.
    let mut again = service.listen("/feed?from=beginning", Some(7)).await;
    got.extend(again.ids(18).await);
    assert_eq!(got, (1..=25).collect::<Vec<_>>());
}

pub async fn where_nothing_is_wanted_the_client_is_told_how_far_it_is(service: Service) {
    for _ in 0..3 {
        service.fill("cart-1", "cart.opened", 1000).await;
    }
    let mut feed = service.listen("/feed?from=beginning&types=order.*", None).await;
    let told = feed.next().await;
    assert_eq!((&*told.event, &told.data), ("checkpoint", &json!({})));
    assert!(told.id >= 1000, "{told:?}");
    service.fill("order-1", "order.placed", 1).await;
    loop {
        let Message { id, event, .. } = feed.next().await;
        if event == "order.placed" {
            assert_eq!(id, 3001);
            break;
        }
        assert_eq!(event, "checkpoint");
    }
    let mut nothing = service.listen("/feed?streams=nobody-*", Some(told.id)).await;
    assert_eq!(nothing.next().await.event, "checkpoint");
}

pub async fn a_feed_begins_where_it_is_told(service: Service) {
    service.fill("cart-1", "cart.opened", 3).await;
    for (from, first) in [("0", 1), ("beginning", 1), ("2", 3), ("2001-01-01T00:00:00Z", 1)] {
        let mut feed = service.listen(&format!("/feed?from={from}"), None).await;
        assert_eq!(feed.next().await.id, first, "{from}");
    }
    let mut filtered = service.listen("/feed?from=0&streams=cart-1&types=cart.opened", None).await;
    assert_eq!(filtered.ids(3).await, [1, 2, 3]);
}

pub async fn a_place_that_is_none_is_refused(service: Service) {
    service.fill("cart-1", "cart.opened", 3).await;
    for path in ["/feed?from=x", "/feed?from=-1", "/feed?types=", "/feed?streams=cart"] {
        let status = service.get(path).await.status.as_u16();
        assert!(status == 400 || status == 422, "{path}: {status}");
    }
    for (id, outcome) in [
        ("x", (400, "malformed-request")),
        ("-1", (400, "malformed-request")),
        ("1 2", (400, "malformed-request")),
        ("4", (409, "beyond-the-end")),
        ("18446744073709551615", (409, "beyond-the-end")),
    ] {
        let sent = service.send(Method::GET, "/feed").header("last-event-id", id);
        assert_eq!(sent.reply().await.outcome(), outcome, "{id}");
    }
}
