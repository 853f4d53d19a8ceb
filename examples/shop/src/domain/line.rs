//! A line of an order: the same in carts that are checked out, orders and returns.

use serde::{Deserialize, Serialize};

use super::{ids::Sku, money::Money};

/// So many of a product, at a price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The product.
    pub sku: Sku,
    /// What it was called.
    pub title: String,
    /// How many.
    pub quantity: u32,
    /// What one cost when it was last put into the cart, in whole minor units.
    pub unit_price: Money,
    /// What the line costs. It counts, not quantity times price: pieces may have been added at
    /// another price, and imported prices have fractions of a penny.
    pub total: Money,
}

impl OrderLine {
    /// A line in which every piece costs the same.
    pub fn new(sku: Sku, title: String, quantity: u32, unit_price: Money) -> Self {
        Self { sku, title, quantity, unit_price, total: unit_price.times(quantity) }
    }
}

/// How many lines, for a column.
pub fn count(lines: &[OrderLine]) -> i64 {
    lines.iter().map(|_| 1).sum()
}

/// How many pieces they hold.
pub fn units(lines: &[OrderLine]) -> i64 {
    lines.iter().map(|line| i64::from(line.quantity)).sum()
}
