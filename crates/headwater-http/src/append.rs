//! `POST /streams/{stream}` and `POST /events`: into the log.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use headwater::{Append, Appended, Error, ExpectedVersion, Log, NewEvent, Position, StreamName};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Shared,
    problem::{MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, Problem},
    request::{self, Body, Path, RequestId},
    tags,
};

/// How many events one call of `POST /events` takes.
const LINES: usize = 1_000;

/// An event to append.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventToAppend {
    /// The stream that it goes to, where that does not stand in the path.
    stream: Option<String>,
    /// The name of its type, such as `cart.item_added`.
    #[serde(rename = "type")]
    event_type: String,
    /// The version of that type's schema; 1 by default.
    #[serde(default = "first")]
    schema: u32,
    /// What happened: any JSON, kept byte for byte.
    #[schema(value_type = Value)]
    data: Box<RawValue>,
    /// A JSON object of the writer's, kept byte for byte.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    /// Its own id, by which it is recognised when it is sent again; the log makes one where it is not given.
    event_id: Option<Uuid>,
    /// When it happened; the moment of recording by default.
    occurred_at: Option<DateTime<Utc>>,
    /// The conversation that it belongs to; that of the request by default.
    correlation_id: Option<Uuid>,
    /// The message that causes it.
    causation_id: Option<Uuid>,
}

fn first() -> u32 {
    1
}

impl EventToAppend {
    fn into_event(self, request: RequestId) -> NewEvent {
        let mut event = NewEvent::from_json(self.event_type, self.schema, self.data.get());
        event.id = self.event_id.unwrap_or(event.id);
        event.metadata = self.metadata.map(|metadata| metadata.get().to_owned());
        event.correlation_id = self.correlation_id.or(request.given.then_some(request.id));
        event.causation_id = self.causation_id;
        event.occurred_at = self.occurred_at;
        event
    }
}

/// Events for one stream.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppendToStream {
    /// The version that the stream is believed to have: a number, `any` (the default) or `none`.
    #[schema(value_type = Value)]
    expected_version: Option<Expected>,
    /// The events, in their order; all of them are appended or none.
    events: Vec<EventToAppend>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "a version, `any` or `none`")]
enum Expected {
    Version(u64),
    Word(Word),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Any,
    None,
}

impl From<Expected> for ExpectedVersion {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Version(version) => Self::Exact(version),
            Expected::Word(Word::Any) => Self::Any,
            Expected::Word(Word::None) => Self::None,
        }
    }
}

/// What was appended.
#[derive(Serialize, ToSchema)]
struct AppendedToStream {
    /// The stream.
    stream: String,
    /// Its version now: that of the last event.
    version: u64,
    /// The position of the last event.
    position: u64,
    /// Whether the log held these events already, from an earlier call.
    repeated: bool,
    /// The events, in their order.
    events: Vec<AppendedEvent>,
}

#[derive(Serialize, ToSchema)]
struct AppendedEvent {
    event_id: Uuid,
    version: u64,
    position: u64,
}

/// It may have been appended or not.
#[derive(Serialize, ToSchema)]
struct Unknown {
    /// Always `unknown`.
    status: &'static str,
    /// How to find out.
    detail: &'static str,
    /// The ids to send the events with.
    event_ids: Vec<Uuid>,
}

