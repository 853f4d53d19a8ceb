//! `/projections`: where they stand, and what an operator does to them.

use axum::extract::State;
use headwater::{Checkpoint, GenerationState, ProjectionStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Shared,
    problem::Problem,
    request::{Path, Query},
};

/// Where one projection stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Projection {
    /// Its name; `sales/1` is the second partition of `sales`.
    projection: String,
    /// Which build of the read model.
    generation: u32,
    /// `live`, `building` or `verifying`.
    state: &'static str,
    /// Everything at or below this position is in the read model.
    position: u64,
    /// The end of the log that can be read.
    head: u64,
    /// How many positions it is behind; holes count.
    lag: u64,
    /// Whether an operator lets it stand still.
    paused: bool,
    /// Whether it is a build that waits to be promoted.
    held_back: bool,
    /// How many events it has set aside.
    parked: u64,
    /// How often an operator had it leave events out, or moved it.
    skips: u64,
    /// The instance that works on it.
    owner: Option<String>,
    /// Why it stands still, without the event's content.
    failure: Option<String>,
}

impl Projection {
    fn new(status: ProjectionStatus) -> Self {
        let lag = status.lag();
        Self {
            projection: status.projection,
            generation: status.generation,
            state: status.state.as_str(),
            position: status.position.0,
            head: status.head.0,
            lag,
            paused: status.paused,
            held_back: status.held_back,
            parked: status.parked,
            skips: status.skips,
            owner: status.owner,
            failure: status.failure.map(|failure| failure.error),
        }
    }
}

/// What an act has left.
#[derive(Serialize, ToSchema)]
pub(crate) struct Acted {
    projection: String,
    generation: u32,
    state: &'static str,
    position: u64,
    paused: bool,
}

impl From<Checkpoint> for Acted {
    fn from(at: Checkpoint) -> Self {
        Self {
            projection: at.projection,
            generation: at.generation,
            state: GenerationState::as_str(at.state),
            position: at.position.0,
            paused: at.paused,
        }
    }
}

/// Where each projection stands
#[utoipa::path(get, path = "/projections", tag = "read", responses((status = 200, body = Vec<Projection>)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
) -> Result<axum::Json<Vec<Projection>>, Problem> {
    let status = shared.app.status(&shared.log).await?;
    Ok(axum::Json(status.into_iter().map(Projection::new).collect()))
}

/// What an operator can do to a projection.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Act {
    Pause,
    Resume,
    Retry,
    Rebuild,
    Promote,
    Rollback,
}

/// How a rebuild is to end.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Manner {
    /// Of a rebuild: whether what is built waits to be promoted.
    #[serde(default)]
    hold: bool,
}

/// Pause, resume, retry, rebuild, promote or roll back a projection
///
/// A running instance of the service does it within a second; `GET /projections` shows how far it is.
#[utoipa::path(
    post, path = "/projections/{name}/{act}", tag = "operate",
    params(("name" = String, Path), ("act" = inline(Act), Path), Manner),
    responses(
        (status = 200, body = Acted), (status = 404, description = "No such projection"),
        (status = 409, description = "That cannot be done now"),
    )
)]
pub(crate) async fn act(
    State(shared): State<Shared>,
    Path((name, act)): Path<(String, Act)>,
    Query(manner): Query<Manner>,
) -> Result<axum::Json<Acted>, Problem> {
    let operator = shared.operator();
    let left = match act {
        Act::Pause => operator.pause(&name).await?,
        Act::Resume => operator.resume(&name).await?,
        Act::Retry => operator.retry(&name).await?,
        Act::Rebuild => operator.rebuild(&name, manner.hold).await?,
        Act::Promote => operator.promote(&name).await?,
        Act::Rollback => operator.roll_back(&name).await?,
    };
    Ok(axum::Json(left.into()))
}
