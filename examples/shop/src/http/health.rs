//! What surrounds the shop asks of it: whether it can do its work, and how it does.

use std::sync::Arc;

use axum::{Router, http::header, routing::get};
use headwater::{App, Log};
use headwater_cli::Prometheus;
use headwater_http::{Access, Role};

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /healthz` and `GET /readyz`, for a shop whose projections are those of `app`, and for those who may read the log
/// `GET /metrics`.
pub fn health(log: &Log, app: &Arc<App>, staff: &Access, metrics: Prometheus) -> Router {
    let told = move || async move { ([(header::CONTENT_TYPE, TEXT)], metrics.render()) };
    let metrics = Router::new().route("/metrics", get(told));
    headwater_http::health(log, app).merge(staff.guard(Role::Read, metrics))
}
