//! Four read models: the totals of customers, products, days and carts.

use headwater::{App, Fold, ReadModel, Recorded};

use super::domain::CartEvent;
use crate::shared::{job::Outcome, sale::Sale};

/// An app with so many of the read models, in the order of this file.
pub fn app(read_models: usize) -> Outcome<App> {
    let app = App::new().projection::<CustomerTotal>();
    match read_models {
        1 => Ok(app),
        4 => {
            Ok(app.projection::<ProductTotal>().projection::<DayTotal>().projection::<CartTotal>())
        }
        _ => Err("there are one or four read models".into()),
    }
}

fn sale(event: &Recorded<CartEvent>) -> &Sale {
    let CartEvent::ItemAdded(sale) = &event.event;
    sale
}

/// The totals of a customer.
#[derive(ReadModel)]
#[read_model(table = "customer_totals")]
struct CustomerTotal {
    #[key]
    customer: String,
    pieces: i64,
    value: i64,
}

impl Fold for CustomerTotal {
    type Event = CartEvent;

    fn keys(event: &Recorded<CartEvent>) -> Vec<String> {
        vec![sale(event).customer.clone()]
    }

    fn fold(row: Option<Self>, key: &String, event: &Recorded<CartEvent>) -> Option<Self> {
        let mut row = row.unwrap_or_else(|| Self { customer: key.clone(), pieces: 0, value: 0 });
        row.pieces += sale(event).quantity;
        row.value += sale(event).value();
        Some(row)
    }
}

/// The totals of a product.
#[derive(ReadModel)]
#[read_model(table = "product_totals")]
struct ProductTotal {
    #[key]
    sku: String,
    pieces: i64,
    value: i64,
}

impl Fold for ProductTotal {
    type Event = CartEvent;

    fn keys(event: &Recorded<CartEvent>) -> Vec<String> {
        vec![sale(event).sku.clone()]
    }

    fn fold(row: Option<Self>, key: &String, event: &Recorded<CartEvent>) -> Option<Self> {
        let mut row = row.unwrap_or_else(|| Self { sku: key.clone(), pieces: 0, value: 0 });
        row.pieces += sale(event).quantity;
        row.value += sale(event).value();
        Some(row)
    }
}

/// The totals of a day.
#[derive(ReadModel)]
#[read_model(table = "day_totals")]
struct DayTotal {
    #[key]
    day: String,
    pieces: i64,
    value: i64,
}

impl Fold for DayTotal {
    type Event = CartEvent;

    fn keys(event: &Recorded<CartEvent>) -> Vec<String> {
        vec![sale(event).day.clone()]
    }

    fn fold(row: Option<Self>, key: &String, event: &Recorded<CartEvent>) -> Option<Self> {
        let mut row = row.unwrap_or_else(|| Self { day: key.clone(), pieces: 0, value: 0 });
        row.pieces += sale(event).quantity;
        row.value += sale(event).value();
        Some(row)
    }
}

/// The totals of a cart: a row for every few events.
#[derive(ReadModel)]
#[read_model(table = "cart_totals")]
struct CartTotal {
    #[key]
    cart: String,
    pieces: i64,
    value: i64,
}

impl Fold for CartTotal {
    type Event = CartEvent;

    fn keys(event: &Recorded<CartEvent>) -> Vec<String> {
        vec![event.stream.id().to_owned()]
    }

    fn fold(row: Option<Self>, key: &String, event: &Recorded<CartEvent>) -> Option<Self> {
        let mut row = row.unwrap_or_else(|| Self { cart: key.clone(), pieces: 0, value: 0 });
        row.pieces += sale(event).quantity;
        row.value += sale(event).value();
        Some(row)
    }
}