/// Append events to a stream
///
/// The body is an object with `events`, or one event by itself. All are appended or none. The version that the
/// stream is believed to have stands in the body, or in `If-Match`; `If-None-Match: *` believes that there is no
/// stream. Sent again with the same event ids it changes nothing, and is answered as the first time.
#[utoipa::path(
    post, path = "/streams/{stream}", tag = "append",
    params(
        ("stream" = String, Path, description = "category-id"),
        ("If-Match" = Option<String>, Header, description = "The version that the stream is believed to have, in quotes"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: the stream is believed not to be there"),
    ),
    request_body = AppendToStream,
    responses(
        (status = 201, description = "Appended", body = AppendedToStream),
        (status = 200, description = "The log held these events already", body = AppendedToStream),
        (status = 202, description = "Unknown: send it again with these ids", body = Unknown),
        (status = 409, description = "The version in the body is wrong, or an event id is taken"),
        (status = 412, description = "The version in If-Match is wrong"),
    )
)]
pub(crate) async fn to_stream(
    State(shared): State<Shared>,
    Path(stream): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let stream = StreamName::parse(&stream)?;
    let AppendToStream { expected_version, events } = read_body(&body)?;
    let in_body = expected_version.map(ExpectedVersion::from);
    let in_header = expected_in(&headers)?;
    if in_body.is_some() && in_header.is_some() {
        let detail = "the expected version stands in the body and in a header: give one";
        return Err(Problem::new(MALFORMED_REQUEST, detail));
    }
    if events.iter().any(|event| event.stream.is_some()) {
        return Err(Problem::validation("/stream", "the stream stands in the path"));
    }
    let request = RequestId::of(&headers);
    let events: Vec<_> = events.into_iter().map(|event| event.into_event(request)).collect();
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    let expected = in_header.or(in_body).unwrap_or_default();
    match shared.log.append(&stream, expected, events).await {
        Ok(appended) => Ok(applied(&stream, &ids, &appended)),
        Err(Error::OutcomeUnknown { .. }) => {
            let detail = "send the same events with these ids again: they are appended once";
            let unknown = Unknown { status: "unknown", detail, event_ids: ids };
            Ok((StatusCode::ACCEPTED, axum::Json(unknown)).into_response())
        }
        Err(error @ Error::VersionConflict { .. }) if in_header.is_none() => {
            Err(Problem::from(error).status(StatusCode::CONFLICT))
        }
        Err(error) => Err(error.into()),
    }
}

fn applied(stream: &StreamName, ids: &[Uuid], appended: &Appended) -> Response {
    let (version, position) = (appended.version(), appended.position());
    let positions = appended.streams.iter().flat_map(|part| &part.positions);
    let first = version + 1 - ids.len() as u64;
    let events = ids.iter().zip(positions).zip(first..);
    let events = events.map(|((id, position), version)| AppendedEvent {
        event_id: *id,
        version,
        position: position.0,
    });
    let body = AppendedToStream {
        stream: stream.to_string(),
        version,
        position: position.0,
        repeated: appended.repeated,
        events: events.collect(),
    };
    let status = if appended.repeated { StatusCode::OK } else { StatusCode::CREATED };
    let tag = [(header::ETAG, tags::of_version(version))];
    (status, tags::at(position), tag, axum::Json(body)).into_response()
}

/// Reads an object with events, or an event by itself.
fn read_body(body: &Body) -> Result<AppendToStream, Problem> {
    #[derive(Deserialize)]
    struct Form {
        events: Option<IgnoredAny>,
    }
    let form: Form = request::parse(&body.text)?;
    if form.events.is_some() {
        return request::parse(&body.text);
    }
    Ok(AppendToStream { expected_version: None, events: vec![request::parse(&body.text)?] })
}

/// The version that the headers ask for.
fn expected_in(headers: &HeaderMap) -> Result<Option<ExpectedVersion>, Problem> {
    if let Some(tags) = request::text(headers, &header::IF_NONE_MATCH)? {
        if tags == "*" {
            return Ok(Some(ExpectedVersion::None));
        }
        let detail = "of If-None-Match an append reads * alone";
        return Err(Problem::new(MALFORMED_REQUEST, detail));
    }
    let Some(tag) = request::text(headers, &header::IF_MATCH)? else { return Ok(None) };
    let version = tags::version(tag).ok_or_else(|| {
        Problem::new(MALFORMED_REQUEST, "If-Match should be one version in quotes, such as \"3\"")
    })?;
    Ok(Some(ExpectedVersion::Exact(version)))
}

/// What became of many events.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// How many were appended.
    accepted: usize,
    /// How many the log held already.
    duplicates: usize,
    /// The lines that were not taken, from 1, each with its problem.
    #[schema(value_type = Vec<Object>)]
    rejected: Vec<Value>,
    /// The position of the last event, where there is one.
    position: Option<u64>,
}

