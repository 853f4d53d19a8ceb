//! Read models: tables that are folded from the log, in plain SQL for whoever wants to look.
//!
//! A file holds one table and its fold. Times are those at which things happened, never the clock's,
//! so that a rebuild comes to the same rows.

mod carts;
mod catalogue;
mod clicks;
mod customer_totals;
mod orders;
mod product_sales;
mod sales_days;
mod trade;

use std::str::FromStr;

use headwater::{App, Recorded};

pub use self::{
    carts::CartView,
    catalogue::CatalogueView,
    clicks::{ButtonClicks, ClickDay},
    customer_totals::CustomerTotals,
    orders::OrderView,
    product_sales::ProductSales,
    sales_days::SalesDay,
    trade::TradeEvent,
};

/// The projections of the shop.
pub fn app() -> App {
    App::new()
        .projection::<CatalogueView>()
        .projection::<CartView>()
        .projection::<OrderView>()
        .projection::<ProductSales>()
        .projection::<SalesDay>()
        .projection::<CustomerTotals>()
        .projection::<ButtonClicks>()
        .projection::<ClickDay>()
}

/// The id in the event's stream, as the one key that the event touches.
fn stream_id<K: FromStr, E>(event: &Recorded<E>) -> Vec<K> {
    let key = event.stream.id().parse();
    if key.is_err() {
        tracing::warn!(stream = %event.stream, "no id of the shop: its events are in no read model");
    }
    key.into_iter().collect()
}
