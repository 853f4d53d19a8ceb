//! The numbers of the dashboard: they are those of the events, also while read models are rebuilt.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod command;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use command::{Ended, Folder, Process, Serving, ended, shipped, shop};
use headwater_testkit::{
    eventually,
    postgres::{self, TestDatabase},
};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

/// A log, and what it lies in.
struct Place {
    log: String,
    folder: Folder,
    _database: Option<TestDatabase>,
}

impl Place {
    fn on_sqlite() -> Self {
        let folder = Folder::new();
        Self { log: folder.log(), folder, _database: None }
    }

    async fn on_postgresql() -> Self {
        let database = postgres::database().await;
        let log = database.url().to_owned();
        Self { log, folder: Folder::new(), _database: Some(database) }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        ended(shop(&self.log).args(arguments))
    }

    fn serve(&self) -> Serving {
        Serving::start(shop(&self.log).args(["web", "--port", "0"]))
    }

    /// Visitors for so long.
    fn visitors(&self, duration: &str) {
        // Few at a time, so that some have ended.
        let sent =
            ["traffic", "--rps", "150", "--visitors", "8", "--duration", duration, "--seed", "11"];
        let sent = self.run(&sent);
        assert_eq!(sent.code, 0, "{}", sent.err);
        assert_eq!(self.run(&["projections", "run", "--once"]).code, 0);
    }

    /// Changes the read models by hand.
    async fn alter(&self, sql: &'static str) {
        if self.log.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(&self.log).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.log).await.unwrap();
            sqlx::raw_sql("set search_path = headwater").execute(&mut connection).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// The rows that a query in SQL yields, as text.
    async fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let log = headwater::connect(&self.log).await.unwrap();
        let rows = log.query(sql, &[]).await.unwrap();
        log.close().await;
        rows.into_iter().map(|row| row.values.iter().map(ToString::to_string).collect()).collect()
    }
}

fn json(serving: &Serving, path: &str) -> Value {
    let (head, body) = serving.get(path);
    assert!(head.starts_with("http/1.1 200 "), "{path}: {head}\n{body}");
    serde_json::from_str(&body).unwrap()
}

/// Makes a test of each behaviour on each database.
macro_rules! on_both {
    ($($name:ident: $sqlite:ident, $postgresql:ident;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $sqlite() {
            $name(Place::on_sqlite()).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $postgresql() {
            $name(Place::on_postgresql().await).await;
        }
    )+};
}

on_both! {
    the_numbers_are_those_of_the_events:
        s_11_every_number_is_that_of_the_events_on_sqlite,
        s_11_every_number_is_that_of_the_events_on_postgresql;
    a_window_is_what_its_sql_says:
        s_22_a_window_is_what_its_sql_says_on_sqlite,
        s_22_a_window_is_what_its_sql_says_on_postgresql;
    rows_come_as_they_change:
        s_23_rows_come_as_they_change_on_sqlite,
        s_23_rows_come_as_they_change_on_postgresql;
    the_sql_of_a_panel_gives_its_number:
        the_sql_of_a_panel_gives_its_number_on_sqlite,
        the_sql_of_a_panel_gives_its_number_on_postgresql;
    versions_come_and_go_while_it_is_asked:
        s_27_versions_come_and_go_while_it_is_asked_on_sqlite,
        s_27_versions_come_and_go_while_it_is_asked_on_postgresql;
    one_joins_late_and_stays:
        one_joins_late_and_stays_on_sqlite,
        one_joins_late_and_stays_on_postgresql;
    the_funnel_of_a_year_of_clicks_is_the_counted_one:
        the_funnel_of_a_year_of_clicks_is_the_counted_one_on_sqlite,
        the_funnel_of_a_year_of_clicks_is_the_counted_one_on_postgresql;
}

/// Also while visitors are there: both sides of each comparison end at the same event.
async fn the_numbers_are_those_of_the_events(place: Place) {
    assert_eq!(place.run(&["migrate"]).code, 0);
    let empty = place.run(&["audit"]);
    assert!(empty.code == 1 && empty.err.contains("is not built yet"), "{empty:?}");
    let serving = place.serve();
    place.visitors("1s");
    let visitors = ["traffic", "--rps", "150", "--duration", "4s", "--seed", "3"];
    let mut visitors = Process(shop(&place.log).args(visitors).spawn().unwrap());
    let (mut audits, mut rows) = (0, 0);
    while visitors.0.try_wait().unwrap().is_none() {
        let audit = place.run(&["audit", "--json"]);
        assert_eq!(audit.code, 0, "{audit:?}");
        let lines: Vec<Value> =
            audit.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.len() == 12 && lines.iter().all(|line| line["ok"] == true), "{audit:?}");
        rows = lines.iter().map(|line| line["rows"].as_i64().unwrap()).min().unwrap();
        audits += 1;
    }
    assert!(audits > 0 && rows > 0, "{audits} audits, {rows} rows at least");
    drop(serving);
    let verified = place.run(&["verify"]);
    assert_eq!((verified.code, verified.out.matches("ok ").count()), (0, 12), "{verified:?}");
    assert!(verified.out.starts_with("verified "), "the log first: {verified:?}");

    let most = "update button_clicks__1 set clicks = clicks + 1 \
                where clicks = (select max(clicks) from button_clicks__1)";
    place.alter(most).await;
    let altered = place.run(&["verify"]);
    assert_eq!(altered.code, 1, "{altered:?}");
    assert!(altered.out.contains("DIFFERS button_clicks"), "{altered:?}");
    assert_eq!(altered.out.matches("ok ").count(), 11, "{altered:?}");
}

