//! What went wrong, for programs and for people: RFC 9457 problems.
//!
//! A [`Problem`] says what the client can do about it and never what goes on inside. What the operator needs
//! goes to the trace log, under the `trace_id` that the client sees.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use headwater::Error;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A kind of problem: where its `type` leads, and what is said there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The last part of the problem's `type`.
    pub name: &'static str,
    /// The status of the answer, unless the problem has another.
    pub status: StatusCode,
    /// What happened, in a few words.
    pub title: &'static str,
    /// What the client can do.
    pub help: &'static str,
}

impl Kind {
    /// What it means, and what to do about it: the page to which the `type` of a problem leads.
    pub fn explanation(&self) -> String {
        format!("{} ({})\n\n{}\n", self.title, self.status, self.help)
    }
}

macro_rules! kinds {
    ($($constant:ident = $status:ident $name:literal: $title:literal, $help:literal;)+) => {
        $(
            #[doc = $title]
            pub const $constant: Kind =
                Kind { name: $name, status: StatusCode::$status, title: $title, help: $help };
        )+

        /// Every kind that the routes of a log report.
        pub const KINDS: &[Kind] = &[$($constant),+];
    };
}

kinds! {
    MALFORMED_JSON = BAD_REQUEST "malformed-json": "The body is not JSON",
        "Send one JSON document in UTF-8, or one on each line where the type is application/x-ndjson. \
         The detail says where reading it failed.";
    MALFORMED_REQUEST = BAD_REQUEST "malformed-request": "A header or parameter cannot be read",
        "The detail names the header or parameter, and what it must look like.";
    UNAUTHORIZED = UNAUTHORIZED "unauthorized": "A token is needed",
        "Send the header Authorization: Bearer TOKEN. A token in the address is not read.";
    FORBIDDEN = FORBIDDEN "forbidden": "This is not allowed",
        "Where tokens are needed, use one that may do this: they are made for read, append or operate. Elsewhere, \
         ask from this machine, as localhost, and not by a page of another site.";
    NOT_FOUND = NOT_FOUND "not-found": "There is nothing here",
        "Look at the path: the stream, consumer, projection or route does not exist.";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "method-not-allowed": "The path has no such method",
        "The Allow header lists the methods that the path has.";
    REQUEST_TIMEOUT = REQUEST_TIMEOUT "request-timeout": "The request took too long",
        "Send it again, and faster; an append with the same event ids, so that it is applied once.";
    VERSION_CONFLICT = PRECONDITION_FAILED "version-conflict": "The stream changed since you read it",
        "Nothing was appended. Read the stream, decide anew, and send the version that you saw. The \
         status is 412 where the version stood in If-Match, and 409 where it stood in the body.";
    IDEMPOTENCY_CONFLICT = CONFLICT "idempotency-conflict": "An event id is taken",
        "The log holds an event of this id with other content, or beside other events. Nothing was \
         appended. Use new ids for new events.";
    BEYOND_THE_END = CONFLICT "beyond-the-end": "The log ends before that position",
        "It was restored to an earlier moment, or the position is of another log. Begin again, with from=0.";
    CONSUMER_MOVED = CONFLICT "consumer-moved": "An operator has moved the consumer",
        "Nothing was acknowledged. Read its place again, and go on from there.";
    REFUSED = CONFLICT "refused": "That cannot be done now",
        "Nothing was changed. The detail says what stands in the way.";
    PAYLOAD_TOO_LARGE = PAYLOAD_TOO_LARGE "payload-too-large": "The body is too large",
        "The detail names the limit. Nothing was appended: send less at once.";
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type":
        "The body is of another type than this route reads",
        "Send the header Content-Type: application/json, or application/x-ndjson where lines are taken.";
    VALIDATION = UNPROCESSABLE_ENTITY "validation": "A value cannot be accepted",
        "Where there is a list of errors, each entry points to a value in the body (RFC 6901) and says \
         what is wrong.";
    OVERLOADED = TOO_MANY_REQUESTS "overloaded": "Too much waits for the database",
        "Nothing was appended. Send it again after Retry-After seconds.";
    INTERNAL = INTERNAL_SERVER_ERROR "internal": "The service failed",
        "Nothing you sent is wrong. Report the trace_id.";
    STORE_UNAVAILABLE = SERVICE_UNAVAILABLE "store-unavailable": "The log cannot be reached",
        "Send it again after Retry-After seconds; an append with the same event ids, so that it is \
         applied once.";
}

