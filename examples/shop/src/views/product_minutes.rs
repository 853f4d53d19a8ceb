//! `product_minutes`: what became of each product in each minute, from a look to an order.

use chrono::{DateTime, Utc};
use headwater::{Fold, ReadModel, Recorded};

use super::{ActivityEvent, MINUTES};
use crate::domain::{cart::CartEvent, ids::Sku, order::OrderEvent, session::SessionEvent};

/// A product in a minute. An order counts when it is placed; what is called off later changes nothing here.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "product_minutes")]
pub struct ProductMinute {
    /// When it begins.
    #[key]
    pub minute: DateTime<Utc>,
    /// The product.
    #[key]
    #[column(text)]
    pub sku: Sku,
    /// How often it was looked at.
    pub views: i64,
    /// How often it was put into a cart.
    pub adds: i64,
    /// How many were ordered.
    pub units: i64,
    /// For how much, in minor units.
    pub revenue: i64,
}

impl Fold for ProductMinute {
    type Event = ActivityEvent;

    fn keys(event: &Recorded<ActivityEvent>) -> Vec<(DateTime<Utc>, Sku)> {
        let mut skus: Vec<_> = match &event.event {
            ActivityEvent::Session(SessionEvent::ProductViewed { sku: Some(sku), .. }) => vec![sku],
            ActivityEvent::Cart(CartEvent::ItemAdded(item)) => vec![&item.sku],
            ActivityEvent::Order(OrderEvent::Placed(order)) => {
                order.lines.iter().map(|line| &line.sku).collect()
            }
            _ => Vec::new(),
        };
        // The same product may stand on several lines.
        skus.sort_unstable();
        skus.dedup();
        let minute = MINUTES.start(event.occurred_at);
        skus.into_iter().map(|sku| (minute, sku.clone())).collect()
    }

    fn fold(
        row: Option<Self>,
        (minute, sku): &(DateTime<Utc>, Sku),
        event: &Recorded<ActivityEvent>,
    ) -> Option<Self> {
        let (minute, sku) = (*minute, sku.clone());
        let none = Self { minute, sku, views: 0, adds: 0, units: 0, revenue: 0 };
        let mut counts = row.unwrap_or(none);
        match &event.event {
            ActivityEvent::Session(_) => counts.views += 1,
            ActivityEvent::Cart(_) => counts.adds += 1,
            ActivityEvent::Order(OrderEvent::Placed(order)) => {
                for line in order.lines.iter().filter(|line| line.sku == counts.sku) {
                    counts.units += i64::from(line.quantity);
                    counts.revenue += line.total.amount;
                }
            }
            ActivityEvent::Order(_) => {}
        }
        Some(counts)
    }
}
