//! Windows in event time, on the 31,106 clicks of a shop whose file goes back in time 586 times: the rows are the same in
//! whatever order the clicks arrive.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

#[path = "../support/mod.rs"]
mod support;

mod aggregates;
mod lookups;
mod sessions;

use chrono::{DateTime, NaiveDateTime, Utc};
use flate2::read::GzDecoder;
use headwater::{
    App, Event, ExpectedVersion, Fold, Log, NewEvent, ReadModel, Recorded, StreamName, Windows,
    connect,
};
use headwater_testkit::postgres::{self, TestDatabase};
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde::{Deserialize, Serialize};
use sessions::{Visit, VisitPart, visits_of_parts};
use support::workspace;

/// What a visitor did.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(category = "clicks")]
enum Click {
    #[event(name = "click.made")]
    Made { visitor: String },
}

/// The clicks of each second of which there is one: what sliding windows and rates are made of.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "click_seconds")]
struct ClickSecond {
    /// In Unix time, so that SQL can reckon with it in both databases.
    #[key]
    second: i64,
    clicks: i64,
}

impl Fold for ClickSecond {
    type Event = Click;

    fn keys(event: &Recorded<Click>) -> Vec<i64> {
        vec![event.occurred_at.timestamp()]
    }

    fn fold(row: Option<Self>, second: &i64, _: &Recorded<Click>) -> Option<Self> {
        let clicks = row.map_or(0, |row| row.clicks) + 1;
        Some(Self { second: *second, clicks })
    }
}

const DAYS: Windows = Windows::tumbling(86_400);

/// The clicks of each day.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "click_days")]
struct ClickDay {
    #[key]
    day: DateTime<Utc>,
    clicks: i64,
}

impl Fold for ClickDay {
    type Event = Click;

    fn keys(event: &Recorded<Click>) -> Vec<DateTime<Utc>> {
        vec![DAYS.start(event.occurred_at)]
    }

    fn fold(row: Option<Self>, day: &DateTime<Utc>, _: &Recorded<Click>) -> Option<Self> {
        let clicks = row.map_or(0, |row| row.clicks) + 1;
        Some(Self { day: *day, clicks })
    }
}

/// An hour, and the next one a quarter of an hour later.
const HOURS: Windows = Windows::hopping(3_600, 900);

/// The clicks of each hour, with the first and the last of them.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "click_hours")]
struct ClickHour {
    #[key]
    begins: DateTime<Utc>,
    clicks: i64,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
}

impl Fold for ClickHour {
    type Event = Click;

    fn keys(event: &Recorded<Click>) -> Vec<DateTime<Utc>> {
        HOURS.starts(event.occurred_at).collect()
    }

    fn fold(row: Option<Self>, begins: &DateTime<Utc>, event: &Recorded<Click>) -> Option<Self> {
        let at = event.occurred_at;
        let row = row.unwrap_or(Self { begins: *begins, clicks: 0, first: at, last: at });
        let (first, last) = (row.first.min(at), row.last.max(at));
        Some(Self { clicks: row.clicks + 1, first, last, ..row })
    }
}

/// A click of the file.
type Line = (String, DateTime<Utc>);

/// The clicks, in the order of the file.
fn clicks() -> Vec<Line> {
    let file = std::fs::File::open(workspace().join("examples/shop/data/ecom.csv.gz")).unwrap();
    let mut lines = csv::Reader::from_reader(GzDecoder::new(file));
    let line = |line: csv::StringRecord| {
        let at = NaiveDateTime::parse_from_str(&line[3], "%Y-%m-%d %H:%M:%S").unwrap();
        (line[0].to_owned(), at.and_utc())
    };
    lines.records().map(|read| line(read.unwrap())).collect()
}

/// As the file has them, by the clock, and in three orders by lot.
fn arrivals() -> Vec<Vec<Line>> {
    let file = clicks();
    let mut sorted = file.clone();
    sorted.sort_by_key(|(_, at)| *at);
    let shuffled = [1, 2, 3].map(|seed| {
        let mut shuffled = file.clone();
        shuffled.shuffle(&mut StdRng::seed_from_u64(seed));
        shuffled
    });
    [file, sorted].into_iter().chain(shuffled).collect()
}

