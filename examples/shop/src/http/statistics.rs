//! `GET /api/clickCount` and `GET /api/clickHistory`: the statistics of the reference system's dashboard, in its form:
//! numbers are text.

use axum::{Json, extract::State, http::HeaderMap};
use serde_json::{Value, json};

use super::{Problem, consistency::wait_for};
use crate::{
    Shop,
    views::{ButtonClicks, ClickDay},
};

/// How often each button was pressed.
pub(super) async fn click_count(
    State(shop): State<Shop>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Problem> {
    wait_for::<ButtonClicks>(&shop, &headers).await?;
    let rows = shop.log.find::<ButtonClicks>("order by button_id", &[]).await?;
    let row =
        |row: ButtonClicks| json!({ "button_id": row.button_id, "sum": row.clicks.to_string() });
    Ok(Json(rows.into_iter().map(row).collect()))
}

/// How often buttons were pressed on each day, by the clocks of the browsers.
pub(super) async fn click_history(
    State(shop): State<Shop>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Problem> {
    wait_for::<ClickDay>(&shop, &headers).await?;
    let rows = shop.log.find::<ClickDay>("where clicks > 0 order by day", &[]).await?;
    let row = |row: ClickDay| json!({ "Day": format!("{}T00:00:00.000Z", row.day), "clicks": row.clicks.to_string() });
    Ok(Json(rows.into_iter().map(row).collect()))
}
