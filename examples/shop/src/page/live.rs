//! What the page shows, as one JSON object: read models, the window, and where projections stand.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use headwater::{App, GenerationState, Log, Position, Result};
use serde::Serialize;
use tokio::sync::Mutex;

use super::window::{Listed, Second, Window};
use crate::views::ProductSales;

/// How old an answer may be: however many look at the page, the database is asked twice a second.
const FRESH: Duration = Duration::from_millis(500);

/// How many seconds of the window are drawn, and how many make a column of revenue.
const DRAWN: i64 = 120;
const COLUMN: usize = 3;

/// The state of the shop at this moment.
pub struct Live {
    log: Log,
    app: Arc<App>,
    window: Arc<Window>,
    /// The database in words.
    database: String,
    answer: Mutex<Option<(Instant, String)>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    log: &'a str,
    position: Position,
    now: i64,
    events_per_second: Vec<u64>,
    revenue: Revenue,
    orders: Orders,
    carts: Carts,
    top_products: Vec<Product>,
    events: Vec<Listed>,
    projections: Vec<Projection>,
}

#[derive(Serialize)]
struct Revenue {
    currency: String,
    total: i64,
    hour: i64,
    minute: i64,
    columns: Vec<i64>,
}

#[derive(Serialize)]
struct Orders {
    total: i64,
    hour: i64,
}

#[derive(Default, Serialize)]
struct Carts {
    open: i64,
    abandoned: i64,
}

#[derive(Serialize)]
struct Product {
    sku: String,
    title: String,
    units: i64,
}

#[derive(Serialize)]
struct Projection {
    name: String,
    position: Position,
    lag: u64,
    failure: Option<String>,
}

impl Live {
    /// The state of the shop in `log`, whose projections are those of `app`.
    ///
    /// # Errors
    ///
    /// Where the database cannot say what it is.
    pub async fn new(log: &Log, app: Arc<App>, window: Arc<Window>) -> Result<Self> {
        let database = log.store().describe().await?;
        Ok(Self { log: log.clone(), app, window, database, answer: Mutex::default() })
    }

    /// The database in words, such as `SQLite 3.51.3`.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The state as JSON.
    ///
    /// # Errors
    ///
    /// Those of [`Log::query`]; also while the read models are being made.
    pub async fn json(&self) -> Result<String> {
        // Held while the database is asked, so that it is asked once for all who wait.
        let mut answer = self.answer.lock().await;
        match &*answer {
            Some((at, json)) if at.elapsed() < FRESH => Ok(json.clone()),
            _ => {
                let json = self.ask().await?;
                *answer = Some((Instant::now(), json.clone()));
                Ok(json)
            }
        }
    }

    async fn ask(&self) -> Result<String> {
        let (now, hour) = (Utc::now(), self.window.hour());
        let drawn = self.window.seconds(DRAWN, now);
        let projections = self.projections().await?;
        let (orders, revenue, currency) = self.sales().await?;
        let revenue_of = |seconds: &[Second]| seconds.iter().map(|s| s.revenue).sum::<i64>();
        let answer = Answer {
            log: &self.database,
            position: projections.iter().map(|(_, head)| *head).max().unwrap_or_default(),
            now: now.timestamp_millis(),
            events_per_second: drawn.iter().map(|second| second.events).collect(),
            revenue: Revenue {
                currency,
                total: revenue,
                hour: hour.revenue,
                minute: revenue_of(&drawn[drawn.len().saturating_sub(60)..]),
                columns: drawn.chunks(COLUMN).map(revenue_of).collect(),
            },
            orders: Orders { total: orders, hour: hour.orders },
            carts: self.carts().await?,
            top_products: self.top_products().await?,
            events: self.window.last(),
            projections: projections.into_iter().map(|(projection, _)| projection).collect(),
        };
        serde_json::to_string(&answer).map_err(|_| headwater::Error::InvalidInput("no JSON".into()))
    }

    async fn sales(&self) -> Result<(i64, i64, String)> {
        let sql = "select cast(coalesce(sum(orders), 0) as bigint) as orders, \
                          cast(coalesce(sum(gross - returned), 0) as bigint) as revenue, \
                          (select min(currency) from {order_views}) as currency \
                   from {sales_days}";
        let rows = self.log.query(sql, &[]).await?;
        let Some(row) = rows.first() else { return Ok((0, 0, "USD".into())) };
        let currency: Option<String> = row.get("currency")?;
        Ok((row.get("orders")?, row.get("revenue")?, currency.unwrap_or_else(|| "USD".into())))
    }

    async fn carts(&self) -> Result<Carts> {
        let sql = "select status, count(*) as carts from {cart_views} group by status";
        let mut carts = Carts::default();
        for row in self.log.query(sql, &[]).await? {
            match row.get::<String>("status")?.as_str() {
                "open" => carts.open = row.get("carts")?,
                "abandoned" => carts.abandoned = row.get("carts")?,
                _ => {}
            }
        }
        Ok(carts)
    }

    async fn top_products(&self) -> Result<Vec<Product>> {
        let best = "order by units_gross desc, sku limit 9";
        let products = self.log.find::<ProductSales>(best, &[]).await?;
        let product = |ProductSales { sku, title, units_gross: units, .. }| Product {
            sku: sku.into(),
            title,
            units,
        };
        Ok(products.into_iter().map(product).collect())
    }

    /// The projections, each with the head of the log.
    async fn projections(&self) -> Result<Vec<(Projection, Position)>> {
        let status = self.app.status(&self.log).await?.into_iter();
        Ok(status
            .map(|status| {
                let (lag, head) = (status.lag(), status.head);
                let failure = status.failure.map(|failure| failure.error);
                // Beside the read model in service there may be the next one.
                let rebuilding = status.state == GenerationState::Building && status.generation > 1;
                let name = status.projection + if rebuilding { " (being rebuilt)" } else { "" };
                let position = status.position;
                (Projection { name, position, lag, failure }, head)
            })
            .collect())
    }
}
