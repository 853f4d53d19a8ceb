//! The shop's read models: what each event leaves in them.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

use chrono::{DateTime, NaiveDate, Utc};
use headwater::{Append, Event, ExpectedVersion, Log, NewEvent, ReadModel, StreamName};
use shop::{
    domain::{
        cart::{CartEvent, ItemAdded},
        catalogue::{Offer, ProductEvent},
        ids::{CartId, OrderId, ReturnId},
        line::OrderLine,
        money::{Currency, Money},
        order::{OrderEvent, OrderStatus, Placed, RejectReason},
        returns::ReturnEvent,
    },
    views::{CartView, CatalogueView, CustomerTotals, OrderView, ProductSales, SalesDay},
};

/// A log that is filled by hand, each event at a time of its own.
struct Story(Log);

impl Story {
    async fn new() -> Self {
        Self(headwater::connect("sqlite::memory:").await.unwrap())
    }

    async fn happens<E: Event>(&self, stream: StreamName, day: u32, event: E) {
        let event = NewEvent::of(&event).unwrap().occurred_at(at(day));
        let append = Append::new(stream, ExpectedVersion::Any, [event]);
        self.0.append_all([append]).await.unwrap();
    }

    async fn rows<R: ReadModel>(&self, order: &str) -> Vec<R> {
        shop::app().catch_up(&self.0).await.unwrap();
        self.0.find(order, &[]).await.unwrap()
    }
}

fn at(day: u32) -> DateTime<Utc> {
    this(day).and_hms_opt(23, 59, 59).unwrap().and_utc()
}

fn this(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2011, 12, day).unwrap()
}

fn gbp(amount: i64) -> Money {
    Money::new(amount, Currency::Gbp)
}

fn line(sku: &str, quantity: u32, total: i64) -> OrderLine {
    let (unit_price, total) = (gbp(100), gbp(total));
    OrderLine { sku: sku.parse().unwrap(), title: sku.into(), quantity, unit_price, total }
}

fn placed(customer: Option<&str>, lines: Vec<OrderLine>) -> Placed {
    let total = gbp(lines.iter().map(|line| line.total.amount).sum());
    Placed { cart_id: CartId::new(), customer: customer.map(Into::into), lines, total }
}

#[tokio::test]
async fn a_cart_keeps_its_total_without_its_lines() {
    let story = Story::new().await;
    let (id, order_id) = (CartId::new(), OrderId::new());
    let cart = || StreamName::new("cart", id).unwrap();
    let sku = || "mug".parse().unwrap();
    let item = ItemAdded { sku: sku(), title: "Mug".into(), quantity: 2, unit_price: gbp(100) };
    let opened = CartEvent::Opened { customer: Some("ann".into()), currency: Currency::Gbp };
    story.happens(cart(), 1, opened).await;
    story.happens(cart(), 1, CartEvent::ItemAdded(item.clone())).await;
    let set = |from, to, old, new| {
        let (old_total, new_total) = (gbp(old), gbp(new));
        CartEvent::QuantitySet { sku: sku(), from, to, old_total, new_total }
    };
    story.happens(cart(), 1, set(2, 5, 200, 500)).await;
    story.happens(cart(), 2, CartEvent::Abandoned { idle_seconds: 9, value: gbp(500) }).await;
    let row = story.rows::<CartView>("").await.remove(0);
    assert_eq!((row.status.as_str(), row.units, row.total), ("abandoned", 5, 500));

    story.happens(cart(), 3, CartEvent::Revived).await;
    let removed = CartEvent::ItemRemoved { sku: sku(), quantity: 5, total: gbp(500) };
    story.happens(cart(), 3, removed).await;
    story.happens(cart(), 3, CartEvent::ItemAdded(item)).await;
    let (lines, total) = (vec![line("mug", 2, 199)], gbp(199));
    story.happens(cart(), 4, CartEvent::CheckedOut { order_id, lines, total }).await;
    assert_eq!(
        story.rows::<CartView>("").await,
        [CartView {
            cart_id: id,
            customer: Some("ann".into()),
            status: "checked_out".into(),
            units: 2,
            total: 199,
            currency: Currency::Gbp,
            order_id: Some(order_id),
            opened_at: at(1),
            updated_at: at(4),
        }]
    );
}

#[tokio::test]
async fn an_order_shows_where_it_stands() {
    let story = Story::new().await;
    let id = OrderId::new();
    let order = || StreamName::new("order", id).unwrap();
    let goods = placed(Some("ann"), vec![line("mug", 2, 200), line("pot", 1, 900)]);
    story.happens(order(), 1, OrderEvent::Placed(goods.clone())).await;
    story.happens(order(), 1, OrderEvent::Confirmed).await;
    story.happens(order(), 2, OrderEvent::Shipped).await;
    assert_eq!(
        story.rows::<OrderView>("").await,
        [OrderView {
            order_id: id,
            cart_id: goods.cart_id,
            customer: Some("ann".into()),
            status: OrderStatus::Shipped,
            lines: 2,
            units: 3,
            total: 1100,
            currency: Currency::Gbp,
            placed_at: at(1),
            updated_at: at(2),
        }]
    );
}

