//! `GET /feed`: the log as Server-Sent Events, for as long as the client listens.
//!
//! What is there and what comes are one cursor, so that no event falls between. A client that was cut off says
//! the last position that it has (`Last-Event-ID`, which a browser does by itself) and goes on behind it.
//! Events are read when the client has taken those before: one that is slow costs little memory, and holds
//! nobody up.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use futures_util::stream;
use headwater::{Cursor, ErrorKind, Position, StoredEvent};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{Shared, messages::Messages, problem::Problem, request::Query, sse, wanted::Wanted};

/// After how many positions without an event that is wanted the client is told how far it is.
const CHECKPOINT: u64 = 1_000;

/// How many events are read at once.
const BATCH: usize = 64;

/// At how many bytes what goes out at once ends, behind a whole message.
const CHUNK: usize = 64 << 10;

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
    get, path = "/feed", tag = "read",
    params(FeedQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The last position that one has")),
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
    let messages = shared.messages.clone();
    let feed = Feed { cursor, wanted, messages, batch: Vec::new().into_iter(), told: after };
    let texts =
        stream::unfold(feed, |mut feed| async { feed.next().await.map(|text| (text, feed)) });
    Ok(sse::answer(texts))
}

struct Feed {
    cursor: Cursor,
    wanted: Wanted,
    messages: Arc<Messages>,
    /// Read and not yet sent.
    batch: std::vec::IntoIter<StoredEvent>,
    /// The last position that the client was told.
    told: Position,
}

impl Feed {
    /// The next messages; `None` where the log cannot be read any more.
    async fn next(&mut self) -> Option<String> {
        loop {
            let text = self.take()?;
            if !text.is_empty() {
                return Some(text);
            }
            let reached = self.cursor.position();
            if reached.0.saturating_sub(self.told.0) >= CHECKPOINT {
                self.told = reached;
                let mut text = String::new();
                sse::write(&mut text, Some(reached), "checkpoint", "{}");
                return Some(text);
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

    /// The messages of what was read, as many as go out at once; `None` where an event holds no JSON.
    fn take(&mut self) -> Option<String> {
        let mut text = String::new();
        while text.len() < CHUNK
            && let Some(event) = self.batch.as_slice().first()
        {
            if self.wanted.fits(event) {
                // A type may hold what ends a line of the protocol; names in the log hold no control characters.
                if self.messages.write(event, &mut text).is_err() {
                    // What comes before it is sent first.
                    if !text.is_empty() {
                        break;
                    }
                    tracing::error!(position = %event.position, "an event holds no JSON: its feed has ended");
                    return None;
                }
                self.told = event.position;
            }
            self.batch.next();
        }
        Some(text)
    }
}
