//! What surrounds the shop asks of it: whether it can do its work, and how it does.

use std::sync::Arc;

use axum::{
    Json, Router,
    http::{StatusCode, header},
    routing::get,
};
use headwater::{App, Log};
use headwater_cli::Prometheus;
use serde_json::{Value, json};

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /readyz` and `GET /metrics`, for a shop whose projections are those of `app`.
pub fn health(log: Log, app: Arc<App>, metrics: Prometheus) -> Router {
    let ready = move || {
        let (log, app) = (log.clone(), app.clone());
        async move { ready(&log, &app).await }
    };
    let told = move || async move { ([(header::CONTENT_TYPE, TEXT)], metrics.render()) };
    Router::new().route("/readyz", get(ready)).route("/metrics", get(told))
}

async fn ready(log: &Log, app: &App) -> (StatusCode, Json<Value>) {
    let readiness = app.readiness(log).await;
    let (ready, status) = match readiness.is_ready() {
        true => (true, StatusCode::OK),
        false => (false, StatusCode::SERVICE_UNAVAILABLE),
    };
    let answer = json!({
        "ready": ready,
        "obstacles": readiness.obstacles,
        "standing_still": readiness.standing_still,
    });
    (status, Json(answer))
}