/// What each panel explains itself by, from its read model and from the events, is what `/stats` says of the same window.
async fn the_sql_of_a_panel_gives_its_number(place: Place) {
    place.visitors("3s");
    let serving = place.serve();
    let until = Utc::now() - TimeDelta::seconds(1);
    let at = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let whole =
        |step: i64| DateTime::from_timestamp(until.timestamp().div_euclid(step) * step, 0).unwrap();
    let (minute, second, day) = (whole(60), whole(1), whole(86_400));
    let back = |from: DateTime<Utc>, seconds| at(from - TimeDelta::seconds(seconds));
    let explained = json(&serving, "/api/explained");
    let stats = |path: &str| json(&serving, &format!("/stats/{path}&until={}", at(until)));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows = |answer: &Value, rows: &str, columns: &[&str]| -> Vec<Vec<String>> {
        let row = |row: &Value| columns.iter().map(|column| text(&row[*column])).collect();
        answer[rows].as_array().unwrap().iter().map(row).collect()
    };
    let sums = |answer: &Value, of: &str, columns: &[&str]| {
        let sum = |column: &&str| {
            let rows = answer[of].as_array().unwrap().iter();
            rows.map(|row| row[*column].as_i64().unwrap()).sum::<i64>().to_string()
        };
        vec![columns.iter().map(sum).collect::<Vec<_>>()]
    };
    let (rates, funnel) = (stats("rates?window=60s"), stats("funnel?window=1h"));
    let one = |answer: &Value, columns: &[&str]| {
        vec![columns.iter().map(|column| text(&answer[*column])).collect::<Vec<_>>()]
    };
    let days = |to: DateTime<Utc>, days: i64| {
        (back(to, days * 86_400)[..10].to_owned(), at(to)[..10].to_owned())
    };
    let (fourteen, thirty) = (days(day, 14), days(day, 30));
    let clicks = json(&serving, "/api/live")["buttons"]["all"].clone();
    for (check, (behind, to), expected) in [
        (
            "button_clicks",
            (String::new(), String::new()),
            rows(&serde_json::json!({ "all": clicks }), "all", &["button_id", "clicks"]),
        ),
        (
            "button_minutes",
            (back(minute, 300), at(minute)),
            rows(&stats("buttons?window=5m"), "buttons", &["button_id", "clicks"]),
        ),
        (
            "click_seconds",
            (back(second, 60), at(second)),
            one(&rates, &["clicks_per_second", "loads_per_second"]),
        ),
        (
            "product_minutes",
            (back(minute, 3_600), at(minute)),
            rows(&stats("top-products?window=1h&by=views"), "products", &["sku", "views"]),
        ),
        (
            "visits",
            (back(until, 3_600), at(until)),
            one(&funnel, &["visits", "viewed", "added", "ordered"]),
        ),
        (
            "sales_minutes",
            (back(minute, 3_600), at(minute)),
            sums(&stats("sales?window=1h"), "minutes", &["orders", "revenue"]),
        ),
        (
            "sales_days",
            thirty,
            sums(&stats("sales-per-day?window=30d"), "days", &["orders", "gross"]),
        ),
        ("click_days", fourteen, Vec::new()),
    ] {
        let found = explained.as_array().unwrap().iter().find(|one| one["check"] == check).unwrap();
        let mut both = Vec::new();
        for sql in ["read_model", "events"] {
            let sql = found[sql].as_str().unwrap().replace("<behind>", &behind);
            let sql = sql.replace("<until>", &to).replace("<by>", "views");
            both.push(place.query(&sql).await);
        }
        assert_eq!(both[0], both[1], "{check}");
        assert!(!both[0].is_empty(), "{check}");
        if check != "click_days" {
            assert_eq!(both[0], expected, "{check}");
        }
    }
    assert_eq!(explained.as_array().unwrap().len(), 8);
}

