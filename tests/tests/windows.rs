//! Windows in event time, on the 31,106 clicks of a shop whose file goes back in time 586 times: the rows are the same in
//! whatever order the clicks arrive.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod support;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDateTime, Utc};
use flate2::read::GzDecoder;
use headwater::{
    App, BatchTx, Event, ExpectedVersion, Fold, Log, NewEvent, ReadModel, Recorded, Result, Row,
    SqlProjection, StreamName, Windows, connect,
};
use headwater_testkit::postgres::{self, TestDatabase};
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde::{Deserialize, Serialize};
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

/// Two clicks in one of these are never further apart than the gap that ends a visit, so they are of one visit.
const PARTS: Windows = Windows::tumbling(1_800);

/// The parts of visits. A visit is a row of them none of which begins more than half an hour behind the end of the one
/// before.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "visit_parts")]
struct VisitPart {
    #[key]
    visitor: String,
    #[key]
    begins: DateTime<Utc>,
    first: i64,
    last: i64,
    clicks: i64,
}

impl Fold for VisitPart {
    type Event = Click;

    fn keys(event: &Recorded<Click>) -> Vec<(String, DateTime<Utc>)> {
        let Click::Made { visitor } = &event.event;
        vec![(visitor.clone(), PARTS.start(event.occurred_at))]
    }

    fn fold(
        row: Option<Self>,
        (visitor, begins): &(String, DateTime<Utc>),
        event: &Recorded<Click>,
    ) -> Option<Self> {
        let at = event.occurred_at.timestamp();
        let (first, last, clicks) =
            row.map_or((at, at, 0), |row| (row.first, row.last, row.clicks));
        let (first, last, clicks) = (first.min(at), last.max(at), clicks + 1);
        Some(Self { visitor: visitor.clone(), begins: *begins, first, last, clicks })
    }
}

/// The same visits as rows of their own. A late click may make two of them one.
struct Visits;

const GAP: i64 = 1_800;

#[async_trait]
impl SqlProjection for Visits {
    type Event = Click;
    const NAME: &'static str = "visits";
    const TABLES: &'static [(&'static str, &'static str)] = &[(
        "visits",
        "create table {visits} (
             visitor text not null,
             first bigint not null,
             last bigint not null,
             clicks bigint not null,
             primary key (visitor, first)
         )",
    )];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<Click>]) -> Result<()> {
        for event in events {
            let Click::Made { visitor } = &event.event;
            let (visitor, at) = (visitor.as_str(), event.occurred_at.timestamp());
            let near = "delete from {visits} where visitor = $1 and first <= $3 and last >= $2
                        returning first, last, clicks";
            let near =
                tx.fetch(near, &[visitor.into(), (at - GAP).into(), (at + GAP).into()]).await?;
            let (mut first, mut last, mut clicks) = (at, at, 1);
            for visit in near {
                first = first.min(visit.get("first")?);
                last = last.max(visit.get("last")?);
                clicks += visit.get::<i64>("clicks")?;
            }
            let merged =
                "insert into {visits} (visitor, first, last, clicks) values ($1, $2, $3, $4)";
            tx.execute(merged, &[visitor.into(), first.into(), last.into(), clicks.into()]).await?;
        }
        Ok(())
    }
}

/// The clicks as they are, for SQL to reckon with.
struct Clicks;

