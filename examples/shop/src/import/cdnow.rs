//! CDNOW: the orders that 23,570 customers of a record shop placed from January 1997 to June 1998.
//!
//! A line is an order. It says how many records, and what they cost together; each becomes an order
//! of one line with the sku `cd`, whose total is exact and whose price per record is rounded.
//! Published by Fader and Hardie as the master data set of the CDNOW study.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use csv::StringRecord;
use headwater::Append;

use super::{
    Dataset,
    amount::minor_units,
    ids::{Ids, begin},
};
use crate::domain::{
    ids::{CartId, InvalidSku},
    line::OrderLine,
    money::{Currency, Money},
    order::{OrderEvent, Placed},
};

/// The data set.
pub(super) struct Cdnow;

/// An order.
pub(super) struct Line {
    /// A customer may place several orders on a day: only the row tells them apart.
    row: u64,
    customer: String,
    at: DateTime<Utc>,
    records: OrderLine,
}

impl Dataset for Cdnow {
    const NAME: &'static str = "cdnow";
    const DELIMITER: u8 = b' ';
    const COLUMNS: &'static [&'static str] =
        &["customer_id", "date", "number_of_cds", "dollar_value"];
    type Line = Line;

    fn read(row: u64, fields: &StringRecord) -> Result<Line, String> {
        let field = |index| fields.get(index).unwrap_or_default();
        let day = NaiveDate::parse_from_str(field(1), "%Y%m%d").map_err(|_| "date is not a day")?;
        let count: u32 = field(2).parse().unwrap_or(0);
        let cents = minor_units(field(3)).ok_or("dollar_value is not an amount")?;
        let each = (cents + i64::from(count / 2)).checked_div(count.into());
        let each = each.ok_or("number_of_cds is not a number above zero")?;
        let sku = "cd".parse().map_err(|error: InvalidSku| error.to_string())?;
        let records = OrderLine::new(sku, "CD".into(), count, Money::new(each, Currency::Usd));
        Ok(Line {
            row,
            customer: format!("cdnow-{}", field(0)),
            at: day.and_time(NaiveTime::MIN).and_utc(),
            records: OrderLine { total: Money::new(cents, Currency::Usd), ..records },
        })
    }

    fn at(line: &Line) -> DateTime<Utc> {
        line.at
    }

    fn group(line: &Line) -> String {
        line.row.to_string()
    }

    fn appends(ids: Ids, lines: &[Line]) -> headwater::Result<Vec<Append>> {
        let order = |Line { row, customer, at, records }: &Line| {
            let placed = OrderEvent::Placed(Placed {
                cart_id: CartId(ids.id("cart", row, *at)),
                customer: Some(customer.clone()),
                lines: vec![records.clone()],
                total: records.total,
            });
            begin("order", ids.id("order", row, *at), [(*at, placed), (*at, OrderEvent::Confirmed)])
        };
        lines.iter().map(order).collect()
    }
}
