//! A service in this process, and a client of it.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use futures_util::StreamExt as _;
use headwater::{App, ExpectedVersion, Log, NewEvent, StreamName};
use headwater_http::Api;
use headwater_testkit::{postgres, within};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The routes over a log of its own.
pub struct Service {
    pub log: Log,
    pub routes: Router,
    _database: Option<postgres::TestDatabase>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

/// A request that is being put together.
pub struct Sent<'a> {
    service: &'a Service,
    request: axum::http::request::Builder,
    body: String,
}

impl Service {
    pub async fn on_sqlite() -> Self {
        Self::over(headwater::connect("sqlite::memory:").await.unwrap())
    }

    pub async fn on_postgres() -> Self {
        let database = postgres::database().await;
        let log = headwater::connect(database.url()).await.unwrap();
        Self { _database: Some(database), ..Self::over(log) }
    }

    pub fn over(log: Log) -> Self {
        let routes = Api::new(&log).router();
        Self { log, routes, _database: None }
    }

    /// With the projections of `app`.
    pub fn with_app(self, app: &Arc<App>) -> Self {
        let routes = Api::new(&self.log).app(app.clone()).router();
        Self { routes, ..self }
    }

    pub fn send(&self, method: Method, path: &str) -> Sent<'_> {
        let request = Request::builder().method(method).uri(path);
        Sent { service: self, request, body: String::new() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path).reply().await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path).json(&body.to_string()).reply().await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PUT, path).json(&body.to_string()).reply().await
    }

    /// Appends so many events to a stream, past HTTP.
    pub async fn fill(&self, stream: &str, event_type: &str, count: usize) {
        let events =
            (0..count).map(|n| NewEvent::from_json(event_type, 1, format!("{{\"n\":{n}}}")));
        let stream = StreamName::parse(stream).unwrap();
        self.log.append(&stream, ExpectedVersion::Any, events).await.unwrap();
    }

    /// How many events the log holds.
    pub async fn count(&self) -> usize {
        self.log.read(headwater::Filter::all(), headwater::Position::START).count().await
    }

    /// Listens to a feed.
    pub async fn listen(&self, path: &str, last: Option<u64>) -> Listener {
        let mut sent = self.send(Method::GET, path);
        if let Some(last) = last {
            sent = sent.header("last-event-id", &last.to_string());
        }
        let response = sent.response().await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Listener { chunks: response.into_body().into_data_stream(), text: String::new() }
    }
}

impl Sent<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn json(self, body: &str) -> Self {
        self.body("application/json", body)
    }

    pub fn body(mut self, media_type: &str, body: &str) -> Self {
        self.body = body.into();
        self.header("content-type", media_type)
    }

    pub async fn response(self) -> axum::response::Response {
        let request = self.request.body(Body::from(self.body)).unwrap();
        within("an answer", self.service.routes.clone().oneshot(request)).await.unwrap()
    }

    pub async fn reply(self) -> Reply {
        let response = self.response().await;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX);
        let bytes = within("the whole answer", bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let body = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
        Reply { status, headers, body }
    }
}

impl Reply {
    /// The status, and of a problem its type.
    pub fn outcome(&self) -> (u16, &str) {
        let kind = self.body["type"].as_str().unwrap_or_default();
        if !kind.is_empty() {
            assert_eq!(self.headers["content-type"], "application/problem+json");
            assert_eq!(self.body["status"], self.status.as_u16());
        }
        (self.status.as_u16(), kind.trim_start_matches("/problems/"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The positions of the events in the body.
    pub fn positions(&self) -> Vec<u64> {
        let events = self.body["events"].as_array().unwrap();
        events.iter().map(|event| event["position"].as_u64().unwrap()).collect()
    }
}

/// One who listens to a feed.
pub struct Listener {
    chunks: axum::body::BodyDataStream,
    text: String,
}

/// What a feed sends.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// 0 where it has none.
    pub id: u64,
    pub event: String,
    pub data: Value,
}

impl Listener {
    /// The next message.
    pub async fn next(&mut self) -> Message {
        within("a message", async {
            loop {
                if let Some((block, rest)) = self.text.split_once("\n\n") {
                    let message = message(block);
                    self.text = rest.to_owned();
                    if let Some(message) = message {
                        return message;
                    }
                    continue;
                }
                let chunk = self.chunks.next().await.expect("the feed goes on").unwrap();
                self.text += std::str::from_utf8(&chunk).unwrap();
            }
        })
        .await
    }

    /// The ids of the next messages.
    pub async fn ids(&mut self, count: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(self.next().await.id);
        }
        ids
    }
}

fn message(block: &str) -> Option<Message> {
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let data = serde_json::from_str(field("data")?).unwrap();
    let (id, event) = (field("id"), field("event").unwrap().into());
    Some(Message { id: id.map_or(0, |id| id.parse().unwrap()), event, data })
}
