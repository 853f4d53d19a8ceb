use axum::{
    Router,
    http::Method,
    routing::{get, post},
};
use headwater_http::{Access, Api, Role};
use serde_json::json;

use crate::support::Service;

/// What each route needs; that each that is described stands here is looked at below.
const ROUTES: [(Role, Method, &str); 14] = [
    (Role::Read, Method::GET, "/streams/cart-1"),
    (Role::Read, Method::GET, "/all"),
    (Role::Read, Method::GET, "/feed"),
    (Role::Read, Method::GET, "/consumers"),
    (Role::Read, Method::PUT, "/consumers/a"),
    (Role::Read, Method::GET, "/consumers/a"),
    (Role::Read, Method::GET, "/consumers/a/events"),
    (Role::Read, Method::POST, "/consumers/a/ack"),
    (Role::Read, Method::GET, "/projections"),
    (Role::Read, Method::GET, "/projections/a/changes"),
    (Role::Append, Method::POST, "/streams/cart-1"),
    (Role::Append, Method::POST, "/events"),
    (Role::Operate, Method::DELETE, "/consumers/a"),
    (Role::Operate, Method::POST, "/projections/a/pause"),
];

#[tokio::test]
async fn each_route_needs_a_token_for_its_role() {
    let mut service = Service::on_sqlite().await;
    let roles = [Role::Read, Role::Append, Role::Operate];
    let access = roles
        .into_iter()
        .fold(Access::everybody(), |access, role| access.token(role.as_str(), &[role]));
    service.routes = Api::new(&service.log).access(access).router();
    for (needed, method, path) in ROUTES {
        for role in roles {
            let sent = service.send(method.clone(), path).json("{}");
            let bearer = format!("Bearer {}", role.as_str());
            let response = sent.header("authorization", &bearer).response().await;
            assert_eq!(response.status() != 403, role == needed, "{path} as {}", role.as_str());
            assert_ne!(response.status(), 401, "{path}");
        }
        for (name, value) in
            [("x-none", ""), ("authorization", "read"), ("authorization", "Basic read")]
        {
            let refused =
                service.send(method.clone(), path).json("{}").header(name, value).reply().await;
            assert_eq!(refused.outcome(), (401, "unauthorized"), "{path}");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
        }
    }
    let in_address = service.get("/all?access_token=read").await;
    assert_eq!(in_address.outcome(), (401, "unauthorized"));
    let description = service.get("/openapi.json").await.body;
    let paths = description["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let guarded = operations.filter(|operation| operation["security"].is_null()).count();
    assert_eq!(guarded, ROUTES.len(), "a route is described and not tried here");
    assert_eq!(description["security"], json!([{ "token": [] }]));
}

#[tokio::test]
async fn without_tokens_only_this_machine_is_served() {
    let service = Service::on_sqlite().await;
    for (host, served) in [("localhost:8080", true), ("127.0.0.1", true), ("evil.example", false)] {
        let sent = service.send(Method::POST, "/streams/cart-1").header("host", host);
        let reply = sent.json(&json!({"type": "a.b", "data": 1}).to_string()).reply().await;
        assert_eq!(reply.status == 201, served, "{host}: {reply:?}");
    }
    assert_eq!(service.count().await, 2);
}

/// A browser sends a plain request for any page, and asks nobody first.
#[tokio::test]
async fn without_tokens_a_page_of_another_site_changes_nothing() {
    let mut service = Service::on_sqlite().await;
    service.post("/streams/cart-1", &json!({ "type": "cart.opened", "data": {} })).await;
    service.send(Method::PUT, "/consumers/mailer").json("{}").reply().await;
    let own = "https://shop.example";
    let api = |access| Api::new(&service.log).access(access).origin(own.parse().unwrap());
    let token = Access::everybody().token("t0ken", &[Role::Operate]);
    for (access, needs_token) in
        [(Access::this_machine(), false), (Access::everybody(), false), (token, true)]
    {
        let routes = api(access).router();
        service.routes = routes;
        for (headers, elsewhere) in [
            (&[("origin", "https://evil.example")][..], true),
            (&[("origin", "null")], true),
            (&[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("origin", "https://proxied.example"), ("sec-fetch-site", "same-origin")], false),
            (&[("origin", own), ("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://localhost:8080")], false),
            (&[], false),
        ] {
            let mut sent = service.send(Method::DELETE, "/consumers/nobody");
            sent = sent.header("host", "localhost:8080").header("authorization", "Bearer t0ken");
            for (name, value) in headers {
                sent = sent.header(name, value);
            }
            let refused = elsewhere && !needs_token;
            let status = if refused { 403 } else { 404 };
            assert_eq!(sent.reply().await.status, status, "{headers:?}");
        }
    }
    service.routes = api(Access::this_machine()).router();
    let remove = service.send(Method::DELETE, "/consumers/mailer").header("host", "localhost");
    assert_eq!(remove.header("origin", "https://evil.example").reply().await.status, 403);
    assert_eq!(service.get("/consumers/mailer").await.status, 200, "it is still there");
    let read = service.send(Method::GET, "/all").header("origin", "https://evil.example");
    assert_eq!(read.reply().await.status, 200, "what it may not read, the browser keeps from it");
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_by_name_alone() {
    let mut service = Service::on_sqlite().await;
    let own = "https://shop.example";
    service.routes = Api::new(&service.log).origin(own.parse().unwrap()).router();
    for (origin, allowed) in [(own, own), ("https://evil.example", "")] {
        let sent = service.send(Method::GET, "/all").header("origin", origin);
        assert_eq!(sent.reply().await.header("access-control-allow-origin"), allowed);
        let asked = service.send(Method::OPTIONS, "/streams/cart-1").header("origin", origin);
        let asked = asked.header("access-control-request-method", "POST").reply().await;
        assert_eq!(asked.header("access-control-allow-origin"), allowed);
    }
}

/// Also where nobody needs a token, and for routes of the service's own.
#[tokio::test]
async fn what_nobody_may_do_is_refused() {
    let mut service = Service::on_sqlite().await;
    let access = Access::this_machine().only(&[Role::Read]);
    let own = Router::new().route("/staff", post(async || "done"));
    let own = access.guard(Role::Operate, own).merge(access.guard(
        Role::Read,
        Router::new().route("/list", get(async || "here it is").post(async || "done")),
    ));
    service.routes = Api::new(&service.log).access(access).below("/log").router().merge(own);
    for (method, path, status) in [
        (Method::GET, "/log/all", 200),
        (Method::POST, "/log/streams/a-1", 403),
        (Method::DELETE, "/log/consumers/a", 403),
        (Method::POST, "/staff", 403),
        (Method::GET, "/list", 200),
        (Method::POST, "/list", 200),
    ] {
        let event = json!({"type": "a.b", "data": 1}).to_string();
        let answered = service.send(method, path).json(&event).reply().await;
        assert_eq!(answered.status, status, "{path}: {answered:?}");
    }
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let sent = service.send(Method::POST, "/list").header(name, value);
        assert_eq!(sent.reply().await.status, 403, "{name}");
    }
    assert_eq!(service.count().await, 0);
}
