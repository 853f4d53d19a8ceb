//! Aggregates that are no plain count: distinct things, the top of a window, a mean, and what came too late.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use headwater::{
    App, ExpectedVersion, Fold, NewEvent, ReadModel, Recorded, StreamName, Windows, connect,
};
use headwater_testkit::postgres;

use crate::{Click, DAYS, clicks, filled};

/// The clicks of each visitor on each day: as many rows as there were visitors, the busiest the first.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "visitor_days")]
struct VisitorDay {
    #[key]
    day: DateTime<Utc>,
    #[key]
    visitor: String,
    clicks: i64,
}

impl Fold for VisitorDay {
    type Event = Click;

    fn keys(event: &Recorded<Click>) -> Vec<(DateTime<Utc>, String)> {
        let Click::Made { visitor } = &event.event;
        vec![(DAYS.start(event.occurred_at), visitor.clone())]
    }

    fn fold(
        row: Option<Self>,
        (day, visitor): &(DateTime<Utc>, String),
        _: &Recorded<Click>,
    ) -> Option<Self> {
        let clicks = row.map_or(0, |row| row.clicks) + 1;
        Some(Self { day: *day, visitor: visitor.clone(), clicks })
    }
}

/// The distinct visitors of each day, the mean of their clicks, and the busiest three of the busiest day.
async fn aggregates_are_those_of_the_file(url: &str) {
    let file = clicks();
    let mut counted = BTreeMap::<_, HashMap<&str, i64>>::new();
    for (visitor, at) in &file {
        *counted.entry(DAYS.start(*at)).or_default().entry(visitor).or_default() += 1;
    }
    let log = filled(url, &file).await;
    App::new().projection::<VisitorDay>().catch_up(&log).await.unwrap();
    let sql = "select day, count(*) as visitors, cast(sum(clicks) as bigint) as clicks, \
                      cast(sum(clicks) as double precision) / count(*) as mean \
               from {visitor_days} group by day order by day";
    let days = log.query(sql, &[]).await.unwrap();
    assert_eq!(days.len(), counted.len());
    for (row, (day, visitors)) in days.iter().zip(&counted) {
        let (distinct, clicks) = (visitors.len() as i64, visitors.values().sum::<i64>());
        assert_eq!(row.get::<DateTime<Utc>>("day").unwrap(), *day);
        assert_eq!(row.get::<i64>("visitors").unwrap(), distinct, "{day}");
        assert_eq!(row.get::<i64>("clicks").unwrap(), clicks, "{day}");
        let mean: f64 = row.get("mean").unwrap();
        assert!((mean - clicks as f64 / distinct as f64).abs() < 1e-9, "{day}: {mean}");
    }
    let busiest: DateTime<Utc> = "2024-05-07T00:00:00Z".parse().unwrap();
    let top = "where day = $1 order by clicks desc, visitor limit 3";
    let top: Vec<VisitorDay> = log.find(top, &[busiest.into()]).await.unwrap();
    let mut expected: Vec<_> = counted[&busiest].iter().collect();
    expected.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let top: Vec<_> = top.iter().map(|row| (&*row.visitor, row.clicks)).collect();
    assert_eq!(top, expected[..3].iter().map(|(v, n)| (**v, **n)).collect::<Vec<_>>());
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_are_those_of_the_file_on_sqlite() {
    aggregates_are_those_of_the_file("sqlite::memory:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_are_those_of_the_file_on_postgresql() {
    aggregates_are_those_of_the_file(postgres::database().await.url()).await;
}

const HOURS: Windows = Windows::tumbling(3_600);

/// The clicks of each hour that were recorded within ten minutes, and beside them those that were not.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "final_hours")]
struct FinalHour {
    #[key]
    begins: DateTime<Utc>,
    #[key]
    too_late: bool,
    clicks: i64,
}

impl Fold for FinalHour {
    type Event = Click;

    fn keys(event: &Recorded<Click>) -> Vec<(DateTime<Utc>, bool)> {
        let too_late = event.delay() > TimeDelta::minutes(10);
        vec![(HOURS.start(event.occurred_at), too_late)]
    }

    fn fold(
        row: Option<Self>,
        (begins, too_late): &(DateTime<Utc>, bool),
        _: &Recorded<Click>,
    ) -> Option<Self> {
        let clicks = row.map_or(0, |row| row.clicks) + 1;
        Some(Self { begins: *begins, too_late: *too_late, clicks })
    }
}

/// Also by a rebuild, for which all of them came long ago.
async fn what_is_too_late_is_counted_beside(url: &str) {
    let log = connect(url).await.unwrap();
    let app = App::new().projection::<FinalHour>();
    let now = Utc::now();
    let stream = StreamName::new("clicks", 1).unwrap();
    for minutes in [0, 5, 60, 9, 24 * 60] {
        let click = Click::Made { visitor: "ann".into() };
        let click = NewEvent::of(&click).unwrap().occurred_at(now - TimeDelta::minutes(minutes));
        log.append(&stream, ExpectedVersion::Any, [click]).await.unwrap();
    }
    app.catch_up(&log).await.unwrap();
    let rows = async || log.find::<FinalHour>("order by begins, too_late", &[]).await.unwrap();
    let counted = rows().await;
    let clicks = |too_late| {
        let rows = counted.iter().filter(|row| row.too_late == too_late);
        rows.map(|row| row.clicks).sum::<i64>()
    };
    assert_eq!((clicks(false), clicks(true)), (3, 2), "{counted:?}");
    app.rebuild(&log, &[], &|_| {}).await.unwrap();
    assert_eq!(rows().await, counted);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_late_is_counted_beside_on_sqlite() {
    what_is_too_late_is_counted_beside("sqlite::memory:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_late_is_counted_beside_on_postgresql() {
    what_is_too_late_is_counted_beside(postgres::database().await.url()).await;
}
