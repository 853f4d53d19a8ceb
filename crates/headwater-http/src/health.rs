//! What surrounds a service asks of it: whether its process answers, and whether it can do its work.

use std::sync::Arc;

use axum::{Json, Router, http::StatusCode, routing::get};
use headwater::{App, Log};
use serde_json::{Value, json};

/// `GET /healthz` and `GET /readyz`, for a service whose projections are those of `app`. They need no token.
///
/// `/healthz` asks nothing else, so that a database that is away restarts no process. `/readyz` is 200 where
/// [`App::readiness`] finds nothing in the way, and otherwise 503, with what it has found as JSON.
pub fn health(log: &Log, app: &Arc<App>) -> Router {
    let (log, app) = (log.clone(), app.clone());
    let ready = move || {
        let (log, app) = (log.clone(), app.clone());
        async move { ready(&log, &app).await }
    };
    Router::new().route("/healthz", get("ok")).route("/readyz", get(ready))
}

async fn ready(log: &Log, app: &App) -> (StatusCode, Json<Value>) {
    let readiness = app.readiness(log).await;
    let ready = readiness.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let answer = json!({
        "ready": ready,
        "obstacles": readiness.obstacles,
        "standing_still": readiness.standing_still,
    });
    (status, Json(answer))
}
