//! Goods sold and goods that came back: what the sales tables count.

use headwater::Event;

use crate::domain::{
    line::OrderLine,
    money::Money,
    order::{OrderEvent, Placed},
    returns::ReturnEvent,
};

/// The events that move goods: those of two categories.
#[derive(Clone, Debug, PartialEq, Event)]
pub enum TradeEvent {
    /// Of an order.
    Order(OrderEvent),
    /// Of a return.
    Return(ReturnEvent),
}

/// One event's trade. An order counts as sold when it is placed, and as returned when it falls:
/// history keeps both, as it does when goods come back.
pub(super) enum Trade<'a> {
    Sold(Goods<'a>),
    Returned(Goods<'a>),
}

/// The goods of one trade.
pub(super) struct Goods<'a> {
    pub customer: Option<&'a str>,
    pub lines: &'a [OrderLine],
    pub total: Money,
}

impl TradeEvent {
    /// What the event moves; `None` where it moves nothing.
    pub(super) fn trade(&self) -> Option<Trade<'_>> {
        match self {
            Self::Order(OrderEvent::Placed(order)) => Some(Trade::Sold(order.into())),
            Self::Order(OrderEvent::Rejected { order, .. })
            | Self::Order(OrderEvent::Cancelled { order, .. }) => {
                Some(Trade::Returned(order.into()))
            }
            Self::Order(OrderEvent::Confirmed | OrderEvent::Shipped) => None,
            Self::Return(ReturnEvent::Recorded { customer, lines, value }) => {
                let customer = customer.as_deref();
                Some(Trade::Returned(Goods { customer, lines, total: *value }))
            }
        }
    }
}

impl Trade<'_> {
    pub(super) fn goods(&self) -> &Goods<'_> {
        match self {
            Self::Sold(goods) | Self::Returned(goods) => goods,
        }
    }
}

impl<'a> From<&'a Placed> for Goods<'a> {
    fn from(order: &'a Placed) -> Self {
        Self { customer: order.customer.as_deref(), lines: &order.lines, total: order.total }
    }
}
