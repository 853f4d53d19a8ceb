//! A look-up of what another read model says, as of the position of the event.

use async_trait::async_trait;
use headwater::{
    App, BatchTx, Event, ExpectedVersion, NewEvent, Recorded, Result, Row, SqlProjection,
    StreamName, Windows, connect,
};
use headwater_testkit::postgres;
use serde::{Deserialize, Serialize};

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
