//! What went wrong, for programs and for people: RFC 9457 problems.
//!
//! A [`Problem`] says what the client can do about it and never what goes on inside. What the
//! operator needs goes to the trace log, under the `trace_id` that the client sees.

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use headwater::{CommandError, Error};
use headwater_http::problem::KINDS;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Refusal,
    domain::{cart::CartError, catalogue::CatalogueError, order::OrderError},
};

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $status:ident $name:literal: $title:literal, $help:literal;)+) => {
        /// The kinds of problem that the shop reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $title] $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// The name: the last part of the problem's `type`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// The status of the answer.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)+ }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)+ }
            }

            fn help(self) -> &'static str {
                match self { $(Self::$kind => $help,)+ }
            }
        }
    };
}

kinds! {
    MalformedJson = BAD_REQUEST "malformed-json": "The body is not JSON",
        "Send one JSON document in UTF-8. The detail says where reading it failed.";
    MalformedRequest = BAD_REQUEST "malformed-request": "A header or parameter cannot be read",
        "The detail names the header or parameter, and what it must look like.";
    UnknownTopic = BAD_REQUEST "unknown-topic": "The shop does not know this topic",
        "A message of the coffee shop's pages has the topic edm-ui-click, edm-ui-pageload or \
         shop-product-view.";
    IdempotencyKeyMissing = BAD_REQUEST "idempotency-key-missing": "The command needs a key",
        "Send an Idempotency-Key, such as a fresh UUID, and the same one when you send the command \
         again: it is then carried out once, however often it arrives.";
    NotFound = NOT_FOUND "not-found": "There is nothing here",
        "Look at the path: the cart, order, product or route does not exist.";
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed": "The path has no such method",
        "The Allow header lists the methods that the path has.";
    CartClosed = CONFLICT "cart-closed": "The cart became an order",
        "A cart that was checked out takes no more commands. Open a new one.";
    OrderNotCancellable = CONFLICT "order-not-cancellable": "The order cannot be cancelled",
        "Only an order that is placed or confirmed can be cancelled.";
    AlreadyExists = CONFLICT "already-exists": "The id is taken",
        "Something of this id exists, or existed. Read it, or choose another id.";
    ProductDelisted = CONFLICT "product-delisted": "The product is no longer sold",
        "A product that was taken out of the catalogue cannot be changed.";
    Contention = CONFLICT "contention": "Too many commands at the same moment",
        "Others were faster, several times in a row. Nothing was changed: send it again.";
    VersionConflict = PRECONDITION_FAILED "version-conflict": "It changed since you read it",
        "The version in If-Match is not the current one. Read it again and decide anew.";
    PayloadTooLarge = PAYLOAD_TOO_LARGE "payload-too-large": "The body is too large",
        "A body has at most 16 KiB.";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type": "The body must be JSON",
        "Send the header Content-Type: application/json.";
    Validation = UNPROCESSABLE_ENTITY "validation": "A value cannot be accepted",
        "Each entry of errors points to a value in the body (RFC 6901) and says what is wrong.";
    UnknownProduct = UNPROCESSABLE_ENTITY "unknown-product": "The product cannot be bought",
        "It is not in the catalogue, or no longer. GET /products lists what is.";
    CartEmpty = UNPROCESSABLE_ENTITY "cart-empty": "The cart is empty",
        "Put something in before you check out.";
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency-key-reused":
        "The key belongs to another command",
        "The same Idempotency-Key came with another body before. Use a fresh key for a new command.";
    PreconditionRequired = PRECONDITION_REQUIRED "precondition-required": "The version is needed",
        "Read the resource, and send its ETag in If-Match, so that nobody's change is lost.";
    RateLimited = TOO_MANY_REQUESTS "rate-limited": "More comes than can be stored now",
        "Nothing was stored. Send it again after Retry-After seconds, with the same event_id.";
    Internal = INTERNAL_SERVER_ERROR "internal": "The shop failed",
        "Nothing you sent is wrong. Report the trace_id.";
    ProjectionBehind = SERVICE_UNAVAILABLE "projection-behind": "The list is not so far yet",
        "It did not reach Headwater-Min-Position in time. Ask again after Retry-After seconds.";
    StoreUnavailable = SERVICE_UNAVAILABLE "store-unavailable": "The store cannot be reached",
        "Send it again after Retry-After seconds; a command with its Idempotency-Key, so that it is \
         carried out once.";
}

/// Something that went wrong, as the client sees it.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    members: Map<String, Value>,
    /// What the operator must know and the client must not.
    cause: Option<Box<Error>>,
}

