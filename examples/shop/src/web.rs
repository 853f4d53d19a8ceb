//! `shop web`: the API, the log, the pages and the projections in one process.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::http::HeaderValue;
use headwater::Log;
use headwater_cli::{Exit, Failure, Interrupt, Options, Output, Prometheus, redact};
use headwater_http::{Access, Api, Bounds, Role};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{
    Shop, http,
    page::{self, Clock, Latecomer, Live, Recent},
    traffic::{Traffic, TrafficOptions},
};

/// Shown below the help of the command.
pub const EXAMPLES: &str = "\
Examples:
  shop web --database-url sqlite://shop.db
  shop web --database-url sqlite://year.db --clock log
  shop web --database-url postgres://localhost/shop --host 0.0.0.0";

/// How long requests that are under way, and then the log, may take when the process is asked to
/// end.
const GRACE: Duration = Duration::from_millis(500);

/// How long a new shop may take to make its read models before it says where it is.
const FIRST: Duration = Duration::from_secs(5);

/// Where the shop listens.
#[derive(Clone, Debug, clap::Args)]
pub struct WebArgs {
    /// The port of the page and the API
    #[arg(long, default_value_t = 3000, value_name = "NUMBER")]
    port: u16,
    /// The address to listen on; others than this machine's own let the network in
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    host: IpAddr,
    /// The origins whose pages may use the shop.
    #[arg(
        long,
        value_name = "ORIGIN",
        value_parser = origin,
        help = "Let pages of this origin use the shop, such as https://coffee.example (may be repeated)"
    )]
    origin: Vec<HeaderValue>,
    /// The file of those who may use the log under /log and change the catalogue, as `headwater serve --tokens` makes it;
    /// without one this machine alone may, and the network not at all
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// When the windows of the dashboard end
    #[arg(long, value_enum, default_value_t = Clock::Now)]
    clock: Clock,
}

impl WebArgs {
    fn guests(&self) -> Result<Guests, Failure> {
        let tokens = self.tokens.as_ref().map(|path| {
            Access::from_file(path).map_err(|error| {
                let path = path.display();
                Failure::bad_input(format!("the tokens in {path} cannot be read: {error}"))
            })
        });
        // What is appended the shop's aggregates decide, and not whoever is there. Nobody is known in the network.
        let here = Access::this_machine().only(&[Role::Read, Role::Operate]);
        let nobody = Access::everybody().only(&[]);
        let or_here = if self.host.is_loopback() { here } else { nobody };
        let access = tokens.transpose()?.unwrap_or(or_here);
        Ok(Guests { origins: self.origin.clone(), access, clock: self.clock })
    }
}

/// Who may use the shop.
struct Guests {
    /// The origins whose pages may.
    origins: Vec<HeaderValue>,
    /// Who may use the log under `/log`, and change the catalogue.
    access: Access,
    /// When the windows end that they see.
    clock: Clock,
}

fn origin(text: &str) -> Result<HeaderValue, &'static str> {
    let valid = text.starts_with("http://") || text.starts_with("https://");
    let origin = text.parse().ok().filter(|_| valid && !text.ends_with('/'));
    origin.ok_or("an origin looks like https://coffee.example")
}

/// Runs `shop web`: everything but visitors.
///
/// # Errors
///
/// What went wrong, with its exit code.
pub async fn run(options: &Options, args: WebArgs) -> Result<(), Failure> {
    serve(options, args, None).await
}

/// Serves the shop, with visitors where there is traffic.
pub(crate) async fn serve(
    options: &Options,
    args: WebArgs,
    traffic: Option<TrafficOptions>,
) -> Result<(), Failure> {
    // Before the log is opened: a second demo must not get as far as that.
    let (address, guests) = (SocketAddr::new(args.host, args.port), args.guests()?);
    let listener = TcpListener::bind(address).await.map_err(|error| taken(address, &error))?;
    // A database that is slow to close makes the end no failure: what was acknowledged is stored.
    let mut interrupt = Interrupt::listen(Exit::Success)?;
    // Before the log, which tells the recorder that is there when it is opened.
    let metrics = Prometheus::install()?;
    let log = options.connect().await?;
    let outcome =
        until_asked_to_end(&log, listener, metrics, guests, traffic, &mut interrupt, options).await;
    let _ = timeout(GRACE, log.close()).await;
    outcome
}

