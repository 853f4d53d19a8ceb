//! `sales_days`: what was sold and what came back on each day.

use chrono::NaiveDate;
use headwater::{Fold, ReadModel, Recorded};

use super::trade::{Trade, TradeEvent};
use crate::domain::line;

/// The sales of a day, in UTC. Amounts are in minor units of the one currency of the shop.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "sales_days")]
pub struct SalesDay {
    /// The day.
    #[key]
    pub day: NaiveDate,
    /// How many orders were placed.
    pub orders: i64,
    /// How many lines they had.
    pub lines: i64,
    /// How many pieces.
    pub units: i64,
    /// What they cost.
    pub gross: i64,
    /// How much was given back on this day, for whatever day's orders.
    pub returned: i64,
}

impl Fold for SalesDay {
    type Event = TradeEvent;

    fn keys(event: &Recorded<TradeEvent>) -> Vec<NaiveDate> {
        event.event.trade().map(|_| event.occurred_at.date_naive()).into_iter().collect()
    }

    fn fold(row: Option<Self>, day: &NaiveDate, event: &Recorded<TradeEvent>) -> Option<Self> {
        let mut sales =
            row.unwrap_or(Self { day: *day, orders: 0, lines: 0, units: 0, gross: 0, returned: 0 });
        match event.event.trade() {
            Some(Trade::Sold(goods)) => {
                sales.orders += 1;
                sales.lines += line::count(goods.lines);
                sales.units += line::units(goods.lines);
                sales.gross += goods.total.amount;
            }
            Some(Trade::Returned(goods)) => sales.returned += goods.total.amount,
            None => {}
        }
        Some(sales)
    }
}
