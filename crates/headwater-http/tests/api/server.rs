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

/// Whoever wants something is served, however many others hold a connection and send nothing: their turn is over first.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_nobody_waiting() {
    let service = Service::on_sqlite().await;
    let server = server(&service, Bounds::default()).await;
    // With the time in which they come: after 30 s they would be cut for their silence.
    let begun = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        match TcpStream::connect(server.address).await {
            Ok(stream) => idle.push(stream),
            // This machine lets no process open so many files.
            Err(_) => break,
        }
    }
    assert!(idle.len() > 300, "{} connections", idle.len());
    // Room for those who follow, where the files are short.
    idle.truncate(idle.len() - 50);
    let come = Instant::now();
    for _ in 0..20 {
        assert!(get(&server).await.starts_with("HTTP/1.1 200"));
    }
    assert!(come.elapsed() < Duration::from_secs(5), "{:?}", come.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}

/// One that waits between two requests gives its place up as well; one whose answer is on its way keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_one_who_is_served_is_not_given_away() {
    let service = Service::on_sqlite().await;
    service.fill("a-1", "a.b", 1).await;
    let server = server(&service, bounds(|bounds| bounds.connections = 2)).await;
    let mut feed = TcpStream::connect(server.address).await.unwrap();
    feed.write_all(b"GET /feed?from=0 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut read = [0; 1_000];
    assert!(within("an event", feed.read(&mut read)).await.unwrap() > 0);
    let mut waits = TcpStream::connect(server.address).await.unwrap();
    waits.write_all(b"GET /all HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(within("an answer", waits.read(&mut read)).await.unwrap() > 0);
    let begun = Instant::now();
    assert!(get(&server).await.starts_with("HTTP/1.1 200"));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let gone = async { while waits.read(&mut read).await.is_ok_and(|read| read > 0) {} };
    within("the one that waits is closed", gone).await;
    service.fill("a-1", "a.c", 1).await;
    let mut text = String::new();
    within("the next event", async {
        while !text.contains("event: a.c") {
            let count = feed.read(&mut read).await.unwrap();
            assert!(count > 0, "the feed was closed");
            text += &String::from_utf8_lossy(&read[..count]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_is_refused_and_nothing_of_it_is_stored() {
    let service = Service::on_sqlite().await;
    let quick = bounds(|bounds| bounds.answer = Duration::from_millis(500));
    let server = server(&service, quick).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /streams/a-1 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 1000\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let (mut reads, mut writes) = slow.split();
    let byte_by_byte = async {
        for byte in b"{\"type\":".iter().cycle() {
            if writes.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut answer = String::new();
    let answered = async {
        let _ = reads.read_to_string(&mut answer).await;
    };
    within("it is cut", async {
        tokio::select! { () = byte_by_byte => {} () = answered => {} }
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        answer.contains("application/problem+json") && answer.contains("/problems/request-timeout")
    );
    assert_eq!(service.count().await, 0);
}

/// A body and a head that are too large; the head is looked at as it comes in.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let service = Service::on_sqlite().await;
    let server = server(&service, Bounds::default()).await;
    let sent = async |request: Vec<u8>| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // It may be refused before all of it is sent.
        let _ = stream.write_all(&request).await;
        let mut answer = vec![0; 12];
        within("an answer", stream.read_exact(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let head =
        format!("GET /all HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    assert_eq!(sent(head.into()).await, "HTTP/1.1 431");
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many = format!("GET /all HTTP/1.1\r\n{many}\r\n");
    assert_eq!(sent(many.into()).await, "HTTP/1.1 431");
    let length = (16 << 20) + 1;
    let body = format!(
        "POST /streams/a-1 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    assert_eq!(sent(body.into()).await, "HTTP/1.1 413");
    assert_eq!(service.count().await, 0);
}

/// Where nothing happens a dead connection is found all the same, and a client told when to come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_has_a_heartbeat() {
    let service = Service::on_sqlite().await;
    let server = server(&service, Bounds::default()).await;
    let mut feed = TcpStream::connect(server.address).await.unwrap();
    feed.write_all(b"GET /feed HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let (mut text, mut read) = (String::new(), [0; 1_000]);
    let begun = Instant::now();
    within("a heartbeat", async {
        while !text.contains(": hb") {
            let count = feed.read(&mut read).await.unwrap();
            assert!(count > 0, "the feed was closed");
            text += &String::from_utf8_lossy(&read[..count]);
        }
    })
    .await;
    assert!(text.contains("retry: 2000"), "{text}");
    assert!((10..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_long_is_packed_for_who_wants_it() {
    let service = Service::on_sqlite().await;
    service.fill("a-1", "a.b", 100).await;
    let packed = service.send(axum::http::Method::GET, "/all").header("accept-encoding", "gzip");
    assert_eq!(packed.response().await.headers()["content-encoding"], "gzip");
    assert_eq!(service.get("/all").await.header("content-encoding"), "");
    let feed = service.send(axum::http::Method::GET, "/feed").header("accept-encoding", "gzip");
    assert!(
        !feed.response().await.headers().contains_key("content-encoding"),
        "its events are sent at once"
    );
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
