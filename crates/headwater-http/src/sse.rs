//! What all answers without end have in common: where they begin, and how they are sent (Server-Sent Events).

use std::{convert::Infallible, fmt::Write as _, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures_util::{Stream, StreamExt as _, stream};
use headwater::{Log, Position};
use tokio::time::timeout;

use crate::{
    problem::{BEYOND_THE_END, MALFORMED_REQUEST, Problem},
    request,
    wanted::Start,
};

/// How often something is sent where nothing happens, so that a dead connection is found.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// After how long a client that was cut off comes back.
const RETRY: Duration = Duration::from_secs(2);

/// How long it waits before it asks a store again that was away.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// The last position that a client has.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Behind which position it begins: what the client has already counts more than what it asks for.
pub(crate) async fn begin(
    log: &Log,
    headers: &HeaderMap,
    from: Option<&str>,
) -> Result<Position, Problem> {
    let from = match request::text(headers, &LAST_EVENT_ID)?.filter(|id| !id.is_empty()) {
        Some(id) => {
            let position = id.parse().map(Position).map_err(|_| {
                Problem::new(MALFORMED_REQUEST, "Last-Event-ID should be a position")
            })?;
            Start::Position(position)
        }
        None => from.map_or(Ok(Start::Now), |text| Start::parse("from", text))?,
    };
    let after = from.position(log).await?;
    let ceiling = log.ceiling().await?;
    let end = ceiling.position;
    // While others write, what a client was told already may lie above the ceiling for a while.
    if after > end && !ceiling.unsettled {
        let detail = format!("it ends at position {end}, before {after}");
        return Err(Problem::new(BEYOND_THE_END, detail).with("position", end.0));
    }
    Ok(after)
}

/// Adds a message to `text`. Neither `event` nor `data` holds what ends a line.
pub(crate) fn write(text: &mut String, id: Option<Position>, event: &str, data: &str) {
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    let _ = writeln!(text, "event: {event}\ndata: {data}\n");
}

/// The answer that sends these messages for as long as the client listens; an item holds one or several, whole.
pub(crate) fn answer(messages: impl Stream<Item = String> + Send + 'static) -> Response {
    // Sent at once, so that the client knows that it is connected.
    let first = format!("retry: {}\n: follows\n\n", RETRY.as_millis());
    let messages = stream::unfold(Box::pin(messages), |mut messages| async {
        let next = timeout(HEARTBEAT, messages.next()).await;
        Some((next.unwrap_or_else(|_nothing| Some(": hb\n\n".into()))?, messages))
    });
    let all = stream::iter([first]).chain(messages).map(Ok::<_, Infallible>);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies would keep messages back until they have many.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(all)).into_response()
}