#[async_trait]
impl SqlProjection for Clicks {
    type Event = Click;
    const NAME: &'static str = "clicks";
    const TABLES: &'static [(&'static str, &'static str)] = &[(
        "clicks",
        "create table {clicks} (
             position bigint primary key, visitor text not null, second bigint not null
         )",
    )];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<Click>]) -> Result<()> {
        for event in events {
            let Click::Made { visitor } = &event.event;
            let position = i64::try_from(event.position.0).unwrap_or(i64::MAX);
            let values =
                [position.into(), visitor.as_str().into(), event.occurred_at.timestamp().into()];
            tx.execute(
                "insert into {clicks} (position, visitor, second) values ($1, $2, $3)",
                &values,
            )
            .await?;
        }
        Ok(())
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

/// Whose it is, its first and last second, and its clicks.
type Visit = (String, i64, i64, i64);

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

/// The visits that the parts make.
async fn visits_of_parts(log: &Log) -> Vec<Visit> {
    let sql = "
        select visitor, min(first) as first, max(last) as last,
               cast(sum(clicks) as bigint) as clicks
        from (
            select part.*, sum(opens) over (partition by visitor order by begins) as visit
            from (
                select visitor, begins, first, last, clicks, case
                    when first - lag(last) over (partition by visitor order by begins) <= 1800
                    then 0 else 1
                end as opens
                from {visit_parts}
            ) as part
        ) as counted
        group by visitor, visit
        order by visitor, first";
    log.query(sql, &[]).await.unwrap().iter().map(visit).collect()
}

async fn visits(log: &Log) -> Vec<Visit> {
    let sql = "select visitor, first, last, clicks from {visits} order by visitor, first";
    log.query(sql, &[]).await.unwrap().iter().map(visit).collect()
}

fn visit(row: &Row) -> Visit {
    let number = |name| row.get(name).unwrap();
    (row.get("visitor").unwrap(), number("first"), number("last"), number("clicks"))
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

/// By SQL over the clicks, each of which opens a visit where the one before is too long ago; they arrive in an order by
/// lot.
async fn visits_are_those_of_sql(url: &str) {
    let log = filled(url, &arrivals()[2]).await;
    let app = App::new().projection::<VisitPart>().sql_projection(Visits).sql_projection(Clicks);
    app.catch_up(&log).await.unwrap();
    let sql = "
        select visitor, min(second) as first, max(second) as last, count(*) as clicks from (
            select visitor, second, sum(opens) over (
                partition by visitor order by second, position
            ) as visit
            from (
                select visitor, second, position, case
                    when second - lag(second) over (
                        partition by visitor order by second, position
                    ) <= 1800 then 0 else 1
                end as opens
                from {clicks}
            ) as opening
        ) as counted
        group by visitor, visit
        order by visitor, first";
    let expected: Vec<_> = log.query(sql, &[]).await.unwrap().iter().map(visit).collect();
    assert!(expected.len() > 600, "there are {} visits", expected.len());
    assert_eq!(visits_of_parts(&log).await, expected);
    assert_eq!(visits(&log).await, expected);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_26_visits_are_those_of_sql_on_sqlite() {
    visits_are_those_of_sql("sqlite::memory:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_26_visits_are_those_of_sql_on_postgresql() {
    visits_are_those_of_sql(postgres::database().await.url()).await;
}

/// What is said of goods, and which of them are sold.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(category = "goods")]
enum Goods {
    #[event(name = "goods.filed")]
    Filed { category: String },
    #[event(name = "goods.sold")]
    Sold { pence: i64 },
}

/// The revenue of each category in each hour: the category in which the goods were filed when they were sold.
struct CategoryHours;

#[async_trait]
impl SqlProjection for CategoryHours {
    type Event = Goods;
    const NAME: &'static str = "category_hours";
    const TABLES: &'static [(&'static str, &'static str)] = &[
        (
            "filed_goods",
            "create table {filed_goods} (goods text primary key, category text not null)",
        ),
        (
            "category_hours",
            "create table {category_hours} (
                 category text not null, hour bigint not null, pence bigint not null,
                 primary key (category, hour)
             )",
        ),
    ];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<Goods>]) -> Result<()> {
        const HOURS: Windows = Windows::tumbling(3_600);
        for event in events {
            let goods = event.stream.as_str();
            match &event.event {
                Goods::Filed { category } => {
                    let file = "insert into {filed_goods} (goods, category) values ($1, $2)
                                on conflict (goods) do update set category = excluded.category";
                    tx.execute(file, &[goods.into(), category.as_str().into()]).await?;
                }
                Goods::Sold { pence } => {
                    let hour = HOURS.start(event.occurred_at).timestamp();
                    let add = "insert into {category_hours} (category, hour, pence)
                               select category, $2, $3 from {filed_goods} where goods = $1
                               on conflict (category, hour)
                               do update set pence = {category_hours}.pence + excluded.pence";
                    tx.execute(add, &[goods.into(), hour.into(), (*pence).into()]).await?;
                }
            }
        }
        Ok(())
    }
}

async fn a_look_up_is_that_of_the_events_position(url: &str) {
    let log = connect(url).await.unwrap();
    let app = App::new().sql_projection(CategoryHours);
    let happens = async |goods: u32, minute: u32, event: Goods| {
        let at = format!("2024-05-07T10:{minute:02}:00Z").parse().unwrap();
        let event = NewEvent::of(&event).unwrap().occurred_at(at);
        let stream = StreamName::new("goods", goods).unwrap();
        log.append(&stream, ExpectedVersion::Any, [event]).await.unwrap();
        app.catch_up(&log).await.unwrap();
    };
    let filed = |category: &str| Goods::Filed { category: category.into() };
    happens(1, 0, filed("tea")).await;
    happens(2, 0, filed("cups")).await;
    happens(1, 10, Goods::Sold { pence: 100 }).await;
    happens(2, 59, Goods::Sold { pence: 500 }).await;
    happens(1, 20, filed("gifts")).await;
    happens(1, 30, Goods::Sold { pence: 10 }).await;
    // By its clock before the goods were filed elsewhere, by the log behind it.
    happens(1, 15, Goods::Sold { pence: 1 }).await;
    let revenue = async || {
        let sql = "select category, pence from {category_hours} order by category";
        let rows = log.query(sql, &[]).await.unwrap();
        let row = |row: &Row| (row.get("category").unwrap(), row.get("pence").unwrap());
        rows.iter().map(row).collect::<Vec<(String, i64)>>()
    };
    let expected = [("cups", 500), ("gifts", 11), ("tea", 100)].map(|(c, n)| (c.to_owned(), n));
    assert_eq!(revenue().await, expected);
    app.rebuild(&log, &[], &|_| {}).await.unwrap();
    assert_eq!(revenue().await, expected, "a rebuild meets each event in its place");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_21_a_later_rename_changes_no_earlier_row_on_sqlite() {
    a_look_up_is_that_of_the_events_position("sqlite::memory:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_21_a_later_rename_changes_no_earlier_row_on_postgresql() {
    a_look_up_is_that_of_the_events_position(postgres::database().await.url()).await;
}
