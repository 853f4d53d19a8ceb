//! The shop over HTTP: commands in, carts, orders and the catalogue out.
//!
//! A cart, an order and a product are folded from their streams, so they are always current, and
//! their version is their `ETag`. Lists come from read models, which follow the log at a distance.

mod answer;
mod carts;
mod checkout;
mod command;
mod consistency;
mod health;
mod history;
mod orders;
mod problems;
mod products;
mod relay;
mod request;
mod statistics;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post, put},
};
use headwater_http::{Access, Role};
use tower::ServiceExt as _;
use tower_http::cors::CorsLayer;
use uuid::Uuid;

pub(crate) use self::request::Body;
pub use self::{
    health::health,
    problems::{Kind, Problem},
};
use crate::Shop;

/// Names the conversation that a request belongs to: a UUID, or the shop makes one.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// The event that a command follows from: a UUID, such as that of the press of a button.
pub const CAUSATION_ID: HeaderName = HeaderName::from_static("x-causation-id");
/// The position in the log of what a command did.
pub const POSITION: HeaderName = HeaderName::from_static("headwater-position");
/// A list must hold everything up to this position.
pub const MIN_POSITION: HeaderName = HeaderName::from_static("headwater-min-position");
/// Names a command, so that it is carried out once, however often it comes.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The command had been carried out before, and this is its first answer.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The largest body that the shop reads.
const BODY_BYTES: usize = 16 * 1024;

/// The routes of the shop, and others beside them: its pages, its health. Those who may operate change the catalogue.
pub fn router(shop: Shop, staff: &Access, others: Router) -> Router {
    let catalogue = Router::new()
        .route("/products", post(products::add))
        .route("/products/{sku}/price", put(products::change_price));
    Router::new()
        .merge(staff.guard(Role::Operate, catalogue))
        .route("/carts", post(carts::open))
        .route("/carts/{id}", get(carts::show))
        .route("/carts/{id}/events", get(carts::events))
        .route("/carts/{id}/items", post(carts::add_item))
        .route("/carts/{id}/items/{sku}", put(carts::set_quantity).delete(carts::remove_item))
        .route("/carts/{id}/checkout", post(checkout::check_out))
        .route("/orders/{id}", get(orders::show))
        .route("/orders/{id}/events", get(orders::events))
        .route("/orders/{id}/cancel", post(orders::cancel))
        .route("/products", get(products::list))
        .route("/products/{sku}", get(products::show))
        .route("/produceClickMessage", post(relay::produce))
        .route("/producePageLoad", post(relay::produce))
        .route("/stats/rates", get(statistics::rates))
        .route("/stats/buttons", get(statistics::buttons))
        .route("/stats/top-products", get(statistics::top_products))
        .route("/stats/funnel", get(statistics::funnel))
        .route("/stats/sales", get(statistics::sales))
        .route("/stats/sales-per-day", get(statistics::sales_per_day))
        .route("/stats/clicks-per-day", get(statistics::clicks_per_day))
        .route("/api/clickCount", get(statistics::click_count))
        .route("/api/clickHistory", get(statistics::click_history))
        .route("/problems/{name}", get(problems::explain))
        .with_state(shop)
        .merge(others)
        .fallback(problems::no_route)
        .method_not_allowed_fallback(problems::no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(converse))
}

/// The feed of the log also where a reader of the shop looks for it, at `/feed`.
pub fn feed(log: Router) -> Router {
    let follow = async |log: Router, mut request: Request| {
        let query = request.uri().query().unwrap_or_default();
        *request.uri_mut() = format!("/log/feed?{query}").parse().unwrap_or_default();
        log.oneshot(request).await
    };
    Router::new().route("/feed", get(move |request: Request| follow(log.clone(), request)))
}

/// Lets pages of these origins use the shop, and of no other.
pub fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            CAUSATION_ID,
            CORRELATION_ID,
            IDEMPOTENCY_KEY,
            MIN_POSITION,
        ])
        .expose_headers([header::ETAG, header::LOCATION, CORRELATION_ID, POSITION, REPLAYED])
}

/// The conversation that a request belongs to.
#[derive(Clone, Copy, Debug)]
struct Conversation(Uuid);

/// Gives each request its conversation, and each problem its place in it.
async fn converse(mut request: Request, next: Next) -> Response {
    let given =
        request.headers().get(&CORRELATION_ID).and_then(|id| id.to_str().ok()?.parse().ok());
    let id: Uuid = given.unwrap_or_else(Uuid::now_v7);
    let instance = request.uri().path().to_owned();
    request.extensions_mut().insert(Conversation(id));
    let response = problems::render(next.run(request).await, &instance, id);
    // What the log's own guard refuses.
    let mut response = headwater_http::problem::render(response, "", &instance, id);
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(CORRELATION_ID, id);
    }
    response
}
