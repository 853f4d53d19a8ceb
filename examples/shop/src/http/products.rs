//! `/products`: the catalogue.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use headwater::Position;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Kind, Problem,
    answer::{Answer, path_segment, representation},
    consistency::wait_for,
    request::{Body, CommandHeaders, IfMatch, Path, Query},
};
use crate::{
    Shop,
    domain::{
        catalogue::{CatalogueError, Offer, Product},
        ids::Sku,
        money::Money,
    },
    views::CatalogueView,
};

/// `POST /products`
pub(super) async fn add(
    State(shop): State<Shop>,
    headers: CommandHeaders,
    body: Body<Offer>,
) -> Result<Answer, Problem> {
    let (sku, offer) = (&body.value.sku, &body.value);
    let decide = |product: &Product| product.list(offer.clone());
    let done = headers.execute(&shop.products, sku, body.fingerprint, decide).await?;
    Ok(Answer::of(&done)
        .status(StatusCode::CREATED)
        .location(format!("/products/{}", path_segment(sku.as_str())))
        .with("sku", json!(sku)))
}

#[derive(Serialize)]
struct ProductBody<'a> {
    #[serde(flatten)]
    offer: &'a Offer,
    listed: bool,
    version: u64,
    position: Position,
}

/// `GET /products/{sku}`
pub(super) async fn show(
    State(shop): State<Shop>,
    Path(sku): Path<Sku>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let product = shop.products.load(&sku).await?;
    let (offer, listed) = match &product.state {
        Product::Unknown => return Err(CatalogueError::Unknown.into()),
        Product::Listed(offer) => (offer, true),
        Product::Delisted(offer) => (offer, false),
    };
    let (version, position) = (product.version, product.position);
    let body = ProductBody { offer, listed, version, position };
    Ok(representation(&headers, version, body))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangePrice {
    price: Money,
    reason: Option<String>,
}

/// `PUT /products/{sku}/price`: only for who has read the price before
pub(super) async fn change_price(
    State(shop): State<Shop>,
    Path(sku): Path<Sku>,
    headers: CommandHeaders,
    body: Body<ChangePrice>,
) -> Result<Answer, Problem> {
    if matches!(headers.if_match, IfMatch::Absent) {
        let detail = "a change of price needs the product's ETag in If-Match";
        return Err(Problem::new(Kind::PreconditionRequired, detail));
    }
    let ChangePrice { price, reason } = body.value;
    let decide = |product: &Product| product.change_price(price, reason.clone());
    let done = headers.execute(&shop.products, &sku, body.fingerprint, decide).await?;
    Ok(Answer::of(&done))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<Sku>,
    #[serde(default = "most")]
    limit: u16,
}

fn most() -> u16 {
    1000
}

/// `GET /products`: what can be bought, by sku, from the read model
pub(super) async fn list(
    State(shop): State<Shop>,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    wait_for::<CatalogueView>(&shop, &headers).await?;
    let limit = i64::from(page.limit.clamp(1, most()));
    let condition = "where sku > $1 order by sku limit $2";
    let after = page.after.as_ref().map_or("", Sku::as_str);
    let parameters = [after.into(), limit.into()];
    let rows = shop.log.find::<CatalogueView>(condition, &parameters).await?;
    let full = i64::try_from(rows.len()).is_ok_and(|rows| rows == limit);
    let next = rows
        .last()
        .filter(|_| full)
        .map(|last| format!("/products?after={}&limit={limit}", path_segment(last.sku.as_str())));
    let products: Vec<_> = rows.into_iter().map(CatalogueView::into_offer).collect();
    Ok(Json(json!({ "products": products, "next": next })))
}
