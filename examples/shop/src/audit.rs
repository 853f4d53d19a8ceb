//! `shop audit`: each read model of the dashboard beside a count over the events themselves, in plain SQL.
//!
//! Both are looked at in one statement, so that it may be run at any time: the count ends where the read model stands.

use headwater::{Log, Result};
use headwater_cli::{Exit, Failure, Options, Output};
use serde::Serialize;

/// Shown below the help of the command.
pub const EXAMPLES: &str = "\
Examples:
  shop audit
  shop audit --json | jq 'select(.ok | not)'";

/// A read model, and how a person would count the same.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    /// The read model's name.
    pub name: &'static str,
    /// What the dashboard makes of it.
    pub shows: &'static str,
    /// Its numbers.
    pub found: &'static str,
    /// The same, counted from the events `e`. What the two databases write differently stands in angle brackets.
    pub counted: &'static str,
}

/// One for each read model that the dashboard takes numbers from.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "button_clicks",
        shows: "button clicks, all time",
        found: "select button_id, clicks from {button_clicks}",
        counted: "select data ->> 'button_id', count(*) from e where type = 'button.clicked' group by 1",
    },
    Check {
        name: "button_minutes",
        shows: "button clicks in the last minutes",
        found: "select minute, button_id, clicks from {button_minutes}",
        counted: "select <minute>, data ->> 'button_id', count(*) from e where type = 'button.clicked' group by 1, 2",
    },
    Check {
        name: "click_days",
        shows: "clicks per day",
        found: "select day, clicks, loads from {click_days} where clicks > 0 or loads > 0",
        counted: "select <day>, count(case when type = 'button.clicked' then 1 end), \
                         count(case when type = 'page.loaded' then 1 end) \
                  from e where type in ('button.clicked', 'page.loaded') group by 1",
    },
    Check {
        name: "click_seconds",
        shows: "clicks and page loads per second",
        found: "select second, clicks, loads from {click_seconds}",
        counted: "select <second>, count(case when type = 'button.clicked' then 1 end), \
                         count(case when type = 'page.loaded' then 1 end) \
                  from e where type in ('button.clicked', 'page.loaded') group by 1",
    },
    Check {
        name: "product_minutes",
        shows: "top products of a window, and their trend",
        found: "select minute, sku, views, adds, units, revenue from {product_minutes}",
        counted: "select minute, sku, cast(sum(views) as bigint), cast(sum(adds) as bigint), \
                         cast(sum(units) as bigint), cast(sum(revenue) as bigint) \
                  from (select <minute> as minute, data ->> 'sku' as sku, 1 as views, 0 as adds, 0 as units, 0 as revenue \
                        from e where type = 'product.viewed' and data ->> 'sku' is not null \
                        union all \
                        select <minute>, data ->> 'sku', 0, 1, 0, 0 from e where type = 'cart.item_added' \
                        union all \
                        select <minute>, <line> ->> 'sku', 0, 0, cast(<line> ->> 'quantity' as bigint), \
                               cast(<line> -> 'total' ->> 'amount' as bigint) \
                        from e, <lines> where e.type = 'order.placed') moves \
                  group by 1, 2",
    },
    Check {
        name: "product_sales",
        shows: "top products, all time",
        found: "select sku, units_gross, gross from {product_sales} where orders > 0",
        counted: "select <line> ->> 'sku', cast(sum(cast(<line> ->> 'quantity' as bigint)) as bigint), \
                         cast(sum(cast(<line> -> 'total' ->> 'amount' as bigint)) as bigint) \
                  from e, <lines> where e.type = 'order.placed' group by 1",
    },
    Check {
        name: "visits",
        shows: "the funnel",
        found: "select visit, began_at, viewed, added, ordered from {visits}",
        counted: "select coalesce(correlation_id, <id>) as visit, min(occurred_at), \
                         <any>(type = 'product.viewed'), \
                         <any>(type = 'cart.item_added' \
                               or type = 'button.clicked' and data ->> 'button_id' = 'add_to_cart'), \
                         <any>(type = 'order.placed' \
                               or type = 'button.clicked' and data ->> 'button_id' = 'purchase') \
                  from e where category in ('session', 'cart', 'order') \
                           and coalesce(correlation_id, <id>) is not null group by 1",
    },
    Check {
        name: "sales_minutes",
        shows: "orders and revenue per minute",
        found: "select minute, orders, revenue, rejected, cancelled from {sales_minutes}",
        counted: "select <minute>, count(case when type = 'order.placed' then 1 end), \
                         cast(coalesce(sum(case when type = 'order.placed' \
                                                then cast(data -> 'total' ->> 'amount' as bigint) end), 0) as bigint), \
                         count(case when type = 'order.rejected' then 1 end), \
                         count(case when type = 'order.cancelled' then 1 end) \
                  from e where type in ('order.placed', 'order.rejected', 'order.cancelled') group by 1",
    },
    Check {
        name: "sales_days",
        shows: "revenue and orders",
        found: "select day, orders, gross, returned from {sales_days}",
        counted: "select <day>, count(case when type = 'order.placed' then 1 end), \
                         cast(coalesce(sum(case when type = 'order.placed' \
                                                then cast(data -> 'total' ->> 'amount' as bigint) end), 0) as bigint), \
                         cast(coalesce(sum(case when type = 'return.recorded' \
                                                then cast(data -> 'value' ->> 'amount' as bigint) \
                                                when type <> 'order.placed' \
                                                then cast(data -> 'order' -> 'total' ->> 'amount' as bigint) end), 0) \
                              as bigint) \
                  from e where type in ('order.placed', 'order.rejected', 'order.cancelled', 'return.recorded') group by 1",
    },
    Check {
        name: "cart_views",
        shows: "carts open and abandoned, and what is in them",
        found: "select status, count(*), cast(sum(total) as bigint) from {cart_views} \
                where status in ('open', 'abandoned') group by 1",
        counted: "select status, count(*), cast(sum(total) as bigint) \
                  from (select case when max(case when type = 'cart.checked_out' then 1 else 0 end) = 1 then 'checked_out' \
                                    when max(case when type = 'cart.abandoned' then version else 0 end) \
                                         > max(case when type = 'cart.revived' then version else 0 end) then 'abandoned' \
                                    else 'open' end as status, \
                               sum(case type when 'cart.item_added' \
                                             then cast(data ->> 'quantity' as bigint) \
                                                  * cast(data -> 'unit_price' ->> 'amount' as bigint) \
                                             when 'cart.quantity_set' \
                                             then cast(data -> 'new_total' ->> 'amount' as bigint) \
                                                  - cast(data -> 'old_total' ->> 'amount' as bigint) \
                                             when 'cart.item_removed' \
                                             then - cast(data -> 'total' ->> 'amount' as bigint) \
                                             else 0 end) as total \
                        from e where category = 'cart' group by stream) carts \
                  where status <> 'checked_out' group by 1",
    },
    Check {
        name: "order_views",
        shows: "orders by where they stand",
        found: "select status, currency, count(*), cast(sum(total) as bigint) from {order_views} group by 1, 2",
        counted: "select substr(e.type, 7), o.currency, count(*), cast(sum(o.total) as bigint) \
                  from (select stream, max(version) as version, max(data -> 'total' ->> 'currency') as currency, \
                               sum(case when type = 'order.placed' \
                                        then cast(data -> 'total' ->> 'amount' as bigint) end) as total \
                        from e where category = 'order' group by stream) o \
                  join e on e.stream = o.stream and e.version = o.version group by 1, 2",
    },
    Check {
        name: "customer_totals",
        shows: "customers",
        found: "select customer, orders, gross from {customer_totals} where orders > 0",
        counted: "select data ->> 'customer', count(*), cast(sum(cast(data -> 'total' ->> 'amount' as bigint)) as bigint) \
                  from e where type = 'order.placed' and data ->> 'customer' is not null group by 1",
    },
];

