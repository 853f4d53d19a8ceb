//! PostgreSQL is killed under the shop, and comes back.

use futures_util::TryStreamExt as _;
use headwater::{Filter, Position, connect};
use headwater_testkit::{eventually, postgres::Server, seed, within};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::json;
use uuid::Uuid;

use crate::{
    customer::post,
    rebuild::orders,
    service::{ends, kill, run, serve, start},
    views::caught_up,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_database_goes_away_says_so_and_goes_on_by_itself_when_it_is_back() {
    let mut server = Server::start_private().await;
    let url = server.create_database("shop").await;
    let (mut process, address) = serve(&url).await;
    let cart = json!({"currency": "USD"});
    let ask = async |command: &str| {
        let key = &Uuid::new_v5(&Uuid::NAMESPACE_OID, command.as_bytes()).to_string();
        let answer = within("the shop answers", post(&address, "/carts", key, &cart)).await;
        answer.expect("the shop runs on")
    };
    assert_eq!(ask("before").await.0, 201);
    tokio::task::block_in_place(|| server.kill());
    let (status, problem) = ask("meanwhile").await;
    println!("{status} {problem}");
    assert_eq!(status, 503, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(!detail.contains(['\n', '{']) && !detail.contains("postgres:"), "{detail}");
    server.restart().await;
    let (status, answer) = eventually("the shop works again", async || {
        Some(ask("meanwhile").await).filter(|(status, _)| *status != 503)
    })
    .await;
    assert_eq!(status, 201, "{answer}");
    caught_up(&url).await;
    let log = connect(&url).await.unwrap();
    let count = log.query("select count(*) as n from {cart_views}", &[]).await.unwrap();
    assert_eq!(count[0].get::<i64>("n"), Ok(2), "each request was carried out once");
    log.close().await;
    assert!(kill(&mut process).await, "it ended by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_database_goes_away_ends_with_a_sentence_and_the_next_completes_it() {
    let mut server = Server::start_private().await;
    let url = server.create_database("shop").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.txt");
    let mut rng = StdRng::seed_from_u64(seed("import_whose_database_goes_away"));
    std::fs::write(&file, orders(&mut rng, 4_000)).unwrap();
    let import = ["import", "cdnow", file.to_str().unwrap()];
    let log = connect(&url).await.unwrap();
    let process = start(&url, &import);
    eventually("the import has begun", async || {
        log.read(Filter::all(), Position::START).try_next().await.unwrap()
    })
    .await;
    tokio::task::block_in_place(|| server.kill());
    let output = within("the import gives up", ends(process)).await;
    let error = String::from_utf8(output.stderr).unwrap();
    println!("{error}");
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.lines().any(|line| line.starts_with("error: ")), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    server.restart().await;
    eventually("the log is there again", async || log.ceiling().await.ok()).await;
    let kept = log.read(Filter::all(), Position::START).try_fold(0_u64, async |n, _| Ok(n + 1));
    let kept = kept.await.unwrap();
    let second = run(&url, &import).await.pop().unwrap();
    let third = run(&url, &import).await.pop().unwrap();
    assert_eq!((&third["events"], &third["streams"]), (&json!(0), &json!(0)));
    let streams: Vec<_> = log.streams(Some("order")).try_collect().await.unwrap();
    assert_eq!(streams.len(), 4_000);
    let whole = log.read(Filter::all(), Position::START).try_fold(0_u64, async |n, _| Ok(n + 1));
    let whole = whole.await.unwrap();
    println!("{kept} events before, {second} by the second import");
    assert!(kept > 0 && second["events"].as_u64() == Some(whole - kept), "{second}");
    log.close().await;
}
