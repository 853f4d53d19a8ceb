//! The shop's two pages, to buy and to see it at work, and what the second asks beside `/stats` and `/log`.
//!
//! Its files are part of the binary, so it needs no build step and works offline.

mod latecomer;
mod live;
mod recent;
mod time_machine;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderName, StatusCode, header},
    routing::{get, post},
};
use headwater_http::{Access, Role};
use serde_json::{Map, Value};

use crate::{
    explain::{self, Explained},
    http::{Body, Problem},
};

pub use self::live::Clock;
pub(crate) use self::{
    latecomer::Latecomer, live::Live, recent::Recent, time_machine::TimeMachine,
};

/// A page runs its own scripts and styles, asks its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Headers = [(HeaderName, &'static str); 4];

/// The routes of the pages; those that cost much or change something, only where the page is operable.
pub(crate) fn router(live: Live, latecomer: Arc<Latecomer>, staff: &Access) -> Router {
    let live = Arc::new(live);
    let file = |kind, text: &'static str| get(move || async move { (headers(kind), text) });
    let operating = if live.is_operable() {
        let machine = Arc::new(TimeMachine::new(live.log()));
        let operating = Router::new()
            .route("/api/at", post(time_machine::answer).with_state(machine))
            .route("/api/busy-hours", post(join).with_state(latecomer));
        staff.guard(Role::Operate, operating)
    } else {
        Router::new()
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("../static/index.html")))
        .route("/shop.js", file("text/javascript", include_str!("../static/shop.js")))
        .route(
            "/dashboard",
            file("text/html; charset=utf-8", include_str!("../static/dashboard.html")),
        )
        .route("/dashboard.js", file("text/javascript", include_str!("../static/dashboard.js")))
        .route("/machine.js", file("text/javascript", include_str!("../static/machine.js")))
        .route("/log.js", file("text/javascript", include_str!("../static/log.js")))
        .route("/projections.js", file("text/javascript", include_str!("../static/projections.js")))
        .route("/page.js", file("text/javascript", include_str!("../static/page.js")))
        .route(
            "/uplot.js",
            file("text/javascript", include_str!("../static/vendor/uPlot.iife.min.js")),
        )
        .route("/uplot.css", file("text/css", include_str!("../static/vendor/uPlot.min.css")))
        .route("/charts.js", file("text/javascript", include_str!("../static/charts.js")))
        .route("/style.css", file("text/css", include_str!("../static/style.css")))
        .route("/icon.svg", file("image/svg+xml", include_str!("../static/icon.svg")))
        .route("/api/explained", get(explain).with_state(live.clone()))
        .merge(operating)
        .route("/api/live", get(answer).with_state(live))
}

/// How each number of the dashboard comes about.
async fn explain(State(live): State<Arc<Live>>) -> Result<Json<Vec<Explained>>, Problem> {
    Ok(Json(explain::explained(live.log()).await?))
}

/// Lets the latecomer join. What it takes is JSON, which a page of another origin cannot send unasked.
async fn join(State(latecomer): State<Arc<Latecomer>>, _: Body<Map<String, Value>>) -> StatusCode {
    latecomer.join();
    StatusCode::ACCEPTED
}

async fn answer(State(live): State<Arc<Live>>) -> Result<(Headers, String), Problem> {
    // Where there is nothing to show the page asks again in a second.
    let json = live.json().await?.ok_or_else(Problem::behind)?;
    Ok((headers("application/json"), json))
}

fn headers(kind: &'static str) -> Headers {
    [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ]
}
