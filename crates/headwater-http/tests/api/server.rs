//! The server itself, over real connections.

use std::time::{Duration, Instant};

use headwater_http::{Bounds, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::support::Service;
use headwater_testkit::within;

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    runs: JoinHandle<()>,
}

async fn server(service: &Service, bounds: Bounds) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let routes = service.routes.clone();
    let runs = tokio::spawn(serve(listener, routes, bounds, async { stopped.await.unwrap_or(()) }));
    Server { address, stop, runs }
}

fn bounds(change: impl FnOnce(&mut Bounds)) -> Bounds {
    let mut bounds = Bounds::default();
    change(&mut bounds);
    bounds
}

const GET: &str = "GET /all HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

async fn get(server: &Server) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_its_request_too_slowly_is_cut_and_others_are_served() {
    let service = Service::on_sqlite().await;
    let server = server(&service, bounds(|bounds| bounds.head = Duration::from_millis(500))).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let begun = Instant::now();
    let byte_by_byte = async {
        for byte in GET.bytes().cycle() {
            if slow.write_all(&[if byte == b'\n' { b'x' } else { byte }]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (_, answer) = futures_util::join!(within("it is cut", byte_by_byte), get(&server));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    let mut rest = Vec::new();
    within("it is cut", idle.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_there_is_room_for_wait_for_their_turn() {
    let service = Service::on_sqlite().await;
    let few = bounds(|bounds| {
        bounds.connections = 2;
        bounds.head = Duration::from_millis(300);
    });
    let server = server(&service, few).await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    drop(idle.split_off(3));
    assert!(get(&server).await.starts_with("HTTP/1.1 200"), "the idle ones are cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_never_reads_is_cut() {
    let service = Service::on_sqlite().await;
    let data = format!("\"{}\"", "x".repeat(1 << 20));
    let event = || headwater::NewEvent::from_json("a.b", 1, data.clone());
    let stream = headwater::StreamName::parse("a-1").unwrap();
    for _ in 0..4 {
        let appended =
            service.log.append(&stream, headwater::ExpectedVersion::Any, (0..8).map(|_| event()));
        appended.await.unwrap_err();
    }
    let small = format!("\"{}\"", "x".repeat(900_000));
    for _ in 0..4 {
        let events = (0..8).map(|_| headwater::NewEvent::from_json("a.b", 1, small.clone()));
        service.log.append(&stream, headwater::ExpectedVersion::Any, events).await.unwrap();
    }
    let server = server(&service, bounds(|bounds| bounds.stall = Duration::from_millis(500))).await;
    let mut deaf = TcpStream::connect(server.address).await.unwrap();
    let feed = "GET /feed?from=0 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    deaf.write_all(feed.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // It gets what was on its way, and then the end, not all the 28 MB.
    let mut got = Vec::new();
    let ended = timeout(Duration::from_secs(20), deaf.read_to_end(&mut got)).await;
    assert!(ended.is_ok(), "it is not cut");
    assert!(got.len() < 28_000_000, "{}", got.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_to_end_cuts_its_feeds_within_its_grace() {
    let service = Service::on_sqlite().await;
    let server = server(&service, bounds(|bounds| bounds.grace = Duration::from_millis(300))).await;
    let mut feed = TcpStream::connect(server.address).await.unwrap();
    feed.write_all(b"GET /feed HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut head = [0; 200];
    assert!(within("a head", feed.read(&mut head)).await.unwrap() > 0);
    let begun = Instant::now();
    server.stop.send(()).unwrap();
    within("it ends", server.runs).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let mut rest = Vec::new();
    let _ = within("the feed ends", feed.read_to_end(&mut rest)).await;
}
