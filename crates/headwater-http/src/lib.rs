//! The log over HTTP, as routes that a service mounts: append, read, follow, consume, operate.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use headwater_http::{Access, Api, Bounds, serve};
//!
//! let log = headwater::connect("sqlite::memory:").await?;
//! let routes = Api::new(&log).access(Access::this_machine()).router();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! serve(listener, routes, Bounds::default(), async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
//! # Ok(())
//! # }
//! ```
//!
//! `GET /openapi.json` describes the routes, `docs/http.md` tells how to use them. Errors are problems of RFC 9457
//! ([`problem`]).

mod access;
mod append;
mod changes;
mod consumers;
mod described;
mod feed;
mod health;
mod messages;
mod operate;
mod pages;
pub mod problem;
mod request;
mod serve;
mod sse;
mod tags;
mod wanted;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use headwater::{App, Log, Operator};
use tower_http::{compression::CompressionLayer, cors::CorsLayer};
use utoipa::{OpenApi, openapi::Server};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::{
    access::{Access, Role},
    health::health,
    problem::{Kind, Problem},
    request::CORRELATION_ID,
    serve::{Bounds, serve},
    tags::POSITION,
};
use self::{
    messages::Messages,
    problem::{KINDS, METHOD_NOT_ALLOWED, NOT_FOUND},
    request::RequestId,
};

/// The largest body that is read: an append has 16 MiB at most.
const BODY_BYTES: usize = 16 << 20;

/// The routes over a log.
#[derive(Clone)]
pub struct Api {
    log: Log,
    app: Arc<App>,
    access: Access,
    origins: Vec<HeaderValue>,
    path: Arc<str>,
}

/// What the routes share.
#[derive(Clone)]
struct Shared {
    log: Log,
    app: Arc<App>,
    /// What the feeds send.
    messages: Arc<Messages>,
    /// Where the routes are mounted.
    path: Arc<str>,
}

impl Shared {
    fn operator(&self) -> Operator {
        Operator::new(&self.log, "HTTP")
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Headwater", description = "An append-only log of events, over HTTP."),
    tags(
        (name = "append", description = "Into the log; needs a token for `append`."),
        (name = "read", description = "Out of the log; needs a token for `read`."),
        (name = "consume", description = "For clients that have no database; needs a token for `read`."),
        (name = "operate", description = "Looking after it; needs a token for `operate`."),
    )
)]
struct Description;

impl Api {
    /// The routes over `log`, for whoever is on this machine.
    pub fn new(log: &Log) -> Self {
        let (log, app) = (log.clone(), Arc::new(App::new()));
        Self { log, app, access: Access::this_machine(), origins: Vec::new(), path: "".into() }
    }

    /// Below this path, such as `/log`, and not at the root: for a service that has routes of its own, with which
    /// [`Api::router`] is then merged. All are below it, also `/healthz` and `/openapi.json`. It is a plain path, without
    /// parameters.
    #[must_use]
    pub fn below(self, path: &str) -> Self {
        let path = path.trim_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Self { path: path.into(), ..self }
    }

    /// With the projections of `app`; otherwise `GET /projections` tells of all that the log knows.
    #[must_use]
    pub fn app(self, app: Arc<App>) -> Self {
        Self { app, ..self }
    }

    /// Says who may do what.
    #[must_use]
    pub fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Lets pages of another origin, such as `https://shop.example`, use the routes.
    #[must_use]
    pub fn origin(mut self, origin: HeaderValue) -> Self {
        self.origins.push(origin);
        self
    }

    /// The routes, to serve or to merge with others. What limits the time of a request is [`serve`].
    pub fn router(self) -> Router {
        let (routes, mut description) = self.routes().split_for_parts();
        if !self.path.is_empty() {
            description.servers = Some(vec![Server::new(&*self.path)]);
        }
        let description = Arc::new(described::complete(&description, &self.access));
        let describe = move || async move { axum::Json(&*description).into_response() };
        let cors = CorsLayer::new()
            .allow_origin(self.origins.clone())
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_MATCH,
                header::IF_NONE_MATCH,
                HeaderName::from_static("last-event-id"),
                CORRELATION_ID,
            ])
            .expose_headers([header::ETAG, POSITION, CORRELATION_ID]);
        let path = self.path.clone();
        let guarded = (self.access, Arc::from(self.origins.as_slice()));
        let routes = routes
            .merge(health(&self.log, &self.app))
            .route("/openapi.json", get(describe))
            .route("/problems/{name}", get(explain))
            .fallback(no_route)
            .method_not_allowed_fallback(no_method)
            .layer(DefaultBodyLimit::max(BODY_BYTES))
            .layer(middleware::from_fn_with_state(guarded, access::without_token))
            .layer(middleware::from_fn_with_state(self.path, converse))
            .layer(cors)
            .layer(CompressionLayer::new());
        if path.is_empty() { routes } else { Router::new().nest(&path, routes) }
    }

    /// The routes by what a token must be for.
    fn routes(&self) -> OpenApiRouter {
        let read = OpenApiRouter::new()
            .routes(routes!(pages::of_stream))
            .routes(routes!(pages::of_log))
            .routes(routes!(feed::follow))
            .routes(routes!(consumers::list))
            .routes(routes!(consumers::make, consumers::show))
            .routes(routes!(consumers::events))
            .routes(routes!(consumers::acknowledge))
            .routes(routes!(operate::list))
            .routes(routes!(changes::follow));
        let append = OpenApiRouter::new()
            .routes(routes!(append::to_stream))
            .routes(routes!(append::to_many));
        let operate =
            OpenApiRouter::new().routes(routes!(consumers::remove)).routes(routes!(operate::act));
        let guarded = |routes: OpenApiRouter<Shared>, role| {
            let needs = (self.access.clone(), role);
            routes.route_layer(middleware::from_fn_with_state(needs, access::guard))
        };
        OpenApiRouter::with_openapi(Description::openapi())
            .merge(guarded(read, Role::Read))
            .merge(guarded(append, Role::Append))
            .merge(guarded(operate, Role::Operate))
            .with_state(Shared {
                log: self.log.clone(),
                app: self.app.clone(),
                messages: Arc::new(Messages::new()),
                path: self.path.clone(),
            })
    }
}

/// Gives each request its id, and each problem its place.
async fn converse(State(path): State<Arc<str>>, request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers()).id;
    let instance = format!("{path}{}", request.uri().path());
    let mut response = problem::render(next.run(request).await, &path, &instance, id);
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(CORRELATION_ID, id);
    }
    response
}

/// `GET /problems/{name}`: what a problem means, and what to do about it.
async fn explain(Path(name): Path<String>) -> Result<String, Problem> {
    let kind = KINDS.iter().find(|kind| kind.name == name);
    let kind = kind.ok_or_else(|| Problem::new(NOT_FOUND, "there is no such problem"))?;
    Ok(kind.explanation())
}

async fn no_route() -> Problem {
    Problem::new(NOT_FOUND, "there is no such route")
}

async fn no_method() -> Problem {
    Problem::new(METHOD_NOT_ALLOWED, "the path does not have this method")
}
