//! Online Retail: a year of a British web shop, 2010-12-01 to 2011-12-09.
//!
//! An invoice whose quantities are all above zero is a cart that was checked out, and the order that
//! it became; one that begins with C is a return; all others (adjustments, losses, test entries)
//! are ignored. Source: UCI Machine Learning Repository, "Online Retail", DOI 10.24432/C5BW33.

use chrono::{DateTime, NaiveDateTime, Utc};
use csv::StringRecord;
use headwater::Append;

use super::{
    Dataset,
    amount::minor_units,
    ids::{Ids, begin},
};
use crate::domain::{
    cart::{CartEvent, ItemAdded},
    ids::{CartId, OrderId, ReturnId, Sku},
    line::OrderLine,
    money::{Currency, Money},
    order::{OrderEvent, Placed},
    returns::ReturnEvent,
};

/// The forms in which copies of the data set give a time; all are local times of the shop.
const TIMES: [&str; 3] = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M"];

/// The data set.
pub(super) struct OnlineRetail;

/// A line of an invoice.
pub(super) struct Line {
    invoice: String,
    sku: Sku,
    title: String,
    /// Below zero where goods came back.
    quantity: i32,
    at: DateTime<Utc>,
    unit_price: Money,
    customer: Option<String>,
}

impl Dataset for OnlineRetail {
    const NAME: &'static str = "online-retail";
    const DELIMITER: u8 = b',';
    const COLUMNS: &'static [&'static str] = &[
        "InvoiceNo",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "UnitPrice",
        "CustomerID",
        "Country",
    ];
    type Line = Line;

    fn read(_row: u64, fields: &StringRecord) -> Result<Line, String> {
        let field = |index| fields.get(index).unwrap_or_default();
        let sku: Sku = field(1).parse().map_err(|error| format!("StockCode: {error}"))?;
        let title = if field(2).is_empty() { sku.as_str() } else { field(2) };
        let time = |form: &&str| NaiveDateTime::parse_from_str(field(4), form).ok();
        Ok(Line {
            invoice: field(0).into(),
            title: title.into(),
            sku,
            quantity: field(3).parse().map_err(|_| "Quantity is not a whole number")?,
            at: TIMES.iter().find_map(time).ok_or("InvoiceDate is not a time")?.and_utc(),
            unit_price: pounds(field(5)).ok_or("UnitPrice is not an amount")?,
            customer: (!field(6).is_empty()).then(|| field(6).into()),
        })
    }

    fn at(line: &Line) -> DateTime<Utc> {
        line.at
    }

    fn group(line: &Line) -> String {
        line.invoice.clone()
    }

    fn appends(ids: Ids, lines: &[Line]) -> headwater::Result<Vec<Append>> {
        let Some(Line { invoice, at, .. }) = lines.first() else { return Ok(Vec::new()) };
        let id = |kind| ids.id(kind, invoice, *at);
        if invoice.starts_with('C') && lines.iter().all(|line| line.quantity < 0) {
            return came_back(ReturnId(id("return")), lines);
        }
        let sale = invoice.bytes().all(|byte| byte.is_ascii_digit());
        if sale && lines.iter().all(|line| line.quantity > 0) {
            return sold(CartId(id("cart")), OrderId(id("order")), lines);
        }
        Ok(Vec::new())
    }
}

fn pounds(amount: &str) -> Option<Money> {
    minor_units(amount).map(|pence| Money::new(pence, Currency::Gbp))
}

/// The goods and what they cost. The same product may stand on several lines, as on the invoice.
fn goods(lines: &[Line]) -> (Vec<OrderLine>, Money) {
    let line = |line: &Line| {
        let Line { sku, title, quantity, unit_price, .. } = line;
        OrderLine::new(sku.clone(), title.clone(), quantity.unsigned_abs(), *unit_price)
    };
    let goods: Vec<_> = lines.iter().map(line).collect();
    let total = goods.iter().fold(Money::zero(Currency::Gbp), |sum, line| sum.plus(line.total));
    (goods, total)
}

fn sold(cart_id: CartId, order_id: OrderId, invoice: &[Line]) -> headwater::Result<Vec<Append>> {
    let (Some(first), Some(last)) = (invoice.first(), invoice.last()) else {
        return Ok(Vec::new());
    };
    let customer = first.customer.clone();
    let (lines, total) = goods(invoice);
    // Some invoices span two minutes: each line keeps its own.
    let opened = CartEvent::Opened { customer: customer.clone(), currency: Currency::Gbp };
    let mut cart = vec![(first.at, opened)];
    cart.extend(invoice.iter().zip(&lines).map(|(line, goods)| {
        let OrderLine { sku, title, quantity, unit_price, .. } = goods.clone();
        (line.at, CartEvent::ItemAdded(ItemAdded { sku, title, quantity, unit_price }))
    }));
    let checked_out = CartEvent::CheckedOut { order_id, lines: lines.clone(), total };
    cart.push((last.at, checked_out));
    let placed = OrderEvent::Placed(Placed { cart_id, customer, lines, total });
    let order = [(last.at, placed), (last.at, OrderEvent::Confirmed)];
    Ok(vec![begin("cart", cart_id.0, cart)?, begin("order", order_id.0, order)?])
}

fn came_back(return_id: ReturnId, invoice: &[Line]) -> headwater::Result<Vec<Append>> {
    let Some(first) = invoice.first() else { return Ok(Vec::new()) };
    let (lines, value) = goods(invoice);
    let recorded = ReturnEvent::Recorded { customer: first.customer.clone(), lines, value };
    Ok(vec![begin("return", return_id.0, [(first.at, recorded)])?])
}
