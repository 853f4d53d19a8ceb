//! How a read model is waited for that has to hold what its reader has just done.

use std::time::Duration;

use axum::http::HeaderMap;
use headwater::{Position, ReadModel};

use super::{Kind, MIN_POSITION, Problem, request};
use crate::Shop;

/// How long a reader waits for the position that it wants to see.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits until a read model holds everything up to `Headwater-Min-Position`, where the request has it. Before the read
/// models of a new shop are there it refuses.
pub(super) async fn wait_for<R: ReadModel>(
    shop: &Shop,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let position = request::header(headers, &MIN_POSITION)?.map(Position);
    if !shop.is_built().await? {
        return Err(Problem::behind());
    }
    let Some(position) = position else { return Ok(()) };
    let projection = R::table().name;
    if shop.log.wait_for(projection, position, PATIENCE).await? {
        return Ok(());
    }
    let detail = format!("{projection} has not reached position {position}");
    Err(Problem::new(Kind::ProjectionBehind, detail))
}
