//! `GET /streams/{stream}` and `GET /all`: out of the log, a page at a time, in either direction.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::TryStreamExt as _;
use headwater::{Direction, EventStream, Position, StoredEvent, StreamName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    Shared,
    problem::{INTERNAL, MALFORMED_REQUEST, NOT_FOUND, Problem},
    request::{Path, Query},
    tags,
    wanted::{Start, Wanted},
};

/// How many events a page has at most, and by default.
const LIMITS: (usize, usize) = (1_000, 100);

/// How many bytes of data a page has at most, where it has more than one event.
const PAGE_BYTES: usize = 4 << 20;

/// Which page of a stream is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamPage {
    /// The version that the page begins with; by default the first, or backward the last.
    from: Option<u64>,
    /// How many events, at most 1,000; 100 by default.
    limit: Option<usize>,
    /// `forward` (the default) or `backward`.
    #[param(value_type = Option<String>)]
    direction: Option<Way>,
}

/// Which page of the log is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogPage {
    /// Behind which position the page begins (backward: at or below which); also `beginning`, `now`, or a time.
    from: Option<String>,
    /// How many events, at most 1,000; 100 by default.
    limit: Option<usize>,
    /// `forward` (the default) or `backward`.
    #[param(value_type = Option<String>)]
    direction: Option<Way>,
    /// Streams with commas between: `cart-7`, or `cart-*` for a category.
    streams: Option<String>,
    /// Types of event with commas between: `cart.opened`, or `cart.*`.
    types: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    Forward,
    Backward,
}

fn direction(way: Option<Way>) -> Direction {
    match way {
        Some(Way::Backward) => Direction::Backward,
        Some(Way::Forward) | None => Direction::Forward,
    }
}

/// Some events, in their order.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page {
    /// The events.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Box<RawValue>>,
    /// Where the next page is; nothing where the end is reached.
    pub next: Option<String>,
}

/// Read a stream
#[utoipa::path(
    get, path = "/streams/{stream}", tag = "read",
    params(
        ("stream" = String, Path, description = "category-id"), StreamPage,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the page that one has"),
    ),
    responses((status = 200, body = Page), (status = 304), (status = 404, description = "No such stream"))
)]
pub(crate) async fn of_stream(
    State(shared): State<Shared>,
    Path(stream): Path<String>,
    Query(page): Query<StreamPage>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stream = StreamName::parse(&stream)?;
    let (limit, direction) = (limit(page.limit)?, direction(page.direction));
    let Some(info) = shared.log.stream_info(&stream).await? else {
        return Err(Problem::new(NOT_FOUND, "there is no such stream"));
    };
    let events = match direction {
        Direction::Forward => shared.log.read_stream(&stream, page.from.unwrap_or(1).max(1)),
        Direction::Backward => {
            shared.log.read_stream_backward(&stream, page.from.unwrap_or(u64::MAX))
        }
    };
    let (events, more) = take(events, limit, |_| true).await?;
    let next = more.map(|next| {
        let way = if direction == Direction::Backward { "&direction=backward" } else { "" };
        format!("?from={}&limit={limit}{way}", next.version)
    });
    // The last version of today is another one tomorrow.
    let lasts = direction == Direction::Forward || page.from.is_some();
    answer(&headers, &events, next.map(|next| (next, lasts)), Some(info.version))
}

/// Read the log
///
/// Up to where it can be read now. A page that has a `next` and begins at a position stays as it is.
#[utoipa::path(
    get, path = "/all", tag = "read", params(LogPage),
    responses((status = 200, body = Page), (status = 304))
)]
pub(crate) async fn of_log(
    State(shared): State<Shared>,
    Query(page): Query<LogPage>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Wanted::new(page.streams.as_deref(), page.types.as_deref())?;
    let (limit, direction) = (limit(page.limit)?, direction(page.direction));
    let from = page.from.as_deref().map(|text| Start::parse("from", text)).transpose()?;
    let events = match (direction, from) {
        (Direction::Forward, from) => {
            let from = from.unwrap_or(Start::Position(Position::START));
            shared.log.read(wanted.filter(), from.position(&shared.log).await?)
        }
        (Direction::Backward, None) => shared.log.read_backward(wanted.filter(), Position::END),
        (Direction::Backward, Some(from)) => {
            shared.log.read_backward(wanted.filter(), from.position(&shared.log).await?)
        }
    };
    let (events, more) = take(events, limit, |event| wanted.fits(event)).await?;
    let next = more.map(|next| {
        let from = match direction {
            Direction::Forward => events.last().map_or(0, |last| last.position.0),
            Direction::Backward => next.position.0,
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("from", &from.to_string()).append_pair("limit", &limit.to_string());
        if direction == Direction::Backward {
            query.append_pair("direction", "backward");
        }
        for (name, value) in [("streams", &page.streams), ("types", &page.types)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("?{}", query.finish())
    });
    let lasts = match from {
        None => direction == Direction::Forward,
        Some(from) => matches!(from, Start::Position(_)),
    };
    answer(&headers, &events, next.map(|next| (next, lasts)), None)
}

/// How many events are wanted.
pub(crate) fn limit(wanted: Option<usize>) -> Result<usize, Problem> {
    let (most, usual) = LIMITS;
    match wanted {
        None => Ok(usual),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => {
            Err(Problem::new(MALFORMED_REQUEST, format!("limit should be from 1 to {most}")))
        }
    }
}

/// The first events that fit, and the next one behind them.
async fn take(
    mut events: EventStream,
    limit: usize,
    fits: impl Fn(&StoredEvent) -> bool,
) -> Result<(Vec<StoredEvent>, Option<StoredEvent>), Problem> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while let Some(event) = events.try_next().await? {
        if !fits(&event) {
            continue;
        }
        bytes += event.size();
        if taken.len() == limit || (bytes > PAGE_BYTES && !taken.is_empty()) {
            return Ok((taken, Some(event)));
        }
        taken.push(event);
    }
    Ok((taken, None))
}

/// A page, or 304 where the client has it already. With the next one, where there is one, comes whether this one
/// stays as it is.
fn answer(
    headers: &HeaderMap,
    events: &[StoredEvent],
    next: Option<(String, bool)>,
    version: Option<u64>,
) -> Result<Response, Problem> {
    let id = |event: Option<&StoredEvent>| event.map_or_else(Uuid::nil, |event| event.id);
    let (first, last) = (id(events.first()), id(events.last()));
    let more = if next.is_some() { "+" } else { "" };
    let tag = format!("\"{first}{last}{more}\"");
    let keep = match next {
        Some((_, true)) => "private, max-age=3600, immutable",
        Some((_, false)) | None => "private, no-cache",
    };
    let next = next.map(|(next, _)| next);
    let common = (
        [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, keep.to_owned())],
        version.map(|version| [(VERSION, version.to_string())]),
    );
    if headers.get(header::IF_NONE_MATCH).is_some_and(|given| tags::has(given, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, common, ()).into_response());
    }
    let page = Page { events: enveloped(events)?, next };
    Ok((common, axum::Json(page)).into_response())
}

/// The version of a stream now, beside a page of it.
const VERSION: header::HeaderName = header::HeaderName::from_static("headwater-version");

/// Events in the one form in which they leave the log.
pub(crate) fn enveloped(events: &[StoredEvent]) -> Result<Vec<Box<RawValue>>, Problem> {
    let envelope = |event: &StoredEvent| event.to_json().and_then(RawValue::from_string);
    let broken = |_| Problem::new(INTERNAL, "an event holds no JSON");
    events.iter().map(envelope).collect::<Result<_, _>>().map_err(broken)
}
