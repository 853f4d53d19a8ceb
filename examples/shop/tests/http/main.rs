//! The shop over HTTP, in this process, over a log in memory.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod carts;
mod checkout;
mod conditions;
mod health;
mod history;
mod keys;
mod postgres;
mod problems;
mod products;
mod relay;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use headwater::Log;
use headwater_http::Access;
use serde_json::{Value, json};
use shop::{
    Shop,
    domain::catalogue::{Product, coffee_shop},
};
use tower::ServiceExt as _;
use uuid::Uuid;

const KIT: &str = "the-chemex-kit";

/// A shop whose catalogue is the coffee shop's, and a client of it.
#[derive(Clone)]
struct Client {
    log: Log,
    router: Router,
}

/// An answer.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

/// A request that is being put together.
struct Sent<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl Client {
    async fn new() -> Self {
        Self::over("sqlite::memory:").await
    }

    async fn over(url: &str) -> Self {
        let log = headwater::connect(url).await.unwrap();
        let shop = Shop::new(&log).unwrap();
        for offer in coffee_shop() {
            let list = |product: &Product| product.list(offer.clone());
            shop.products.execute(&offer.sku, list).await.unwrap();
        }
        Self { log, router: shop::http::router(shop, &Access::everybody(), Router::new()) }
    }

    /// Of a shop in a log that is there.
    fn at(log: &Log) -> Self {
        let router =
            shop::http::router(Shop::new(log).unwrap(), &Access::everybody(), Router::new());
        Self { log: log.clone(), router }
    }

    fn send(&self, method: Method, path: impl Into<String>) -> Sent<'_> {
        Sent { client: self, method, path: path.into(), headers: Vec::new(), body: None }
    }

    fn get(&self, path: impl Into<String>) -> Sent<'_> {
        self.send(Method::GET, path)
    }

    fn post(&self, path: impl Into<String>, body: Value) -> Sent<'_> {
        self.send(Method::POST, path).json(body)
    }

    fn put(&self, path: impl Into<String>, body: Value) -> Sent<'_> {
        self.send(Method::PUT, path).json(body)
    }

    fn delete(&self, path: impl Into<String>) -> Sent<'_> {
        self.send(Method::DELETE, path)
    }

    /// Opens a cart, and yields its path.
    async fn cart(&self) -> String {
        let opened = self.post("/carts", json!({ "currency": "USD" })).reply().await;
        opened.header("location").into()
    }

    /// Opens a cart with one kit in it, and yields its path.
    async fn full_cart(&self) -> String {
        let cart = self.cart().await;
        self.add(&cart, KIT, 1).await;
        cart
    }

    async fn add(&self, cart: &str, sku: &str, quantity: u32) -> Reply {
        let body = json!({ "sku": sku, "quantity": quantity });
        self.post(format!("{cart}/items"), body).reply().await
    }

    /// Opens, fills and checks out a cart, and yields the order's path.
    async fn order(&self) -> String {
        let checkout = format!("{}/checkout", self.full_cart().await);
        let order = self.post(checkout, json!({})).key("order").reply().await;
        order.header("location").into()
    }
}

impl Sent<'_> {
    fn json(mut self, body: Value) -> Self {
        self.body = Some(body.to_string());
        self.header("content-type", "application/json")
    }

    fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    fn if_match(self, tag: &str) -> Self {
        self.header("if-match", tag)
    }

    async fn reply(self) -> Reply {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(self.body.unwrap_or_default())).unwrap();
        let response = self.client.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let length = head.headers.get("content-length");
        assert!(length.is_none_or(|length| *length == *body.len().to_string() || body.is_empty()));
        let text = || Value::String(String::from_utf8_lossy(&body).into());
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| text());
        Reply { status: head.status, headers: head.headers, body }
    }
}

impl Reply {
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// It is this problem, in the form that all problems have.
    #[track_caller]
    fn problem(&self, status: u16, name: &str) -> &Value {
        assert_eq!(self.body["type"], format!("/problems/{name}"), "{self:?}");
        assert_eq!((self.status.as_u16(), &self.body["status"]), (status, &json!(status)));
        assert_eq!(self.header("content-type"), "application/problem+json");
        for member in ["title", "detail", "instance"] {
            assert!(self.body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}");
        }
        assert_eq!(self.body["trace_id"], self.header("x-correlation-id"));
        self.body["trace_id"].as_str().unwrap().parse::<Uuid>().unwrap();
        &self.body
    }

    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}
