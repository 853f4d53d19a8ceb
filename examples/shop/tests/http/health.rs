//! Whether the shop can do its work, as what surrounds it asks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use headwater::{Log, Operator};
use headwater_cli::Prometheus;
use headwater_http::Access;
use headwater_testkit::{
    eventually,
    postgres::{self, Server},
    within,
};
use serde_json::json;
use shop::{Shop, http};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{Client, Reply};

/// How long an answer may take in the worst of times.
const SOON: Duration = Duration::from_secs(2);

/// A shop whose projections run in the background.
struct Running {
    client: Client,
    app: JoinHandle<headwater::Result<()>>,
    stop: oneshot::Sender<()>,
}

impl Running {
    async fn start(url: &str) -> Self {
        let metrics = Prometheus::install().unwrap();
        let log = headwater::connect(url).await.unwrap();
        let (shop, app) = (Shop::new(&log).unwrap(), Arc::new(shop::app()));
        let health = http::health(&log, &app, &Access::everybody(), metrics);
        let client =
            Client { log: log.clone(), router: http::router(shop, &Access::everybody(), health) };
        let (stop, stopped) = oneshot::channel::<()>();
        let app =
            tokio::spawn(async move { app.run_until(&log, async { drop(stopped.await) }).await });
        Self { client, app, stop }
    }

    async fn asks(&self, path: &str) -> Reply {
        let asked = Instant::now();
        let reply = within(path, self.client.get(path).reply()).await;
        assert!(asked.elapsed() < SOON, "{path} took {:?}", asked.elapsed());
        reply
    }

    async fn end(self) -> Log {
        self.stop.send(()).unwrap();
        within("the projections end", self.app).await.unwrap().unwrap();
        self.client.log
    }
}

async fn a_projection_that_stands_still_leaves_the_shop_ready(url: &str) {
    let shop = Running::start(url).await;
    eventually("the read models are there", async || {
        let checkpoints = shop.client.log.checkpoints().await.unwrap();
        (checkpoints.len() == shop::app().names().len()).then_some(())
    })
    .await;
    let ready = json!({ "ready": true, "obstacles": [], "standing_still": [] });
    assert_eq!(shop.asks("/readyz").await.is(200).body, ready);
    Operator::new(&shop.client.log, "a test").pause("cart_views").await.unwrap();
    let ready = json!({ "ready": true, "obstacles": [], "standing_still": ["cart_views"] });
    assert_eq!(shop.asks("/readyz").await.is(200).body, ready);

    shop.client.cart().await;
    let told = shop.asks("/metrics").await.is(200);
    assert!(told.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = told.body.as_str().unwrap();
    assert!(text.contains("\nheadwater_appends_total{outcome=\"applied\"} "), "{text}");
    assert!(text.contains("\n# TYPE headwater_append_seconds histogram\n"), "{text}");
    shop.end().await.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_stands_still_leaves_the_shop_ready_on_postgresql() {
    let database = postgres::database().await;
    a_projection_that_stands_still_leaves_the_shop_ready(database.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_stands_still_leaves_the_shop_ready_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("shop.db").display());
    a_projection_that_stands_still_leaves_the_shop_ready(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_database_is_away_lives_and_is_not_ready_until_it_is_back() {
    let mut server = Server::start_private().await;
    let database = server.create_database("shop").await;
    let shop = Running::start(&database).await;
    shop.asks("/readyz").await.is(200);
    tokio::task::block_in_place(|| server.kill());
    for _ in 0..5 {
        let away = shop.asks("/readyz").await.is(503);
        assert_eq!(away.body["ready"], false);
        let obstacle = away.body["obstacles"][0].as_str().unwrap();
        let told = [
            "the database cannot be used: unavailable",
            "the database does not answer within a second",
        ];
        assert!(told.contains(&obstacle), "{obstacle}");
        assert_eq!(shop.asks("/healthz").await.is(200).body, "ok");
    }
    shop.asks("/metrics").await.is(200);
    server.restart().await;
    eventually("it is ready again", async || {
        (shop.asks("/readyz").await.status.as_u16() == 200).then_some(())
    })
    .await;
    shop.end().await.close().await;
}

/// An SQLite file does not go away and come back: the log is closed instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_log_on_sqlite_is_closed_lives_and_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("shop.db").display());
    let shop = Running::start(&url).await;
    shop.asks("/readyz").await.is(200);
    shop.client.log.close().await;
    let closed = shop.asks("/readyz").await.is(503);
    assert_eq!(closed.body["ready"], false, "{closed:?}");
    let told = "the database cannot be used: unavailable";
    assert_eq!(closed.body["obstacles"][0], told, "what and where it is, is nobody's business");
    assert_eq!(shop.asks("/healthz").await.is(200).body, "ok");
    shop.end().await;
}
