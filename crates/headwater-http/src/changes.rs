//! `GET /projections/{name}/changes`: the rows of a read model as they change, for as long as the client listens.

use axum::{extract::State, http::HeaderMap, response::Response};
use futures_util::stream;
use headwater::{ErrorKind, RowChange, RowChanges};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    Shared,
    problem::Problem,
    request::{Path, Query},
    sse,
};

/// Where to begin.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangesQuery {
    /// Behind which position; also `beginning`, `now` (the default), or a time. `Last-Event-ID` counts more.
    from: Option<String>,
}

/// Follow the rows of a read model
///
/// A message `changed` holds the `key` and the `row` as it stands once the read model has passed the event at `position`,
/// and `removed` the key of a row that is gone. Where events come faster than they are read, one message may stand for
/// several changes of a row; the last one is how it stands. The last row that an event has changed carries its position as
/// `id`. What changes rows without a new event, as a rollback does, is not told. Of a projection in SQL nobody knows which
/// rows change: it is refused.
#[utoipa::path(
    get, path = "/projections/{name}/changes", tag = "read",
    params(
        ("name" = String, Path), ChangesQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The last position that one has"),
    ),
    responses(
        (status = 200, description = "Messages without end", content_type = "text/event-stream", body = String),
        (status = 400, description = "A parameter or Last-Event-ID is no position"),
        (status = 404, description = "There is no such projection here"),
        (status = 409, description = "Last-Event-ID lies behind the end of the log"),
        (status = 422, description = "It is a projection in SQL"),
    )
)]
pub(crate) async fn follow(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<ChangesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = sse::begin(&shared.log, &headers, query.from.as_deref()).await?;
    let changes = shared.app.changes(&shared.log, &name, after)?;
    Ok(sse::answer(stream::unfold(changes, next)))
}

/// The next message; none where the changes cannot be followed any more.
async fn next(mut changes: RowChanges) -> Option<(String, RowChanges)> {
    loop {
        match changes.next().await {
            Ok(change) => return Some((message(&change)?, changes)),
            Err(error) if error.kind() == ErrorKind::Retry => tokio::time::sleep(sse::PAUSE).await,
            Err(error) => {
                // A client comes back by itself: its rows may have other columns now.
                tracing::warn!(%error, "the changes of a read model are followed no more");
                return None;
            }
        }
    }
}

fn message(change: &RowChange) -> Option<String> {
    let kind = if change.row.is_some() { "changed" } else { "removed" };
    // A client that comes back behind a position must miss no row that its event has changed.
    let id = change.complete.then_some(change.position);
    let mut text = String::new();
    sse::write(&mut text, id, kind, &serde_json::to_string(change).ok()?);
    Some(text)
}
