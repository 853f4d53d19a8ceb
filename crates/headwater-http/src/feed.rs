//! `GET /feed`: the log as Server-Sent Events, for as long as the client listens.
//!
//! What is there and what comes are one cursor, so that no event falls between. A client that was cut off says
//! the last position that it has (`Last-Event-ID`, which a browser does by itself) and goes on behind it. An
//! event is read when the client has taken the one before: one that is slow costs no memory, and holds
//! nobody up.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{Response, sse::Event},
};
use futures_util::stream;
use headwater::{Cursor, ErrorKind, Position, StoredEvent};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{Shared, problem::Problem, request::Query, sse, wanted::Wanted};

/// After how many positions without an event that is wanted the client is told how far it is.
const CHECKPOINT: u64 = 1_000;

/// How many events are read at once.
const BATCH: usize = 16;

/// What a feed is to hold.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FeedQuery {
    /// Behind which position it begins; also `beginning`, `now` (the default), or a time. `Last-Event-ID` counts more.
    from: Option<String>,
    /// Streams with commas between: `cart-7`, or `cart-*` for a category.
    streams: Option<String>,
    /// Types of event with commas between: `cart.opened`, or `cart.*`.
    types: Option<String>,
}

/// Follow the log
///
/// Each message has the position as its `id`, the type as its `event`, and the event as its `data`. Where nothing
/// is wanted for 1,000 positions, a message `checkpoint` tells how far the feed is.
#[utoipa::path(
    get, path = "/feed", tag = "read", params(FeedQuery),
    responses(
        (status = 200, description = "Messages without end", content_type = "text/event-stream", body = String),
        (status = 409, description = "Last-Event-ID lies behind the end of the log"),
    )
)]
pub(crate) async fn follow(
    State(shared): State<Shared>,
    Query(query): Query<FeedQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Wanted::new(query.streams.as_deref(), query.types.as_deref())?;
    let after = sse::begin(&shared.log, &headers, query.from.as_deref()).await?;
    let cursor = shared.log.subscribe(wanted.filter(), after);
    let feed = Feed { cursor, wanted, batch: Vec::new().into_iter(), told: after };
    let messages =
        stream::unfold(feed, |mut feed| async { feed.next().await.map(|message| (message, feed)) });
    Ok(sse::answer(messages))
}

struct Feed {
    cursor: Cursor,
    wanted: Wanted,
    /// Read and not yet sent.
    batch: std::vec::IntoIter<StoredEvent>,
    /// The last position that the client was told.
    told: Position,
}

impl Feed {
    /// The next message; `None` where the log cannot be read any more.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.batch.by_ref().find(|event| self.wanted.fits(event)) {
                self.told = event.position;
                return message(&event);
            }
            let reached = self.cursor.position();
            if reached.0.saturating_sub(self.told.0) >= CHECKPOINT {
                self.told = reached;
                return Some(
                    Event::default().id(reached.to_string()).event("checkpoint").data("{}"),
                );
            }
            match self.cursor.next_batch(BATCH).await {
                Ok(batch) => self.batch = batch.events.into_iter(),
                Err(error) if error.kind() == ErrorKind::Retry => {
                    tokio::time::sleep(sse::PAUSE).await
                }
                Err(error) => {
                    tracing::error!(%error, "a feed has ended");
                    return None;
                }
            }
        }
    }
}

/// An event as a message; `None` where it holds no JSON.
fn message(event: &StoredEvent) -> Option<Event> {
    let json = event.to_json().inspect_err(|_| {
        tracing::error!(position = %event.position, "an event holds no JSON: its feed has ended");
    });
    // A type may hold what ends a line of the protocol; names in the log hold no control characters.
    let message = Event::default().id(event.position.to_string());
    Some(message.event(&event.event.event_type).data(json.ok()?))
}
