//! The rules of the shop, without a store: given what happened, when somebody decides, then ...
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod cart;
mod catalogue;
mod order;

use headwater::Event as _;
use shop::domain::{
    cart::CartEvent,
    catalogue::{Offer, ProductEvent, coffee_shop},
    money::{Currency, Money},
    order::OrderEvent,
    returns::ReturnEvent,
    session::SessionEvent,
};

/// A product of the coffee shop.
fn offer(sku: &str) -> Offer {
    coffee_shop().find(|offer| offer.sku.as_str() == sku).unwrap()
}

fn usd(amount: i64) -> Money {
    Money::new(amount, Currency::Usd)
}

/// A page hears of the types that it knows by name: of all that the shop has.
#[test]
fn the_pages_know_every_type_of_event() {
    let page = include_str!("../../static/page.js");
    let all = [
        CartEvent::types(),
        OrderEvent::types(),
        ProductEvent::types(),
        ReturnEvent::types(),
        SessionEvent::types(),
    ];
    for event_type in all.iter().flatten() {
        assert!(page.contains(&format!("\"{}\"", event_type.name)), "{}", event_type.name);
    }
}
