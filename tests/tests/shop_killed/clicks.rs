//! The click stream of the coffee shop: what its pages send is stored when they are told so, and counted once,
//! whatever is killed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use headwater::{Position, connect};
use headwater_testkit::{eventually, postgres, seed};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::{
    customer::{get, post, send},
    service::{kill, run, serve},
};

/// The visit of the reference system's own example, and its click.
const VISIT: &str = "24d9ab20-e4f5-11e8-9f32-f2801f1b9fd1";

fn click() -> Value {
    json!({
        "topic": "edm-ui-click",
        "uuid": VISIT,
        "event_timestamp": 1_541_792_811_040_i64,
        "properties": { "button_id": "the-camper's-kit", "description": "button click" },
    })
}

/// Sends a click; yields the whole answer, with its head.
async fn produce(address: &str, click: &Value) -> Option<(u16, String, String)> {
    let body = click.to_string();
    let request = format!(
        "POST /produceClickMessage HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    send(address, &request).await
}

/// What the dashboard shows once it holds what it must.
async fn shows(address: &str, path: &str, expected: &str) {
    let there = async || (get(address, path).await?.1 == expected).then_some(());
    eventually(&format!("{path} is {expected}"), there).await;
}

/// S-3, S-4, S-10, S-17: the click of the reference system, before and after the server is killed.
async fn one_click(url: &str) {
    let (mut process, address) = serve(url).await;
    let (status, head, body) = produce(&address, &click()).await.unwrap();
    assert_eq!((status, &*body), (200, r#"{"message":"Success!"}"#));
    assert!(head.to_ascii_lowercase().contains("\r\nheadwater-position: 1\r\n"), "{head}");
    let mut payment = click();
    payment["topic"] = json!("payments");
    let (status, problem) = post(&address, "/produceClickMessage", "any", &payment).await.unwrap();
    assert_eq!((status, &problem["type"]), (400, &json!("/problems/unknown-topic")));
    assert!(kill(&mut process).await);

    let (mut process, address) = serve(url).await;
    let visit = format!("session-{VISIT}");
    let [event] = &run(url, &["stream", "show", &visit]).await[..] else { panic!("one event") };
    assert_eq!((&event["type"], &event["version"]), (&json!("button.clicked"), &json!(1)));
    let (occurred, recorded) = (event["occurred_at"].as_str(), event["recorded_at"].as_str());
    assert_eq!(occurred, Some("2018-11-09T19:46:51.040000Z"));
    assert!(recorded > Some("2026"), "{recorded:?}");
    shows(&address, "/api/clickCount", r#"[{"button_id":"the-camper's-kit","sum":"1"}]"#).await;
    let day = r#"[{"Day":"2018-11-09T00:00:00.000Z","clicks":"1"}]"#;
    shows(&address, "/api/clickHistory", day).await;
    assert!(kill(&mut process).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_03_s_04_s_10_s_17_a_click_on_sqlite_is_there_when_the_page_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    one_click(&format!("sqlite://{}", folder.path().join("shop.db").display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_03_s_04_s_10_s_17_a_click_on_postgresql_is_there_when_the_page_is_told_so() {
    one_click(postgres::database().await.url()).await;
}

const CLICKS: u32 = 10_000;
const KILLS: u32 = 20;

/// The positions of all clicks, as a page has them that follows the feed and goes on where it was whenever it was cut
/// off; and how often it was, with something seen before.
async fn viewed(address: watch::Receiver<String>) -> (Vec<i64>, u32) {
    let (mut seen, mut cut_off) = (Vec::new(), 0);
    while seen.len() < usize::try_from(CLICKS).unwrap() {
        let (now, before) = (address.borrow().clone(), seen.len());
        let _ = follow(&now, &mut seen).await;
        cut_off += u32::from(seen.len() > before);
        sleep(Duration::from_millis(20)).await;
    }
    (seen, cut_off - 1)
}

/// Follows the clicks behind those that were seen, until there are all or the server is gone.
async fn follow(address: &str, seen: &mut Vec<i64>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(address).await?;
    let last = seen.last().copied().unwrap_or(0);
    // Of the version without chunks, whose lines would lie between those of the feed.
    let request = format!(
        "GET /log/feed?types=button.clicked HTTP/1.0\r\nhost: localhost\r\nlast-event-id: {last}\r\n\r\n"
    );
    server.write_all(request.as_bytes()).await?;
    let (mut lines, mut id, mut click) = (BufReader::new(server).lines(), None, false);
    while let Some(line) = lines.next_line().await? {
        if let Some(text) = line.strip_prefix("id:") {
            id = text.trim().parse::<i64>().ok();
        } else if let Some(name) = line.strip_prefix("event:") {
            click = name.trim() == "button.clicked";
        } else if line.is_empty() {
            // Only now it is whole.
            seen.extend(id.take().filter(|_| click));
        }
        if seen.len() == usize::try_from(CLICKS).unwrap() {
            break;
        }
    }
    Ok(())
}

/// S-8: sends all clicks while the service, with the projections in it, is killed and started again.
async fn killed_while_clicks_flow(url: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut process, first) = serve(url).await;
    let (addresses, address) = watch::channel(first);
    let next = Arc::new(AtomicU32::new(0));
    let views = [(); 3].map(|()| tokio::spawn(viewed(address.clone())));
    let mut pages = JoinSet::new();
    for _ in 0..16 {
        let (address, next) = (address.clone(), next.clone());
        pages.spawn(async move {
            loop {
                let number = next.fetch_add(1, SeqCst);
                if number >= CLICKS {
                    return;
                }
                let mut click = click();
                click["event_id"] = json!(Uuid::from_u128(u128::from(number) + 1));
                click["uuid"] = json!(Uuid::from_u128(u128::from(number % 200) + 1));
                click["properties"]["button_id"] = json!(format!("button-{}", number % 9));
                eventually("the click is acknowledged", async || {
                    let address = address.borrow().clone();
                    let (status, _, body) = produce(&address, &click).await?;
                    assert!([200, 503].contains(&status), "{status} {body}");
                    (status == 200).then_some(())
                })
                .await;
            }
        });
    }
    for nth in 1..=KILLS {
        // Spread over the clicks.
        let due = CLICKS / (KILLS + 1) * nth;
        eventually("clicks flow", async || (next.load(SeqCst) >= due).then_some(())).await;
        sleep(Duration::from_micros(rng.random_range(0..50_000))).await;
        assert!(kill(&mut process).await);
        let (again, now) = serve(url).await;
        process = again;
        addresses.send_replace(now);
    }
    while let Some(page) = pages.join_next().await {
        page.unwrap();
    }
    let mut positions = Vec::new();
    for view in views {
        positions.push(timeout(Duration::from_secs(60), view).await.expect("a view ends").unwrap());
    }
    assert!(kill(&mut process).await);
    run(url, &["projections", "run", "--once"]).await;
    let log = connect(url).await.unwrap();
    let sql = "select (select cast(sum(clicks) as bigint) from {button_clicks}) as buttons, \
                      (select cast(sum(clicks) as bigint) from {click_days}) as days, \
                      (select count(*) from {all_events} where type = 'button.clicked') as events";
    let row = log.query(sql, &[]).await.unwrap().remove(0);
    for column in ["buttons", "days", "events"] {
        assert_eq!(row.get::<i64>(column).unwrap(), i64::from(CLICKS), "{column}");
    }
    assert!(log.ceiling().await.unwrap().position >= Position(CLICKS.into()));
    let sql = "select position from {all_events} where type = 'button.clicked' order by position";
    let all = log.query(sql, &[]).await.unwrap();
    let all: Vec<i64> = all.iter().map(|row| row.get("position").unwrap()).collect();
    for (seen, cut_off) in positions {
        assert!(seen == all, "a view has a gap or a double");
        assert!(cut_off >= 3, "a view was cut off {cut_off} times only");
    }
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_08_on_sqlite_each_click_counts_once_whatever_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("shop.db").display());
    killed_while_clicks_flow(&url, seed("clicks_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_08_on_postgresql_each_click_counts_once_whatever_is_killed() {
    killed_while_clicks_flow(postgres::database().await.url(), seed("clicks_on_postgresql")).await;
}

/// The statistics of the reference system: counters in memory, which a timer writes to the database, and an offset
/// that is committed on its own, whatever became of the writing.
#[derive(Default)]
struct Counters {
    /// In the broker: up to where it is not delivered again.
    offset: u32,
    /// In the database.
    stored: u32,
    /// In memory: up to where it has read, and what it has counted since the last flush.
    read: u32,
    counted: u32,
}

/// Where in a flush the process is killed.
#[derive(Clone, Copy)]
enum Killed {
    Never,
    BeforeTheRows,
    BetweenRowsAndOffset,
}

impl Counters {
    fn read_on(&mut self, clicks: u32) {
        let until = (self.read + clicks).min(CLICKS);
        self.counted += until - self.read;
        self.read = until;
    }

    /// Writes what was counted; clicks go on coming while the database commits.
    fn flush(&mut self, meanwhile: u32, killed: Killed) {
        let rows = self.counted;
        if !matches!(killed, Killed::BeforeTheRows) {
            self.read_on(meanwhile);
            self.stored += rows;
        }
        if matches!(killed, Killed::Never) {
            self.offset = self.read;
            self.counted = 0;
        } else {
            (self.read, self.counted) = (self.offset, 0);
        }
    }
}

/// The same clicks and kills, through the algorithm of the reference system: it loses some and doubles others.
#[test]
fn s_08_the_counters_of_the_reference_system_lose_and_double_clicks() {
    let mut rng = StdRng::seed_from_u64(seed("counters"));
    let calm = |meanwhile| {
        let mut counters = Counters::default();
        while counters.read < CLICKS {
            counters.read_on(100);
            counters.flush(meanwhile, Killed::Never);
        }
        counters.stored
    };
    assert_eq!(calm(0), CLICKS, "as long as nothing happens");
    assert!(calm(50) < CLICKS, "a click that comes while it writes is lost");
    let mut killed = Counters::default();
    let mut kills = 0;
    while killed.read < CLICKS {
        killed.read_on(100);
        let kill = kills < KILLS && rng.random_bool(0.3);
        kills += u32::from(kill);
        let lot =
            if rng.random_bool(0.5) { Killed::BeforeTheRows } else { Killed::BetweenRowsAndOffset };
        killed.flush(0, if kill { lot } else { Killed::Never });
    }
    println!("{CLICKS} clicks and {KILLS} kills: {} are stored", killed.stored);
    assert!(killed.stored > CLICKS, "what was written, and not told to the broker, counts twice");
}
