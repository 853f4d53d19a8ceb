//! What surrounds the shop asks of it: whether it can do its work, and how it does.

use std::sync::Arc;

use axum::{Router, http::header, routing::get};
use headwater::{App, Log};
use headwater_cli::Prometheus;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /healthz`, `GET /readyz` and `GET /metrics`, for a shop whose projections are those of `app`.
pub fn health(log: &Log, app: &Arc<App>, metrics: Prometheus) -> Router {
    let told = move || async move { ([(header::CONTENT_TYPE, TEXT)], metrics.render()) };
    headwater_http::health(log, app).route("/metrics", get(told))
}