/// The best products of a window, and what they were in the one before, beside SQL.
async fn a_window_is_what_its_sql_says(place: Place) {
    place.visitors("3s");
    let serving = place.serve();
    let last = place.query("select max(minute) from {product_minutes}").await.remove(0).remove(0);
    let last: DateTime<Utc> = last.parse().unwrap();
    // The window ends with the last minute; or holds none, and the one before holds all.
    for (by, window, minutes, later) in [
        ("units", "5m", 5, 0),
        ("views", "1m", 1, 0),
        ("revenue", "24h", 1440, 0),
        ("adds", "10m", 10, 15),
    ] {
        let until = last + TimeDelta::minutes(later);
        let from = until - TimeDelta::minutes(minutes);
        let literal = |at: DateTime<Utc>| format!("'{}.000000Z'", at.format("%Y-%m-%dT%H:%M:%S"));
        let within = |column: &str, from, until| {
            let (from, until) = (literal(from), literal(until));
            format!(
                "cast(sum(case when minute > {from} and minute <= {until} then {column} else 0 end) as bigint)"
            )
        };
        let sums = ["views", "adds", "units", "revenue"].map(|column| within(column, from, until));
        let before = within(by, from - TimeDelta::minutes(minutes), from);
        let order = within(by, from, until);
        let sql = format!(
            "select sku, {}, {before} from {{product_minutes}} group by sku having {order} > 0 \
             order by {order} desc, sku limit 9",
            sums.join(", ")
        );
        let path = format!(
            "/stats/top-products?window={window}&by={by}&until={}Z",
            until.format("%Y-%m-%dT%H:%M:%S")
        );
        let answer = json(&serving, &path);
        assert_eq!(answer["window_seconds"], 60 * minutes);
        let products = answer["products"].as_array().unwrap();
        let told = products.iter().map(|product| {
            let column = |column: &str| {
                product[column].as_str().map_or_else(|| product[column].to_string(), str::to_owned)
            };
            ["sku", "views", "adds", "units", "revenue", "before"].map(column).to_vec()
        });
        assert_eq!(told.collect::<Vec<_>>(), place.query(&sql).await, "{path}");
        assert_eq!(products.is_empty(), later > 0);
        assert!(products.iter().all(|product| product["title"].is_string()));
    }
    let sum = |path: &str, rows: &str, column: &str| {
        let answer = json(&serving, path);
        let rows = answer[rows].as_array().unwrap().iter();
        rows.map(|row| row[column].as_i64().unwrap()).sum::<i64>().to_string()
    };
    let orders = place.query("select count(*) from {order_views}").await;
    assert_eq!(sum("/stats/sales?window=1h", "minutes", "orders"), orders[0][0]);
    assert_eq!(sum("/stats/sales-per-day?window=2d", "days", "orders"), orders[0][0]);
    let clicks = place.query("select cast(sum(clicks) as bigint) from {click_days}").await;
    assert_eq!(sum("/stats/clicks-per-day?window=2d", "days", "clicks"), clicks[0][0]);
    let two = json(&serving, "/stats/clicks-per-day?window=2d");
    assert_eq!(two["days"].as_array().unwrap().len(), 2, "also one without clicks: {two}");
    let two = json(&serving, "/stats/clicks-per-day?window=36h");
    assert_eq!(two["days"].as_array().unwrap().len(), 2, "whole days: {two}");
    for wrong in ["sales?by=units", "sales?window=2d", "sales-per-day?window=0d"] {
        assert!(serving.get(&format!("/stats/{wrong}")).0.contains(" 400 "), "{wrong}");
    }
    let early = json(&serving, "/stats/top-products?window=24h&until=2001-01-01T00:00:00Z");
    assert_eq!(
        (&early["products"], &early["generation"]),
        (&Value::Array(vec![]), &Value::from(1))
    );
    let rates = json(&serving, "/stats/rates?window=1h");
    let clicks = place.query("select cast(sum(clicks) as bigint) from {click_seconds}").await;
    assert_eq!(rates["clicks_total"].to_string(), clicks[0][0]);
    assert_eq!(rates["clicks"].as_array().unwrap().len(), 3_600);
    let buttons = json(&serving, "/stats/buttons?window=1h");
    let counted = json(&serving, "/api/clickCount");
    let sum = |rows: &Value, column: &str| -> i64 {
        let number = |row: &Value| {
            row[column].as_i64().or_else(|| row[column].as_str()?.parse().ok()).unwrap()
        };
        rows.as_array().unwrap().iter().map(number).sum()
    };
    assert_eq!(sum(&buttons["buttons"], "clicks"), sum(&counted, "sum"));
    for path in [
        "window=0s",
        "window=5",
        "window=500d",
        "until=now",
        "until=-262143-01-01T00:00:00Z",
        "until=9999-12-31T23:59:59Z",
        "by=weight",
        "width=5m",
    ] {
        let (head, body) = serving.get(&format!("/stats/top-products?{path}"));
        assert!(
            head.starts_with("http/1.1 400 ") && body.contains("malformed-request"),
            "{path}: {head}"
        );
    }
    for path in ["rates?window=2h", "sales?window=25h"] {
        assert!(serving.get(&format!("/stats/{path}")).0.starts_with("http/1.1 400 "), "{path}");
    }
}

