//! Read models that are followed.

use std::sync::Arc;

use axum::http::Method;
use headwater::{App, ExpectedVersion, NewEvent, Position, StreamName};
use headwater_testkit::account::{AccountEvent, Balance, Owners};
use serde_json::json;

use crate::support::Service;

async fn append(service: &Service, account: &str, event: AccountEvent) -> Position {
    let (stream, event) =
        (StreamName::new("account", account).unwrap(), NewEvent::of(&event).unwrap());
    service.log.append(&stream, ExpectedVersion::Any, [event]).await.unwrap().position()
}

async fn open(service: &Service, account: &str) -> Position {
    append(service, account, AccountEvent::Opened { owner: "ada".into() }).await
}

/// A service with its projections, and what keeps them up to date.
fn service_and_app(service: Service) -> (Service, Arc<App>) {
    let app = Arc::new(App::new().projection::<Balance>().sql_projection(Owners));
    (service.with_app(&app), app)
}

pub async fn a_row_comes_with_the_event_that_has_changed_it(service: Service) {
    let (service, app) = service_and_app(service);
    let mut changes = service.listen("/projections/balances/changes", None).await;
    let opened = open(&service, "a").await;
    app.catch_up(&service.log).await.unwrap();
    let message = changes.next().await;
    assert_eq!((message.id, &*message.event), (opened.0, "changed"));
    let row = json!({ "account": "a", "owner": "ada", "cents": 0, "bookings": 0 });
    assert_eq!(message.data, json!({ "position": opened, "key": { "account": "a" }, "row": row }));
    let closed = append(&service, "a", AccountEvent::Closed { reason: "done".into() }).await;
    app.catch_up(&service.log).await.unwrap();
    let message = changes.next().await;
    assert_eq!((message.id, &*message.event), (closed.0, "removed"));
    assert_eq!(message.data, json!({ "position": closed, "key": { "account": "a" }, "row": null }));
}

pub async fn a_client_that_comes_back_misses_no_row(service: Service) {
    let (service, app) = service_and_app(service);
    open(&service, "a").await;
    let opened = open(&service, "b").await;
    let sent = AccountEvent::Transferred { to: "b".into(), cents: 5 };
    let sent = append(&service, "a", sent).await;
    app.catch_up(&service.log).await.unwrap();
    let path = "/projections/balances/changes?from=beginning";
    let mut changes = service.listen(path, Some(opened.0)).await;
    let (first, second) = (changes.next().await, changes.next().await);
    assert_eq!(
        (first.id, second.id),
        (0, sent.0),
        "the first of two rows has no id to go on behind"
    );
    assert_eq!([&first, &second].map(|m| &m.data["position"]), [&json!(sent); 2]);
    let keys: Vec<_> = [&first, &second].map(|m| m.data["key"]["account"].clone()).into();
    assert!(keys.contains(&json!("a")) && keys.contains(&json!("b")), "{keys:?}");
}

pub async fn what_cannot_be_followed_is_refused(service: Service) {
    let (service, _app) = service_and_app(service);
    for (path, outcome) in [
        ("/projections/owners/changes", (422, "validation")),
        ("/projections/balance/changes", (404, "not-found")),
        ("/projections/balances/changes?from=x", (400, "malformed-request")),
        ("/projections/balances/changes?since=1", (400, "malformed-request")),
    ] {
        assert_eq!(service.get(path).await.outcome(), outcome, "{path}");
    }
    let ahead = service.send(Method::GET, "/projections/balances/changes");
    let ahead = ahead.header("last-event-id", "99").reply().await;
    assert_eq!(ahead.outcome(), (409, "beyond-the-end"));
}
