//! `sales_minutes`: what was ordered and what fell in each minute.

use chrono::{DateTime, Utc};
use headwater::{Fold, ReadModel, Recorded};

use super::MINUTES;
use crate::domain::order::OrderEvent;

/// The orders of a minute. Amounts are in minor units of the one currency of the shop.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "sales_minutes")]
pub struct SalesMinute {
    /// When it begins.
    #[key]
    pub minute: DateTime<Utc>,
    /// How many orders were placed.
    pub orders: i64,
    /// What they cost.
    pub revenue: i64,
    /// How many were refused.
    pub rejected: i64,
    /// How many were called off.
    pub cancelled: i64,
}

impl Fold for SalesMinute {
    type Event = OrderEvent;

    fn keys(event: &Recorded<OrderEvent>) -> Vec<DateTime<Utc>> {
        match &event.event {
            OrderEvent::Confirmed | OrderEvent::Shipped => Vec::new(),
            _ => vec![MINUTES.start(event.occurred_at)],
        }
    }

    fn fold(
        row: Option<Self>,
        minute: &DateTime<Utc>,
        event: &Recorded<OrderEvent>,
    ) -> Option<Self> {
        let none = Self { minute: *minute, orders: 0, revenue: 0, rejected: 0, cancelled: 0 };
        let mut sales = row.unwrap_or(none);
        match &event.event {
            OrderEvent::Placed(order) => {
                sales.orders += 1;
                sales.revenue += order.total.amount;
            }
            OrderEvent::Rejected { .. } => sales.rejected += 1,
            OrderEvent::Cancelled { .. } => sales.cancelled += 1,
            OrderEvent::Confirmed | OrderEvent::Shipped => {}
        }
        Some(sales)
    }
}
