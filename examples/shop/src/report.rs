//! `shop report`: the trade of the whole log, asked from the read models.

mod draw;

use chrono::NaiveDate;
use headwater::{Log, Result};
use headwater_cli::{Failure, Options, Output};
use serde::Serialize;

use crate::views::{ProductSales, SalesDay};

/// Shown below the help of the command.
pub const EXAMPLES: &str = "\
Examples:
  shop report
  shop report --json | jq .net";

/// What was sold, and what came back. Amounts are in minor units, and returns at or below zero.
#[derive(Default, Serialize)]
struct Report {
    orders: i64,
    lines: i64,
    units: i64,
    gross: i64,
    returns: i64,
    net: i64,
    /// The known ones who placed an order.
    customers: i64,
    /// The ten products that sold most pieces; below without those that came back.
    top_gross_units: Vec<Top>,
    top_net_units: Vec<Top>,
    /// Those that had an order, in the order of time.
    orders_per_month: Vec<Month>,
    /// The one with the most orders, the first of several.
    busiest_day: Option<Day>,
}

#[derive(Serialize)]
struct Top {
    sku: String,
    units: i64,
    #[serde(skip)]
    title: String,
}

#[derive(Serialize)]
struct Month {
    /// Such as `2011-11`.
    month: String,
    orders: i64,
}

#[derive(Clone, Copy, Serialize)]
struct Day {
    day: NaiveDate,
    orders: i64,
}

/// Runs `shop report`. The read models are brought up to date first.
///
/// # Errors
///
/// What went wrong, with its exit code.
pub async fn run(options: &Options) -> Result<(), Failure> {
    let log = options.connect().await?;
    let found = async {
        crate::app().catch_up(&log).await.map_err(Failure::of_projection)?;
        let report = Report::of(&log).await?;
        Ok::<_, Failure>((report, currencies(&log).await?))
    };
    let found = found.await;
    log.close().await;
    let (report, currencies) = found?;
    let mut out = Output::new(options);
    if out.is_json() {
        out.object(&report)?;
    } else {
        let width = out.width().unwrap_or(80);
        draw::report(&report, &currencies, width).iter().try_for_each(|line| out.line(line))?;
    }
    out.flush()
}

impl Report {
    async fn of(log: &Log) -> Result<Self> {
        let customers = "select count(*) as customers from {customer_totals} where orders > 0";
        let customers = log.query(customers, &[]).await?;
        let mut report = Self {
            customers: customers.first().map_or(Ok(0), |row| row.get("customers"))?,
            top_gross_units: top(log, "units_gross", |product| product.units_gross).await?,
            top_net_units: top(log, "units_net", |product| product.units_net).await?,
            ..Self::default()
        };
        for day in log.find::<SalesDay>("order by day", &[]).await? {
            report.add(&day);
        }
        report.net = report.gross + report.returns;
        Ok(report)
    }

    fn add(&mut self, sales: &SalesDay) {
        self.orders += sales.orders;
        self.lines += sales.lines;
        self.units += sales.units;
        self.gross += sales.gross;
        self.returns -= sales.returned;
        if sales.orders == 0 {
            return;
        }
        if self.busiest_day.is_none_or(|busiest| busiest.orders < sales.orders) {
            self.busiest_day = Some(Day { day: sales.day, orders: sales.orders });
        }
        let month = sales.day.format("%Y-%m").to_string();
        match self.orders_per_month.last_mut() {
            Some(last) if last.month == month => last.orders += sales.orders,
            _ => self.orders_per_month.push(Month { month, orders: sales.orders }),
        }
    }
}

async fn top(log: &Log, by: &str, units: fn(&ProductSales) -> i64) -> Result<Vec<Top>> {
    let best = format!("order by {by} desc, sku limit 10");
    let products = log.find::<ProductSales>(&best, &[]).await?;
    let top = |product: ProductSales| Top {
        units: units(&product),
        sku: product.sku.into(),
        title: product.title,
    };
    Ok(products.into_iter().map(top).collect())
}

/// The currencies of all orders: amounts of several cannot be added up, and the reader is told.
async fn currencies(log: &Log) -> Result<Vec<String>> {
    let sql = "select distinct currency from {order_views} order by currency";
    log.query(sql, &[]).await?.iter().map(|row| Ok(row.get("currency")?)).collect()
}
