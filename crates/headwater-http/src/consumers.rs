//! `/consumers/{name}`: subscriptions whose places the log keeps, for clients that have no database.

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use headwater::{Position, SubscriptionCheckpoint, envelope};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Shared,
    pages::{enveloped, limit},
    problem::{CONSUMER_MOVED, MALFORMED_REQUEST, Problem},
    request::{self, Json, Path, Query},
    tags,
    wanted::{Start, Wanted},
};

/// How long a consumer can wait for events.
const LONGEST_WAIT: u64 = 30;

/// Where a consumer stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Consumer {
    /// Its name.
    consumer: String,
    /// Everything at or below this position is acknowledged.
    position: u64,
    /// How many positions it is behind the log; holes count.
    lag: u64,
    /// When it last moved.
    updated_at: String,
}

impl Consumer {
    fn new(at: &SubscriptionCheckpoint, head: Position) -> Self {
        Self {
            consumer: at.subscription.clone(),
            position: at.position.0,
            lag: head.0.saturating_sub(at.position.0),
            updated_at: envelope::time(at.updated_at),
        }
    }
}

/// Where a consumer is to begin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    /// A position, `beginning`, `now`, or a time.
    #[schema(value_type = Option<String>)]
    from: Option<Place>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a position, `beginning`, `now`, or a time")]
enum Place {
    Position(u64),
    Text(String),
}

/// List the consumers
#[utoipa::path(get, path = "/consumers", tag = "consume", responses((status = 200, body = Vec<Consumer>)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
) -> Result<axum::Json<Vec<Consumer>>, Problem> {
    let (all, head) = (shared.log.subscriptions().await?, shared.log.ceiling().await?.position);
    Ok(axum::Json(all.iter().map(|at| Consumer::new(at, head)).collect()))
}

/// Make a consumer
///
/// One that is there already stays where it stands.
#[utoipa::path(
    put, path = "/consumers/{name}", tag = "consume",
    params(("name" = String, Path)), request_body = Begin,
    responses((status = 200, body = Consumer))
)]
pub(crate) async fn make(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(begin): Json<Begin>,
) -> Result<Response, Problem> {
    let from = match begin.from {
        None => Start::Position(Position::START),
        Some(Place::Position(position)) => Start::Position(Position(position)),
        Some(Place::Text(text)) => Start::parse("from", &text)?,
    };
    let start = from.position(&shared.log).await?;
    let wanted = Wanted::default();
    let subscription = shared.log.subscription(&name, wanted.filter(), start).await?;
    stands(&shared, subscription.checkpoint()).await
}

/// Where a consumer stands
///
/// Its `ETag` is for `If-Match` of an acknowledgement: it is another one after an operator has moved the consumer.
#[utoipa::path(
    get, path = "/consumers/{name}", tag = "consume", params(("name" = String, Path)),
    responses((status = 200, body = Consumer), (status = 404, description = "No such consumer"))
)]
pub(crate) async fn show(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    stands(&shared, &shared.log.subscription_checkpoint(&name).await?).await
}

async fn stands(shared: &Shared, at: &SubscriptionCheckpoint) -> Result<Response, Problem> {
    let head = shared.log.ceiling().await?.position;
    Ok((tag(at), axum::Json(Consumer::new(at, head))).into_response())
}

/// Its id as an entity tag: another one after an operator has moved it, whatever it has acknowledged.
fn tag(at: &SubscriptionCheckpoint) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{}\"", at.id))]
}

/// Which events a consumer wants.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Next {
    /// How many events, at most 1,000; 100 by default.
    limit: Option<usize>,
    /// How many seconds to wait where there are none, at most 30; 0 by default.
    wait: Option<u64>,
    /// Streams with commas between: `cart-7`, or `cart-*` for a category.
    streams: Option<String>,
    /// Types of event with commas between: `cart.opened`, or `cart.*`.
    types: Option<String>,
}

/// The next events of a consumer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Events {
    /// The events, in their order.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Box<RawValue>>,
    /// What to acknowledge when they are done.
    position: u64,
}

/// Get the next events of a consumer
///
/// Those behind what it has acknowledged: until it acknowledges these they come again. What to acknowledge stands
/// in the body, and in `Headwater-Position`.
#[utoipa::path(
    get, path = "/consumers/{name}/events", tag = "consume",
    params(("name" = String, Path), Next),
    responses((status = 200, body = Events), (status = 404, description = "No such consumer"))
)]
pub(crate) async fn events(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(next): Query<Next>,
) -> Result<Response, Problem> {
    let (limit, wait) = (limit(next.limit)?, next.wait.unwrap_or(0));
    if wait > LONGEST_WAIT {
        let detail = format!("wait should be at most {LONGEST_WAIT} seconds");
        return Err(Problem::new(MALFORMED_REQUEST, detail));
    }
    let wanted = Wanted::new(next.streams.as_deref(), next.types.as_deref())?;
    let at = shared.log.subscription_checkpoint(&name).await?;
    let until = Instant::now() + Duration::from_secs(wait);
    let subscription = shared.log.subscription(&name, wanted.filter(), at.position);
    let mut subscription = subscription.await?;
    let (mut events, mut position) = (Vec::new(), subscription.checkpoint().position);
    while events.is_empty() {
        let batch = match subscription.available(limit).await? {
            Some(batch) => batch,
            None => match timeout_at(until, subscription.next_batch(limit)).await {
                Ok(batch) => batch?,
                Err(_) => break,
            },
        };
        position = batch.position;
        events = batch.events;
        events.retain(|event| wanted.fits(event));
    }
    let body = Events { events: enveloped(&events)?, position: position.0 };
    let at = (tag(subscription.checkpoint()), tags::at(position));
    Ok((at, axum::Json(body)).into_response())
}

/// How far a consumer has come.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acknowledgement {
    /// Everything at or below this position is done.
    position: u64,
}

/// Acknowledge events
///
/// With the `ETag` of the events in `If-Match` it is refused where an operator has moved the consumer meanwhile.
#[utoipa::path(
    post, path = "/consumers/{name}/ack", tag = "consume",
    params(("name" = String, Path)), request_body = Acknowledgement,
    responses(
        (status = 200, body = Consumer), (status = 404, description = "No such consumer"),
        (status = 409, description = "An operator has moved it"),
    )
)]
pub(crate) async fn acknowledge(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(done): Json<Acknowledgement>,
) -> Result<Response, Problem> {
    let now = shared.log.subscription_checkpoint(&name).await?;
    let [(_, current)] = tag(&now);
    let given = request::text(&headers, &header::IF_MATCH)?;
    if given.is_some_and(|given| given != "*" && given != current) {
        return Err(Problem::new(CONSUMER_MOVED, "an operator has moved it since"));
    }
    let now = shared.log.acknowledge(&now, Position(done.position)).await?;
    stands(&shared, &now).await
}

/// Remove a consumer
#[utoipa::path(
    delete, path = "/consumers/{name}", tag = "operate", params(("name" = String, Path)),
    responses((status = 204), (status = 404, description = "No such consumer"))
)]
pub(crate) async fn remove(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    shared.operator().remove_subscription(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
