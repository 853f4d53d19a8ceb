//! What the read models say of the last minutes and hours: the numbers of the dashboard and of `/stats`.
//!
//! A window is a stretch of time that ends now, or when one says. Its sums are added up from rows for each second, minute
//! or day, in which an event counts by the time at which it happened, whenever it came. It is made of as many whole rows as
//! it takes; the one that is running is the last.

use std::{collections::HashMap, ops::RangeInclusive};

use chrono::{DateTime, Datelike as _, Days, NaiveDate, TimeDelta, Utc};
use headwater::{Log, Result, Row, Value};
use serde::{Deserialize, Serialize};

use crate::{
    length::Length,
    views::{ButtonClicks, ClickDay, SalesDay, SalesMinute},
};

/// The years in which a window may end: all that both databases write in the same way.
const YEARS: RangeInclusive<i32> = 1971..=9_998;

/// How many products are told of.
const PRODUCTS: i64 = 9;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    length: Length,
    until: DateTime<Utc>,
}

/// Clicks and page loads, second by second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// How often buttons were pressed in each second, the oldest first.
    pub clicks: Vec<i64>,
    /// How often pages were opened.
    pub loads: Vec<i64>,
    /// All clicks of the window.
    pub clicks_total: i64,
    /// All page loads.
    pub loads_total: i64,
    /// The mean of clicks for a second.
    pub clicks_per_second: f64,
    /// The mean of page loads.
    pub loads_per_second: f64,
}

/// A button, and how often it was pressed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Button {
    /// The button.
    pub button_id: String,
    /// How often.
    pub clicks: i64,
}

/// What products are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Looks.
    Views,
    /// How often they were put into a cart.
    Adds,
    /// Pieces ordered.
    #[default]
    Units,
    /// Money.
    Revenue,
}

/// The products of a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopProducts {
    /// Which build of the read model has answered.
    pub generation: u32,
    /// The best first.
    pub products: Vec<TopProduct>,
}

/// A product in a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopProduct {
    /// The product.
    pub sku: String,
    /// What it is called, where the catalogue has it.
    pub title: Option<String>,
    /// How often it was looked at.
    pub views: i64,
    /// How often it was put into a cart.
    pub adds: i64,
    /// How many were ordered.
    pub units: i64,
    /// For how much, in minor units.
    pub revenue: i64,
    /// What it is sorted by, in the window before this one.
    pub before: i64,
}

/// How far visits have come that began in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Funnel {
    /// All visits.
    pub visits: i64,
    /// Those that looked at a product.
    pub viewed: i64,
    /// Those that put one into a cart.
    pub added: i64,
    /// Those that ordered.
    pub ordered: i64,
}

/// All that was ever ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sales {
    /// How many orders.
    pub orders: i64,
    /// What they cost, less what came back, in minor units.
    pub revenue: i64,
    /// In which currency.
    pub currency: String,
}

/// How often buttons were pressed and pages opened on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Day {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// Clicks.
    pub clicks: i64,
    /// Page loads.
    pub loads: i64,
}

/// Carts, and what is in them in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Carts {
    /// Those that are being filled.
    pub open: i64,
    /// What is in them.
    pub open_value: i64,
    /// Those that were left.
    pub abandoned: i64,
    /// What is in those.
    pub abandoned_value: i64,
}

impl Window {
    /// The window of this length that ends with the second, minute or day that holds this moment; none outside of the
    /// years that the databases agree on.
    pub fn new(length: Length, until: DateTime<Utc>) -> Option<Self> {
        Self::may_end(until).then_some(Self { length, until })
    }

    /// Whether a window may end at this moment.
    pub fn may_end(until: DateTime<Utc>) -> bool {
        YEARS.contains(&until.year())
    }

    /// How long it is, in seconds.
    pub fn seconds(&self) -> i64 {
        self.length.seconds()
    }

    /// When it ends.
    pub fn until(&self) -> DateTime<Utc> {
        self.until
    }

    /// Behind which row it begins, and the last one, where a row stands for so many seconds.
    fn bounds(&self, row: i64) -> [DateTime<Utc>; 2] {
        let last = self.until.timestamp().div_euclid(row) * row;
        // Whole rows, so that none of what is asked for is missing.
        let rows = (self.length.seconds() + row - 1) / row;
        [last - rows * row, last].map(|at| DateTime::from_timestamp(at, 0).unwrap_or(self.until))
    }

    /// The same as parameters of a query.
    fn parameters(&self, row: i64) -> Vec<Value> {
        self.bounds(row).map(Into::into).into()
    }

