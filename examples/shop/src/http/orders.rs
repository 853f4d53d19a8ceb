//! `/orders`: an order, and calling it off.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Problem,
    answer::{Answer, representation},
    history::Page,
    request::{Body, CommandHeaders, Path, Query},
};
use crate::{
    Shop,
    domain::{
        ids::OrderId,
        order::{Order, OrderError, OrderStatus, Placed},
    },
};

#[derive(Serialize)]
struct OrderBody<'a> {
    order_id: OrderId,
    status: OrderStatus,
    #[serde(flatten)]
    placed: &'a Placed,
    version: u64,
    position: headwater::Position,
}

/// `GET /orders/{id}`
pub(super) async fn show(
    State(shop): State<Shop>,
    Path(id): Path<OrderId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let order = shop.orders.load(&id).await?;
    let (placed, status) = order.state.placed().ok_or(OrderError::Unknown)?;
    let (version, position) = (order.version, order.position);
    let body = OrderBody { order_id: id, status, placed, version, position };
    Ok(representation(&headers, order.version, body))
}

/// `GET /orders/{id}/events`
pub(super) async fn events(
    State(shop): State<Shop>,
    Path(id): Path<OrderId>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    page.read(&shop, &shop.orders, &id, format!("/orders/{id}/events")).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    by: Option<String>,
    reason: Option<String>,
}

/// `POST /orders/{id}/cancel`, with or without a body
pub(super) async fn cancel(
    State(shop): State<Shop>,
    Path(id): Path<OrderId>,
    headers: CommandHeaders,
    body: Body<Option<Cancel>>,
) -> Result<Answer, Problem> {
    let Cancel { by, reason } = body.value.unwrap_or_default();
    let by = by.unwrap_or_else(|| "customer".into());
    let decide = |order: &Order| order.cancel(by.clone(), reason.clone());
    let done = headers.execute(&shop.orders, &id, body.fingerprint, decide).await?;
    Ok(Answer::of(&done)
        .status(StatusCode::ACCEPTED)
        .with("order_id", json!(id))
        .with("status", json!(OrderStatus::Cancelled)))
}