async fn until_asked_to_end(
    log: &Log,
    listener: TcpListener,
    metrics: Prometheus,
    Guests { origins, access, clock }: Guests,
    traffic: Option<TrafficOptions>,
    interrupt: &mut Interrupt,
    options: &Options,
) -> Result<(), Failure> {
    let (shop, app) = (Shop::new(log)?, Arc::new(crate::app()));
    let recent = Arc::new(Recent::new(log));
    let operable = access.lets_all(Role::Operate);
    let latecomer = Arc::new(Latecomer::new(log));
    let live =
        Live::new(log, app.clone(), recent.clone(), clock, latecomer.clone(), operable).await?;
    let (database, address) = (live.database().to_owned(), listener.local_addr()?);
    let health = http::health(log, &app, &access, metrics);
    let others = page::router(live, latecomer.clone(), &access).merge(health);
    let routes = http::router(shop.clone(), &access, others).layer(http::cors(origins.clone()));
    let api = Api::new(log).app(app.clone()).access(access).below("/log");
    let api = origins.into_iter().fold(api, Api::origin).router();
    let routes = routes.merge(http::feed(api.clone())).merge(api);
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let mut bounds = Bounds::default();
    bounds.grace = GRACE;
    let mut server = tokio::spawn(headwater_http::serve(listener, routes, bounds, stopped));
    let said = async {
        // Whoever opens a page then finds its read models; a database that is away is no reason to say nothing.
        let _ = timeout(FIRST, built(&shop)).await;
        say(options, &database, address)?;
        std::future::pending::<Result<(), Failure>>().await
    };
    let visitors = async {
        match traffic {
            Some(options) => Traffic::new(shop.clone(), options).run().await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        // It tells the other instances before it ends, so that they take over at once.
        ended = app.run_until(log, interrupt.requested()) => ended.map_err(Failure::from),
        failed = said => failed,
        failed = visitors => failed.map_err(Failure::from),
        failed = latecomer.run() => failed.map_err(Failure::from),
        () = recent.follow() => Ok(()),
        _ = &mut server => Err(Failure::new(Exit::Failed, "server", "the server ended by itself")),
    };
    // Requests under way get their answers; projections and visitors have ended where they were,
    // and go on from there.
    let _ = stop.send(());
    if !server.is_finished() {
        let _ = timeout(2 * GRACE, server).await;
    }
    ended
}

/// Waits until the read models of a new shop are there.
async fn built(shop: &Shop) {
    while !shop.is_built().await.unwrap_or(false) {
        sleep(Duration::from_millis(20)).await;
    }
}

fn say(options: &Options, database: &str, address: SocketAddr) -> Result<(), Failure> {
    let mut out = Output::new(options);
    let (log, url) = (redact(options.database_url()?), format!("http://{address}"));
    if out.is_json() {
        out.object(&serde_json::json!({ "url": url, "log": log }))?;
    } else {
        out.line(format!("The log:  {log} ({database})"))?;
        out.line(format!("The shop: {url}"))?;
        out.line(format!("At work:  {url}/dashboard"))?;
        out.line("Ctrl-C ends it; the next start goes on from there.")?;
    }
    out.flush()
}

fn taken(address: SocketAddr, error: &io::Error) -> Failure {
    let port = address.port();
    if error.kind() != io::ErrorKind::AddrInUse {
        let sentence = format!("the shop cannot listen on {address} ({error})");
        return Failure::bad_input(sentence);
    }
    let other = port.checked_add(1).unwrap_or(3000);
    let sentence = format!(
        "port {port} is taken, perhaps by another shop: take another one with --port {other}"
    );
    Failure::new(Exit::BadInput, "port-taken", sentence)
}
