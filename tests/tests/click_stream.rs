//! What a stream promises its readers, on the 31,106 clicks of a shop: nothing is gone once it was read, who comes later
//! sees all of it, in batches if he likes, and goes on where he was.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use futures_util::TryStreamExt as _;
use headwater::{ExpectedVersion, Filter, Log, NewEvent, Position, StreamName, connect};
use headwater_testkit::postgres::{self, TestDatabase, direct};
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use support::{headwater, shop, workspace};
use tempfile::TempDir;

const CLICKS: usize = 31_106;
const SESSIONS: usize = 3_605;

/// How many sessions ever came to a step, counted from the file by another program.
const STEPS: [(&str, usize); 6] = [
    ("product.viewed", 2_868),
    ("add_to_cart", 1_213),
    ("cart", 1_022),
    ("shipping_details", 798),
    ("payment_details", 632),
    ("purchase", 470),
];

/// A log that holds the clicks.
struct Clicks {
    url: String,
    folder: TempDir,
    _database: Option<TestDatabase>,
}

impl Clicks {
    fn on_sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("shop.db").display());
        Self { url, folder, _database: None }.imported()
    }

    async fn on_postgres() -> Self {
        let database = postgres::database().await;
        let url = database.url().to_owned();
        Self { url, folder: TempDir::new().unwrap(), _database: Some(database) }.imported()
    }

    fn imported(self) -> Self {
        let file = workspace().join("examples/shop/data/ecom.csv.gz");
        let imported =
            self.run(shop(), &["import", "ecom", file.to_str().unwrap(), "--no-progress"]);
        assert_eq!(imported[0]["events"], CLICKS);
        assert_eq!(imported[0]["streams"], SESSIONS);
        self
    }

    /// Runs a command to its end, and yields what it said, an object a line.
    fn run(&self, program: &Path, arguments: &[&str]) -> Vec<Value> {
        self.run_on(&self.url, program, arguments)
    }

    fn run_on(&self, url: &str, program: &Path, arguments: &[&str]) -> Vec<Value> {
        let mut command = Command::new(program);
        command.args(arguments).arg("--json").env("DATABASE_URL", url);
        let output = command.current_dir(self.folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn log(&self) -> Log {
        connect(&self.url).await.unwrap()
    }

    /// Does this to the database, behind the back of the log.
    async fn execute(&self, sqlite: &'static str, postgres: &'static str) {
        if self.url.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sqlite).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = direct(&self.url).await;
            sqlx::raw_sql(postgres).execute(&mut connection).await.unwrap();
        }
    }
}

/// How many events the log holds, by its own tables.
async fn count(log: &Log) -> usize {
    let rows = log.query("select count(*) as events from {all_events}", &[]).await.unwrap();
    usize::try_from(rows[0].get::<i64>("events").unwrap()).unwrap()
}

/// In how many sessions each step was taken.
async fn steps(log: &Log) -> BTreeMap<String, usize> {
    let mut sessions = BTreeMap::<String, BTreeSet<String>>::new();
    let mut events = log.read(Filter::all().category("session"), Position::START);
    while let Some(event) = events.try_next().await.unwrap() {
        let data: Value = serde_json::from_str(&event.event.data).unwrap();
        let of_page = data["button_id"].as_str().or(data["url"].as_str());
        let step = of_page.unwrap_or(&event.event.event_type).to_owned();
        sessions.entry(step).or_default().insert(event.stream.id().to_owned());
    }
    sessions.into_iter().map(|(step, sessions)| (step, sessions.len())).collect()
}

