//! Read models: tables that are folded from the log, in plain SQL for whoever wants to look.
//!
//! A file holds one table and its fold. Times are those at which things happened, never the clock's,
//! so that a rebuild comes to the same rows.

mod activity;
mod busy_hours;
mod button_minutes;
mod carts;
mod catalogue;
mod click_seconds;
mod clicks;
mod customer_totals;
mod orders;
mod product_minutes;
mod product_sales;
mod sales_days;
mod sales_minutes;
mod trade;
mod visits;

use std::str::FromStr;

use headwater::{App, Recorded, Windows};

pub use self::{
    activity::ActivityEvent,
    busy_hours::BusyHour,
    button_minutes::ButtonMinute,
    carts::CartView,
    catalogue::CatalogueView,
    click_seconds::ClickSecond,
    clicks::{ButtonClicks, ClickDay},
    customer_totals::CustomerTotals,
    orders::OrderView,
    product_minutes::ProductMinute,
    product_sales::ProductSales,
    sales_days::SalesDay,
    sales_minutes::SalesMinute,
    trade::TradeEvent,
    visits::Visit,
};

/// What the statistics of the last minutes and hours are added up from.
const MINUTES: Windows = Windows::tumbling(60);

/// The projections of the shop. [`BusyHour`] is none of them: it joins when somebody asks for it.
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
        .projection::<ClickSecond>()
        .projection::<ButtonMinute>()
        .projection::<ProductMinute>()
        .projection::<SalesMinute>()
        .projection::<Visit>()
}

/// The id in the event's stream, as the one key that the event touches.
fn stream_id<K: FromStr, E>(event: &Recorded<E>) -> Vec<K> {
    let key = event.stream.id().parse();
    if key.is_err() {
        tracing::warn!(stream = %event.stream, "no id of the shop: its events are in no read model");
    }
    key.into_iter().collect()
}
