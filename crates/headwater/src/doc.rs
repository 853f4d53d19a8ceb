//! What the examples in the documentation share.

use crate::{Aggregate, Event, Fold, ReadModel, Recorded};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(category = "cart")]
pub enum CartEvent {
    #[event(name = "cart.item_added")]
    ItemAdded { sku: String, quantity: i64 },
    #[event(name = "cart.checked_out")]
    CheckedOut,
}

#[derive(Clone, Default)]
pub struct Cart {
    pub pieces: i64,
    pub closed: bool,
}

impl Aggregate for Cart {
    const CATEGORY: &'static str = "cart";
    type Id = u32;
    type Event = CartEvent;

    fn apply(&mut self, event: &CartEvent) {
        match event {
            CartEvent::ItemAdded { quantity, .. } => self.pieces += quantity,
            CartEvent::CheckedOut => self.closed = true,
        }
    }
}

impl Cart {
    /// # Errors
    ///
    /// Where the cart is closed.
    pub fn add_item(&self, sku: &str, quantity: i64) -> Result<Vec<CartEvent>, &'static str> {
        if self.closed {
            return Err("the cart is closed");
        }
        Ok(vec![CartEvent::ItemAdded { sku: sku.into(), quantity }])
    }
}

#[derive(ReadModel, Debug, PartialEq)]
#[read_model(table = "cart_totals")]
pub struct CartTotal {
    #[key]
    pub cart: String,
    pub pieces: i64,
}

impl Fold for CartTotal {
    type Event = CartEvent;

    fn keys(event: &Recorded<CartEvent>) -> Vec<String> {
        vec![event.stream.id().to_owned()]
    }

    fn fold(row: Option<Self>, cart: &String, event: &Recorded<CartEvent>) -> Option<Self> {
        let CartEvent::ItemAdded { quantity, .. } = event.event else { return row };
        let pieces = row.map_or(0, |row| row.pieces);
        Some(Self { cart: cart.clone(), pieces: pieces + quantity })
    }
}
