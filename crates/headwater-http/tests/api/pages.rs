use axum::http::Method;
use serde_json::json;

use crate::support::Service;

async fn filled(service: &Service) {
    for (stream, event_type, count) in
        [("cart-1", "cart.opened", 3), ("order-1", "order.placed", 2), ("cart-2", "cart.closed", 4)]
    {
        service.fill(stream, event_type, count).await;
    }
}

/// Follows the links from a page, and yields the positions of all events.
async fn walked(service: &Service, path: &str, query: &str) -> Vec<u64> {
    let (mut query, mut positions) = (query.to_owned(), Vec::new());
    for _ in 0..20 {
        let page = service.get(&format!("{path}{query}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.positions().len() <= 2, "{page:?}");
        positions.extend(page.positions());
        match page.body["next"].as_str() {
            Some(next) => query = next.to_owned(),
            None => return positions,
        }
    }
    panic!("there is no end: {positions:?}");
}

pub async fn a_stream_is_read_page_by_page_in_both_directions(service: Service) {
    filled(&service).await;
    assert_eq!(walked(&service, "/streams/cart-2", "?limit=2").await, [6, 7, 8, 9]);
    assert_eq!(walked(&service, "/streams/cart-2", "?limit=2&from=3").await, [8, 9]);
    let backward = "?limit=2&direction=backward";
    assert_eq!(walked(&service, "/streams/cart-2", backward).await, [9, 8, 7, 6]);
    let page = service.get("/streams/cart-2?limit=1&from=2").await;
    let event = &page.body["events"][0];
    assert_eq!(page.header("headwater-version"), "4");
    let told = ["stream", "version", "type", "data"].map(|name| &event[name]);
    assert_eq!(told, [&json!("cart-2"), &json!(2), &json!("cart.closed"), &json!({"n": 1})]);
    assert!(service.get("/streams/cart-2?from=9").await.positions().is_empty());
}

pub async fn the_log_is_read_page_by_page_in_both_directions(service: Service) {
    filled(&service).await;
    assert_eq!(walked(&service, "/all", "?limit=2").await, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(walked(&service, "/all", "?limit=2&from=7").await, [8, 9]);
    let backward = "?limit=2&direction=backward";
    assert_eq!(walked(&service, "/all", backward).await, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let from = "?limit=2&direction=backward&from=3";
    assert_eq!(walked(&service, "/all", from).await, [3, 2, 1]);
    assert!(service.get("/all?from=now").await.positions().is_empty());
    let old = "/all?from=2001-01-01T00:00:00Z";
    assert_eq!(service.get(old).await.positions().len(), 9);
}

pub async fn a_page_that_stays_as_it_is_may_be_kept(service: Service) {
    filled(&service).await;
    for (path, lasts) in [
        ("/all?limit=4", true),
        ("/all?limit=20", false),
        ("/all?limit=4&direction=backward", false),
        ("/all?limit=4&direction=backward&from=7", true),
        ("/streams/cart-2?limit=2", true),
        ("/streams/cart-2?limit=2&direction=backward", false),
    ] {
        let page = service.get(path).await;
        assert_eq!(page.header("cache-control").contains("immutable"), lasts, "{path}");
        let known = || service.send(Method::GET, path).header("if-none-match", page.header("etag"));
        let again = known().reply().await;
        assert_eq!((again.status.as_u16(), &again.body), (304, &json!("")), "{path}");
        service.fill("cart-2", "cart.closed", 1).await;
        assert_eq!(known().reply().await.status == 304, lasts, "{path}");
    }
}

pub async fn a_filter_is_a_list_of_names_and_beginnings(service: Service) {
    filled(&service).await;
    for (query, expected) in [
        ("streams=cart-*", &[1, 2, 3, 6, 7, 8, 9][..]),
        ("streams=cart-1,order-*", &[1, 2, 3, 4, 5]),
        ("streams=order-1", &[4, 5]),
        ("types=cart.*", &[1, 2, 3, 6, 7, 8, 9]),
        ("types=cart.opened,order.*", &[1, 2, 3, 4, 5]),
        ("types=order.placed", &[4, 5]),
        ("streams=cart-*&types=cart.closed", &[6, 7, 8, 9]),
        ("streams=nobody-*", &[]),
    ] {
        assert_eq!(
            walked(&service, "/all", &format!("?limit=2&{query}")).await,
            expected,
            "{query}"
        );
    }
}

pub async fn a_page_that_cannot_be_is_refused(service: Service) {
    filled(&service).await;
    for path in [
        "/all?limit=0",
        "/all?limit=1001",
        "/all?limit=x",
        "/all?types=%00",
        "/all?streams=%00-*",
        "/feed?types=a.%0A*",
        "/all?from=yesterday",
        "/all?from=-1",
        "/all?direction=sideways",
        "/all?streams=,",
        "/all?token=s3cret",
        "/streams/cart-1?from=-1",
    ] {
        assert_eq!(service.get(path).await.outcome(), (400, "malformed-request"), "{path}");
    }
    assert_eq!(service.get("/streams/cart-9").await.outcome(), (404, "not-found"));
    assert_eq!(service.get("/streams/cart").await.outcome(), (422, "validation"));
    assert_eq!(service.get("/nowhere").await.outcome(), (404, "not-found"));
    let wrong = service.send(Method::DELETE, "/all").reply().await;
    assert_eq!(wrong.outcome(), (405, "method-not-allowed"));
    assert!(service.get("/all?from=99").await.positions().is_empty());
}