impl Problem {
    /// A problem, and what is special about it.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), cause: None }
    }

    /// A value of the body that cannot be accepted; `pointer` is an RFC 6901 pointer.
    pub fn validation(pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let errors = json!([{ "pointer": pointer, "detail": detail }]);
        Self::new(Kind::Validation, detail).with("errors", errors)
    }

    /// The aggregate is not at the version that the client believed.
    pub fn version_conflict(expected: Option<u64>, current: u64) -> Self {
        let believed = expected.map_or("another version".into(), |v| format!("version {v}"));
        let detail = format!("expected {believed}, current version is {current}");
        Self::new(Kind::VersionConflict, detail)
            .with("expected_version", expected.into())
            .with("current_version", current.into())
    }

    /// Why a message of a page was not stored. One that finds the queue full is to come again, so that none is lost
    /// without a word.
    pub(super) fn of_relay(error: Error) -> Self {
        match error {
            Error::Overloaded => {
                Self::new(Kind::RateLimited, "too many messages wait to be stored")
            }
            error => error.into(),
        }
    }

    /// The first read models are being made.
    pub(crate) fn behind() -> Self {
        Self::new(Kind::ProjectionBehind, "the read models are being made")
    }

    /// The product of a command to a cart cannot be bought.
    fn unknown_product(error: &CatalogueError) -> Self {
        let errors = json!([{ "pointer": "/sku", "detail": error.to_string() }]);
        Self::new(Kind::UnknownProduct, error.to_string()).with("errors", errors)
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.members.insert(member.into(), value);
        self
    }

    fn caused_by(mut self, cause: Error) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    fn body(&self, instance: &str, trace_id: Uuid) -> Value {
        let mut body = json!({
            "type": format!("/problems/{}", self.kind.name()),
            "title": self.kind.title(),
            "status": self.kind.status().as_u16(),
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

/// The body is made by `render`, which knows the request.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        let again = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        if again.contains(&self.kind.status()) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes a problem's body into its response; any other response stays as it is.
pub(super) fn render(mut response: Response, instance: &str, trace_id: Uuid) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    if let Some(cause) = &problem.cause {
        tracing::error!(%trace_id, code = cause.code(), "{instance}: {cause}");
    }
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    *response.body_mut() = Body::from(problem.body(instance, trace_id).to_string());
    response
}

/// `GET /problems/{name}`: what a problem means, and what to do about it.
pub(super) async fn explain(Path(name): Path<String>) -> Result<String, Problem> {
    if let Some(kind) = Kind::ALL.iter().find(|kind| kind.name() == name) {
        return Ok(format!("{} ({})\n\n{}\n", kind.title(), kind.status(), kind.help()));
    }
    // What the server refuses, before the shop hears of it.
    let kind = KINDS.iter().find(|kind| kind.name == name);
    let kind = kind.ok_or_else(|| Problem::new(Kind::NotFound, "there is no such problem"))?;
    Ok(kind.explanation())
}

pub(super) async fn no_route() -> Problem {
    Problem::new(Kind::NotFound, "there is no such route")
}

pub(super) async fn no_method() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "the path does not have this method")
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::VersionConflict { .. } => Self::new(Kind::Contention, "others were faster"),
            Error::IdempotencyConflict { .. } => {
                Self::new(Kind::IdempotencyKeyReused, "the key came with another command before")
            }
            Error::TooLarge { .. } => Self::new(Kind::PayloadTooLarge, error.to_string()),
            Error::InvalidInput(_) | Error::InvalidName { .. } => {
                Self::validation("", error.to_string())
            }
            Error::Unavailable { .. } | Error::Overloaded => {
                Self::new(Kind::StoreUnavailable, "nothing was changed").caused_by(error)
            }
            Error::OutcomeUnknown { .. } => {
                let detail = "the command may have been carried out or not";
                Self::new(Kind::StoreUnavailable, detail).caused_by(error)
            }
            error => Self::new(Kind::Internal, "the trace log says why").caused_by(error),
        }
    }
}

impl<R: Into<Self>> From<CommandError<R>> for Problem {
    fn from(error: CommandError<R>) -> Self {
        match error {
            CommandError::Refused(reason) => reason.into(),
            CommandError::Log(error) => error.into(),
        }
    }
}

impl From<CartError> for Problem {
    fn from(error: CartError) -> Self {
        let detail = error.to_string();
        match error {
            CartError::Unknown | CartError::NoSuchLine => Self::new(Kind::NotFound, detail),
            CartError::AlreadyOpened => Self::new(Kind::AlreadyExists, detail),
            CartError::Closed(_) => Self::new(Kind::CartClosed, detail),
            CartError::Empty => Self::new(Kind::CartEmpty, detail),
            CartError::Customer => Self::validation("/customer", detail),
            CartError::Quantity => Self::validation("/quantity", detail),
            CartError::TooManyLines | CartError::Currency { .. } => {
                Self::validation("/sku", detail)
            }
        }
    }
}

impl From<CatalogueError> for Problem {
    fn from(error: CatalogueError) -> Self {
        let detail = error.to_string();
        match error {
            CatalogueError::Unknown => Self::new(Kind::NotFound, detail),
            CatalogueError::Delisted => Self::new(Kind::ProductDelisted, detail),
            CatalogueError::AlreadyListed => Self::new(Kind::AlreadyExists, detail),
            CatalogueError::Category => Self::validation("/category", detail),
            CatalogueError::Title => Self::validation("/title", detail),
            CatalogueError::Price => Self::validation("/price/amount", detail),
            CatalogueError::Currency(_) => Self::validation("/price/currency", detail),
        }
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let detail = error.to_string();
        match error {
            OrderError::Unknown => Self::new(Kind::NotFound, detail),
            OrderError::AlreadyPlaced => Self::new(Kind::AlreadyExists, detail),
            OrderError::Empty => Self::new(Kind::CartEmpty, detail),
            OrderError::WrongStatus(_) => Self::new(Kind::OrderNotCancellable, detail),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Cart(error) => error.into(),
            Refusal::Product(error) => Self::unknown_product(&error),
            Refusal::Order(error) => error.into(),
        }
    }
}
