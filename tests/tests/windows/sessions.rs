//! Sessions: rows of tumbling windows as long as the gap, which a query makes sessions of; and rows of their own.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use headwater::{
    App, BatchTx, Fold, Log, ReadModel, Recorded, Result, Row, SqlProjection, Windows,
};
use headwater_testkit::{postgres, seed};
use rand::{
    RngExt as _, SeedableRng as _,
    rngs::StdRng,
    seq::{IndexedRandom as _, SliceRandom as _},
};

use crate::{Click, Line, arrivals, filled};

/// Two clicks in one of these are less than the gap apart, so they are of one visit.
const PARTS: Windows = Windows::tumbling(1_800);

/// The parts of visits. A visit goes on from one to the next where the first click of the next is at most half an hour
/// behind the last one before it.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "visit_parts")]
pub(crate) struct VisitPart {
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

/// Whose it is, its first and last second, and its clicks.
pub(crate) type Visit = (String, i64, i64, i64);

/// The visits that the parts make.
pub(crate) async fn visits_of_parts(log: &Log) -> Vec<Visit> {
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

/// By SQL over the clicks, each of which opens a visit where the one before is too long ago.
async fn visits_are_those_of_sql(url: &str, clicks: &[Line]) -> usize {
    let log = filled(url, clicks).await;
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
    assert_eq!(visits_of_parts(&log).await, expected);
    assert_eq!(visits(&log).await, expected);
    log.close().await;
    expected.len()
}

/// Visitors whose pauses are as long as the gap, a second less or more, or go over a whole part; in an order by lot.
fn at_the_border() -> Vec<Line> {
    let mut random = StdRng::seed_from_u64(seed("sessions"));
    let mut clicks = Vec::new();
    for visitor in 0..40 {
        let mut at = DateTime::from_timestamp(random.random_range(-9_000..9_000), 0).unwrap();
        for _ in 0..25 {
            clicks.push((format!("visitor-{visitor:02}"), at));
            let pause = [0, 1, 900, 1_799, 1_800, 1_801, 3_599, 3_600];
            let part = random.random_range(0..1_000);
            at = at.with_nanosecond(0).unwrap()
                + TimeDelta::seconds(*pause.choose(&mut random).unwrap())
                + TimeDelta::milliseconds(part);
        }
    }
    clicks.shuffle(&mut random);
    clicks
}

#[tokio::test(flavor = "multi_thread")]
async fn s_26_visits_are_those_of_sql_on_sqlite() {
    assert!(visits_are_those_of_sql("sqlite::memory:", &arrivals()[2]).await > 600);
    assert!(visits_are_those_of_sql("sqlite::memory:", &at_the_border()).await > 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_26_visits_are_those_of_sql_on_postgresql() {
    let (one, other) = (postgres::database().await, postgres::database().await);
    assert!(visits_are_those_of_sql(one.url(), &arrivals()[2]).await > 600);
    assert!(visits_are_those_of_sql(other.url(), &at_the_border()).await > 300);
}
