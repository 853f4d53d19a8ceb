//! `streams` and `stream show`: which streams there are, and what one holds.

use futures_util::StreamExt as _;
use headwater::{Log, StreamInfo, StreamName};
use serde::Serialize;

use super::{events::Printer, split};
use crate::{Exit, Failure, Output, columns::Columns, envelope::time};

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  headwater streams
  headwater streams --category cart --limit 20 --json";

pub(super) const SHOW_EXAMPLES: &str = "\
Examples:
  headwater stream show cart-7
  headwater stream show cart-7 --backward --limit 1 --json";

const CHUNK: usize = 256;

/// What `streams` takes.
#[derive(clap::Args)]
pub struct StreamsArgs {
    /// Only streams of this category
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Stop after so many streams
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// What can be done with one stream.
#[derive(clap::Subcommand)]
pub enum StreamCommand {
    /// Show the events of a stream
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
}

/// What `stream show` takes.
#[derive(clap::Args)]
pub struct ShowArgs {
    /// The stream, such as cart-7
    stream: String,
    /// Begin with this version
    #[arg(long, value_name = "VERSION")]
    from: Option<u64>,
    /// Newest first
    #[arg(long)]
    backward: bool,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Answer<'a> {
    stream: &'a str,
    category: &'a str,
    version: u64,
    first_at: String,
    last_at: String,
}

pub(super) async fn list(log: &Log, args: StreamsArgs, out: &mut Output) -> Result<(), Failure> {
    let mut columns = Columns::new(["STREAM", "VERSION", "FIRST AT", "LAST AT"], [24, 7, 27, 27]);
    let streams = log.streams(args.category.as_deref());
    let mut chunks = streams.take(args.limit.unwrap_or(usize::MAX)).ready_chunks(CHUNK);
    while let Some(chunk) = chunks.next().await {
        let (whole, outcome) = split(chunk);
        if out.is_json() {
            for info in &whole {
                out.object(&answer(info))?;
            }
        } else if !whole.is_empty() {
            columns.write(out, &whole.iter().map(row).collect::<Vec<_>>())?;
        }
        outcome?;
    }
    Ok(())
}

fn answer(info: &StreamInfo) -> Answer<'_> {
    Answer {
        stream: info.stream.as_str(),
        category: info.stream.category(),
        version: info.version,
        first_at: time(info.first_at),
        last_at: time(info.last_at),
    }
}

fn row(info: &StreamInfo) -> [String; 4] {
    [info.stream.to_string(), info.version.to_string(), time(info.first_at), time(info.last_at)]
}

pub(super) async fn show(log: &Log, args: ShowArgs, out: &mut Output) -> Result<(), Failure> {
    let stream = StreamName::parse(&args.stream)?;
    // To a reader a missing stream is an empty one; to a person it is a slip of the pen.
    if log.stream_info(&stream).await?.is_none() {
        let message = format!("there is no stream {stream}");
        return Err(Failure::new(Exit::BadInput, "unknown-stream", message));
    }
    let events = if args.backward {
        log.read_stream_backward(&stream, args.from.unwrap_or(u64::MAX))
    } else {
        log.read_stream(&stream, args.from.unwrap_or(1))
    };
    Printer::new(out, args.limit).print_all(events).await
}