/// What the two databases write differently: PostgreSQL, SQLite.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("<second>", "date_trunc('second', occurred_at)", "substr(occurred_at, 1, 19) || '.000000Z'"),
    (
        "<minute>",
        "date_trunc('minute', occurred_at)",
        "substr(occurred_at, 1, 16) || ':00.000000Z'",
    ),
    ("<day>", "cast(occurred_at at time zone 'UTC' as date)", "substr(occurred_at, 1, 10)"),
    ("<lines>", "json_array_elements(data -> 'lines') l", "json_each(data, '$.lines') l"),
    ("<line>", "l", "l.value"),
    ("<any>", "bool_or", "max"),
    (
        "<id>",
        "case when stream ~ '^session-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then cast(substr(stream, 9) as uuid) end",
        "case when category = 'session' and length(stream) = 44 then substr(stream, 9) end",
    ),
];

/// How a read model and the count over the events agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// The read model.
    pub check: &'static str,
    /// What the dashboard makes of it.
    pub shows: &'static str,
    /// Whether they are the same.
    pub ok: bool,
    /// How many rows it has.
    pub rows: i64,
    /// How many it alone has.
    pub only_found: i64,
    /// How many the events alone have.
    pub only_counted: i64,
}

/// Runs `shop audit`.
///
/// # Errors
///
/// What went wrong, with its exit code; [`Exit::Failed`] where they differ.
pub async fn run(options: &Options) -> Result<(), Failure> {
    let log = options.connect_as_is().await?;
    let audited = async {
        let built = log.checkpoints().await?;
        let missing = CHECKS.iter().find(|check| !built.iter().any(|b| b.projection == check.name));
        match missing {
            Some(missing) => Ok(Err(not_built(missing.name))),
            None => audit(&log).await.map(Ok),
        }
    };
    let audited: Result<_> = audited.await;
    log.close().await;
    let (audited, mut out) = (audited??, Output::new(options));
    for check in &audited {
        if out.is_json() {
            out.object(check)?;
        } else {
            let Audited { check, shows, rows, only_found, only_counted, .. } = check;
            let name = format!("{check:16} {shows}");
            out.line(match (only_found, only_counted) {
                (0, 0) => format!("ok      {name}: {rows} rows"),
                _ => format!(
                    "DIFFERS {name}: {only_found} rows of it are not in the log, and {only_counted} of the log not in it"
                ),
            })?;
        }
    }
    out.flush()?;
    let differ: Vec<_> =
        audited.iter().filter(|check| !check.ok).map(|check| check.check).collect();
    if differ.is_empty() {
        return Ok(());
    }
    let told = format!("{} say something else than the log", differ.join(", "));
    Err(Failure::new(Exit::Failed, "differs", told)
        .with_hint("`shop projections rebuild NAME` makes a read model anew"))
}

