//! `order_views`: each order and where it stands, for lists.

use chrono::{DateTime, Utc};
use headwater::{Fold, ReadModel, Recorded};

use crate::domain::{
    ids::{CartId, OrderId},
    line,
    money::Currency,
    order::{OrderEvent, OrderStatus, Placed},
};

/// An order.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "order_views")]
pub struct OrderView {
    /// The order.
    #[key]
    #[column(text)]
    pub order_id: OrderId,
    /// The cart that became this order.
    #[column(text)]
    pub cart_id: CartId,
    /// Who ordered, where it is known.
    pub customer: Option<String>,
    /// Where it stands.
    #[column(text)]
    pub status: OrderStatus,
    /// How many lines it has.
    pub lines: i64,
    /// How many pieces.
    pub units: i64,
    /// What it costs, in minor units.
    pub total: i64,
    /// The currency of the total.
    #[column(text)]
    pub currency: Currency,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

impl Fold for OrderView {
    type Event = OrderEvent;

    fn keys(event: &Recorded<OrderEvent>) -> Vec<OrderId> {
        super::stream_id(event)
    }

    fn fold(row: Option<Self>, key: &OrderId, event: &Recorded<OrderEvent>) -> Option<Self> {
        let mut order = match &event.event {
            OrderEvent::Placed(placed) => Self::new(*key, placed, event.occurred_at),
            _ => row?,
        };
        order.status = event.event.status();
        order.updated_at = event.occurred_at;
        Some(order)
    }
}

impl OrderView {
    fn new(order_id: OrderId, placed: &Placed, at: DateTime<Utc>) -> Self {
        Self {
            order_id,
            cart_id: placed.cart_id,
            customer: placed.customer.clone(),
            status: OrderStatus::Placed,
            lines: line::count(&placed.lines),
            units: line::units(&placed.lines),
            total: placed.total.amount,
            currency: placed.total.currency,
            placed_at: at,
            updated_at: at,
        }
    }
}
