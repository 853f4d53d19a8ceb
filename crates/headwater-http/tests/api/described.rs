use std::collections::BTreeSet;

use axum::http::Method;
use headwater_http::problem::KINDS;
use serde_json::Value;

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
        "/healthz",
        "/readyz",
        "/problems/{name}",
    ];
    assert_eq!(paths, expected.map(str::to_owned).into());
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            assert!(route["summary"].is_string(), "{method} {path} has no summary");
            let problem = &route["responses"]["default"]["$ref"];
            assert!(problem.is_string() || route["security"].is_array(), "{method} {path}");
        }
    }
    assert!(description["security"].is_null(), "none needs a token here");
    for reference in references(&description) {
        let place = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(place).is_some(), "nothing is at {reference}");
    }
    let kinds = description.pointer("/components/schemas/Problem/properties/type/pattern").unwrap();
    assert!(KINDS.iter().all(|kind| kinds.as_str().unwrap().contains(kind.name)));
}

/// All that it refers to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value.as_str()) {
                ("$ref", Some(reference)) => vec![reference.to_owned()],
                _ => references(value),
            })
            .collect(),
        Value::Array(entries) => entries.iter().flat_map(references).collect(),
        _ => Vec::new(),
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
