//! `GET /api/at`: the statistics as they were when the log ended at any position, folded in memory.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use headwater::{Filter, Log, Position, Replay, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    http::Problem,
    statistics::Funnel,
    views::{ButtonClicks, ProductSales, Visit},
};

/// How many moments it keeps, to go on from the nearest one.
const KEPT: usize = 3;

/// How many buttons and products it tells of.
const TOLD: usize = 9;

/// The shop as of any position.
pub(crate) struct TimeMachine {
    log: Log,
    /// The one used last comes last. Held while the log is read: one reads it at a time.
    moments: Mutex<Vec<Moment>>,
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
        Self { log: log.clone(), moments: Mutex::default() }
    }

    async fn at(&self, position: Position) -> Result<Value> {
        let mut moments = self.moments.lock().await;
        let before = |moment: &Moment| moment.position() <= position;
        let nearest = (0..moments.len())
            .filter(|at| before(&moments[*at]))
            .max_by_key(|at| moments[*at].position());
        match nearest {
            Some(at) => moments[at..].rotate_left(1),
            None if moments.len() < KEPT => moments.push(Moment::new(&self.log)?),
            None => moments.rotate_left(1),
        }
        let moment = moments.last_mut().expect("one was put there");
        moment.go_to(position).await?;
        let happened = happened(&self.log, moment.position()).await?;
        Ok(moment.told(happened))
    }
}

impl Moment {
    fn new(log: &Log) -> Result<Self> {
        let (buttons, products) = (Replay::new(log)?, Replay::new(log)?);
        Ok(Self { buttons, products, visits: Replay::new(log)? })
    }

    /// Where all three are at least.
    fn position(&self) -> Position {
        self.buttons.position().max(self.products.position()).max(self.visits.position())
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
            "position": self.position(),
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

pub(super) async fn answer(
    State(machine): State<Arc<TimeMachine>>,
    Query(At { position }): Query<At>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(machine.at(Position(position)).await?))
}