async fn read_twice(clicks: Clicks) {
    let log = clicks.log().await;
    for consumer in ["first", "second"] {
        let read = clicks.run(headwater(), &["events", "--subscription", consumer]);
        assert_eq!(read.len(), CLICKS, "{consumer}");
    }
    assert_eq!(count(&log).await, CLICKS);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_12_on_sqlite_what_was_read_is_there_for_the_next_reader() {
    read_twice(Clicks::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_12_on_postgresql_what_was_read_is_there_for_the_next_reader() {
    read_twice(Clicks::on_postgres().await).await;
}

async fn come_late(clicks: Clicks) {
    let log = clicks.log().await;
    let found = steps(&log).await;
    for (step, sessions) in STEPS {
        assert_eq!(found.get(step), Some(&sessions), "{step}");
    }
    let producing = tokio::spawn({
        let log = log.clone();
        async move {
            for n in 0..200 {
                let stream = StreamName::new("session", n).unwrap();
                let click = NewEvent::from_json("button.clicked", 1, r#"{"button_id":"about"}"#);
                log.append(&stream, ExpectedVersion::Any, [click]).await.unwrap();
            }
        }
    });
    let read = clicks.run(headwater(), &["events", "--subscription", "late"]);
    assert!(read.len() >= CLICKS, "all of what was there before");
    clicks.run(headwater(), &["subs", "rm", "late", "--yes"]);
    producing.await.unwrap();
    assert_eq!(count(&log).await, CLICKS + 200, "no producer has noticed");
    assert!(clicks.run(headwater(), &["subs", "ls"]).is_empty());
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_13_on_sqlite_a_consumer_that_is_younger_than_its_data_sees_all_of_it() {
    come_late(Clicks::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_13_on_postgresql_a_consumer_that_is_younger_than_its_data_sees_all_of_it() {
    come_late(Clicks::on_postgres().await).await;
}

async fn read_in_batches(clicks: Clicks) {
    let log = clicks.log().await;
    let mut consumer = log.subscription("batches", Filter::all(), Position::START).await.unwrap();
    let (mut batches, mut events) = (0, 0);
    while events < CLICKS {
        let batch = consumer.next_batch(500).await.unwrap();
        batches += 1;
        events += batch.events.len();
        consumer.acknowledge(batch.position).await.unwrap();
    }
    assert_eq!((batches, events), (63, CLICKS));
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_15_on_sqlite_a_handler_gets_batches_of_the_size_it_wants() {
    read_in_batches(Clicks::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_15_on_postgresql_a_handler_gets_batches_of_the_size_it_wants() {
    read_in_batches(Clicks::on_postgres().await).await;
}

/// Each call is a consumer that has started anew.
fn go_on(clicks: &Clicks) {
    let shown = |limit: &str| {
        let shown =
            clicks.run(headwater(), &["events", "--subscription", "mailer", "--limit", limit]);
        shown.iter().map(|event| event["position"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let (first, second) = (shown("400"), shown("3"));
    assert_eq!((first.len(), second[0]), (400, first[399] + 1));
    let [listed] = &clicks.run(headwater(), &["subs", "ls"])[..] else { panic!("it is one") };
    assert_eq!(listed["subscription"], "mailer");
    assert_eq!(listed["position"], second[2]);
    assert_eq!(listed["lag"], CLICKS - 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_18_on_sqlite_a_consumer_goes_on_where_it_was_and_its_lag_is_seen() {
    go_on(&Clicks::on_sqlite());
}

#[tokio::test(flavor = "multi_thread")]
async fn s_18_on_postgresql_a_consumer_goes_on_where_it_was_and_its_lag_is_seen() {
    go_on(&Clicks::on_postgres().await);
}

/// The same code makes the same rows live and anew, and the log is the same elsewhere.
fn make_anew(clicks: &Clicks) {
    clicks.run(shop(), &["projections", "run", "--once"]);
    let rebuilt =
        clicks.run(shop(), &["projections", "rebuild", "--all", "--verify", "--no-progress"]);
    assert!(rebuilt.iter().all(|one| one["identical"] == true), "{rebuilt:?}");
    let exported = clicks.run(headwater(), &["export", "clicks.ndjson", "--no-progress"]);
    let lines = std::fs::read_to_string(clicks.folder.path().join("clicks.ndjson")).unwrap();
    assert_eq!((&exported[0]["events"], lines.lines().count()), (&CLICKS.into(), CLICKS));
    let other = format!("sqlite://{}", clicks.folder.path().join("other.db").display());
    clicks.run_on(&other, headwater(), &["migrate"]);
    let imported =
        clicks.run_on(&other, headwater(), &["import", "clicks.ndjson", "--no-progress"]);
    assert_eq!(imported[0]["checksum"], exported[0]["checksum"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_24_on_sqlite_the_log_makes_the_same_rows_again_and_is_the_same_elsewhere() {
    make_anew(&Clicks::on_sqlite());
}

#[tokio::test(flavor = "multi_thread")]
async fn s_24_on_postgresql_the_log_makes_the_same_rows_again_and_is_the_same_elsewhere() {
    make_anew(&Clicks::on_postgres().await);
}

/// A row that the database refuses is never passed over: its projection stands still and says where, and goes on from
/// there once the cause is mended.
async fn stand_still(clicks: Clicks) {
    let ended = |arguments: &[&str]| {
        let mut command = Command::new(shop());
        command.args(arguments).arg("--json").env("DATABASE_URL", &clicks.url);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    clicks.run(shop(), &["projections", "run", "--once"]);
    clicks
        .execute(
            "create trigger injected before insert on button_clicks__1 when new.button_id = 'odd'
             begin select raise(abort, 'injected'); end",
            "alter table headwater.button_clicks__1
             add constraint injected check (button_id <> 'odd')",
        )
        .await;
    let log = clicks.log().await;
    let session = StreamName::new("session", uuid::Uuid::from_u128(1)).unwrap();
    let click = |button: &str| {
        let data = serde_json::json!({ "button_id": button, "description": button });
        NewEvent::from_json("button.clicked", 1, data.to_string())
    };
    let appended =
        log.append(&session, ExpectedVersion::None, ["even", "odd", "even"].map(click)).await;
    let odd = appended.unwrap().position().0 - 1;
    let (exit, _, error) = ended(&["projections", "run", "--once"]);
    assert_eq!(exit, 5, "{error}");
    let (exit, listed, error) = ended(&["projections", "status", "button_clicks"]);
    let status: Value = serde_json::from_str(listed.trim()).unwrap();
    assert_eq!((exit, &status["failure"]["position"]), (5, &odd.into()), "{status}");
    assert_eq!(status["position"], odd - 1, "what lies before it is applied");
    let told = status["failure"]["error"].as_str().unwrap();
    assert!(told.contains("injected"), "{told}");
    assert!(error.contains(&format!("stands still at position {odd}")), "{error}");
    clicks
        .execute(
            "drop trigger injected",
            "alter table headwater.button_clicks__1 drop constraint injected",
        )
        .await;
    clicks.run(shop(), &["projections", "retry", "button_clicks"]);
    clicks.run(shop(), &["projections", "run", "--once"]);
    let sql = "select cast(sum(clicks) as bigint) as clicks from {button_clicks}";
    let counted: i64 = log.query(sql, &[]).await.unwrap()[0].get("clicks").unwrap();
    let sql = "select count(*) as clicks from {all_events} where type = 'button.clicked'";
    let clicked: i64 = log.query(sql, &[]).await.unwrap()[0].get("clicks").unwrap();
    assert_eq!(counted, clicked);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_09_on_sqlite_a_row_that_cannot_be_written_is_not_passed_over() {
    stand_still(Clicks::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_09_on_postgresql_a_row_that_cannot_be_written_is_not_passed_over() {
    stand_still(Clicks::on_postgres().await).await;
}
