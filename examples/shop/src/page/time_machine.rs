//! `POST /api/at`: the statistics as they were when the log ended at any position, folded in memory.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use headwater::{Filter, Log, Position, Replay, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::timeout};

use crate::{
    http::{Body, Problem},
    statistics::Funnel,
    views::{ButtonClicks, ProductSales, Visit},
};

/// How many buttons and products it tells of.
const TOLD: usize = 9;

/// How long one waits for the others who ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// The shop as of any position: forward from where it is, and back from the start of the log.
pub(crate) struct TimeMachine {
    log: Log,
    /// Held while the log is read: one reads it at a time. It has the rows of that moment in memory.
    moment: Mutex<Option<Moment>>,
}

struct Moment {
    buttons: Replay<ButtonClicks>,
    products: Replay<ProductSales>,
    visits: Replay<Visit>,
}

/// Which moment.
#[derive(Deserialize)]
pub(super) struct At {
    position: u64,
}

impl TimeMachine {
    pub(crate) fn new(log: &Log) -> Self {
        Self { log: log.clone(), moment: Mutex::default() }
    }

    /// The shop at a position; `None` where others keep it busy.
    async fn at(&self, position: Position) -> Result<Option<Value>> {
        let Ok(mut moment) = timeout(PATIENCE, self.moment.lock()).await else { return Ok(None) };
        let moment = match &mut *moment {
            Some(moment) => moment,
            none => none.insert(Moment::new(&self.log)?),
        };
        moment.go_to(position).await?;
        let happened = happened(&self.log, moment.buttons.position()).await?;
        Ok(Some(moment.told(happened)))
    }
}

impl Moment {
    fn new(log: &Log) -> Result<Self> {
        let (buttons, products) = (Replay::new(log)?, Replay::new(log)?);
        Ok(Self { buttons, products, visits: Replay::new(log)? })
    }

    async fn go_to(&mut self, position: Position) -> Result<()> {
        self.buttons.go_to(position).await?;
        let position = self.buttons.position();
        self.products.go_to(position).await?;
        self.visits.go_to(position).await
    }

    fn told(&self, happened: Option<DateTime<Utc>>) -> Value {
        let mut buttons: Vec<_> = self.buttons.rows().values().collect();
        buttons.sort_by(|a, b| b.clicks.cmp(&a.clicks).then_with(|| a.button_id.cmp(&b.button_id)));
        let mut products: Vec<_> = self.products.rows().values().collect();
        products.sort_by(|a, b| b.units_gross.cmp(&a.units_gross).then_with(|| a.sku.cmp(&b.sku)));
        let visits = || self.visits.rows().values();
        let count = |has: fn(&&Visit) -> bool| {
            i64::try_from(visits().filter(has).count()).unwrap_or(i64::MAX)
        };
        let funnel = Funnel {
            visits: count(|_| true),
            viewed: count(|visit| visit.viewed),
            added: count(|visit| visit.added),
            ordered: count(|visit| visit.ordered),
        };
        let button =
            |row: &&ButtonClicks| json!({ "button_id": row.button_id, "clicks": row.clicks });
        let product = |row: &&ProductSales| json!({ "sku": row.sku, "title": row.title, "units": row.units_gross });
        json!({
            "position": self.buttons.position(),
            "at": happened.map(|at| at.timestamp_millis()),
            "buttons": buttons.iter().take(TOLD).map(button).collect::<Vec<_>>(),
            "products": products.iter().take(TOLD).map(product).collect::<Vec<_>>(),
            "funnel": funnel,
        })
    }
}

/// When the last event at or below a position was recorded.
async fn happened(log: &Log, position: Position) -> Result<Option<DateTime<Utc>>> {
    let mut last = log.read_backward(Filter::all(), position);
    Ok(last.try_next().await?.map(|event| event.recorded_at))
}

/// What it takes is JSON, which a page of another origin cannot send unasked.
pub(super) async fn answer(
    State(machine): State<Arc<TimeMachine>>,
    body: Body<At>,
) -> Result<Json<Value>, Problem> {
    let told = machine.at(Position(body.value.position)).await?;
    told.map(Json).ok_or_else(Problem::behind)
}
