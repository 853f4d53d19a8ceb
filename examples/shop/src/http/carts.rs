//! `/carts`: a cart, from opening it to the moment before checkout.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Kind, Problem,
    answer::{Answer, representation},
    history::Page,
    request::{Body, CommandHeaders, Path, Query},
};
use crate::{
    Shop,
    domain::{
        cart::{Cart, CartError, CartStatus},
        ids::{CartId, OrderId, Sku},
        line::OrderLine,
        money::{Currency, Money},
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    customer: Option<String>,
    currency: Currency,
}

/// `POST /carts`
pub(super) async fn open(
    State(shop): State<Shop>,
    headers: CommandHeaders,
    body: Body<Open>,
) -> Result<Answer, Problem> {
    // With a key the id is derived, so that the same request opens the same cart.
    let id = match &headers.key {
        None => CartId::new(),
        Some(key) if key.text.parse::<Uuid>().is_ok() => CartId(key.command_id),
        Some(_) => {
            let detail = "the Idempotency-Key that opens a cart must be a UUID, so that no two \
                          buyers choose the same one";
            return Err(Problem::new(Kind::MalformedRequest, detail));
        }
    };
    let Open { customer, currency } = body.value;
    let decide = |cart: &Cart| cart.open(customer.clone(), currency);
    let done = headers.execute(&shop.carts, &id, body.fingerprint, decide).await?;
    Ok(Answer::of(&done)
        .status(StatusCode::CREATED)
        .location(format!("/carts/{id}"))
        .with("cart_id", json!(id)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeTravel {
    at_version: Option<u64>,
    as_of: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct CartBody<'a> {
    cart_id: CartId,
    status: &'static str,
    customer: Option<&'a str>,
    lines: Vec<&'a OrderLine>,
    total: Money,
    order_id: Option<OrderId>,
    version: u64,
    position: headwater::Position,
}

/// `GET /carts/{id}`, as it is now, as it was at a version, or as of a time.
pub(super) async fn show(
    State(shop): State<Shop>,
    Path(id): Path<CartId>,
    Query(travel): Query<TimeTravel>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let until = travel.version(&shop, &id).await?;
    let cart = shop.carts.load_until(&id, until.unwrap_or(u64::MAX)).await?;
    let total = cart.state.total().ok_or(CartError::Unknown)?;
    if until.is_some_and(|version| version > cart.version) {
        let detail = format!("the cart is at version {}", cart.version);
        return Err(Problem::new(Kind::NotFound, detail));
    }
    let status = cart.state.status();
    let order_id = match status {
        CartStatus::CheckedOut(order) => Some(order),
        _ => None,
    };
    let body = CartBody {
        cart_id: id,
        status: status.word(),
        customer: cart.state.customer(),
        lines: cart.state.lines().collect(),
        total,
        order_id,
        version: cart.version,
        position: cart.position,
    };
    Ok(representation(&headers, cart.version, body))
}

impl TimeTravel {
    /// The version to show; `None` for the current one.
    async fn version(&self, shop: &Shop, id: &CartId) -> Result<Option<u64>, Problem> {
        let Some(as_of) = self.as_of else { return Ok(self.at_version) };
        if self.at_version.is_some() {
            let detail = "give at_version or as_of, not both";
            return Err(Problem::new(Kind::MalformedRequest, detail));
        }
        let mut version = 0;
        let mut events = shop.log.read_stream(&shop.carts.stream(id)?, 1);
        while let Some(event) = events.try_next().await?
            && event.occurred_at <= as_of
        {
            version = event.version;
        }
        Ok(Some(version))
    }
}

/// `GET /carts/{id}/events`
pub(super) async fn events(
    State(shop): State<Shop>,
    Path(id): Path<CartId>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    page.read(&shop, &shop.carts, &id, format!("/carts/{id}/events")).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddItem {
    sku: Sku,
    quantity: u32,
}

/// `POST /carts/{id}/items`
pub(super) async fn add_item(
    State(shop): State<Shop>,
    Path(id): Path<CartId>,
    headers: CommandHeaders,
    body: Body<AddItem>,
) -> Result<Answer, Problem> {
    let AddItem { sku, quantity } = body.value;
    let options = headers.options(&shop.carts, &id, body.fingerprint).await?;
    let done = shop.add_item(&id, &sku, quantity, &options).await;
    let done = headers.once(done, body.fingerprint)?;
    Ok(Answer::of(&done))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetQuantity {
    quantity: u32,
}

/// `PUT /carts/{id}/items/{sku}`
pub(super) async fn set_quantity(
    State(shop): State<Shop>,
    Path((id, sku)): Path<(CartId, Sku)>,
    headers: CommandHeaders,
    body: Body<SetQuantity>,
) -> Result<Answer, Problem> {
    let decide = |cart: &Cart| cart.set_quantity(&sku, body.value.quantity);
    let done = headers.execute(&shop.carts, &id, body.fingerprint, decide).await?;
    Ok(Answer::of(&done))
}

/// `DELETE /carts/{id}/items/{sku}`
pub(super) async fn remove_item(
    State(shop): State<Shop>,
    Path((id, sku)): Path<(CartId, Sku)>,
    headers: CommandHeaders,
) -> Result<Answer, Problem> {
    let decide = |cart: &Cart| cart.remove_item(&sku);
    let done = headers.execute(&shop.carts, &id, Uuid::nil(), decide).await?;
    Ok(Answer::of(&done).status(StatusCode::NO_CONTENT))
}
