//! How long an event takes from its commit to many clients of the feed, and how much memory they cost the server; on
//! PostgreSQL, with writer, server, clients and database on this machine.
//!
//! ```sh
//! cargo bench -p headwater-http --bench feed
//! cargo bench -p headwater-http --bench feed -- --clients 50 --events 500 --rates 250
//! ```
//!
//! It fails where a client misses an event, or gets one twice or out of order, and never for being slow. A thousand
//! clients need as many open files and some: `ulimit -n 2048`.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has nothing to say")]
#![allow(clippy::cast_precision_loss, reason = "all numbers are far below 2^52")]

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use headwater::{ExpectedVersion, NewEvent, StreamName};
use headwater_http::{Api, Bounds, serve};
use headwater_testkit::postgres;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Barrier, oneshot},
    task::JoinSet,
    time::{sleep_until, timeout},
};

/// Where the server, a process of its own, finds its database. The URL holds a password, which an argument would show.
const URL: &str = "HEADWATER_BENCH_FEED";

/// How long after the last event is due a client may still wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures the feed with many clients.
#[derive(Parser)]
struct Options {
    /// How many clients follow the log.
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// How many events each of them gets in a run.
    #[arg(long, default_value_t = 10_000)]
    events: u32,
    /// How many events are appended a second, each by itself; a run for each rate.
    #[arg(long, value_delimiter = ',', default_values_t = [500, 1_000, 1_500])]
    rates: Vec<u32>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match env::var(URL) {
        Ok(url) => runtime.block_on(server(&url)),
        Err(_) => runtime.block_on(measure(&Options::parse())),
    }
}

async fn measure(options: &Options) {
    println!(
        "{:>8} {:>8} {:>8} {:>13} {:>8} {:>8} {:>8} {:>11}",
        "events/s", "events", "clients", "deliveries/s", "p50 ms", "p99 ms", "max ms", "server MiB"
    );
    for &rate in &options.rates {
        run(options, rate).await;
    }
}

async fn run(options: &Options, rate: u32) {
    let Options { clients, events, .. } = *options;
    let database = postgres::database().await;
    let server = Server::start(database.url());
    let connected = Arc::new(Barrier::new(clients + 1));
    let mut following: JoinSet<_> =
        (0..clients).map(|_| follow(server.address, events, connected.clone())).collect();
    timeout(PATIENCE, connected.wait()).await.expect("the clients connect");
    let url = database.url().to_owned();
    // On a thread of its own: behind the clients' work it would be told of its commits too late.
    let (end, ended) = oneshot::channel();
    let writer = thread::spawn(move || append(&url, events, rate, ended));
    let mut arrivals = Vec::new();
    let enough = Duration::from_secs(1) * events / rate + PATIENCE;
    let all = async {
        while let Some(arrived) = following.join_next().await {
            arrivals.push(arrived.expect("no event is missing, doubled or out of order"));
        }
    };
    timeout(enough, all).await.expect("each client gets all events");
    drop(end);
    let committed = writer.join().unwrap();
    let took = |since: Instant, until: Instant| (until - since).as_secs_f64();
    let first = *committed.iter().min().unwrap();
    let written = took(first, *committed.iter().max().unwrap());
    let delivered = took(first, *arrivals.iter().flatten().max().unwrap());
    let lags = arrivals.iter().flat_map(|arrived| arrived.iter().zip(&committed));
    let mut lags: Vec<_> = lags.map(|(at, since)| at.saturating_duration_since(*since)).collect();
    lags.sort_unstable();
    let [p50, p99, max] = [lags.len() / 2, lags.len() * 99 / 100, lags.len() - 1]
        .map(|place| lags[place].as_secs_f64() * 1e3);
    println!(
        "{:>8.0} {events:>8} {clients:>8} {:>13.0} {p50:>8.1} {p99:>8.1} {max:>8.1} {:>11.1}",
        f64::from(events - 1) / written,
        lags.len() as f64 / delivered,
        server.peak_mib(),
    );
}

/// Appends events at a steady rate, each by itself, and yields when each was acknowledged, in the order of positions.
/// It stays until `ended`: a writer that is gone tells nobody of its last commits.
fn append(url: &str, events: u32, rate: u32, ended: oneshot::Receiver<()>) -> Vec<Instant> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let log = headwater::connect(url).await.unwrap();
        let (begun, mut appends) = (Instant::now(), JoinSet::new());
        for n in 0..events {
            sleep_until((begun + Duration::from_secs(1) * n / rate).into()).await;
            let log = log.clone();
            appends.spawn(async move {
                let stream = StreamName::new("cart", n % 1_000).unwrap();
                let data = format!(
                    r#"{{"sku":"{n:05}","title":"The camper's kit, in a bag","quantity":2,"unit_price":1295}}"#
                );
                let event = NewEvent::from_json("cart.item_added", 1, data);
                let appended = log.append(&stream, ExpectedVersion::Any, [event]).await?;
                Ok((appended.position().0, Instant::now()))
            });
        }
        let committed: headwater::Result<Vec<_>> = appends.join_all().await.into_iter().collect();
        let mut committed = committed.expect("each event is appended");
        let _ = ended.await;
        committed.sort_unstable();
        let positions = committed.iter().map(|(position, _)| *position);
        assert!(positions.eq(1..=u64::from(events)), "the log of a run begins at 1, without holes");
        committed.into_iter().map(|(_, at)| at).collect()
    })
}

/// Follows the log from its beginning, and yields when each event came.
async fn follow(address: SocketAddr, events: u32, connected: Arc<Barrier>) -> Vec<Instant> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /feed?from=beginning HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut buffer, mut begun, mut arrived) = (vec![0; 64 << 10], 0, Vec::new());
    let mut connected = Some(connected);
    while arrived.len() < events as usize {
        let read = stream.read(&mut buffer[begun..]).await.unwrap();
        assert!(read > 0, "the feed ended");
        let (now, end) = (Instant::now(), begun + read);
        let whole = buffer[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // Chunks end where a message does: what lies between their sizes is whole lines.
        for line in buffer[..whole].split(|byte| *byte == b'\n') {
            if let Some(position) = line.strip_prefix(b"id: ") {
                let position: usize = std::str::from_utf8(position).unwrap().parse().unwrap();
                assert_eq!(position, arrived.len() + 1, "each event comes once and in order");
                arrived.push(now);
            } else if line == b": follows"
                && let Some(connected) = connected.take()
            {
                connected.wait().await;
            }
        }
        buffer.copy_within(whole..end, 0);
        begun = end - whole;
    }
    arrived
}

/// A server in a process of its own, which ends with this.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(url: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(URL, url).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().parse().expect("the server says where it listens") }
    }

    /// The most memory that it had resident, as Linux counts it.
    fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        peak.and_then(|kib| kib.trim().parse().ok()).map_or(f64::NAN, |kib: f64| kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the process of the server does, until the one that started it closes its input or is gone.
async fn server(url: &str) {
    let log = headwater::connect(url).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let (end, ended) = oneshot::channel();
    thread::spawn(move || end.send(io::stdin().read(&mut [0])));
    let stop = async { drop(ended.await) };
    serve(listener, Api::new(&log).router(), Bounds::default(), stop).await;
}
