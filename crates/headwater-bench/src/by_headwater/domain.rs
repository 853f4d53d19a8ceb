//! The cart, as a user of Headwater declares it.

use std::convert::Infallible;

use headwater::{Aggregate, Event};
use serde::{Deserialize, Serialize};

use crate::shared::sale::Sale;

/// What happens to a cart.
#[derive(Clone, Debug, Event)]
#[event(category = "cart")]
pub enum CartEvent {
    /// An item was added.
    #[event(name = "cart.item_added")]
    ItemAdded(Sale),
}

/// What decisions are made on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cart {
    /// How many pieces it holds.
    pub pieces: i64,
    /// What they cost.
    pub value: i64,
}

impl Aggregate for Cart {
    const CATEGORY: &'static str = "cart";
    type Id = String;
    type Event = CartEvent;

    fn apply(&mut self, event: &CartEvent) {
        let CartEvent::ItemAdded(sale) = event;
        self.pieces += sale.quantity;
        self.value += sale.value();
    }
}

impl Cart {
    /// Adds an item. It never refuses: what is measured is the way there and back.
    pub fn add(&self, sale: &Sale) -> Result<Vec<CartEvent>, Infallible> {
        Ok(vec![CartEvent::ItemAdded(sale.clone())])
    }
}