/// A row for each change, each with the event that has caused it; the last one of a row is how it stands.
async fn rows_come_as_they_change(place: Place) {
    let serving = place.serve();
    let mut stream = TcpStream::connect(&serving.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(b"GET /log/projections/product_sales/changes?from=beginning HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    // Twice, so that a product is sold again also on a slow machine.
    place.visitors("3s");
    place.visitors("3s");
    let expected = place.query("select sku, units_gross from {product_sales} order by sku").await;
    let last = place.query("select max(position) from {product_sales}").await[0][0]
        .parse::<u64>()
        .unwrap();
    let (mut rows, mut before, mut changes) = (BTreeMap::new(), 0, 0);
    let deadline = Instant::now() + Duration::from_secs(30);
    for line in BufReader::new(stream).lines().map(Result::unwrap) {
        assert!(Instant::now() < deadline, "{rows:?} is not {expected:?}");
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let change: Value = serde_json::from_str(data).unwrap();
        let position = change["position"].as_u64().unwrap();
        assert!(position >= before, "{position} comes after {before}");
        before = position;
        let row = &change["row"];
        assert_eq!(change["key"]["sku"], row["sku"]);
        rows.insert(row["sku"].as_str().unwrap().to_owned(), row["units_gross"].to_string());
        changes += 1;
        if position >= last
            && rows
                .iter()
                .map(|(sku, units)| vec![sku.clone(), units.clone()])
                .eq(expected.iter().cloned())
        {
            break;
        }
    }
    assert!(changes > rows.len(), "{changes} changes of {} rows", rows.len());
}

/// Another build beside the one in service, put into service and taken back: nobody who asks notices, but by the number
/// of the build in the answer.
async fn versions_come_and_go_while_it_is_asked(place: Place) {
    place.visitors("2s");
    let serving = place.serve();
    let (over, seen) = (AtomicBool::new(false), std::sync::Mutex::new(Vec::new()));
    let ask = || {
        let mut asked = 0;
        while !over.load(SeqCst) {
            let answer = json(&serving, "/stats/top-products?window=24h");
            let (generation, products) = (&answer["generation"], &answer["products"]);
            let mut seen = seen.lock().unwrap();
            if seen.last().is_none_or(|(last, _): &(u64, Value)| generation != last) {
                seen.push((generation.as_u64().unwrap(), products.clone()));
            }
            assert_eq!(*products, seen[0].1, "no event comes, so no number changes");
            asked += 1;
        }
        asked
    };
    let generations =
        || seen.lock().unwrap().iter().map(|(generation, _)| *generation).collect::<Vec<_>>();
    let wait_for = |expected: &[u64]| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while generations() != expected {
            assert!(Instant::now() < deadline, "{:?} is not {expected:?}", generations());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let act = |arguments: &[&str]| {
        let done = place.run(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
    };
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(ask);
        let work = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(&[1]);
            act(&["projections", "rebuild", "product_minutes", "--hold", "--no-progress"]);
            assert_eq!(generations(), [1], "it is held back");
            act(&["projections", "promote", "product_minutes", "--no-progress"]);
            wait_for(&[1, 2]);
            act(&["projections", "rollback", "product_minutes", "--no-progress"]);
            wait_for(&[1, 2, 1]);
        }));
        over.store(true, SeqCst);
        let asked = asking.join().unwrap();
        work.unwrap();
        asked
    });
    assert!(asked > 20, "{asked} requests");
    let generations: BTreeSet<_> = generations().into_iter().collect();
    assert_eq!(generations, [1, 2].into());
}

