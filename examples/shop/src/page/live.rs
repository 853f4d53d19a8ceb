//! What the page shows, as one JSON object: read models, the window, and where projections stand.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Days, NaiveDate, Utc};
use headwater::{App, GenerationState, Log, ProjectionStatus, Result};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    last_hour::{LastHour, Second},
    latecomer::Latecomer,
};
use crate::{
    statistics::{self, Window},
    views::{ButtonClicks, ClickDay, ProductSales, SalesMinute},
};

/// How old an answer may be: however many look at the page, the database is asked twice a second.
const FRESH: Duration = Duration::from_millis(500);

/// How many seconds of the window are drawn.
const DRAWN: i64 = 120;

/// How many days of clicks are drawn.
const DAYS: u64 = 14;

/// The state of the shop at this moment.
pub(crate) struct Live {
    log: Log,
    app: Arc<App>,
    last_hour: Arc<LastHour>,
    /// The database in words.
    database: String,
    /// Whether the page may look after projections.
    operable: bool,
    latecomer: Arc<Latecomer>,
    answer: Mutex<Option<(Instant, String)>>,
}

impl Live {
    /// The state of the shop in `log`, whose projections are those of `app`.
    ///
    /// It tells the page whether it is `operable`: whether the log's routes let it look after projections.
    pub(crate) async fn new(
        log: &Log,
        app: Arc<App>,
        last_hour: Arc<LastHour>,
        latecomer: Arc<Latecomer>,
        operable: bool,
    ) -> Result<Self> {
        let (log, database) = (log.clone(), log.store().describe().await?);
        Ok(Self { log, app, last_hour, database, operable, latecomer, answer: Mutex::default() })
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn is_operable(&self) -> bool {
        self.operable
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
        let (now, hour) = (Utc::now(), self.last_hour.hour());
        let drawn = self.last_hour.seconds(DRAWN, now);
        let revenue_of = |seconds: &[Second]| seconds.iter().map(|s| s.revenue).sum::<i64>();
        let (orders, revenue, currency) = self.sales().await?;
        let late = self.latecomer.status().await?;
        let shown = status.iter().chain(&late).filter(|s| s.state != GenerationState::Verifying);
        let last = |length: &str| {
            let length = length.parse().expect("it is a length");
            Window::new(length, now).expect("it is this year")
        };
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
            },
            "orders": { "total": orders, "hour": hour.map(|hour| hour.orders) },
            "carts": statistics::carts(&self.log).await?,
            "rates": last("120s").rates(&self.log).await?,
            "buttons": { "all": self.buttons().await?, "now": last("5m").buttons(&self.log).await? },
            "click_days": self.click_days(now.date_naive()).await?,
            "sales": self.sales_minutes(&last("1h"), now).await?,
            "busy_hours": if late.is_empty() { Vec::new() } else { self.busy_hours().await? },
            "top_products": self.top_products().await?,
            "events": self.last_hour.last(),
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

    async fn buttons(&self) -> Result<Vec<Value>> {
        let most = "order by clicks desc, button_id limit 12";
        let buttons = self.log.find::<ButtonClicks>(most, &[]).await?;
        let button =
            |row: &ButtonClicks| json!({ "button_id": row.button_id, "clicks": row.clicks });
        Ok(buttons.iter().map(button).collect())
    }

    /// The clicks of the last days, the oldest first, days without any among them.
    async fn click_days(&self, today: NaiveDate) -> Result<Vec<Value>> {
        let first = today - Days::new(DAYS - 1);
        let days = self
            .log
            .find::<ClickDay>("where day >= $1 and day <= $2", &[first.into(), today.into()])
            .await?;
        let found: HashMap<_, _> = days.into_iter().map(|row| (row.day, row.clicks)).collect();
        let clicks = |day| json!({ "day": day, "clicks": found.get(&day).copied().unwrap_or(0) });
        Ok(first.iter_days().take_while(|day| *day <= today).map(clicks).collect())
    }

    /// Orders and revenue of each minute of the window, the oldest first.
    async fn sales_minutes(&self, window: &Window, now: DateTime<Utc>) -> Result<Value> {
        let found = window.sales(&self.log).await?;
        let (mut orders, mut revenue) = (vec![0; 60], vec![0; 60]);
        for row in &found {
            let ago = (now.timestamp().div_euclid(60) * 60 - row.minute.timestamp()) / 60;
            if let Some(at) = usize::try_from(59 - ago).ok().filter(|at| *at < 60) {
                (orders[at], revenue[at]) = (row.orders, row.revenue);
            }
        }
        let sum = |of: fn(&SalesMinute) -> i64| found.iter().map(of).sum::<i64>();
        let (rejected, cancelled) = (sum(|row| row.rejected), sum(|row| row.cancelled));
        Ok(
            json!({ "orders": orders, "revenue": revenue, "rejected": rejected, "cancelled": cancelled }),
        )
    }

    async fn busy_hours(&self) -> Result<Vec<Value>> {
        let hours = self.latecomer.rows().await?;
        Ok(hours.iter().map(|row| json!({ "hour": row.hour, "orders": row.orders })).collect())
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
