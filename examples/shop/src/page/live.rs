//! What the page shows, as one JSON object: read models, the window, and where projections stand.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use headwater::{App, GenerationState, Log, ProjectionStatus, Result};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::window::{Second, Window};
use crate::{domain::cart::CartStatus, views::ProductSales};

/// How old an answer may be: however many look at the page, the database is asked twice a second.
const FRESH: Duration = Duration::from_millis(500);

/// How many seconds of the window are drawn, and how many make a column of revenue.
const DRAWN: i64 = 120;
const COLUMN: usize = 3;

/// The state of the shop at this moment.
pub(crate) struct Live {
    log: Log,
    app: Arc<App>,
    window: Arc<Window>,
    /// The database in words.
    database: String,
    /// Whether the page may look after projections.
    operable: bool,
    answer: Mutex<Option<(Instant, String)>>,
}

impl Live {
    /// The state of the shop in `log`, whose projections are those of `app`.
    ///
    /// It tells the page whether it is `operable`: whether the log's routes let it look after projections.
    pub(crate) async fn new(
        log: &Log,
        app: Arc<App>,
        window: Arc<Window>,
        operable: bool,
    ) -> Result<Self> {
        let database = log.store().describe().await?;
        Ok(Self { log: log.clone(), app, window, database, operable, answer: Mutex::default() })
    }

    /// The database in words, such as `SQLite 3.51.3`.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// The state as JSON; `None` before the read models are there.
    pub(crate) async fn json(&self) -> Result<Option<String>> {
        // Held while the database is asked, so that it is asked once for all who wait.
        let mut answer = self.answer.lock().await;
        match &*answer {
            Some((at, json)) if at.elapsed() < FRESH => Ok(Some(json.clone())),
            _ => {
                let status = self.app.status(&self.log).await?;
                if status.iter().any(|status| status.generation == 0) {
                    return Ok(None);
                }
                let json = self.ask(&status).await?;
                *answer = Some((Instant::now(), json.clone()));
                Ok(Some(json))
            }
        }
    }

    async fn ask(&self, status: &[ProjectionStatus]) -> Result<String> {
        let (now, hour) = (Utc::now(), self.window.hour());
        let drawn = self.window.seconds(DRAWN, now);
        let revenue_of = |seconds: &[Second]| seconds.iter().map(|s| s.revenue).sum::<i64>();
        let (orders, revenue, currency) = self.sales().await?;
        let shown = status.iter().filter(|s| s.state != GenerationState::Verifying);
        let answer = json!({
            "log": self.database,
            "now": now.timestamp_millis(),
            "position": self.log.ceiling().await?.position,
            "events_per_second": drawn.iter().map(|second| second.events).collect::<Vec<_>>(),
            "revenue": {
                "currency": currency,
                "total": revenue,
                "hour": hour.map(|hour| hour.revenue),
                "minute": revenue_of(&drawn[drawn.len().saturating_sub(60)..]),
                "columns": drawn.chunks(COLUMN).map(revenue_of).collect::<Vec<_>>(),
            },
            "orders": { "total": orders, "hour": hour.map(|hour| hour.orders) },
            "carts": { "open": self.carts(CartStatus::Open).await?, "abandoned": self.carts(CartStatus::Abandoned).await? },
            "top_products": self.top_products().await?,
            "events": self.window.last(),
            "projections": shown.map(projection).collect::<Vec<_>>(),
            "operable": self.operable,
        });
        Ok(answer.to_string())
    }

    async fn sales(&self) -> Result<(i64, i64, String)> {
        let sql = "select cast(coalesce(sum(orders), 0) as bigint) as orders, \
                          cast(coalesce(sum(gross - returned), 0) as bigint) as revenue, \
                          coalesce((select min(currency) from {order_views}), 'USD') as currency \
                   from {sales_days}";
        match self.log.query(sql, &[]).await?.first() {
            Some(row) => Ok((row.get("orders")?, row.get("revenue")?, row.get("currency")?)),
            None => Ok((0, 0, "USD".into())),
        }
    }

    async fn carts(&self, status: CartStatus) -> Result<i64> {
        let sql = "select count(*) as carts from {cart_views} where status = $1";
        let rows = self.log.query(sql, &[status.word().into()]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.get("carts"))?)
    }

    async fn top_products(&self) -> Result<Vec<Value>> {
        let best = "order by units_gross desc, sku limit 9";
        let products = self.log.find::<ProductSales>(best, &[]).await?;
        let product = |product: &ProductSales| json!({ "sku": product.sku, "title": product.title, "units": product.units_gross });
        Ok(products.iter().map(product).collect())
    }
}

fn projection(status: &ProjectionStatus) -> Value {
    json!({
        "name": status.projection,
        "state": status.state.as_str(),
        "generation": status.generation,
        "position": status.position,
        "head": status.head,
        "lag": status.lag(),
        "paused": status.paused,
        "failure": status.failure.as_ref().map(|failure| &failure.error),
    })
}
