//! The routes below a path of their own, beside those of a service.

use axum::{Router, http::StatusCode, routing::get};
use headwater_http::Api;
use serde_json::json;

use crate::support::Service;

/// A service that has some of the same paths, and the log below `/log`.
async fn service() -> Service {
    let mut service = Service::on_sqlite().await;
    let own = Router::new()
        .route("/events", get("the service's own"))
        .route("/problems/{name}", get("the service's own"))
        .fallback(|| async { (StatusCode::NOT_FOUND, "the service knows no such page") });
    service.routes = own.merge(Api::new(&service.log).below("/log").router());
    service
}

#[tokio::test]
async fn a_service_keeps_its_own_paths() {
    let service = service().await;
    service.fill("cart-1", "cart.opened", 3).await;
    let page = service.get("/log/streams/cart-1?limit=2").await;
    assert_eq!((page.status, page.body["events"].as_array().unwrap().len()), (StatusCode::OK, 2));
    assert_eq!(page.body["next"], "?from=3&limit=2", "where it is mounted, it leads to");
    assert_eq!(service.get("/events").await.body, "the service's own");
    assert_eq!(service.get("/nothing").await.body, "the service knows no such page");
    assert_eq!(service.get("/log/openapi.json").await.body["servers"], json!([{ "url": "/log" }]));
}

#[tokio::test]
async fn problems_lead_to_where_they_are_explained() {
    let service = service().await;
    for path in ["/log/nothing", "/log/streams/cart-9"] {
        let reply = service.get(path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(reply.body["type"], "/log/problems/not-found", "{path}");
        assert_eq!(reply.body["instance"], path);
    }
    let line = json!([{ "stream": "no stream", "type": "cart.opened", "data": {} }]);
    let reply = service.post("/log/events", &line).await;
    let address = reply.body["rejected"][0]["type"].as_str().unwrap();
    assert_eq!(address, "/log/problems/validation");
    assert_eq!(service.get(address).await.status, StatusCode::OK);
}
