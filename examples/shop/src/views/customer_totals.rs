//! `customer_totals`: what each known customer has bought and given back.

use chrono::NaiveDate;
use headwater::{Fold, ReadModel, Recorded};

use super::trade::{Trade, TradeEvent};
use crate::domain::line;

/// A customer's trade. Amounts are in minor units of the one currency of the shop.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "customer_totals")]
pub struct CustomerTotals {
    /// The customer.
    #[key]
    pub customer: String,
    /// How many orders were placed; none where goods only came back.
    pub orders: i64,
    /// How many pieces were bought.
    pub units: i64,
    /// What they cost.
    pub gross: i64,
    /// How much was given back.
    pub returned: i64,
    /// The day of the first order.
    pub first_order: Option<NaiveDate>,
    /// The day of the last order.
    pub last_order: Option<NaiveDate>,
}

impl Fold for CustomerTotals {
    type Event = TradeEvent;

    fn keys(event: &Recorded<TradeEvent>) -> Vec<String> {
        let customer = |trade: Trade<'_>| trade.goods().customer.map(str::to_owned);
        event.event.trade().and_then(customer).into_iter().collect()
    }

    fn fold(row: Option<Self>, customer: &String, event: &Recorded<TradeEvent>) -> Option<Self> {
        let mut totals = row.unwrap_or_else(|| Self::none(customer.clone()));
        match event.event.trade() {
            Some(Trade::Sold(goods)) => {
                let day = event.occurred_at.date_naive();
                totals.orders += 1;
                totals.units += line::units(goods.lines);
                totals.gross += goods.total.amount;
                // Imported orders need not come in the order of their days.
                totals.first_order = Some(totals.first_order.map_or(day, |first| first.min(day)));
                totals.last_order = totals.last_order.max(Some(day));
            }
            Some(Trade::Returned(goods)) => totals.returned += goods.total.amount,
            None => {}
        }
        Some(totals)
    }
}

impl CustomerTotals {
    fn none(customer: String) -> Self {
        Self {
            customer,
            orders: 0,
            units: 0,
            gross: 0,
            returned: 0,
            first_order: None,
            last_order: None,
        }
    }
}
