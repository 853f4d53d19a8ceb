use axum::http::Method;
use futures_util::TryStreamExt as _;
use headwater::{Error, Filter, Position};
use headwater_testkit::gate::{Fate, Gate};
use serde_json::json;
use uuid::Uuid;

use crate::support::Service;

pub async fn an_append_is_answered_with_versions_and_positions(service: Service) {
    let two = json!({"events": [
        {"type": "cart.opened", "data": {"currency": "GBP"}},
        {"type": "cart.item_added", "schema": 2, "data": {"sku": "kit"}},
    ]});
    let appended = service.post("/streams/cart-7", &two).await;
    assert_eq!(appended.status, 201, "{appended:?}");
    assert_eq!((appended.header("etag"), appended.header("headwater-position")), ("\"2\"", "2"));
    let told = ["stream", "version", "position", "repeated"].map(|name| &appended.body[name]);
    assert_eq!(told, [&json!("cart-7"), &json!(2), &json!(2), &json!(false)]);
    let one = json!({"type": "cart.checked_out", "data": null});
    let appended = service.post("/streams/cart-7", &one).await;
    let event = &appended.body["events"][0];
    assert_eq!((&event["version"], &event["position"]), (&json!(3), &json!(3)));
    let known = service.log.event(event["event_id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(known.unwrap().unwrap().event.event_type, "cart.checked_out");
}

pub async fn data_and_metadata_are_kept_byte_for_byte(service: Service) {
    let data = r#"{"price": 1.10,  "big":18446744073709551616, "z":"\u0000\ud800", "a":[ ]}"#;
    let metadata = r#"{"by" :"ada"}"#;
    let conversation = Uuid::now_v7();
    let body = format!(
        r#"{{"type":"a.b","data":{data},"metadata":{metadata},"occurred_at":"2018-11-09T19:46:51.040Z"}}"#
    );
    let sent = service.send(Method::POST, "/streams/a-1").json(&body);
    let reply = sent.header("x-correlation-id", &conversation.to_string()).reply().await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(reply.header("x-correlation-id"), conversation.to_string());
    let events: Vec<_> =
        service.log.read(Filter::all(), Position::START).try_collect().await.unwrap();
    assert_eq!(events[0].event.data, data);
    assert_eq!(events[0].metadata.as_deref(), Some(metadata));
    assert_eq!(events[0].correlation_id, Some(conversation));
    assert_eq!(events[0].occurred_at.to_rfc3339(), "2018-11-09T19:46:51.040+00:00");
    let page = service.send(Method::GET, "/streams/a-1").response().await;
    let bytes = axum::body::to_bytes(page.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.into()).unwrap();
    assert!(text.contains(&format!("\"data\":{data}")), "{text}");
}

pub async fn the_same_event_ids_again_change_nothing(service: Service) {
    let body = json!({"type": "a.b", "data": 1, "event_id": Uuid::now_v7()});
    let first = service.post("/streams/a-1", &body).await;
    let again = service.post("/streams/a-1", &body).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(
        (&again.body["events"], &again.body["repeated"]),
        (&first.body["events"], &json!(true))
    );
    let mut other = body;
    other["data"] = json!(2);
    let refused = service.post("/streams/a-1", &other).await;
    assert_eq!(refused.outcome(), (409, "idempotency-conflict"));
    assert_eq!(refused.body["event_id"], other["event_id"]);
    assert_eq!(service.count().await, 1);
}

pub async fn a_wrong_version_is_refused_where_it_stood(service: Service) {
    service.fill("a-1", "a.b", 3).await;
    let event = json!({"type": "a.b", "data": 1});
    for wrong in [json!(2), json!(4), json!("none")] {
        let body = json!({"expected_version": wrong, "events": [event]});
        let refused = service.post("/streams/a-1", &body).await;
        assert_eq!(refused.outcome(), (409, "version-conflict"));
        assert_eq!(refused.body["current_version"], 3);
    }
    for (header, value) in [("if-match", "\"2\""), ("if-none-match", "*")] {
        let sent = service.send(Method::POST, "/streams/a-1").json(&event.to_string());
        let refused = sent.header(header, value).reply().await;
        assert_eq!(refused.outcome(), (412, "version-conflict"), "{header}");
    }
    for unreadable in ["3", "W/\"3\"", "\"2\", \"3\"", "\"x\""] {
        let sent = service.send(Method::POST, "/streams/a-1").json(&event.to_string());
        let refused = sent.header("if-match", unreadable).reply().await;
        assert_eq!(refused.outcome(), (400, "malformed-request"), "{unreadable}");
    }
    let sent = service.send(Method::POST, "/streams/a-1").json(&event.to_string());
    assert_eq!(sent.header("if-match", "\"3\"").reply().await.status, 201);
    for (stream, right) in [("a-1", json!(4)), ("a-1", json!("any")), ("a-2", json!("none"))] {
        let body = json!({"expected_version": right, "events": [event]});
        let appended = service.post(&format!("/streams/{stream}"), &body).await;
        assert_eq!(appended.status, 201, "{right}");
    }
}

pub async fn what_cannot_be_accepted_changes_nothing(service: Service) {
    let deep = format!("{{\"type\":\"a.b\",\"data\":{}1{}}}", "[".repeat(65), "]".repeat(65));
    let large = format!("{{\"type\":\"a.b\",\"data\":\"{}\"}}", "x".repeat(1 << 20));
    let huge = format!("{{\"type\":\"a.b\",\"data\":\"{}\"}}", "x".repeat(17 << 20));
    let long = format!("{{\"type\":\"{}\",\"data\":1}}", "x".repeat(513));
    let many = json!({"events": vec![json!({"type": "a.b", "data": 1}); 1001]}).to_string();
    let cases = [
        ("", 400, "malformed-json"),
        ("{", 400, "malformed-json"),
        ("{\"type\":\"a.b\",\"data\":1}x", 400, "malformed-json"),
        ("[]", 422, "validation"),
        ("{\"events\":[]}", 422, "validation"),
        ("{\"type\":\"\",\"data\":1}", 422, "validation"),
        ("{\"type\":\"a\\u0000\",\"data\":1}", 422, "validation"),
        ("{\"type\":\"a.b\"}", 422, "validation"),
        ("{\"type\":7,\"data\":1}", 422, "validation"),
        ("{\"type\":\"a.b\",\"data\":1,\"schema\":0}", 422, "validation"),
        ("{\"type\":\"a.b\",\"data\":1,\"schema\":-1}", 422, "validation"),
        ("{\"type\":\"a.b\",\"data\":1,\"typo\":1}", 422, "validation"),
        ("{\"type\":\"a.b\",\"data\":1,\"stream\":\"a-1\"}", 422, "validation"),
        ("{\"type\":\"a.b\",\"data\":1,\"event_id\":\"7\"}", 422, "validation"),
        ("{\"type\":\"a.b\",\"data\":1,\"metadata\":[]}", 422, "validation"),
        ("{\"type\":\"a.b\",\"data\":1,\"occurred_at\":\"now\"}", 422, "validation"),
        (
            "{\"events\":[{\"type\":\"a.b\",\"data\":1}],\"expected_version\":\"new\"}",
            422,
            "validation",
        ),
        (
            "{\"events\":[{\"type\":\"a.b\",\"data\":1},{\"type\":\"\",\"data\":1}]}",
            422,
            "validation",
        ),
        (&deep, 422, "validation"),
        (&long, 422, "validation"),
        (&large, 413, "payload-too-large"),
        (&huge, 413, "payload-too-large"),
        (&many, 413, "payload-too-large"),
    ];
    for (body, status, kind) in cases {
        let refused = service.send(Method::POST, "/streams/a-1").json(body).reply().await;
        let shown = &body[..body.len().min(80)];
        assert_eq!(refused.outcome(), (status, kind), "{shown}: {}", refused.body);
    }
    let pointed = service.post("/streams/a-1", &json!({"events": [{"type": 7, "data": 1}]})).await;
    assert_eq!(pointed.body["errors"][0]["pointer"], "/events/0/type");
    for stream in ["a", "-1", "a-", "a%0A-1"] {
        let refused =
            service.post(&format!("/streams/{stream}"), &json!({"type": "a.b", "data": 1})).await;
        assert_eq!(refused.outcome(), (422, "validation"), "{stream}");
    }
    let invalid = service.send(Method::POST, "/streams/%FF-1").json("{}").reply().await;
    assert_eq!(invalid.outcome(), (404, "not-found"));
    for media_type in ["text/plain", "", "application/x-www-form-urlencoded"] {
        let sent = service.send(Method::POST, "/streams/a-1").body(media_type, "{}");
        assert_eq!(sent.reply().await.outcome(), (415, "unsupported-media-type"), "{media_type}");
    }
    assert_eq!(service.count().await, 0);
}

pub async fn of_many_lines_the_wrong_ones_are_rejected_by_their_numbers(service: Service) {
    let taken = Uuid::now_v7();
    service.post("/streams/a-1", &json!({"type": "a.b", "data": 1, "event_id": taken})).await;
    let lines = [
        json!({"stream": "a-1", "type": "a.b", "data": 2}).to_string(),
        "{".into(),
        json!({"stream": "b-1", "type": "a.b", "data": 3}).to_string(),
        String::new(),
        json!({"stream": "a", "type": "a.b", "data": 1}).to_string(),
        json!({"stream": "a-1", "type": "", "data": 1}).to_string(),
        json!({"stream": "a-2", "type": "a.b", "data": 1, "event_id": taken}).to_string(),
        json!({"stream": "a-1", "type": "a.b", "data": 4}).to_string(),
        json!({"type": "a.b", "data": 1}).to_string(),
        json!({"stream": "a-1", "type": "a.b", "data": 1, "typo": 1}).to_string(),
    ];
    let sent =
        service.send(Method::POST, "/events").body("application/x-ndjson", &lines.join("\n"));
    let reply = sent.reply().await;
    assert_eq!((&reply.body["accepted"], &reply.body["duplicates"]), (&json!(3), &json!(0)));
    assert_eq!(reply.body["position"].to_string(), reply.header("headwater-position"));
    let rejected = reply.body["rejected"].as_array().unwrap();
    let rejected: Vec<_> = rejected
        .iter()
        .map(|entry| (entry["line"].as_u64().unwrap(), entry["type"].as_str().unwrap()))
        .collect();
    let (malformed, validation) = ("/problems/malformed-json", "/problems/validation");
    let conflict = "/problems/idempotency-conflict";
    assert_eq!(
        rejected,
        [
            (2, malformed),
            (5, validation),
            (6, validation),
            (7, conflict),
            (9, validation),
            (10, validation)
        ]
    );
    let events: Vec<_> =
        service.log.read(Filter::all(), Position::START).try_collect().await.unwrap();
    let found: Vec<_> = events.iter().map(|e| (e.stream.as_str(), &*e.event.data)).collect();
    assert_eq!(found, [("a-1", "1"), ("a-1", "2"), ("b-1", "3"), ("a-1", "4")]);
}

/// The places in an array are told like the lines of a text, from 1; empty lines count.
pub async fn the_wrong_ones_of_an_array_are_rejected_by_their_places(service: Service) {
    let right = || json!({"stream": "a-1", "type": "a.b", "data": 1});
    let array =
        json!([right(), {"stream": "a-1"}, right(), {"stream": "a", "type": "a.b", "data": 1}]);
    let reply = service.post("/events", &array).await;
    let rejected = reply.body["rejected"].as_array().unwrap();
    let places: Vec<_> = rejected.iter().map(|entry| entry["line"].as_u64().unwrap()).collect();
    assert_eq!((places, &reply.body["accepted"]), (vec![2, 4], &json!(2)));
}

/// What was taken before the store failed stays so, and counts as a duplicate when all is sent again.
pub async fn a_store_that_fails_in_the_middle_is_told(service: Service) {
    let gate = Gate::before(&service.log);
    let before = Service::over(gate.log().clone());
    let taken = Uuid::now_v7();
    service.post("/streams/a-1", &json!({"type": "a.b", "data": 1, "event_id": taken})).await;
    let line = |n: u32, id| json!({"stream": "a-2", "type": "a.b", "data": n, "event_id": id});
    let array = json!([line(1, taken), line(2, Uuid::now_v7()), line(3, Uuid::now_v7())]);
    // All in one, then one by one: the first is refused, the second is taken, and the third finds nobody.
    for _ in 0..3 {
        gate.next(Fate::Pass);
    }
    for _ in 0..20 {
        gate.next(Fate::Fail(Error::Overloaded));
    }
    let failed = before.post("/events", &array).await;
    assert_eq!(failed.outcome(), (429, "overloaded"));
    assert_eq!(failed.header("retry-after"), "1");
    assert_eq!(service.count().await, 2);
    let again = service.post("/events", &array).await.body;
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(1), &json!(1)), "{again}");
}

