//! A network between a program and its server, for tests that break it.

use std::{str::FromStr as _, sync::Arc};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Stands between a program and a PostgreSQL server, and passes bytes on, for as long as it is told
/// to.
pub struct Proxy {
    url: String,
    faults: Arc<watch::Sender<Faults>>,
    accepting: JoinHandle<()>,
}

/// What is wrong with the network.
#[derive(Clone, Debug, Default)]
struct Faults {
    /// Nothing passes, in either direction; nobody is told.
    silent: bool,
    /// Nothing passes over connections that are older than this one, for ever; nobody is told.
    dead_until: u64,
    /// The number of the last connection.
    connections: u64,
    /// How many answers break their connection off, and what stands in the requests they answer.
    cut: (u32, Vec<u8>),
    /// How many of a thousand pieces of answers break their connection off.
    cut_per_mille: u32,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

impl Proxy {
    /// A network before the database at `url`, without a fault.
    pub async fn start(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).expect("the URL of a test database");
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let faults = Arc::new(watch::Sender::new(Faults::default()));
        let accepting = tokio::spawn(accept(listener, server.clone(), faults.clone()));
        let there = format!("@{}:{}", server.0, server.1);
        assert!(url.contains(&there), "a proxy needs a URL with user, host and port");
        Self { url: url.replace(&there, &format!("@127.0.0.1:{port}")), faults, accepting }
    }

    /// The URL of the database, through this network.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next `count` answers to requests that hold `text` never come: their connections break.
    pub fn cut_answers_to(&self, text: &str, count: u32) {
        self.faults.send_modify(|faults| faults.cut = (count, text.as_bytes().to_vec()));
    }

    /// So many of a thousand pieces of answers never come: their connections break.
    pub fn cut_per_mille(&self, share: u32) {
        self.faults.send_modify(|faults| faults.cut_per_mille = share);
    }

    /// From now on nothing passes, and nobody is told; what is sent waits until it heals.
    pub fn fall_silent(&self) {
        self.faults.send_modify(|faults| faults.silent = true);
    }

    /// The connections that there are pass nothing any more, and nobody is told: as behind a firewall
    /// that has forgotten them.
    pub fn forget_connections(&self) {
        self.faults.send_modify(|faults| faults.dead_until = faults.connections);
    }

    /// From now on everything passes, but over connections that were forgotten.
    pub fn heal(&self) {
        self.faults.send_modify(|faults| {
            let Faults { dead_until, connections, .. } = *faults;
            *faults = Faults { dead_until, connections, ..Faults::default() };
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: (String, u16), faults: Arc<watch::Sender<Faults>>) {
    // They end with the proxy: the server would wait for a minute for one that never said who it is.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (server, faults) = (server.clone(), faults.clone());
        connections.spawn(async move {
            // A server that is away closes the connection, as one that is there might.
            let Ok(server) = TcpStream::connect(server).await else { return };
            connect(client, server, &faults).await;
        });
    }
}

/// Passes bytes on in both directions, until one of them ends; that ends both.
async fn connect(client: TcpStream, server: TcpStream, faults: &watch::Sender<Faults>) {
    for stream in [&client, &server] {
        let _slower_without = stream.set_nodelay(true);
    }
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let asked = watch::Sender::new(false);
    let mut number = 0;
    faults.send_modify(|faults| {
        faults.connections += 1;
        number = faults.connections;
    });
    let passes = |faults: &Faults| !faults.silent && faults.dead_until < number;
    tokio::select! {
        () = pass(from_client, to_server, faults, passes, |piece| {
            asked.send_replace(holds(piece, &faults.borrow().cut.1));
            true
        }) => {}
        () = pass(from_server, to_client, faults, passes, |_| !cuts(faults, *asked.borrow())) => {}
    }
}

/// Passes pieces on once the network `passes` them, for as long as `lets` lets them.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: &watch::Sender<Faults>,
    passes: impl Fn(&Faults) -> bool,
    lets: impl Fn(&[u8]) -> bool,
) {
    let mut piece = vec![0; 64 << 10];
    let mut network = faults.subscribe();
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else { return };
        let healed = network.wait_for(&passes).await.is_ok();
        let goes_on = healed && lets(&piece[..length]);
        if !goes_on || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

/// Whether this answer breaks its connection off; `asked` tells whether its request is named.
fn cuts(faults: &watch::Sender<Faults>, asked: bool) -> bool {
    if rand::random_range(0..1_000) < faults.borrow().cut_per_mille {
        return true;
    }
    faults.send_if_modified(|faults| {
        let cuts = asked && faults.cut.0 > 0;
        faults.cut.0 -= u32::from(cuts);
        cuts
    })
}

fn holds(piece: &[u8], text: &[u8]) -> bool {
    !text.is_empty() && piece.windows(text.len()).any(|window| window == text)
}
