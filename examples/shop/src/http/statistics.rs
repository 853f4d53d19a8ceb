//! `/stats`: what the read models say of a window; and the two statistics of the reference system, in its form, in which
//! numbers are text.

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use headwater::ReadModel;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Kind, Problem, consistency::wait_for, request::Query};
use crate::{
    Shop,
    length::{Length, NoLength},
    statistics::{By, Window},
    views::{
        ButtonClicks, ButtonMinute, ClickDay, ClickSecond, ProductMinute, SalesDay, SalesMinute,
        Visit,
    },
};

/// The longest windows, in seconds: of what is told second by second, of what is told minute by minute, and of sums.
const LONGEST: (i64, i64, i64) = (3_600, 86_400, 400 * 86_400);

/// A window.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    window: Option<String>,
    until: Option<DateTime<Utc>>,
}

/// A window, and what its products are sorted by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedProducts {
    window: Option<String>,
    until: Option<DateTime<Utc>>,
    #[serde(default)]
    by: By,
}

/// The answer for a window.
#[derive(Serialize)]
struct Of<T> {
    window_seconds: i64,
    until: DateTime<Utc>,
    #[serde(flatten)]
    found: T,
}

impl Wanted {
    /// The window, of this length where none is given and not longer than so many seconds, once the read model `R` that
    /// tells of it is as far as the request wants it.
    async fn once_read<R: ReadModel>(
        &self,
        shop: &Shop,
        headers: &HeaderMap,
        usual: &str,
        longest: i64,
    ) -> Result<Window, Problem> {
        let wrong = |detail: String| Problem::new(Kind::MalformedRequest, detail);
        let text = self.window.as_deref().unwrap_or(usual);
        let length: Length = text.parse().map_err(|error: NoLength| wrong(error.to_string()))?;
        let until = self.until.unwrap_or_else(Utc::now);
        let window = Window::new(length, until);
        let window = window.ok_or_else(|| wrong("until lies beyond all years of a shop".into()))?;
        if window.seconds() > longest {
            return Err(wrong(format!("a window of this statistic has {longest} s at most")));
        }
        wait_for::<R>(shop, headers).await?;
        Ok(window)
    }
}

fn answer<T: Serialize>(window: &Window, found: T) -> Response {
    Json(Of { window_seconds: window.seconds(), until: window.until(), found }).into_response()
}

/// Clicks and page loads in each second, and their means.
pub(super) async fn rates(
    State(shop): State<Shop>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let window = wanted.once_read::<ClickSecond>(&shop, &headers, "60s", LONGEST.0).await?;
    Ok(answer(&window, window.rates(&shop.log).await?))
}

/// The buttons that were pressed.
pub(super) async fn buttons(
    State(shop): State<Shop>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let window = wanted.once_read::<ButtonMinute>(&shop, &headers, "5m", LONGEST.2).await?;
    let buttons = window.buttons(&shop.log).await?;
    Ok(answer(&window, json!({ "buttons": buttons })))
}

/// The products that were looked at, put into carts and ordered.
pub(super) async fn top_products(
    State(shop): State<Shop>,
    Query(WantedProducts { window, until, by }): Query<WantedProducts>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Wanted { window, until };
    let window = wanted.once_read::<ProductMinute>(&shop, &headers, "5m", LONGEST.2).await?;
    Ok(answer(&window, window.top_products(&shop.log, by).await?))
}

/// How far visits have come.
pub(super) async fn funnel(
    State(shop): State<Shop>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let window = wanted.once_read::<Visit>(&shop, &headers, "1h", LONGEST.2).await?;
    Ok(answer(&window, window.funnel(&shop.log).await?))
}

/// What was ordered and what fell, minute by minute.
pub(super) async fn sales(
    State(shop): State<Shop>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let window = wanted.once_read::<SalesMinute>(&shop, &headers, "1h", LONGEST.1).await?;
    let minutes = window.sales(&shop.log).await?;
    let minute = |row: SalesMinute| {
        let SalesMinute { minute, orders, revenue, rejected, cancelled } = row;
        json!({ "minute": minute, "orders": orders, "revenue": revenue, "rejected": rejected, "cancelled": cancelled })
    };
    let minutes: Vec<_> = minutes.into_iter().map(minute).collect();
    Ok(answer(&window, json!({ "minutes": minutes })))
}

/// What was ordered and what came back, day by day.
pub(super) async fn sales_per_day(
    State(shop): State<Shop>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let window = wanted.once_read::<SalesDay>(&shop, &headers, "30d", LONGEST.2).await?;
    let day = |row: SalesDay| {
        let SalesDay { day, orders, units, gross, returned, .. } = row;
        json!({ "day": day, "orders": orders, "units": units, "gross": gross, "returned": returned })
    };
    let days: Vec<_> = window.sales_days(&shop.log).await?.into_iter().map(day).collect();
    Ok(answer(&window, json!({ "days": days })))
}

/// The clicks and page loads of each day.
pub(super) async fn clicks_per_day(
    State(shop): State<Shop>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let window = wanted.once_read::<ClickDay>(&shop, &headers, "14d", LONGEST.2).await?;
    Ok(answer(&window, json!({ "days": window.click_days(&shop.log).await? })))
}

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
