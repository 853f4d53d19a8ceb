use headwater::testing::given;
use shop::domain::{
    NAME_BYTES,
    catalogue::{CatalogueError, Offer, Product, ProductEvent, coffee_shop},
    money::{Currency, Money},
};

use super::{offer, usd};

const CAMPER: &str = "the-camper's-kit";

fn listed() -> ProductEvent {
    ProductEvent::Listed(offer(CAMPER))
}

fn delisted() -> ProductEvent {
    ProductEvent::Delisted { reason: None }
}

fn changed(old: i64, new: i64) -> ProductEvent {
    ProductEvent::PriceChanged { old: usd(old), new: usd(new), reason: Some("sale".into()) }
}

fn change(new: Money) -> impl FnOnce(&Product) -> Result<Vec<ProductEvent>, CatalogueError> {
    move |product| product.change_price(new, Some("sale".into()))
}

#[test]
fn the_coffee_shop_has_nine_products() {
    assert_eq!(coffee_shop().count(), 9);
    for offer in coffee_shop() {
        given([])
            .when(|product: &Product| product.list(offer.clone()))
            .then([ProductEvent::Listed(offer)]);
    }
}

#[test]
fn a_sku_is_given_once() {
    let list = |product: &Product| product.list(offer(CAMPER));
    given([listed()]).when(list).then_refused(CatalogueError::AlreadyListed);
    given([listed(), delisted()]).when(list).then_refused(CatalogueError::AlreadyListed);
}

#[test]
fn a_product_has_a_title_a_shelf_and_a_price() {
    let list = |change: fn(&mut Offer)| {
        move |product: &Product| {
            let mut offer = offer(CAMPER);
            change(&mut offer);
            product.list(offer)
        }
    };
    given([]).when(list(|offer| offer.title.clear())).then_refused(CatalogueError::Title);
    given([])
        .when(list(|offer| offer.title = "x".repeat(NAME_BYTES + 1)))
        .then_refused(CatalogueError::Title);
    given([]).when(list(|offer| offer.title.push('\0'))).then_refused(CatalogueError::Title);
    given([]).when(list(|offer| offer.category.clear())).then_refused(CatalogueError::Category);
    given([]).when(list(|offer| offer.price.amount = 0)).then_refused(CatalogueError::Price);
    given([]).when(list(|offer| offer.price.amount = -1)).then_refused(CatalogueError::Price);
}

#[test]
fn the_price_changes_within_its_currency() {
    given([listed()]).when(change(usd(25_000))).then([changed(27_295, 25_000)]);
    given([listed()]).when(change(usd(27_295))).then_nothing();
    given([listed()]).when(change(usd(0))).then_refused(CatalogueError::Price);
    given([listed()])
        .when(change(Money::new(1, Currency::Gbp)))
        .then_refused(CatalogueError::Currency(Currency::Usd));
    given([]).when(change(usd(1))).then_refused(CatalogueError::Unknown);
    given([listed(), delisted()]).when(change(usd(1))).then_refused(CatalogueError::Delisted);
}

#[test]
fn the_offer_is_the_newest_while_the_product_is_listed() {
    let price = |events: Vec<ProductEvent>| {
        given::<Product>(events).state().offer().map(|offer| offer.price)
    };
    assert_eq!(price(vec![listed(), changed(27_295, 25_000)]), Ok(usd(25_000)));
    assert_eq!(price(vec![]), Err(CatalogueError::Unknown));
    assert_eq!(price(vec![listed(), delisted()]), Err(CatalogueError::Delisted));
}

#[test]
fn a_product_is_delisted_once() {
    let delist = |product: &Product| product.delist(None);
    given([listed()]).when(delist).then([delisted()]);
    given([]).when(delist).then_refused(CatalogueError::Unknown);
    given([listed(), delisted()]).when(delist).then_refused(CatalogueError::Delisted);
}
