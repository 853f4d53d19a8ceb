//! The event of all workloads: a line of a cart, about 180 bytes of JSON, as a shop records it.

use serde::{Deserialize, Serialize};

/// An item was added to a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// Which line this is, of all.
    pub number: i64,
    /// Who buys.
    pub customer: String,
    /// The product.
    pub sku: String,
    /// Its title.
    pub title: String,
    /// How many.
    pub quantity: i64,
    /// Pennies.
    pub unit_price: i64,
    /// The day of the sale.
    pub day: String,
}

/// How many customers, products and days there are.
const CUSTOMERS: u64 = 4_400;
const PRODUCTS: u64 = 4_000;
const DAYS: u64 = 360;

impl Sale {
    /// The nth line of `cart`.
    pub fn new(cart: u64, line: u64) -> Self {
        let number = cart * 7 + line;
        Self {
            number: signed(number),
            // Neighbours in the log must not be neighbours in a table: that would flatter its cache.
            customer: format!("customer-{}", cart.wrapping_mul(2_654_435_761) % CUSTOMERS),
            sku: format!("sku-{}", number.wrapping_mul(2_246_822_519) % PRODUCTS),
            title: "WHITE HANGING HEART T-LIGHT HOLDER".into(),
            quantity: signed(quantity(cart, line)),
            unit_price: 255,
            day: day(cart / 64 % DAYS),
        }
    }

    /// What it costs.
    pub fn value(&self) -> i64 {
        self.quantity * self.unit_price
    }
}

/// The lines of `cart`.
pub fn lines(cart: u64, length: u64) -> Vec<Sale> {
    (0..length).map(|line| Sale::new(cart, line)).collect()
}

/// The name of a cart that a log was filled with; with its category in front it names a stream.
pub fn filled_cart(cart: u64) -> String {
    format!("filled.{cart}")
}

/// How many pieces a cart holds: what a load must come to, and a projection over all carts.
pub fn pieces(cart: u64, length: u64) -> u64 {
    (0..length).map(|line| quantity(cart, line)).sum()
}

fn quantity(cart: u64, line: u64) -> u64 {
    1 + (cart + line) % 12
}

fn day(number: u64) -> String {
    format!("2011-{:02}-{:02}", 1 + number / 30, 1 + number % 30)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
