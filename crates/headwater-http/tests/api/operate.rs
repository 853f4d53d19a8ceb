use headwater::{App, Operator};
use headwater_testkit::account::Balance;
use serde_json::json;

use crate::support::Service;

pub async fn projections_are_seen_paused_and_resumed(service: Service) {
    let app = App::new().projection::<Balance>();
    service.fill("thing-1", "thing.happened", 1).await;
    app.catch_up(&service.log).await.unwrap();
    let listed = service.get("/projections").await;
    let names: Vec<_> =
        listed.body.as_array().unwrap().iter().map(|p| p["projection"].clone()).collect();
    assert!(names.contains(&json!("balances")), "{names:?}");
    let paused = service.post("/projections/balances/pause", &json!(null)).await;
    assert_eq!((paused.status.as_u16(), &paused.body["paused"]), (200, &json!(true)));
    let resumed = service.post("/projections/balances/resume", &json!(null)).await;
    assert_eq!(resumed.body["paused"], false);
    let last = service.log.ceiling().await.unwrap().position;
    let skips = async || service.get("/projections").await.body[0]["skips"].clone();
    assert_eq!(skips().await, 0);
    Operator::new(&service.log, "ada").seek("balances", last).await.unwrap();
    assert_eq!(skips().await, 0, "it was there");
    service.fill("thing-1", "thing.happened", 1).await;
    let last = service.log.ceiling().await.unwrap().position;
    Operator::new(&service.log, "ada").seek("balances", last).await.unwrap();
    assert_eq!(skips().await, 1);
    let refused = service.post("/projections/balances/promote", &json!(null)).await;
    assert_eq!(refused.outcome(), (409, "refused"));
    assert_eq!(refused.body["code"], "no-generation");
    let idle = service.post("/projections/balances/rebuild", &json!(null)).await;
    assert_eq!((idle.outcome(), &idle.body["code"]), ((409, "refused"), &json!("no-instance")));
    let unknown = service.post("/projections/balance/pause", &json!(null)).await;
    assert_eq!(unknown.outcome(), (404, "not-found"));
    assert!(unknown.body["detail"].as_str().unwrap().contains("balances"), "{unknown:?}");
    let no_act = service.post("/projections/balances/destroy", &json!(null)).await;
    assert_eq!(no_act.outcome(), (404, "not-found"));
}

/// Who starts and stops processes, and who leads requests to them, asks without a token.
#[tokio::test]
async fn a_service_tells_whether_it_can_do_its_work() {
    let service = Service::on_sqlite().await;
    let alive = service.get("/healthz").await;
    assert_eq!((alive.status.as_u16(), &alive.body), (200, &json!("ok")));
    let ready = service.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.body["ready"]), (200, &json!(true)));
    service.log.close().await;
    let not_ready = service.get("/readyz").await;
    assert_eq!((not_ready.status.as_u16(), &not_ready.body["ready"]), (503, &json!(false)));
    assert_eq!(service.get("/healthz").await.status.as_u16(), 200, "it need not be started anew");
}
