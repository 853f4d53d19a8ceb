//! The shop's two pages, to buy and to see it at work, and the one endpoint that feeds the second.
//!
//! Its files are part of the binary, so it needs no build step and works offline.

mod live;
mod window;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderName, header},
    routing::get,
};

use crate::http::Problem;

pub(crate) use self::{live::Live, window::Window};

/// A page runs its own scripts and styles, asks its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Headers = [(HeaderName, &'static str); 4];

/// The routes of the pages.
pub(crate) fn router(live: Arc<Live>) -> Router {
    let file = |kind, text: &'static str| get(move || async move { (headers(kind), text) });
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("../static/index.html")))
        .route("/shop.js", file("text/javascript", include_str!("../static/shop.js")))
        .route(
            "/dashboard",
            file("text/html; charset=utf-8", include_str!("../static/dashboard.html")),
        )
        .route("/dashboard.js", file("text/javascript", include_str!("../static/dashboard.js")))
        .route("/page.js", file("text/javascript", include_str!("../static/page.js")))
        .route("/charts.js", file("text/javascript", include_str!("../static/charts.js")))
        .route("/style.css", file("text/css", include_str!("../static/style.css")))
        .route("/icon.svg", file("image/svg+xml", include_str!("../static/icon.svg")))
        .route("/api/live", get(answer).with_state(live))
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