pub async fn many_lines_again_are_duplicates(service: Service) {
    let events: Vec<_> = (0..1000)
        .map(|n| json!({"stream": format!("a-{}", n % 7), "type": "a.b", "data": n, "event_id": Uuid::now_v7()}))
        .collect();
    for (accepted, duplicates) in [(1000, 0), (0, 1000)] {
        let reply = service.post("/events", &json!(events)).await;
        assert_eq!(reply.body["accepted"], accepted, "{:?}", reply.body);
        assert_eq!(reply.body["duplicates"], duplicates);
    }
    let some: Vec<_> = events[990..]
        .iter()
        .cloned()
        .chain([json!({"stream": "a-9", "type": "a.b", "data": 1})])
        .collect();
    let reply = service.post("/events", &json!(some)).await;
    assert_eq!((&reply.body["accepted"], &reply.body["duplicates"]), (&json!(1), &json!(10)));
    assert_eq!(service.count().await, 1001);
    let empty = service.post("/events", &json!([])).await;
    assert_eq!(
        empty.body,
        json!({"accepted": 0, "duplicates": 0, "rejected": [], "position": null})
    );
    let too_many = vec![events[0].clone(); 1001];
    let refused = service.post("/events", &json!(too_many)).await;
    assert_eq!(refused.outcome(), (413, "payload-too-large"));
    assert_eq!(
        service.post("/events", &json!({"stream": "a-1"})).await.outcome(),
        (422, "validation")
    );
}

pub async fn an_append_of_unknown_outcome_is_settled_by_its_ids(service: Service) {
    let gate = Gate::before(&service.log);
    let before = Service::over(gate.log().clone());
    let event = json!({"type": "a.b", "data": 1});
    let answers = async {
        for _ in 0..20 {
            gate.next(Fate::LoseAnswer);
        }
    };
    let (unknown, ()) = futures_util::join!(before.post("/streams/a-1", &event), answers);
    assert_eq!(unknown.status, 202, "{unknown:?}");
    assert_eq!(unknown.body["status"], "unknown");
    let with_id = json!({"type": "a.b", "data": 1, "event_id": unknown.body["event_ids"][0]});
    let settled = service.post("/streams/a-1", &with_id).await;
    assert_eq!((settled.status.as_u16(), &settled.body["repeated"]), (200, &json!(true)));
    assert_eq!(service.count().await, 1);
}
