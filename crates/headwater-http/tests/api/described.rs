use std::collections::BTreeSet;

use axum::http::Method;
use headwater_http::problem::KINDS;

use crate::support::Service;

#[tokio::test]
async fn every_route_is_described() {
    let service = Service::on_sqlite().await;
    let description = service.get("/openapi.json").await.body;
    assert_eq!(description["openapi"], "3.1.0");
    let paths: BTreeSet<_> = description["paths"].as_object().unwrap().keys().cloned().collect();
    let expected = [
        "/streams/{stream}",
        "/events",
        "/all",
        "/feed",
        "/consumers",
        "/consumers/{name}",
        "/consumers/{name}/events",
        "/consumers/{name}/ack",
        "/projections",
        "/projections/{name}/{act}",
        "/projections/{name}/changes",
    ];
    assert_eq!(paths, expected.map(str::to_owned).into());
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            assert!(route["summary"].is_string(), "{method} {path} has no summary");
        }
    }
}

#[tokio::test]
async fn every_problem_is_explained_where_its_type_leads() {
    let service = Service::on_sqlite().await;
    for kind in KINDS {
        let page = service.get(&format!("/problems/{}", kind.name)).await;
        assert_eq!(page.status, 200);
        assert!(page.body.as_str().unwrap().starts_with(kind.title), "{}", kind.name);
    }
    assert_eq!(service.get("/problems/none").await.outcome(), (404, "not-found"));
    let refused = service.send(Method::GET, "/nowhere").reply().await;
    let (instance, trace) = (&refused.body["instance"], &refused.body["trace_id"]);
    assert_eq!(
        (instance.as_str(), trace.as_str()),
        (Some("/nowhere"), Some(refused.header("x-correlation-id")))
    );
}
