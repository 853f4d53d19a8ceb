use headwater::{Decoder, Event as _, testing::given};
use shop::domain::{
    NAME_BYTES,
    cart::{Cart, CartError, CartEvent, CartStatus, ItemAdded},
    catalogue::Offer,
    ids::{CartId, OrderId},
    line::OrderLine,
    money::{Currency, Money},
};
use uuid::Uuid;

use super::{offer, usd};

const KIT: &str = "the-chemex-kit";
const ORDER: OrderId = OrderId(Uuid::from_u128(7));

fn opened() -> CartEvent {
    CartEvent::Opened { customer: Some("ann".into()), currency: Currency::Usd }
}

fn added(offer: &Offer, quantity: u32) -> CartEvent {
    let Offer { sku, title, price, .. } = offer.clone();
    CartEvent::ItemAdded(ItemAdded { sku, title, quantity, unit_price: price })
}

fn checked_out(lines: Vec<OrderLine>, total: i64) -> CartEvent {
    CartEvent::CheckedOut { order_id: ORDER, lines, total: usd(total) }
}

fn abandoned(value: i64) -> CartEvent {
    CartEvent::Abandoned { idle_seconds: 1800, value: usd(value) }
}

fn add(quantity: u32) -> impl FnOnce(&Cart) -> Result<Vec<CartEvent>, CartError> {
    move |cart| cart.add_item(&offer(KIT), quantity)
}

#[test]
fn a_cart_is_opened_once() {
    let open = |cart: &Cart| cart.open(Some("ann".into()), Currency::Usd);
    given::<Cart>([]).when(open).then([opened()]);
    given::<Cart>([opened()]).when(open).then_refused(CartError::AlreadyOpened);
}

#[test]
fn a_customer_has_a_name_that_can_be_listed() {
    for name in ["", "a\u{0}", "two\nlines", &"x".repeat(NAME_BYTES + 1)] {
        given([])
            .when(|cart: &Cart| cart.open(Some(name.into()), Currency::Usd))
            .then_refused(CartError::Customer);
    }
}

#[test]
fn a_cart_that_was_never_opened_takes_nothing() {
    let kit = offer(KIT).sku;
    let unknown = CartError::Unknown;
    given([]).when(add(1)).then_refused(unknown.clone());
    given([]).when(|cart: &Cart| cart.set_quantity(&kit, 1)).then_refused(unknown.clone());
    given([]).when(|cart: &Cart| cart.remove_item(&kit)).then_refused(unknown.clone());
    given([]).when(|cart: &Cart| cart.check_out(ORDER)).then_refused(unknown.clone());
    given([]).when(|cart: &Cart| cart.abandon(1800)).then_refused(unknown);
}

#[test]
fn the_price_is_frozen_when_the_product_is_put_in() {
    let kit = offer(KIT);
    given([opened()]).when(add(2)).then([added(&kit, 2)]);

    let dearer = Offer { price: usd(50_000), ..kit.clone() };
    let given = given::<Cart>([opened(), added(&kit, 2), added(&dearer, 1)]);
    let line = given.state().lines().next().unwrap();
    assert_eq!((line.quantity, line.unit_price), (3, usd(50_000)));
    assert_eq!(line.total, usd(2 * 39_696 + 50_000), "earlier pieces keep their price");
    assert_eq!(given.state().total(), Some(line.total));
}

#[test]
fn a_cart_takes_1_to_9999_of_a_product() {
    let kit = offer(KIT);
    for refused in [0, 10_000, u32::MAX] {
        given([opened()]).when(add(refused)).then_refused(CartError::Quantity);
    }
    given([opened()]).when(add(9999)).then([added(&kit, 9999)]);
    given([opened(), added(&kit, 9998)]).when(add(1)).then([added(&kit, 1)]);
    given([opened(), added(&kit, 9998)]).when(add(2)).then_refused(CartError::Quantity);
    given([opened(), added(&kit, 1)])
        .when(|cart: &Cart| cart.set_quantity(&kit.sku, 10_000))
        .then_refused(CartError::Quantity);
}

#[test]
fn a_cart_takes_200_different_products() {
    let numbered = |n: u32| Offer { sku: format!("sku-{n}").parse().unwrap(), ..offer(KIT) };
    let mut full = vec![opened()];
    full.extend((0..200).map(|n| added(&numbered(n), 1)));
    given(full.clone())
        .when(|cart: &Cart| cart.add_item(&numbered(200), 1))
        .then_refused(CartError::TooManyLines);
    given(full).when(|cart: &Cart| cart.add_item(&numbered(0), 1)).then([added(&numbered(0), 1)]);
}

