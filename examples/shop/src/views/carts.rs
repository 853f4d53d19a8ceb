//! `cart_views`: each cart with its total, for lists. It needs no lines: the events say what moves.

use chrono::{DateTime, Utc};
use headwater::{Fold, ReadModel, Recorded};

use crate::domain::{
    cart::{CartEvent, CartStatus},
    ids::{CartId, OrderId},
    money::Currency,
};

/// A cart.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "cart_views")]
pub struct CartView {
    /// The cart.
    #[key]
    #[column(text)]
    pub cart_id: CartId,
    /// Who took it, where it is known.
    pub customer: Option<String>,
    /// `open`, `abandoned` or `checked_out`.
    pub status: String,
    /// How many pieces are in it.
    pub units: i64,
    /// What they cost, in minor units.
    pub total: i64,
    /// The currency of the total.
    #[column(text)]
    pub currency: Currency,
    /// The order that it became.
    #[column(text)]
    pub order_id: Option<OrderId>,
    /// When it was taken.
    pub opened_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

impl Fold for CartView {
    type Event = CartEvent;

    fn keys(event: &Recorded<CartEvent>) -> Vec<CartId> {
        super::stream_id(event)
    }

    fn fold(row: Option<Self>, key: &CartId, event: &Recorded<CartEvent>) -> Option<Self> {
        let mut cart = match &event.event {
            CartEvent::Opened { customer, currency } => Self {
                cart_id: *key,
                customer: customer.clone(),
                status: CartStatus::Open.word().into(),
                units: 0,
                total: 0,
                currency: *currency,
                order_id: None,
                opened_at: event.occurred_at,
                updated_at: event.occurred_at,
            },
            _ => row?,
        };
        cart.take_in(&event.event);
        cart.updated_at = event.occurred_at;
        Some(cart)
    }
}

impl CartView {
    fn take_in(&mut self, event: &CartEvent) {
        match event {
            CartEvent::Opened { .. } => {}
            CartEvent::ItemAdded(item) => {
                self.units += i64::from(item.quantity);
                self.total += item.unit_price.times(item.quantity).amount;
            }
            CartEvent::QuantitySet { from, to, old_total, new_total, .. } => {
                self.units += i64::from(*to) - i64::from(*from);
                self.total += new_total.amount - old_total.amount;
            }
            CartEvent::ItemRemoved { quantity, total, .. } => {
                self.units -= i64::from(*quantity);
                self.total -= total.amount;
            }
            // What the order says counts: imported prices have fractions of a penny.
            CartEvent::CheckedOut { order_id, total, .. } => {
                self.status = CartStatus::CheckedOut(*order_id).word().into();
                self.order_id = Some(*order_id);
                self.total = total.amount;
            }
            CartEvent::Abandoned { .. } => self.status = CartStatus::Abandoned.word().into(),
            CartEvent::Revived => self.status = CartStatus::Open.word().into(),
        }
    }
}
