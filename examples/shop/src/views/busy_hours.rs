//! `busy_hours`: at which hours of the day people order. Nobody keeps it until the dashboard asks for it: it shows how a
//! consumer joins that is younger than its data.

use chrono::Timelike as _;
use headwater::{Fold, ReadModel, Recorded};

use crate::domain::order::OrderEvent;

/// The orders of an hour of the day, in UTC.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "busy_hours")]
pub struct BusyHour {
    /// The hour, from 0 to 23.
    #[key]
    pub hour: i64,
    /// How many orders were placed in it, on all days.
    pub orders: i64,
    /// What they cost, in minor units.
    pub revenue: i64,
}

impl Fold for BusyHour {
    type Event = OrderEvent;

    fn keys(event: &Recorded<OrderEvent>) -> Vec<i64> {
        match &event.event {
            OrderEvent::Placed(_) => vec![event.occurred_at.hour().into()],
            _ => Vec::new(),
        }
    }

    fn fold(row: Option<Self>, hour: &i64, event: &Recorded<OrderEvent>) -> Option<Self> {
        let mut busy = row.unwrap_or(Self { hour: *hour, orders: 0, revenue: 0 });
        if let OrderEvent::Placed(order) = &event.event {
            busy.orders += 1;
            busy.revenue += order.total.amount;
        }
        Some(busy)
    }
}
