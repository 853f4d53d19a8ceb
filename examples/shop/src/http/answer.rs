//! Answers: of commands, with the position of what they did, and of reads, with their version.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use headwater::{Done, Event, Position};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{POSITION, REPLAYED, request};

/// The answer to a command that was carried out.
pub(super) struct Answer {
    status: StatusCode,
    version: Option<u64>,
    position: Position,
    repeated: bool,
    location: Option<String>,
    body: Map<String, Value>,
}

impl Answer {
    /// An answer that tells how far the log must be read to see what the command did.
    pub(super) fn new(position: Position, repeated: bool) -> Self {
        let answer = Self {
            status: StatusCode::OK,
            version: None,
            position,
            repeated,
            location: None,
            body: Map::new(),
        };
        answer.with("position", json!(position))
    }

    /// The answer to a command to one aggregate.
    pub(super) fn of<E: Event>(done: &Done<E>) -> Self {
        let events: Vec<_> = done.events.iter().map(|event| event.event_type().0).collect();
        let answer =
            Self { version: Some(done.version), ..Self::new(done.position, done.repeated) };
        answer.with("version", json!(done.version)).with("events", json!(events))
    }

    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn location(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    pub(super) fn with(mut self, member: &str, value: Value) -> Self {
        self.body.insert(member.into(), value);
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = (
            [(POSITION, self.position.to_string())],
            self.version.map(etag),
            self.location.map(|location| [(header::LOCATION, location)]),
            self.repeated.then_some([(REPLAYED, "true")]),
        );
        match self.status {
            StatusCode::NO_CONTENT => (self.status, headers, ()).into_response(),
            status => (status, headers, Json(self.body)).into_response(),
        }
    }
}

/// A resource at its version, or 304 where the client has it already.
pub(super) fn representation(headers: &HeaderMap, version: u64, body: impl Serialize) -> Response {
    if request::has_already(headers, version) {
        return (StatusCode::NOT_MODIFIED, etag(version)).into_response();
    }
    (etag(version), Json(body)).into_response()
}

fn etag(version: u64) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

/// Text as one part of a path.
pub(super) fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b',' | b'\'' => {
                segment.push(char::from(byte));
            }
            _ => segment += &format!("%{byte:02X}"),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_segment_holds_no_other_part_of_a_url() {
        assert_eq!(path_segment("the-camper's-kit"), "the-camper's-kit");
        assert_eq!(path_segment("a/b?c#d% ü"), "a%2Fb%3Fc%23d%25%20%C3%BC");
    }
}