/// A projection that is asked for while the shop runs is kept from then on, also by the next start; a page of another
/// origin cannot ask, nor can the network.
async fn one_joins_late_and_stays(place: Place) {
    place.visitors("2s");
    let serving = place.serve();
    let names = |serving: &Serving| -> Vec<String> {
        let live = json(serving, "/api/live");
        let name = |projection: &Value| projection["name"].as_str().unwrap().to_owned();
        live["projections"].as_array().unwrap().iter().map(name).collect()
    };
    let kept = |serving: &Serving| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !names(serving).contains(&"busy_hours".to_owned()) {
            assert!(Instant::now() < deadline, "it does not join");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    assert_eq!(names(&serving).len(), shop::app().names().len());
    for (kind, status) in
        [("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("application/json", 202)]
    {
        assert_eq!(serving.post("/api/busy-hours", kind, "{}"), status, "{kind}");
        assert_eq!(
            serving.post("/api/at", kind, "{\"position\":5}"),
            if status == 202 { 200 } else { status }
        );
    }
    kept(&serving);
    drop(serving);
    let serving = place.serve();
    kept(&serving);
    let orders = place.query("select count(*) from {order_views}").await;
    eventually("it has caught up", async || {
        let counted = place.query("select cast(sum(orders) as bigint) from {busy_hours}").await;
        (counted == orders).then_some(())
    })
    .await;
    drop(serving);
    let (secret, tokens) = ("0".repeat(64), place.folder.path().join("tokens"));
    std::fs::write(&tokens, format!("read {secret}\n")).unwrap();
    let tokens = tokens.to_str().unwrap();
    let serving = Serving::start(shop(&place.log).args(["web", "--port", "0", "--tokens", tokens]));
    assert_eq!(json(&serving, "/api/live")["operable"], false);
    for path in ["/api/at", "/api/busy-hours"] {
        assert_eq!(serving.post(path, "application/json", "{\"position\":5}"), 404, "{path}");
    }
}

/// The clicks of another shop, whose numbers were counted by others.
async fn the_funnel_of_a_year_of_clicks_is_the_counted_one(place: Place) {
    let file = shipped("ecom.csv.gz");
    let imported = place.run(&["import", "ecom", file.to_str().unwrap(), "--no-progress"]);
    assert_eq!(imported.code, 0, "{imported:?}");
    assert_eq!(place.run(&["projections", "run", "--once"]).code, 0);
    let serving = place.serve();
    let funnel = json(&serving, "/stats/funnel?window=400d&until=2024-12-31T00:00:00Z");
    let told = ["visits", "viewed", "added", "ordered"].map(|step| funnel[step].as_i64().unwrap());
    assert_eq!(told, [3_605, 2_868, 1_213, 470]);
    let audit = place.run(&["audit"]);
    assert_eq!(audit.out.matches("ok ").count(), 12, "{audit:?}");
    drop(place.folder);
}