/// Something that went wrong, as the client sees it.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    status: StatusCode,
    detail: String,
    members: Map<String, Value>,
    /// What the operator must know and the client must not.
    cause: Option<Box<Error>>,
}

impl Problem {
    /// A problem, and what is special about it.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, detail) = (kind.status, detail.into());
        Self { kind, status, detail, members: Map::new(), cause: None }
    }

    /// A value of the body that cannot be accepted; `pointer` is an RFC 6901 pointer.
    pub fn validation(pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let errors = json!([{ "pointer": pointer, "detail": detail }]);
        Self::new(VALIDATION, detail).with("errors", errors)
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same with another status than its kind's.
    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with a member of its own.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.into(), value.into());
        self
    }

    /// The same with a cause for the trace log, which the client does not see.
    #[must_use]
    pub fn caused_by(mut self, cause: Error) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// What stands in the answer for one line of many.
    pub(crate) fn of_line(&self, path: &str, line: usize) -> Value {
        let mut entry = self.members.clone();
        entry.insert("line".into(), line.into());
        entry.insert("type".into(), self.address(path).into());
        entry.insert("title".into(), self.kind.title.into());
        entry.insert("status".into(), self.status.as_u16().into());
        entry.insert("detail".into(), self.detail.clone().into());
        entry.into()
    }

    fn address(&self, path: &str) -> String {
        format!("{path}/problems/{}", self.kind.name)
    }

    fn body(&self, path: &str, instance: &str, trace_id: Uuid) -> Value {
        let mut body = json!({
            "type": self.address(path),
            "title": self.kind.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": instance,
            "trace_id": trace_id,
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(self.members.clone());
        }
        body
    }
}

/// The body is made by [`render`], which knows the request.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes a problem's body into its response; any other response stays as it is. What its kind means is told at
/// `/problems/{name}` below `path`, which is empty for a service that has it at its root.
pub fn render(mut response: Response, path: &str, instance: &str, trace_id: Uuid) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    if let Some(cause) = &problem.cause {
        tracing::error!(%trace_id, code = cause.code(), "{instance}: {cause}");
    }
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    *response.body_mut() = Body::from(problem.body(path, instance, trace_id).to_string());
    response
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (code, detail) = (error.code(), error.to_string());
        let problem = match error {
            Error::VersionConflict { actual, .. } => {
                Self::new(VERSION_CONFLICT, detail).with("current_version", actual)
            }
            Error::IdempotencyConflict { event_id } => {
                Self::new(IDEMPOTENCY_CONFLICT, detail).with("event_id", event_id.to_string())
            }
            Error::TooLarge { .. } => Self::new(PAYLOAD_TOO_LARGE, detail),
            Error::InvalidName { .. } | Error::InvalidInput(_) => Self::new(VALIDATION, detail),
            Error::InlineRefused { .. } => Self::new(VALIDATION, detail),
            Error::UnknownProjection { .. } | Error::UnknownSubscription { .. } => {
                Self::new(NOT_FOUND, detail)
            }
            Error::SubscriptionMoved { .. } => Self::new(CONSUMER_MOVED, detail),
            Error::CheckpointMoved { .. }
            | Error::RebuildUnderWay { .. }
            | Error::NoInstance { .. }
            | Error::NoGeneration { .. }
            | Error::BuildWaits { .. }
            | Error::NotCaughtUp { .. }
            | Error::PromoteBlocked { .. }
            | Error::SubscriptionDiverged { .. } => Self::new(REFUSED, detail),
            Error::Overloaded => Self::new(OVERLOADED, detail),
            Error::Unavailable { .. } => {
                Self::new(STORE_UNAVAILABLE, "nothing was changed").caused_by(error)
            }
            Error::OutcomeUnknown { .. } => {
                let detail = "it may have been done or not";
                Self::new(STORE_UNAVAILABLE, detail).caused_by(error)
            }
            error => Self::new(INTERNAL, "the trace log says why").caused_by(error),
        };
        problem.with("code", code)
    }
}
