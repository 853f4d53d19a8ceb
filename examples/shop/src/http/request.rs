//! What a request says: its path, its query, its body, and the headers around a command.
//!
//! Each extractor refuses with a [`Problem`], so that every error of the shop has the same form.

use std::str::FromStr;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path as AxumPath, Query as AxumQuery, Request},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};
use uuid::Uuid;

use super::{CAUSATION_ID, Conversation, IDEMPOTENCY_KEY, Kind, Problem};

/// The parts of the path.
pub(super) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = AxumPath::<T>::from_request_parts(parts, state).await;
        path.map(|AxumPath(path)| Self(path))
            .map_err(|_| Problem::new(Kind::NotFound, "the path holds no id of the shop"))
    }
}

/// The parameters behind the path.
pub(super) struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        AxumQuery::<T>::try_from_uri(&parts.uri)
            .map(|AxumQuery(query)| Self(query))
            .map_err(|error| Problem::new(Kind::MalformedRequest, error.body_text()))
    }
}

/// A JSON body, and what tells it from another one.
pub(crate) struct Body<T> {
    pub value: T,
    /// The same for bodies that are the same JSON, however they are written.
    pub fingerprint: Uuid,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Self::accept(request, state, is_json).await
    }
}

/// A JSON body that a page may send as it goes: a browser sends such a beacon as text.
pub(super) struct Beacon<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Beacon<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let accepted =
            |media_type: &str| is_json(media_type) || essence(media_type) == "text/plain";
        Body::accept(request, state, accepted).await.map(|body| Self(body.value))
    }
}

impl<T: DeserializeOwned> Body<T> {
    async fn accept<S: Send + Sync>(
        request: Request,
        state: &S,
        accepted: impl Fn(&str) -> bool,
    ) -> Result<Self, Problem> {
        let media_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| {
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => {
                        Problem::new(Kind::PayloadTooLarge, "the body has more than 16 KiB")
                    }
                    _ => Problem::new(Kind::MalformedRequest, "the body broke off"),
                }
            })?;
        if bytes.is_empty() {
            return Self::read(Value::Null)
                .map_err(|_| Problem::new(Kind::MalformedJson, "the body is empty"));
        }
        if !media_type.is_some_and(|value| value.to_str().is_ok_and(accepted)) {
            let detail = "the Content-Type of the body must be application/json";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        Self::read(serde_json::from_slice(&bytes).map_err(|error| malformed(&error))?)
    }

    fn read(json: Value) -> Result<Self, Problem> {
        // An object of serde_json is sorted by key.
        let fingerprint = Uuid::new_v5(&Uuid::NAMESPACE_OID, json.to_string().as_bytes());
        let value = serde_path_to_error::deserialize(json).map_err(|error| {
            Problem::validation(&pointer(error.path()), in_words(&error.inner().to_string()))
        })?;
        Ok(Self { value, fingerprint })
    }
}

/// What serde says of a value, in the words of JSON instead of Rust's.
fn in_words(error: &str) -> String {
    let Some((found, expected)) = error.split_once(", expected ") else { return error.into() };
    let expected = match expected.split(' ').next() {
        Some("u16" | "u32" | "u64" | "i64") => "a whole number",
        Some("struct" | "map") => "an object",
        Some("option") => "an object or nothing",
        _ => expected,
    };
    format!("{found}, expected {expected}")
}

fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A media type without its parameters.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn malformed(error: &serde_json::Error) -> Problem {
    let what = match error.classify() {
        Category::Eof => "it ends too early",
        _ => "it is not JSON",
    };
    let detail = format!("{what} (line {} column {})", error.line(), error.column());
    Problem::new(Kind::MalformedJson, detail)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(segment).collect()
}

/// What the headers say of a command.
pub(super) struct CommandHeaders {
    pub if_match: IfMatch,
    pub key: Option<Key>,
    pub correlation_id: Option<Uuid>,
    pub causation_id: Option<Uuid>,
}

/// The versions that the client believes in.
pub(super) enum IfMatch {
    /// It does not say.
    Absent,
    /// Any, as long as there is one.
    Any,
    /// One of these. A weak tag matches none, as RFC 9110 wants it for If-Match.
    OneOf(Vec<u64>),
}

/// A key by which a command is recognised when it comes again.
pub(super) struct Key {
    pub text: String,
    /// Derived from the method, the path and the key.
    pub command_id: Uuid,
}

impl<S: Send + Sync> FromRequestParts<S> for CommandHeaders {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self {
            if_match: if_match(&parts.headers)?,
            key: Key::read(parts)?,
            correlation_id: parts.extensions.get().map(|Conversation(id)| *id),
            causation_id: header(&parts.headers, &CAUSATION_ID)?,
        })
    }
}

impl Key {
    fn read(parts: &Parts) -> Result<Option<Self>, Problem> {
        let Some(text) = text(&parts.headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
        // The draft wants a quoted string; most clients send the bare key.
        let text = text.trim_matches('"');
        if !(1..=255).contains(&text.len()) {
            let detail = "Idempotency-Key must have between 1 and 255 characters";
            return Err(Problem::new(Kind::MalformedRequest, detail));
        }
        let scope = format!("{} {}\n{text}", parts.method, parts.uri.path());
        let command_id = Uuid::new_v5(&Uuid::NAMESPACE_URL, scope.as_bytes());
        Ok(Some(Self { text: text.into(), command_id }))
    }
}

fn if_match(headers: &HeaderMap) -> Result<IfMatch, Problem> {
    match text(headers, &header::IF_MATCH)? {
        None => Ok(IfMatch::Absent),
        Some("*") => Ok(IfMatch::Any),
        Some(tags) => Ok(IfMatch::OneOf(tags.split(',').filter_map(strong_version).collect())),
    }
}

/// Whether the client has this version already; a weak tag will do (RFC 9110, If-None-Match).
pub(super) fn has_already(headers: &HeaderMap, version: u64) -> bool {
    let tags = headers.get(&header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    tags.is_some_and(|tags| {
        let same = |tag: &str| strong_version(tag.trim().trim_start_matches("W/")) == Some(version);
        tags.trim() == "*" || tags.split(',').any(same)
    })
}

fn strong_version(tag: &str) -> Option<u64> {
    tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// A header that holds a value of this type.
pub(super) fn header<T: FromStr>(
    headers: &HeaderMap,
    name: &HeaderName,
) -> Result<Option<T>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| unreadable(name));
    text(headers, name)?.map(parse).transpose()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let text = headers.get(name).map(|value| value.to_str().map(str::trim));
    text.transpose().map_err(|_| unreadable(name))
}

fn unreadable(name: &HeaderName) -> Problem {
    Problem::new(Kind::MalformedRequest, format!("the header {name} cannot be read"))
}