#[test]
fn a_cart_has_one_currency() {
    let british = Offer { price: Money::new(1, Currency::Gbp), ..offer(KIT) };
    given([opened()])
        .when(|cart: &Cart| cart.add_item(&british, 1))
        .then_refused(CartError::Currency { cart: Currency::Usd, product: Currency::Gbp });
}

#[test]
fn a_quantity_is_set_and_says_what_it_moves() {
    let kit = offer(KIT);
    let set = |to| {
        let sku = kit.sku.clone();
        move |cart: &Cart| cart.set_quantity(&sku, to)
    };
    let there = || given([opened(), added(&kit, 2)]);
    there().when(set(3)).then([CartEvent::QuantitySet {
        sku: kit.sku.clone(),
        from: 2,
        to: 3,
        old_total: usd(79_392),
        new_total: usd(119_088),
    }]);
    there().when(set(2)).then_nothing();
    let (sku, total) = (kit.sku.clone(), usd(79_392));
    there().when(set(0)).then([CartEvent::ItemRemoved { sku, quantity: 2, total }]);
    given([opened()]).when(set(1)).then_refused(CartError::NoSuchLine);
}

#[test]
fn a_product_is_taken_out() {
    let kit = offer(KIT);
    let (sku, total) = (kit.sku.clone(), kit.price);
    let removed = CartEvent::ItemRemoved { sku, quantity: 1, total };
    given([opened(), added(&kit, 1)])
        .when(|cart: &Cart| cart.remove_item(&kit.sku))
        .then([removed.clone()]);
    given([opened(), added(&kit, 1), removed])
        .when(|cart: &Cart| cart.remove_item(&kit.sku))
        .then_refused(CartError::NoSuchLine);
}

#[test]
fn a_cart_becomes_an_order_with_what_is_in_it() {
    let (kit, maker) = (offer(KIT), offer("areopress-coffee-maker"));
    let full = [opened(), added(&kit, 2), added(&maker, 1)];
    let lines = vec![
        OrderLine::new(maker.sku.clone(), maker.title.clone(), 1, maker.price),
        OrderLine::new(kit.sku.clone(), kit.title.clone(), 2, kit.price),
    ];
    let cart = given::<Cart>(full);
    let order = cart.state().to_order(CartId(Uuid::nil())).unwrap();
    assert_eq!((order.customer.as_deref(), order.total), (Some("ann"), usd(82_391)));
    assert_eq!(order.lines, lines);
    cart.when(|cart| cart.check_out(ORDER)).then([checked_out(lines, 82_391)]);
    given([opened()]).when(|cart: &Cart| cart.check_out(ORDER)).then_refused(CartError::Empty);
}

#[test]
fn a_closed_cart_takes_nothing() {
    let kit = offer(KIT);
    let closed = || given([opened(), added(&kit, 1), checked_out(Vec::new(), 39_696)]);
    let error = CartError::Closed(ORDER);
    closed().when(add(1)).then_refused(error.clone());
    closed().when(|cart: &Cart| cart.set_quantity(&kit.sku, 3)).then_refused(error.clone());
    closed().when(|cart: &Cart| cart.remove_item(&kit.sku)).then_refused(error.clone());
    closed().when(|cart: &Cart| cart.check_out(ORDER)).then_refused(error);
    closed().when(|cart: &Cart| cart.abandon(1800)).then_nothing();
}

#[test]
fn an_abandoned_cart_is_revived_by_the_next_command() {
    let kit = offer(KIT);
    given([opened(), added(&kit, 1)])
        .when(|cart: &Cart| cart.abandon(1800))
        .then([abandoned(39_696)]);
    let left = || given::<Cart>([opened(), added(&kit, 1), abandoned(39_696)]);
    assert_eq!(left().state().status(), CartStatus::Abandoned);
    left().when(|cart| cart.abandon(1800)).then_nothing();
    left().when(add(1)).then([CartEvent::Revived, added(&kit, 1)]);
    let line = OrderLine::new(kit.sku.clone(), kit.title.clone(), 1, kit.price);
    left()
        .when(|cart| cart.check_out(ORDER))
        .then([CartEvent::Revived, checked_out(vec![line], 39_696)]);
}

#[test]
fn the_first_schema_of_item_added_is_still_read() {
    let types = Decoder::<CartEvent>::new().unwrap();
    let item_added = types.types().into_iter().find(|t| t.name == "cart.item_added").unwrap();
    assert_eq!(item_added.version, 2);
    let first = r#"{"sku":"22423","quantity":2,"unit_price":{"amount":1275,"currency":"GBP"}}"#;
    let newer = (item_added.upcasters[0].upcast)(first).unwrap();
    let event = CartEvent::decode("cart.item_added", &newer).unwrap().unwrap();
    let CartEvent::ItemAdded(item) = event else { panic!("{event:?}") };
    assert_eq!((item.title.as_str(), item.quantity), ("22423", 2));
}
