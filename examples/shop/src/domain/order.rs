//! An order: `order-<id>`.

use std::{fmt, str::FromStr};

use headwater::{Aggregate, Event};
use serde::{Deserialize, Serialize};

use super::{
    ids::{CartId, OrderId},
    line::OrderLine,
    money::Money,
};

/// What happens to an order.
#[derive(Clone, Debug, PartialEq, Event)]
#[event(category = "order")]
pub enum OrderEvent {
    /// A customer wants these goods.
    #[event(name = "order.placed")]
    Placed(Placed),
    /// The shop will deliver.
    #[event(name = "order.confirmed")]
    Confirmed,
    /// The shop cannot deliver.
    #[event(name = "order.rejected")]
    Rejected {
        /// Why.
        reason: RejectReason,
        /// The order that falls: readers that count sales take it back without looking it up.
        order: Placed,
    },
    /// Somebody thought better of it.
    #[event(name = "order.cancelled")]
    Cancelled {
        /// Who.
        by: String,
        /// Why.
        reason: Option<String>,
        /// The order that falls: readers that count sales take it back without looking it up.
        order: Placed,
    },
    /// The goods are on their way.
    #[event(name = "order.shipped")]
    Shipped,
}

/// What was ordered, by whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// The cart that became this order.
    pub cart_id: CartId,
    /// Who ordered, where it is known.
    pub customer: Option<String>,
    /// The goods.
    pub lines: Vec<OrderLine>,
    /// The sum of the lines.
    pub total: Money,
}

/// Why the shop cannot deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Not enough of a product is left.
    OutOfStock,
    /// The payment was refused.
    PaymentDeclined,
    /// The payment did not come in time.
    PaymentTimeout,
}

/// An order.
#[derive(Clone, Debug, Default)]
pub struct Order {
    status: Option<OrderStatus>,
    placed: Option<Placed>,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Wanted, and not yet confirmed.
    Placed,
    /// The shop will deliver.
    Confirmed,
    /// The shop could not deliver.
    Rejected,
    /// Called off.
    Cancelled,
    /// On its way.
    Shipped,
}

/// Why an order refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such order.
    #[error("there is no such order")]
    Unknown,
    /// The id belongs to an order already.
    #[error("there is an order of this id already")]
    AlreadyPlaced,
    /// An order needs goods.
    #[error("an order needs at least one line")]
    Empty,
    /// It does not stand where this could be done.
    #[error("the order is {0}, so this cannot be done")]
    WrongStatus(OrderStatus),
}

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = OrderId;
    type Event = OrderEvent;

    fn apply(&mut self, event: &OrderEvent) {
        if let OrderEvent::Placed(placed) = event {
            self.placed = Some(placed.clone());
        }
        self.status = Some(event.status());
    }
}

impl OrderEvent {
    /// Where an order stands after this event.
    pub fn status(&self) -> OrderStatus {
        match self {
            Self::Placed(_) => OrderStatus::Placed,
            Self::Confirmed => OrderStatus::Confirmed,
            Self::Rejected { .. } => OrderStatus::Rejected,
            Self::Cancelled { .. } => OrderStatus::Cancelled,
            Self::Shipped => OrderStatus::Shipped,
        }
    }
}

impl Order {
    /// What was ordered, and where the order stands; `None` where there is no such order.
    pub fn placed(&self) -> Option<(&Placed, OrderStatus)> {
        self.placed.as_ref().zip(self.status)
    }

    /// Orders goods.
    ///
    /// # Errors
    ///
    /// [`OrderError::AlreadyPlaced`], [`OrderError::Empty`].
    pub fn place(&self, order: Placed) -> Result<Vec<OrderEvent>, OrderError> {
        if self.status.is_some() {
            return Err(OrderError::AlreadyPlaced);
        }
        if order.lines.is_empty() {
            return Err(OrderError::Empty);
        }
        Ok(vec![OrderEvent::Placed(order)])
    }

    /// Promises delivery.
    ///
    /// # Errors
    ///
    /// [`OrderError::Unknown`], [`OrderError::WrongStatus`].
    pub fn confirm(&self) -> Result<Vec<OrderEvent>, OrderError> {
        self.in_status(&[OrderStatus::Placed])?;
        Ok(vec![OrderEvent::Confirmed])
    }

    /// Refuses delivery.
    ///
    /// # Errors
    ///
    /// [`OrderError::Unknown`], [`OrderError::WrongStatus`].
    pub fn reject(&self, reason: RejectReason) -> Result<Vec<OrderEvent>, OrderError> {
        let order = self.in_status(&[OrderStatus::Placed])?.clone();
        Ok(vec![OrderEvent::Rejected { reason, order }])
    }

    /// Calls it off, as long as the goods are here.
    ///
    /// # Errors
    ///
    /// [`OrderError::Unknown`], [`OrderError::WrongStatus`].
    pub fn cancel(
        &self,
        by: String,
        reason: Option<String>,
    ) -> Result<Vec<OrderEvent>, OrderError> {
        let order = self.in_status(&[OrderStatus::Placed, OrderStatus::Confirmed])?.clone();
        Ok(vec![OrderEvent::Cancelled { by, reason, order }])
    }

    /// Sends the goods.
    ///
    /// # Errors
    ///
    /// [`OrderError::Unknown`], [`OrderError::WrongStatus`].
    pub fn ship(&self) -> Result<Vec<OrderEvent>, OrderError> {
        self.in_status(&[OrderStatus::Confirmed])?;
        Ok(vec![OrderEvent::Shipped])
    }

    fn in_status(&self, allowed: &[OrderStatus]) -> Result<&Placed, OrderError> {
        let (placed, status) = self.placed().ok_or(OrderError::Unknown)?;
        if allowed.contains(&status) { Ok(placed) } else { Err(OrderError::WrongStatus(status)) }
    }
}

impl OrderStatus {
    /// Every place where an order can stand.
    pub const ALL: [Self; 5] =
        [Self::Placed, Self::Confirmed, Self::Rejected, Self::Cancelled, Self::Shipped];
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Shipped => "shipped",
        })
    }
}

/// A word that names no [`OrderStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order does not stand there")]
pub struct UnknownStatus;

impl FromStr for OrderStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.to_string() == word).ok_or(UnknownStatus)
    }
}
