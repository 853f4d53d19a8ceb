//! How many clicks a second the relay acknowledges durably, beside a relay by hand that commits each click; on PostgreSQL,
//! servers, clients and database on this machine.
//!
//! ```sh
//! cargo bench -p shop --bench clicks
//! ```
//!
//! Each of so many connections sends one click after the other. What is printed is the median of three runs, which take turns.
//! A third server takes clicks in and stores nothing: faster than that no relay can be here, whatever it does.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has nothing to say")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use chrono::DateTime;
use headwater_http::Access;
use headwater_testkit::postgres;
use serde_json::{Value, json};
use shop::{Shop, http};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use uuid::Uuid;

const PATH: &str = "/produceClickMessage";
const CONNECTIONS: usize = 64;
const RUN: Duration = Duration::from_secs(5);
const RUNS: usize = 3;

/// Clicks a second, and how long the slowest of a hundred took.
type Figures = (f64, Duration);

#[tokio::main]
async fn main() {
    let database = postgres::database().await;
    let log = headwater::connect(database.url()).await.unwrap();
    let headwater =
        serve(http::router(Shop::new(&log).unwrap(), &Access::everybody(), Router::new())).await;
    let by_hand = serve(by_hand(database.url()).await).await;
    let forgetful = serve(Router::new().route(PATH, post(forget))).await;
    let mut runs = [const { Vec::new() }; 3];
    for _ in 0..RUNS {
        for (runs, server) in runs.iter_mut().zip([headwater, by_hand, forgetful]) {
            runs.push(clicks(server).await);
        }
    }
    let [own, other, forgetful] = runs.map(median);
    for (name, (rate, slow)) in [
        ("headwater", own),
        ("by hand, a commit for each", other),
        ("nothing is stored", forgetful),
    ] {
        println!("{name:28} {rate:>8.0} clicks/s  p99 {:>6.1} ms", slow.as_secs_f64() * 1e3);
    }
    println!("{:28} {:>8.1} of {:.1} at most", "ratio", own.0 / other.0, forgetful.0 / other.0);
}

fn median(mut runs: Vec<Figures>) -> Figures {
    runs.sort_by(|one, other| one.0.total_cmp(&other.0));
    runs[RUNS / 2]
}

async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// What one writes first: a row for each click, with the number of its visit, in a transaction of its own.
async fn by_hand(url: &str) -> Router {
    let pool = PgPoolOptions::new().max_connections(16).connect(url).await.unwrap();
    let table = "create table clicks (id bigint generated always as identity primary key, event_id uuid not null unique, \
                 visit uuid not null, button_id text not null, at timestamptz, data jsonb not null)";
    sqlx::raw_sql(table).execute(&pool).await.unwrap();
    Router::new().route(PATH, post(insert)).with_state(pool)
}

async fn forget(Json(_): Json<Value>) -> Json<Value> {
    Json(json!({ "message": "Success!" }))
}

async fn insert(
    State(pool): State<PgPool>,
    Json(message): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let id = |name: &str| message[name].as_str().and_then(|id| id.parse::<Uuid>().ok());
    let (Some(event), Some(visit)) = (id("event_id"), id("uuid")) else {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    };
    let at = message["event_timestamp"].as_i64().and_then(DateTime::from_timestamp_millis);
    let insert =
        "insert into clicks (event_id, visit, button_id, at, data) values ($1, $2, $3, $4, $5)";
    let insert = sqlx::query(insert)
        .bind(event)
        .bind(visit)
        .bind(message["properties"]["button_id"].as_str())
        .bind(at)
        .bind(&message["properties"]);
    insert.execute(&pool).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Json(json!({ "message": "Success!" })))
}

/// Sends clicks for a while, each when the one before was acknowledged.
async fn clicks(address: SocketAddr) -> Figures {
    let until = Instant::now() + RUN;
    let mut clients: JoinSet<_> = (0..CONNECTIONS).map(|_| client(address, until)).collect();
    let mut all = Vec::new();
    while let Some(took) = clients.join_next().await {
        all.extend(took.unwrap());
    }
    all.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "there are far fewer than 2^52")]
    let rate = all.len() as f64 / RUN.as_secs_f64();
    (rate, all[all.len() * 99 / 100])
}

/// One connection; yields how long each click took.
async fn client(address: SocketAddr, until: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (visit, mut answer, mut took) = (Uuid::now_v7(), vec![0; 4096], Vec::new());
    let expected: Arc<[u8]> = (*b"HTTP/1.1 200 ").into();
    while Instant::now() < until {
        let body = json!({
            "topic": "edm-ui-click", "uuid": visit, "event_id": Uuid::now_v7(),
            "event_timestamp": 1_541_792_811_040_i64,
            "properties": { "button_id": "the-camper's-kit", "description": "button click" },
        });
        let body = body.to_string();
        let request = format!(
            "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = 0;
        // The answers are short, and end with their one object.
        while read == 0 || answer[read - 1] != b'}' {
            let more = stream.read(&mut answer[read..]).await.unwrap();
            assert!(more > 0, "the connection ended");
            read += more;
        }
        assert!(answer.starts_with(&expected), "{}", String::from_utf8_lossy(&answer[..read]));
        took.push(begun.elapsed());
    }
    took
}