/// Append events to many streams
///
/// The body is a JSON array, or has a JSON document on each line (`application/x-ndjson`); each is an event with
/// its `stream`. At most 1,000 a call. What is wrong is rejected by its line, and the rest is appended, in order,
/// whatever versions the streams have. Sent again with the same event ids it adds nothing.
#[utoipa::path(
    post, path = "/events", tag = "append",
    request_body(content((Vec<EventToAppend> = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "What became of them", body = Accepted))
)]
pub(crate) async fn to_many(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let lines = split(&body)?;
    if lines.len() > LINES {
        let detail = format!("there are {} events, and a call takes {LINES}", lines.len());
        return Err(Problem::new(PAYLOAD_TOO_LARGE, detail));
    }
    let request = RequestId::of(&headers);
    let mut outcome = Accepted::default();
    let (mut appends, mut rejected) = (Vec::with_capacity(lines.len()), Vec::new());
    for (number, line) in lines {
        match read_line(line, request) {
            Ok(append) => appends.push((number, append)),
            Err(problem) => rejected.push((number, problem)),
        }
    }
    append_lines(&shared.log, appends, &mut outcome, &mut rejected).await?;
    rejected.sort_by_key(|(number, _)| *number);
    let told = rejected.iter().map(|(number, problem)| problem.of_line(&shared.path, *number));
    outcome.rejected = told.collect();
    let at = outcome.position.map(|position| tags::at(Position(position)));
    Ok((at, axum::Json(outcome)).into_response())
}

/// The documents of a body, each with the number of its line or its place in the array, from 1.
fn split(body: &Body) -> Result<Vec<(usize, &str)>, Problem> {
    if body.lines {
        let lines = body.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        return Ok(lines.filter(|(_, line)| !line.trim().is_empty()).collect());
    }
    let all: Vec<&RawValue> = serde_json::from_str(&body.text)
        .map_err(|_| request::parse::<Vec<Value>>(&body.text).err())
        .map_err(|problem| problem.unwrap_or_else(|| Problem::validation("", "it is no array")))?;
    Ok(all.into_iter().enumerate().map(|(index, one)| (index + 1, one.get())).collect())
}

fn read_line(line: &str, request: RequestId) -> Result<Append, Problem> {
    let mut event: EventToAppend = request::parse(line)?;
    let stream = event.stream.take().ok_or_else(|| {
        Problem::validation("/stream", "it is missing: each event names the stream that it goes to")
    })?;
    let stream = StreamName::parse(&stream)?;
    Ok(Append::new(stream, ExpectedVersion::Any, [event.into_event(request)]))
}

/// Appends all in one, and one after the other where the log refuses one of them.
async fn append_lines(
    log: &Log,
    lines: Vec<(usize, Append)>,
    outcome: &mut Accepted,
    rejected: &mut Vec<(usize, Problem)>,
) -> Result<(), Problem> {
    if lines.is_empty() {
        return Ok(());
    }
    let appends = lines.iter().map(|(_, append)| append.clone());
    match log.append_all(appends).await {
        Ok(appended) => {
            outcome.count(lines.len(), &appended);
            return Ok(());
        }
        Err(error) if is_of_one(&error) => {}
        Err(error) => return Err(error.into()),
    }
    for (number, append) in lines {
        match log.append_all([append]).await {
            Ok(appended) => outcome.count(1, &appended),
            Err(error) if is_of_one(&error) => {
                rejected.push((number, Problem::from(error)));
            }
            // What was appended before stays so: sent again it counts as a duplicate.
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether an append was refused for one of its events.
fn is_of_one(error: &Error) -> bool {
    matches!(
        error,
        Error::IdempotencyConflict { .. }
            | Error::TooLarge { .. }
            | Error::InvalidName { .. }
            | Error::InvalidInput(_)
            | Error::InlineRefused { .. }
    )
}

impl Accepted {
    fn count(&mut self, events: usize, appended: &Appended) {
        match appended.repeated {
            true => self.duplicates += events,
            false => self.accepted += events,
        }
        self.position = self.position.max(Some(appended.position().0));
    }
}