/// A log in which the clicks arrive in this order, and its read models.
async fn arrived(url: &str, clicks: &[Line]) -> Log {
    let app = App::new()
        .projection::<ClickSecond>()
        .projection::<ClickDay>()
        .projection::<ClickHour>()
        .projection::<VisitPart>();
    let log = filled(url, clicks).await;
    app.catch_up(&log).await.unwrap();
    log
}

async fn filled(url: &str, clicks: &[Line]) -> Log {
    let log = connect(url).await.unwrap();
    for (number, thousand) in (1..).zip(clicks.chunks(1_000)) {
        let stream = StreamName::new("clicks", number).unwrap();
        let event = |(visitor, at): &Line| {
            let click = Click::Made { visitor: visitor.clone() };
            NewEvent::of(&click).unwrap().occurred_at(*at)
        };
        log.append(&stream, ExpectedVersion::None, thousand.iter().map(event)).await.unwrap();
    }
    log
}

/// All rows of the windows.
#[derive(Clone, PartialEq)]
struct Tables {
    seconds: Vec<ClickSecond>,
    days: Vec<ClickDay>,
    hours: Vec<ClickHour>,
    visits: Vec<Visit>,
}

impl Tables {
    async fn of(log: &Log) -> Self {
        Self {
            seconds: log.find("order by second", &[]).await.unwrap(),
            days: log.find("order by day", &[]).await.unwrap(),
            hours: log.find("order by begins", &[]).await.unwrap(),
            visits: visits_of_parts(log).await,
        }
    }
}

/// The most clicks in any window of so many seconds that ends with a click.
async fn busiest(log: &Log, seconds: i64) -> i64 {
    let sql = format!(
        "select cast(max(n) as bigint) as most from (
             select sum(clicks) over (
                 order by second range between {} preceding and current row
             ) as n
             from {{click_seconds}}
         ) as sliding",
        seconds - 1
    );
    log.query(&sql, &[]).await.unwrap()[0].get("most").unwrap()
}

async fn windows_have_the_counted_numbers(url: &str) {
    let log = arrived(url, &clicks()).await;
    for (seconds, most) in [(60, 9), (300, 20), (3_600, 97)] {
        assert_eq!(busiest(&log, seconds).await, most, "in {seconds} s");
    }
    let days: Vec<ClickDay> = log.find("order by clicks desc limit 1", &[]).await.unwrap();
    let day = "2024-05-07T00:00:00Z".parse().unwrap();
    assert_eq!(days, [ClickDay { day, clicks: 430 }]);
    // Each click is in four of the hours.
    let hours = "select cast(sum(clicks) as bigint) as clicks from {click_hours}";
    let clicks: i64 = log.query(hours, &[]).await.unwrap()[0].get("clicks").unwrap();
    assert_eq!(clicks, 4 * 31_106);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_windows_have_the_counted_numbers_on_sqlite() {
    windows_have_the_counted_numbers("sqlite::memory:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_windows_have_the_counted_numbers_on_postgresql() {
    windows_have_the_counted_numbers(postgres::database().await.url()).await;
}

/// In each of five orders, on a log of its own.
async fn the_order_of_arrival_changes_no_window(
    fresh: impl AsyncFn() -> (String, Option<TestDatabase>),
) {
    let mut first = None;
    for clicks in arrivals() {
        let (url, _database) = fresh().await;
        let log = arrived(&url, &clicks).await;
        let tables = Tables::of(&log).await;
        log.close().await;
        let first = first.get_or_insert_with(|| tables.clone());
        // Not by `assert_eq`, which would print them.
        assert!(tables == *first, "the order of arrival shows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_25_the_order_of_arrival_changes_no_window_on_sqlite() {
    the_order_of_arrival_changes_no_window(async || ("sqlite::memory:".into(), None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_25_the_order_of_arrival_changes_no_window_on_postgresql() {
    let fresh = async || {
        let database = postgres::database().await;
        (database.url().to_owned(), Some(database))
    };
    the_order_of_arrival_changes_no_window(fresh).await;
}