    /// Clicks and page loads, second by second.
    ///
    /// # Errors
    ///
    /// As for [`Log::query`]; so of all that follow.
    pub async fn rates(&self, log: &Log) -> Result<Rates> {
        let sql =
            "select second, clicks, loads from {click_seconds} where second > $1 and second <= $2";
        let first = self.bounds(1)[0].timestamp() + 1;
        let length = usize::try_from(self.length.seconds()).unwrap_or(1);
        let (mut clicks, mut loads) = (vec![0; length], vec![0; length]);
        for row in log.query(sql, &self.parameters(1)).await? {
            let second: DateTime<Utc> = row.get("second")?;
            let at = usize::try_from(second.timestamp() - first).unwrap_or(usize::MAX);
            if at < length {
                (clicks[at], loads[at]) = (row.get("clicks")?, row.get("loads")?);
            }
        }
        let (clicks_total, loads_total) = (clicks.iter().sum(), loads.iter().sum());
        Ok(Rates {
            clicks,
            loads,
            clicks_total,
            loads_total,
            clicks_per_second: mean(clicks_total, self.length.seconds()),
            loads_per_second: mean(loads_total, self.length.seconds()),
        })
    }

    /// How often each button was pressed, the most pressed first.
    pub async fn buttons(&self, log: &Log) -> Result<Vec<Button>> {
        let sql = "select button_id, cast(sum(clicks) as bigint) as clicks from {button_minutes} \
                   where minute > $1 and minute <= $2 group by button_id order by 2 desc, 1 limit 20";
        let rows = log.query(sql, &self.parameters(60)).await?;
        let button =
            |row: &Row| Ok(Button { button_id: row.get("button_id")?, clicks: row.get("clicks")? });
        rows.iter().map(button).collect()
    }

    /// The products, the best first.
    pub async fn top_products(&self, log: &Log, by: By) -> Result<TopProducts> {
        let mut parameters = self.parameters(60);
        let [after, until] = self.bounds(60);
        parameters.extend([(after - (until - after)).into(), PRODUCTS.into()]);
        let rows = log.query(&top_products(by), &parameters).await?;
        let generation = match rows.first() {
            Some(row) => u32::try_from(row.get::<i64>("generation")?).unwrap_or_default(),
            None => 0,
        };
        let product = |row: &Row| {
            Ok(TopProduct {
                sku: row.get("sku")?,
                title: row.get("title")?,
                views: row.get("views")?,
                adds: row.get("adds")?,
                units: row.get("units")?,
                revenue: row.get("revenue")?,
                before: row.get("before")?,
            })
        };
        // Where no product is in the window, the build that has answered is told all the same.
        let found =
            rows.iter().filter(|row| row.get::<Option<String>>("sku").ok().flatten().is_some());
        Ok(TopProducts { generation, products: found.map(product).collect::<Result<_>>()? })
    }

    /// How far those visits have come that began in it.
    pub async fn funnel(&self, log: &Log) -> Result<Funnel> {
        let sql = "select count(*) as visits, count(case when viewed then 1 end) as viewed, \
                          count(case when added then 1 end) as added, \
                          count(case when ordered then 1 end) as ordered \
                   from {visits} where began_at > $1 and began_at <= $2";
        let bounds =
            [self.until - TimeDelta::seconds(self.length.seconds()), self.until].map(Into::into);
        let rows = log.query(sql, &bounds).await?;
        rows.first().map_or_else(
            || Ok(Funnel::default()),
            |row| {
                Ok(Funnel {
                    visits: row.get("visits")?,
                    viewed: row.get("viewed")?,
                    added: row.get("added")?,
                    ordered: row.get("ordered")?,
                })
            },
        )
    }

    /// Its minutes in which something was ordered or fell, the oldest first.
    pub async fn sales(&self, log: &Log) -> Result<Vec<SalesMinute>> {
        let condition = "where minute > $1 and minute <= $2 order by minute";
        log.find(condition, &self.parameters(60)).await
    }

    /// How many orders it has, and what they cost.
    pub async fn ordered(&self, log: &Log) -> Result<(i64, i64)> {
        let minutes = self.sales(log).await?;
        Ok((
            minutes.iter().map(|row| row.orders).sum(),
            minutes.iter().map(|row| row.revenue).sum(),
        ))
    }

    /// Its days in which something was ordered or came back, the oldest first.
    pub async fn sales_days(&self, log: &Log) -> Result<Vec<SalesDay>> {
        let days = self.days().map(Into::into);
        log.find("where day >= $1 and day <= $2 order by day", &days).await
    }

