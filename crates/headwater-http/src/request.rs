//! What a request says: its path, its query, its body, and the conversation that it belongs to.
//!
//! Each extractor refuses with a [`Problem`], so that every error has the same form.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path as AxumPath, Query as AxumQuery, Request},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use uuid::Uuid;

use crate::{
    BODY_BYTES,
    problem::{
        MALFORMED_JSON, MALFORMED_REQUEST, NOT_FOUND, PAYLOAD_TOO_LARGE, Problem,
        UNSUPPORTED_MEDIA_TYPE,
    },
};

/// The conversation that a request belongs to; a UUID.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// The id of a request: where the client named a conversation, and what problems are traced by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId {
    pub id: Uuid,
    /// Whether the client gave it.
    pub given: bool,
}

impl RequestId {
    /// The one of a request, or a fresh one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&CORRELATION_ID).and_then(|id| id.to_str().ok()?.parse().ok());
        Self { id: given.unwrap_or_else(Uuid::now_v7), given: given.is_some() }
    }
}

/// The parts of the path.
pub(crate) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = AxumPath::<T>::from_request_parts(parts, state).await;
        path.map(|AxumPath(path)| Self(path))
            .map_err(|_| Problem::new(NOT_FOUND, "the path cannot be read"))
    }
}

/// The parameters behind the path.
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        AxumQuery::<T>::try_from_uri(&parts.uri)
            .map(|AxumQuery(query)| Self(query))
            .map_err(|error| Problem::new(MALFORMED_REQUEST, error.body_text()))
    }
}

/// A body of JSON.
pub(crate) struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Body::from_request(request, state).await?;
        if body.lines {
            return Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, "this route reads one JSON document"));
        }
        parse(&body.text).map(Self)
    }
}

/// A body of text in UTF-8.
pub(crate) struct Body {
    pub text: String,
    /// Whether each line is a document of its own.
    pub lines: bool,
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let media_type = media_type.as_ref().and_then(|media_type| media_type.to_str().ok());
        let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default();
        let media_type = media_type.trim().to_ascii_lowercase();
        let lines = ["application/x-ndjson", "application/jsonl"].contains(&&*media_type);
        if !lines && !is_json(&media_type) {
            let detail = format!("it is {media_type:?}, and should be application/json");
            return Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let too_large = || {
            let detail = format!("the body has more than {BODY_BYTES} bytes");
            Problem::new(PAYLOAD_TOO_LARGE, detail)
        };
        // One that says so is not read first.
        let length = text(request.headers(), &header::CONTENT_LENGTH)?;
        if length.and_then(|length| length.parse().ok()) > Some(BODY_BYTES) {
            return Err(too_large());
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| {
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => too_large(),
                    _ => Problem::new(MALFORMED_REQUEST, "the body ended too early"),
                }
            })?;
        let text = String::from_utf8(bytes.into())
            .map_err(|_| Problem::new(MALFORMED_JSON, "the body is not UTF-8"))?;
        Ok(Self { text, lines })
    }
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Reads a JSON document; a problem points to what is wrong in it.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        match error.classify() {
            Category::Data => Problem::validation(&pointer, without_content(&error)),
            _ => malformed(&error),
        }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// What does not fit, without what stands there.
fn without_content(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // `invalid type: string "...", expected u64 at line 1 column 8`
    let what = text.split(" at line ").next().unwrap_or_default();
    match what.split_once(", expected ") {
        Some((_, expected)) if what.starts_with("invalid ") => {
            let object = expected.starts_with("struct ") || expected == "a map";
            format!("it should be {}", if object { "an object" } else { expected })
        }
        _ => what.to_owned(),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    let what = match error.classify() {
        Category::Eof => "it ends too early",
        _ => "it is not JSON",
    };
    let detail = format!("{what} (line {} column {})", error.line(), error.column());
    Problem::new(MALFORMED_JSON, detail)
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

/// A header's text.
pub(crate) fn text<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Problem> {
    let text = headers.get(name).map(|value| value.to_str().map(str::trim));
    let unreadable =
        |_| Problem::new(MALFORMED_REQUEST, format!("the header {name} cannot be read"));
    text.transpose().map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_with_a_body_points_to_the_place_and_shows_nothing_of_it() {
        let problem = parse::<Vec<u64>>(r#"[1, "s3cret"]"#).expect_err("it is no number");
        let shown = format!("{problem:?}");
        assert!(shown.contains("/1") && !shown.contains("s3cret"), "{shown}");
        for broken in ["", "[1", "[1]x"] {
            assert_eq!(parse::<Vec<u64>>(broken).expect_err(broken).kind(), MALFORMED_JSON);
        }
    }
}
