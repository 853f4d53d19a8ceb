use std::time::Duration;

use axum::http::Method;
use chrono::{TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use headwater::{Error, StreamName};
use headwater_testkit::gate::{Fate, Gate};
use serde_json::{Value, json};

use super::{Client, Reply};

const VISIT: &str = "24d9ab20-e4f5-11e8-9f32-f2801f1b9fd1";

/// The reference system's own example of a click.
fn click() -> Value {
    json!({
        "topic": "edm-ui-click",
        "uuid": VISIT,
        "event_timestamp": 1_541_792_811_040_i64,
        "properties": { "button_id": "the-camper's-kit", "description": "button click" },
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut message = click();
    let (object, member) = pointer.rsplit_once('/').unwrap();
    message.pointer_mut(object).unwrap().as_object_mut().unwrap().insert(member.into(), value);
    message
}

async fn send(shop: &Client, message: Value) -> Reply {
    shop.post("/produceClickMessage", message).reply().await
}

/// What the visit holds: type and data of each event.
async fn visit(shop: &Client) -> Vec<(String, Value)> {
    let stream = StreamName::new("session", VISIT).unwrap();
    let events = shop.log.read_stream(&stream, 1);
    let events: Vec<_> = events.try_collect().await.unwrap();
    let event = |event: headwater::StoredEvent| {
        (event.event.event_type.clone(), serde_json::from_str(&event.event.data).unwrap())
    };
    events.into_iter().map(event).collect()
}

#[tokio::test]
async fn clicks_and_page_loads_are_events_of_their_visit() {
    let shop = Client::new().await;
    let load = json!({
        "topic": "edm-ui-pageload",
        "uuid": VISIT,
        "event_timestamp": 1_541_792_810_000_i64,
        "properties": {
            "user_agent": "Mozilla/5.0", "description": "fix coffee page page loaded",
            "url": "https://fix.coffee", "screen": { "width": 320 },
        },
        "referrer": "a friend",
    });
    let loaded = shop.post("/producePageLoad", load).reply().await.is(200);
    assert_eq!(loaded.body, json!({ "message": "Success!" }));
    let position = send(&shop, click()).await.is(200).header("headwater-position").to_owned();
    let expected = [
        (
            "page.loaded".to_owned(),
            json!({
                "url": "https://fix.coffee", "user_agent": "Mozilla/5.0",
                "description": "fix coffee page page loaded",
                "extra": { "referrer": "a friend", "screen": { "width": 320 } },
            }),
        ),
        (
            "button.clicked".to_owned(),
            json!({
                "button_id": "the-camper's-kit", "description": "button click",
            }),
        ),
    ];
    assert_eq!(visit(&shop).await, expected);

    let app = shop::app();
    app.catch_up(&shop.log).await.unwrap();
    let ask = async |path: &str| {
        let asked = shop.get(path).header("headwater-min-position", &*position);
        asked.reply().await.is(200).body
    };
    let counts = ask("/api/clickCount").await;
    assert_eq!(counts, json!([{ "button_id": "the-camper's-kit", "sum": "1" }]));
    let days = ask("/api/clickHistory").await;
    assert_eq!(days, json!([{ "Day": "2018-11-09T00:00:00.000Z", "clicks": "1" }]));
    let beyond = shop.get("/api/clickCount").header("headwater-min-position", "1000000");
    beyond.reply().await.problem(503, "projection-behind");
}

#[tokio::test]
async fn a_message_that_comes_twice_with_its_id_is_one_event() {
    let shop = Client::new().await;
    let message = with("/event_id", json!("0190f0c2-7b1e-7c3a-9d55-0c8f2b1e4a10"));
    let mut undated = with("/event_timestamp", Value::Null);
    undated["event_id"] = json!("0190f0c2-7b1e-7c3a-9d55-0c8f2b1e4a11");
    for message in [&message, &undated] {
        let first = send(&shop, message.clone()).await.is(200);
        let again = send(&shop, message.clone()).await.is(200);
        assert_eq!(first.header("headwater-position"), again.header("headwater-position"));
    }
    assert_eq!(visit(&shop).await.len(), 2);
    let mut other = message;
    other["properties"]["button_id"] = json!("about");
    send(&shop, other).await.problem(422, "idempotency-key-reused");
}

/// The requests of the reference system's two pages as they were recorded, with its answers, byte for byte.
pub async fn the_recorded_requests_are_answered_as_recorded(shop: &Client) {
    let click = r#"{"topic":"edm-ui-click","uuid":"24d9ab20-e4f5-11e8-9f32-f2801f1b9fd1","event_timestamp":1541792811040,"properties":{"button_id":"the-camper's-kit","description":"button click"}}"#;
    let load = r#"{"topic":"edm-ui-pageload","uuid":"24d9ab20-e4f5-11e8-9f32-f2801f1b9fd1","event_timestamp":1541792811000,"properties":{"user_agent":"Mozilla/5.0 (Macintosh)","description":"fix coffee page page loaded","url":"https://fix.coffee/"}}"#;
    let local = click.replace("edm-ui-click", "edm-ui-click-local");
    for (path, body) in [
        ("/producePageLoad", load),
        ("/produceClickMessage", click),
        ("/produceClickMessage", &*local),
    ] {
        for kind in ["application/json", "text/plain;charset=UTF-8"] {
            let sent = shop.send(Method::POST, path).header("content-type", kind);
            let answered = sent.body(body.to_owned()).reply().await.is(200);
            assert_eq!(answered.body.to_string(), r#"{"message":"Success!"}"#);
        }
    }
    shop::app().catch_up(&shop.log).await.unwrap();
    let counts = shop.get("/api/clickCount").reply().await.is(200).body.to_string();
    assert_eq!(counts, r#"[{"button_id":"the-camper's-kit","sum":"4"}]"#);
    let days = shop.get("/api/clickHistory").reply().await.is(200).body.to_string();
    assert_eq!(days, r#"[{"Day":"2018-11-09T00:00:00.000Z","clicks":"4"}]"#);
    let loads =
        shop.get("/stats/clicks-per-day?window=1d&until=2018-11-09T23:00:00Z").reply().await;
    assert_eq!(loads.is(200).body["days"][0]["loads"], 2);
}

#[tokio::test]
async fn the_recorded_requests_are_answered_as_recorded_on_sqlite() {
    the_recorded_requests_are_answered_as_recorded(&Client::new().await).await;
}

/// Whoever is told that it was stored may rely on it; where nobody knows, he is not told so.
#[tokio::test]
async fn what_may_not_be_stored_is_not_called_a_success() {
    let shop = Client::new().await;
    for (fate, status, kind) in [
        (Fate::LoseAnswer, 503, "store-unavailable"),
        (Fate::Fail(Error::Overloaded), 429, "rate-limited"),
    ] {
        let gate = Gate::before(&shop.log);
        // As often as it may be tried again.
        (0..20).for_each(|_| gate.next(fate.clone()));
        let refused = send(&Client::at(gate.log()), click()).await;
        refused.problem(status, kind);
        assert_eq!(refused.header("retry-after"), "1");
    }
}

#[tokio::test]
async fn what_cannot_be_an_event_is_refused_and_nothing_is_stored() {
    let shop = Client::new().await;
    let ahead = (Utc::now() + TimeDelta::minutes(11)).timestamp_millis();
    let long = "x".repeat(2_001);
    for (message, pointer) in [
        (with("/uuid", json!("me")), "/uuid"),
        (with("/uuid", Value::Null), "/uuid"),
        (with("/event_timestamp", json!(ahead)), "/event_timestamp"),
        (with("/event_timestamp", json!(-1)), "/event_timestamp"),
        (with("/event_timestamp", json!("now")), "/event_timestamp"),
        (with("/event_timestamp", json!(i64::MAX)), "/event_timestamp"),
        (with("/event_id", json!(7)), "/event_id"),
        (with("/properties", json!([])), "/properties"),
        (with("/properties/button_id", Value::Null), "/properties/button_id"),
        (with("/properties/button_id", json!("")), "/properties/button_id"),
        (with("/properties/button_id", json!("a\u{0}")), "/properties/button_id"),
        (with("/properties/button_id", json!("x".repeat(201))), "/properties/button_id"),
        (with("/properties/description", json!(long)), "/properties/description"),
        (with("/topic", json!(7)), "/topic"),
    ] {
        let refused = send(&shop, message).await;
        let problem = refused.problem(422, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    send(&shop, with("/topic", json!("payments"))).await.problem(400, "unknown-topic");
    let raw = async |media_type: &'static str, body: String| {
        let sent = shop.send(Method::POST, "/producePageLoad").header("content-type", media_type);
        sent.body(body).reply().await
    };
    raw("application/json", "{\"topic\":".into()).await.problem(400, "malformed-json");
    raw("application/json", "[".repeat(10_000)).await.problem(400, "malformed-json");
    // A log takes 64 levels, a reader of JSON some more.
    for depth in [64, 100, 120] {
        let nested = (0..depth).fold(json!(1), |inner, _| json!([inner]));
        send(&shop, with("/properties/x", nested)).await.problem(422, "validation");
    }
    raw("application/xml", click().to_string()).await.problem(415, "unsupported-media-type");
    let large = with("/properties/more", json!("x".repeat(16 * 1024))).to_string();
    raw("application/json", large).await.problem(413, "payload-too-large");
    assert!(visit(&shop).await.is_empty());
}

#[tokio::test]
async fn of_two_members_of_one_name_both_are_kept() {
    let shop = Client::new().await;
    let mut message = with("/properties/x", json!("of the properties"));
    message["x"] = json!("of the message");
    send(&shop, message).await.is(200);
    let extra = &visit(&shop).await[0].1["extra"];
    assert_eq!(*extra, json!({ "x": "of the message", "properties.x": "of the properties" }));
}

/// A browser asks before it sends; it is told of the origins that were configured, and of no other.
#[tokio::test]
async fn pages_of_a_configured_origin_may_send() {
    let mut shop = Client::new().await;
    shop.router =
        shop.router.layer(shop::http::cors(vec!["https://coffee.example".parse().unwrap()]));
    for (origin, allowed) in [("https://coffee.example", true), ("https://other.example", false)] {
        let ask = shop.send(Method::OPTIONS, "/produceClickMessage");
        let ask = ask.header("origin", origin).header("access-control-request-method", "POST");
        let asked = ask.header("access-control-request-headers", "content-type").reply().await;
        let told = asked.headers.get("access-control-allow-origin");
        assert_eq!(told.is_some_and(|told| told == origin), allowed, "{asked:?}");
        assert_ne!(told.map(|told| told.as_bytes()), Some(&b"*"[..]));
    }
}

/// What looks like a page's own code is text, and comes back as it was sent.
#[tokio::test]
async fn what_is_sent_is_kept_as_it_is() {
    let shop = Client::new().await;
    let nasty = "<script>alert('é\u{1F375}')</script>";
    let message = with("/properties/button_id", json!(nasty));
    let position = send(&shop, message).await.is(200).header("headwater-position").to_owned();
    shop::app().catch_up(&shop.log).await.unwrap();
    let reached = shop.log.wait_for(
        "button_clicks",
        headwater::Position(position.parse().unwrap()),
        Duration::from_secs(10),
    );
    assert!(reached.await.unwrap());
    let counts = shop.get("/api/clickCount").reply().await.is(200);
    assert_eq!(counts.body, json!([{ "button_id": nasty, "sum": "1" }]));
    assert_eq!(counts.header("content-type"), "application/json");
}
