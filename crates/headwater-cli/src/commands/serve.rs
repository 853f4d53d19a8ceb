//! `serve`: the log over HTTP.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use headwater_http::{Access, Api, Bounds};
use tokio::net::TcpListener;

use super::close;
use crate::{Exit, Failure, Interrupt, Options, Output, redact};

pub(crate) const EXAMPLES: &str = "\
Examples:
  headwater serve
  headwater serve --host 0.0.0.0 --tokens tokens.txt
  curl -N 'http://localhost:8080/feed?from=beginning'";

/// What `serve` takes.
#[derive(clap::Args)]
pub struct ServeArgs {
    /// The port
    #[arg(long, default_value_t = 8080, value_name = "NUMBER")]
    port: u16,
    /// The address to listen on; others than this machine's own need --tokens
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    host: IpAddr,
    /// The file of those who may read, append and operate; made, with a token that is shown once, where there is none
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Let pages of this origin use it, such as https://shop.example (may be repeated)
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
}

pub(crate) async fn run(
    options: &Options,
    args: ServeArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let ServeArgs { port, host, tokens, origin } = args;
    let bounds = Bounds::default();
    let mut interrupt = Interrupt::listen_for(Exit::Success, 2 * bounds.grace)?;
    if tokens.is_none() && !host.is_loopback() {
        let sentence =
            format!("without tokens it serves this machine alone, and {host} is the network's");
        return Err(Failure::bad_input(sentence)
            .with_hint("add --tokens FILE: it is made where there is none; and put TLS in front"));
    }
    let (access, token) = match &tokens {
        None => (Access::this_machine(), None),
        Some(path) => Access::from_file_or_new(path).map_err(|error| {
            Failure::bad_input(format!("the tokens in {} cannot be read: {error}", path.display()))
        })?,
    };
    let listener = TcpListener::bind(SocketAddr::new(host, port)).await;
    let listener = listener.map_err(|error| not_there(host, port, &error))?;
    let log = options.connect_as_is().await?;
    let api = origin.iter().try_fold(Api::new(&log).access(access), |api, origin| {
        let wrong = || Failure::bad_input("an origin looks like https://shop.example");
        let valid = origin.starts_with("http://") || origin.starts_with("https://");
        let origin = origin.parse().ok().filter(|_| valid && !origin.ends_with('/'));
        Ok::<_, Failure>(api.origin(origin.ok_or_else(wrong)?))
    })?;
    say(options, out, &listener, token.as_deref())?;
    headwater_http::serve(listener, api.router(), bounds, interrupt.requested()).await;
    close(&log).await;
    Ok(())
}

fn say(
    options: &Options,
    out: &mut Output,
    listener: &TcpListener,
    token: Option<&str>,
) -> Result<(), Failure> {
    let (log, url) =
        (redact(options.database_url()?), format!("http://{}", listener.local_addr()?));
    if out.is_json() {
        out.object(&serde_json::json!({ "url": url, "log": log, "token": token }))?;
    } else {
        out.line(format!("The log:  {log}"))?;
        out.line(format!("It is at: {url} ({url}/openapi.json describes it)"))?;
        if let Some(token) = token {
            out.line(format!("A token that may do everything, shown this once: {token}"))?;
        }
    }
    out.flush()
}

fn not_there(host: IpAddr, port: u16, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AddrInUse {
        let sentence = format!("port {port} is taken: take another one with --port");
        return Failure::new(Exit::BadInput, "port-taken", sentence);
    }
    Failure::bad_input(format!("it cannot listen on {host} port {port}: {error}"))
}
