//! `POST /carts/{id}/checkout`

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{
    Kind, Problem,
    answer::Answer,
    request::{Body, CommandHeaders, Path},
};
use crate::{
    Shop,
    domain::ids::{CartId, OrderId},
};

#[derive(Deserialize)]
pub(super) struct CheckOut {
    order_id: Option<OrderId>,
}

/// Makes a cart an order. The order goes on by itself from here: its resource shows how far it is.
pub(super) async fn check_out(
    State(shop): State<Shop>,
    Path(id): Path<CartId>,
    headers: CommandHeaders,
    body: Body<Option<CheckOut>>,
) -> Result<Answer, Problem> {
    if headers.key.is_none() {
        let detail = "a checkout needs the header Idempotency-Key";
        return Err(Problem::new(Kind::IdempotencyKeyMissing, detail));
    }
    let order_id = body.value.and_then(|body| body.order_id);
    let options = headers.options(&shop.carts, &id, body.fingerprint).await?;
    let done = shop.check_out(id, order_id, &options).await;
    let done = headers.once(done, body.fingerprint)?;
    Ok(Answer::new(done.position, done.repeated)
        .status(StatusCode::ACCEPTED)
        .location(format!("/orders/{}", done.order_id))
        .with("order_id", json!(done.order_id))
        .with("status", json!("placed")))
}
