//! `shop demo` and `shop web`: the API, the page and the projections in one process.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use headwater::Log;
use headwater_cli::{Exit, Failure, Interrupt, Options, Output, redact};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};

use crate::{
    Shop, http,
    page::{self, Live, Window},
    traffic::{Traffic, TrafficOptions},
};

/// Shown below the help of the commands.
pub const EXAMPLES: &str = "\
Examples:
  shop demo
  shop demo --port 3001 --rps 100
  shop web --database-url postgres://localhost/shop --host 0.0.0.0";

/// How long requests that are under way, and then the log, may take when the process is asked to
/// end.
const GRACE: Duration = Duration::from_millis(500);

/// Where the shop listens.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct WebArgs {
    /// The port of the page and the API
    #[arg(long, default_value_t = 3000, value_name = "NUMBER")]
    port: u16,
    /// The address to listen on; others than this machine's own let the network in
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    host: IpAddr,
}

/// The arguments of `shop demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    web: WebArgs,
    #[command(flatten)]
    traffic: TrafficOptions,
}

/// Runs `shop demo`: everything, with visitors, on a file of the user's unless told otherwise.
///
/// # Errors
///
/// What went wrong, with its exit code.
pub async fn demo(options: &Options, args: DemoArgs) -> Result<(), Failure> {
    if options.database_url().is_ok() {
        return serve(options, args.web, Some(args.traffic)).await;
    }
    let file = data_file()?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
    }
    let options = options.clone().or_database_url(sqlite_url(&file));
    serve(&options, args.web, Some(args.traffic)).await
}

/// Runs `shop web`: everything but visitors.
///
/// # Errors
///
/// What went wrong, with its exit code.
pub async fn web(options: &Options, args: WebArgs) -> Result<(), Failure> {
    serve(options, args, None).await
}

/// The log of the demo: what the other commands look at where no log is named.
pub fn demo_log() -> Option<String> {
    data_file().ok().map(|file| sqlite_url(&file))
}

async fn serve(
    options: &Options,
    args: WebArgs,
    traffic: Option<TrafficOptions>,
) -> Result<(), Failure> {
    // Before the log is opened: a second demo must not get as far as that.
    let address = SocketAddr::new(args.host, args.port);
    let listener = TcpListener::bind(address).await.map_err(|error| taken(address, &error))?;
    // A database that is slow to close makes the end no failure: what was acknowledged is stored.
    let mut interrupt = Interrupt::listen(Exit::Success)?;
    let log = options.connect().await?;
    let outcome = run(&log, listener, traffic, &mut interrupt, options).await;
    let _ = timeout(GRACE, log.close()).await;
    outcome
}

async fn run(
    log: &Log,
    listener: TcpListener,
    traffic: Option<TrafficOptions>,
    interrupt: &mut Interrupt,
    options: &Options,
) -> Result<(), Failure> {
    let (shop, app) = (Shop::new(log)?, Arc::new(crate::app()));
    let window = Arc::new(Window::new(log)?);
    let live = Live::new(log, app.clone(), window.clone()).await?;
    say(options, &live, listener.local_addr()?)?;
    let routes = http::router(shop.clone()).merge(page::router(Arc::new(live)));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, routes).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let mut server = tokio::spawn(server.into_future());
    let visitors = async {
        match traffic {
            Some(options) => Traffic::new(shop, options).run().await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        () = interrupt.requested() => Ok(()),
        failed = app.run(log) => failed.map_err(Failure::from),
        failed = visitors => failed.map_err(Failure::from),
        () = window.follow() => Ok(()),
        _ = &mut server => Err(Failure::new(Exit::Failed, "server", "the server ended by itself")),
    };
    // Requests under way get their answers; projections and visitors have ended where they were,
    // and go on from there.
    let _ = stop.send(());
    if !server.is_finished() {
        let _ = timeout(GRACE, server).await;
    }
    ended
}

fn say(options: &Options, live: &Live, address: SocketAddr) -> Result<(), Failure> {
    let mut out = Output::new(options);
    let (log, url) = (redact(options.database_url()?), format!("http://{address}"));
    if out.is_json() {
        out.object(&serde_json::json!({ "url": url, "log": log }))?;
    } else {
        out.line(format!("The log:  {log} ({})", live.database()))?;
        out.line(format!("The shop: {url}"))?;
        out.line("Ctrl-C ends it; the next start goes on from there.")?;
    }
    out.flush()
}

/// The demo's file in the folder where this system keeps the data of a user's programs.
fn data_file() -> Result<PathBuf, Failure> {
    let variable =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || variable("HOME");
    let folder = if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Application Support"))
    } else if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else {
        variable("XDG_DATA_HOME").or_else(|| home().map(|home| home.join(".local/share")))
    };
    let missing = || {
        Failure::new(Exit::BadInput, "no-home", "the user has no home directory for the demo's log")
            .with_hint("give --database-url sqlite://shop.db")
    };
    Ok(folder.ok_or_else(missing)?.join("headwater-shop").join("shop.db"))
}

/// The URL of a SQLite file; what means something in a URL is escaped.
fn sqlite_url(file: &Path) -> String {
    let path = file.to_string_lossy();
    format!("sqlite://{}", path.replace('%', "%25").replace('?', "%3F").replace('#', "%23"))
}

fn unusable(folder: &Path, error: &io::Error) -> Failure {
    let folder = folder.display();
    Failure::new(Exit::Failed, "io", format!("the folder {folder} cannot be made ({error})"))
        .with_hint("give --database-url sqlite://shop.db")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_url_is_escaped() {
        assert_eq!(sqlite_url(Path::new("/a b/50%?#.db")), "sqlite:///a b/50%25%3F%23.db");
    }
}