    /// The clicks of each of its days, the oldest first, days without any among them.
    pub async fn click_days(&self, log: &Log) -> Result<Vec<Day>> {
        let [first, last] = self.days();
        let found: Vec<ClickDay> =
            log.find("where day >= $1 and day <= $2", &[first.into(), last.into()]).await?;
        let found: HashMap<_, _> = found.iter().map(|row| (row.day, row)).collect();
        let day = |day| {
            let (clicks, loads) = found.get(&day).map_or((0, 0), |row| (row.clicks, row.loads));
            Day { day, clicks, loads }
        };
        Ok(first.iter_days().take_while(|day| *day <= last).map(day).collect())
    }

    /// Its first and its last day.
    fn days(&self) -> [NaiveDate; 2] {
        let [before, last] = self.bounds(86_400).map(|at| at.date_naive());
        [before + Days::new(1), last]
    }
}

/// All sales.
///
/// # Errors
///
/// As for [`Log::query`]; so of all that follow.
pub async fn sales(log: &Log) -> Result<Sales> {
    let sql = "select cast(coalesce(sum(orders), 0) as bigint) as orders, \
                      cast(coalesce(sum(gross - returned), 0) as bigint) as revenue, \
                      coalesce((select min(currency) from {order_views}), 'USD') as currency \
               from {sales_days}";
    let rows = log.query(sql, &[]).await?;
    let none = || Ok(Sales { orders: 0, revenue: 0, currency: "USD".into() });
    rows.first().map_or_else(none, |row| {
        let (orders, revenue) = (row.get("orders")?, row.get("revenue")?);
        Ok(Sales { orders, revenue, currency: row.get("currency")? })
    })
}

/// The buttons that were pressed most often of all time.
pub async fn buttons(log: &Log) -> Result<Vec<Button>> {
    let most = "order by clicks desc, button_id limit 12";
    let rows = log.find::<ButtonClicks>(most, &[]).await?;
    let button = |row: ButtonClicks| Button { button_id: row.button_id, clicks: row.clicks };
    Ok(rows.into_iter().map(button).collect())
}

/// The carts that are open, and those that were left.
pub async fn carts(log: &Log) -> Result<Carts> {
    let sql = "select status, count(*) as carts, cast(sum(total) as bigint) as value from {cart_views} \
               where status in ('open', 'abandoned') group by status";
    let mut carts = Carts::default();
    for row in log.query(sql, &[]).await? {
        let found = (row.get("carts")?, row.get("value")?);
        match row.get::<String>("status")?.as_str() {
            "open" => (carts.open, carts.open_value) = found,
            _ => (carts.abandoned, carts.abandoned_value) = found,
        }
    }
    Ok(carts)
}

/// The products of a window ($1 to $2) beside the one before (from $3 on), with the build that answers.
fn top_products(by: By) -> String {
    let by = match by {
        By::Views => "views",
        By::Adds => "adds",
        By::Units => "units",
        By::Revenue => "revenue",
    };
    let sum = |column: &str| {
        format!("cast(sum(case when minute > $1 then {column} else 0 end) as bigint) as {column}")
    };
    let sums = ["views", "adds", "units", "revenue"].map(sum).join(", ");
    format!(
        "select c.generation as generation, p.*, coalesce(v.title, s.title) as title \
         from {{all_checkpoints}} c \
         left join (select sku, {sums}, \
                           cast(sum(case when minute > $1 then 0 else {by} end) as bigint) as before \
                    from {{product_minutes}} where minute > $3 and minute <= $2 group by sku) p on p.{by} > 0 \
         left join {{catalogue_views}} v on v.sku = p.sku \
         left join {{product_sales}} s on s.sku = p.sku \
         where c.projection = 'product_minutes' and c.state = 'live' \
         order by p.{by} desc, p.sku limit $4"
    )
}

#[allow(clippy::cast_precision_loss, reason = "a mean of counts needs no more than 52 bits")]
fn mean(total: i64, seconds: i64) -> f64 {
    total as f64 / seconds as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_that_is_running_belongs_to_a_window() {
        let until: DateTime<Utc> = "2024-05-07T10:20:31.5Z".parse().unwrap();
        let bounds = |length: &str, row| {
            let window = Window::new(length.parse().unwrap(), until).unwrap();
            window.bounds(row).map(|at| at.format("%H:%M:%S").to_string())
        };
        assert_eq!(bounds("60s", 1), ["10:19:31", "10:20:31"]);
        assert_eq!(bounds("5m", 60), ["10:15:00", "10:20:00"]);
        assert_eq!(bounds("10s", 60), ["10:19:00", "10:20:00"], "a minute at least");
        assert_eq!(bounds("90s", 60), ["10:18:00", "10:20:00"], "two whole ones");
    }
}
