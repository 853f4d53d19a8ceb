//! What goes on in the shop, on its pages and behind them: what the statistics of moments and visits count.

use headwater::Event;

use crate::domain::{cart::CartEvent, order::OrderEvent, session::SessionEvent};

/// The events of visitors, their carts and their orders: those of three categories.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum ActivityEvent {
    /// Of a visit.
    Session(SessionEvent),
    /// Of a cart.
    Cart(CartEvent),
    /// Of an order.
    Order(OrderEvent),
}