#[tokio::test]
async fn the_catalogue_holds_what_can_be_bought() {
    let story = Story::new().await;
    for sku in ["the-camper's-kit", "bunum-wo-aa,-papua-new-guinea"] {
        let offer = Offer {
            sku: sku.parse().unwrap(),
            title: sku.into(),
            category: "kits".into(),
            price: gbp(100),
        };
        let product = StreamName::new("product", sku).unwrap();
        story.happens(product, 1, ProductEvent::Listed(offer)).await;
    }
    let kit = || StreamName::new("product", "the-camper's-kit").unwrap();
    let changed = ProductEvent::PriceChanged { old: gbp(100), new: gbp(90), reason: None };
    story.happens(kit(), 2, changed).await;
    let rows = story.rows::<CatalogueView>("order by sku").await;
    let prices: Vec<_> = rows.iter().map(|row| (row.sku.as_str(), row.price)).collect();
    assert_eq!(prices, [("bunum-wo-aa,-papua-new-guinea", 100), ("the-camper's-kit", 90)]);
    story.happens(kit(), 3, ProductEvent::Delisted { reason: None }).await;
    assert_eq!(story.rows::<CatalogueView>("").await.len(), 1);
}

/// An order of two days, one that falls, one that is cancelled, and goods that come back.
async fn a_few_days_of_trade(story: &Story) {
    let order = || StreamName::new("order", OrderId::new()).unwrap();
    let lines = vec![line("mug", 2, 200), line("mug", 1, 99), line("pot", 1, 900)];
    story.happens(order(), 1, OrderEvent::Placed(placed(Some("ann"), lines))).await;
    let huge = placed(Some("bob"), vec![line("pot", 80_995, 7_718_360)]);
    let fallen = order();
    story.happens(fallen.clone(), 3, OrderEvent::Placed(huge.clone())).await;
    let (by, reason) = ("bob".into(), None);
    story.happens(fallen, 4, OrderEvent::Cancelled { by, reason, order: huge }).await;
    let unknown = placed(None, vec![line("mug", 1, 100)]);
    let rejected = order();
    story.happens(rejected.clone(), 2, OrderEvent::Placed(unknown.clone())).await;
    let reason = RejectReason::OutOfStock;
    story.happens(rejected, 2, OrderEvent::Rejected { reason, order: unknown }).await;
    let came_back = ReturnEvent::Recorded {
        customer: Some("ann".into()),
        lines: vec![line("mug", 1, 100)],
        value: gbp(100),
    };
    story.happens(ReturnId::new().stream().unwrap(), 4, came_back).await;
}

#[tokio::test]
async fn products_show_what_was_sold_and_what_stayed_sold() {
    let story = Story::new().await;
    a_few_days_of_trade(&story).await;
    let rows = story.rows::<ProductSales>("order by sku").await;
    let sales = |sku: &str, orders, units_gross, units_net, gross, returned| ProductSales {
        sku: sku.parse().unwrap(),
        title: sku.into(),
        orders,
        units_gross,
        units_net,
        gross,
        returned,
    };
    let pot = sales("pot", 2, 80_996, 1, 7_719_260, 7_718_360);
    assert_eq!(rows, [sales("mug", 2, 4, 2, 399, 200), pot]);
}

#[tokio::test]
async fn days_show_what_happened_on_them() {
    let story = Story::new().await;
    a_few_days_of_trade(&story).await;
    let rows = story.rows::<SalesDay>("order by day").await;
    let day = |day, orders, lines, units, gross, returned| SalesDay {
        day: this(day),
        orders,
        lines,
        units,
        gross,
        returned,
    };
    let days = [
        day(1, 1, 3, 4, 1199, 0),
        day(2, 1, 1, 1, 100, 100),
        day(3, 1, 1, 80_995, 7_718_360, 0),
        day(4, 0, 0, 0, 0, 7_718_460),
    ];
    assert_eq!(rows, days);
}

#[tokio::test]
async fn customers_are_those_who_are_known() {
    let story = Story::new().await;
    a_few_days_of_trade(&story).await;
    let rows = story.rows::<CustomerTotals>("order by customer").await;
    let totals = |customer: &str, units, gross, returned, day| CustomerTotals {
        customer: customer.into(),
        orders: 1,
        units,
        gross,
        returned,
        first_order: Some(this(day)),
        last_order: Some(this(day)),
    };
    let bob = totals("bob", 80_995, 7_718_360, 7_718_360, 3);
    assert_eq!(rows, [totals("ann", 4, 1199, 100, 1), bob]);
}

#[tokio::test]
async fn a_rebuild_comes_to_the_same_rows() {
    let story = Story::new().await;
    a_few_days_of_trade(&story).await;
    let all = async || {
        (
            story.rows::<CatalogueView>("order by sku").await,
            story.rows::<CartView>("order by cart_id").await,
            story.rows::<OrderView>("order by order_id").await,
            story.rows::<ProductSales>("order by sku").await,
            story.rows::<SalesDay>("order by day").await,
            story.rows::<CustomerTotals>("order by customer").await,
        )
    };
    let before = all().await;
    let rebuilt = shop::app().rebuild(&story.0, &[], &|_| {}).await.unwrap();
    assert_eq!(rebuilt.len(), shop::app().names().len());
    assert_eq!(all().await, before);
}