fn not_built(name: &str) -> Failure {
    Failure::new(Exit::Failed, "not-built", format!("the read model {name} is not built yet"))
        .with_hint(
            "`shop projections run --once` builds what is missing, `shop web` keeps it up to date",
        )
}

/// Holds each read model against the events that it was made from.
///
/// # Errors
///
/// As for [`Log::query`].
pub async fn audit(log: &Log) -> Result<Vec<Audited>> {
    let sqlite = is_sqlite(log).await?;
    let mut audited = Vec::new();
    for check in CHECKS {
        let Check { name, shows, found, counted } = *check;
        let sql = format!(
            "with e as (select * from {{all_events}} where position <= \
                        (select min(position) from {{all_checkpoints}} where projection = '{name}' and state = 'live')), \
                  found as ({found}), counted as ({counted}) \
             select (select count(*) from found) as total, \
                    (select count(*) from (select * from found except select * from counted) f) as only_found, \
                    (select count(*) from (select * from counted except select * from found) c) as only_counted",
            counted = spelled(counted, sqlite)
        );
        let rows = log.query(&sql, &[]).await?;
        let number = |column: &str| rows.first().map_or(Ok(0), |row| row.get::<i64>(column));
        let (rows, only_found, only_counted) =
            (number("total")?, number("only_found")?, number("only_counted")?);
        let ok = (only_found, only_counted) == (0, 0);
        audited.push(Audited { check: name, shows, ok, rows, only_found, only_counted });
    }
    Ok(audited)
}

/// Whether it lies in SQLite.
pub(crate) async fn is_sqlite(log: &Log) -> Result<bool> {
    Ok(log.store().describe().await?.starts_with("SQLite"))
}

/// A count as this database writes it.
pub(crate) fn spelled(sql: &str, sqlite: bool) -> String {
    DIFFERENT.iter().fold(sql.to_owned(), |sql, (word, postgres, lite)| {
        sql.replace(word, if sqlite { lite } else { postgres })
    })
}
