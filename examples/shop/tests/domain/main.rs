//! The rules of the shop, without a store: given what happened, when somebody decides, then ...
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod cart;
mod catalogue;
mod order;

use shop::domain::{
    catalogue::{Offer, coffee_shop},
    money::{Currency, Money},
};

/// A product of the coffee shop.
fn offer(sku: &str) -> Offer {
    coffee_shop().find(|offer| offer.sku.as_str() == sku).unwrap()
}

fn usd(amount: i64) -> Money {
    Money::new(amount, Currency::Usd)
}
