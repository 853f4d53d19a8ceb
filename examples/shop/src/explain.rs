//! How each number of the dashboard comes about: from which read model, and by which SQL over the events one gets the same.

use headwater::{Log, Result};
use serde::Serialize;

use crate::audit::{CHECKS, Check, is_sqlite, spelled};

/// What a panel makes of a read model. `<behind>` and `<until>` stand for its window, `<by>` for what is picked.
struct Panel {
    /// The check of the read model.
    check: &'static str,
    /// What its columns are called.
    columns: &'static str,
    /// The numbers.
    numbers: &'static str,
}

const PANELS: &[Panel] = &[
    Panel {
        check: "button_clicks",
        columns: "button_id, clicks",
        numbers: "select button_id, clicks from counted order by clicks desc, button_id limit 12",
    },
    Panel {
        check: "button_minutes",
        columns: "minute, button_id, clicks",
        numbers: "select button_id, cast(sum(clicks) as bigint) as clicks from counted \
                  where minute > '<behind>' and minute <= '<until>' group by 1 order by 2 desc, 1 limit 20",
    },
    Panel {
        check: "click_days",
        columns: "day, clicks, loads",
        numbers: "select day, clicks, loads from counted where day > '<behind>' and day <= '<until>' order by day",
    },
    Panel {
        check: "click_seconds",
        columns: "second, clicks, loads",
        numbers: "select cast(coalesce(sum(clicks), 0) as double precision) / 60 as clicks, \
                         cast(coalesce(sum(loads), 0) as double precision) / 60 as loads \
                  from counted where second > '<behind>' and second <= '<until>'",
    },
    Panel {
        check: "product_minutes",
        columns: "minute, sku, views, adds, units, revenue",
        numbers: "select sku, cast(sum(<by>) as bigint) as number from counted \
                  where minute > '<behind>' and minute <= '<until>' \
                  group by 1 having sum(<by>) > 0 order by 2 desc, 1 limit 9",
    },
    Panel {
        check: "visits",
        columns: "visit, began_at, viewed, added, ordered",
        numbers: "select count(*) as visits, count(case when viewed then 1 end) as viewed, \
                         count(case when added then 1 end) as added, count(case when ordered then 1 end) as ordered \
                  from counted where began_at > '<behind>' and began_at <= '<until>'",
    },
    Panel {
        check: "sales_minutes",
        columns: "minute, orders, revenue, rejected, cancelled",
        numbers: "select cast(coalesce(sum(orders), 0) as bigint) as orders, \
                         cast(coalesce(sum(revenue), 0) as bigint) as revenue \
                  from counted where minute > '<behind>' and minute <= '<until>'",
    },
    Panel {
        check: "sales_days",
        columns: "day, orders, gross, returned",
        numbers: "select cast(coalesce(sum(orders), 0) as bigint) as orders, \
                         cast(coalesce(sum(gross), 0) as bigint) as revenue \
                  from counted where day > '<behind>' and day <= '<until>'",
    },
];

/// How the numbers of a panel come about, for those who ask.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explained {
    check: &'static str,
    shows: &'static str,
    /// From the read model.
    read_model: String,
    /// The same from the events.
    events: String,
}

/// How each number comes about, in the SQL of this database.
pub(crate) async fn explained(log: &Log) -> Result<Vec<Explained>> {
    let sqlite = is_sqlite(log).await?;
    // As a person writes it, who has not chosen a schema.
    let schema = if sqlite { "" } else { "headwater." };
    let plain = |sql: &str| sql.replace('{', schema).replace('}', "");
    let explain = |panel: &Panel| {
        let Panel { check, columns, numbers } = *panel;
        let Check { shows, found, counted, .. } = *CHECKS.iter().find(|c| c.name == check)?;
        let counted = spelled(counted, sqlite);
        Some(Explained {
            check,
            shows,
            read_model: format!("with counted ({columns}) as ({}) {numbers}", plain(found)),
            events: format!(
                "with e as (select * from {schema}all_events), counted ({columns}) as ({counted}) {numbers}"
            ),
        })
    };
    Ok(PANELS.iter().filter_map(explain).collect())
}
