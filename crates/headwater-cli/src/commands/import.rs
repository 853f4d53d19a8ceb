//! `import`: appends what an export wrote, byte for byte and in its order, or says at which line it cannot.

mod arrival;
mod batch;
mod lines;

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal as _, Read},
    path::{Path, PathBuf},
    time::Instant,
};

use headwater::{Limits, Log, Settings};
use serde::Serialize;
use tokio::sync::mpsc;

use self::{arrival::Arrival, batch::Batch};
use super::within;
use crate::{Exit, Failure, Interrupt, Options, Output, checksum::Checksum, pace::Pace};

pub(crate) const EXAMPLES: &str = "\
Examples:
  headwater import shop.ndjson
  headwater import shop.ndjson --database-url postgres://owner@db/shop --json
  zstdcat shop.ndjson.zst | headwater import";

/// How many batches are read ahead.
const AHEAD: usize = 2;

/// What `import` takes.
#[derive(clap::Args)]
pub struct ImportArgs {
    /// What an export wrote: a file, or - for standard input
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
}

#[derive(Serialize)]
struct Answer<'a> {
    events: u64,
    appended: u64,
    there_before: u64,
    checksum: &'a str,
}

pub(crate) async fn run(
    options: &Options,
    args: ImportArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let (input, bytes) = open(&args.file)?;
    let log = options.connect_with(settings()).await?;
    within(log, async |log| import(log, input, bytes, options, out).await).await
}

/// What a log took once it takes again, whatever its limits were.
fn settings() -> Settings {
    let limits = Limits {
        event_data: 64 << 20,
        metadata: 64 << 20,
        append: 256 << 20,
        depth: 120,
        ..Limits::default()
    };
    Settings { limits, ..Settings::default() }
}

type Input = Box<dyn Read + Send>;

/// What is to be read, and how many bytes it has, where that is known.
fn open(path: &Path) -> Result<(Input, Option<u64>), Failure> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(Failure::bad_input("there is nothing to import").with_hint(
                "name a file, or hand an export to standard input: import < shop.ndjson",
            ));
        }
        return Ok((Box::new(io::stdin()), None));
    }
    let of_file = |error: io::Error| {
        Failure::bad_input(format!("{} cannot be read: {error}", path.display()))
    };
    let file = File::open(path).map_err(of_file)?;
    let found = file.metadata().map_err(of_file)?;
    if found.is_dir() {
        return Err(Failure::bad_input(format!("{} is a directory", path.display())));
    }
    Ok((Box::new(file), found.is_file().then_some(found.len())))
}

async fn import(
    log: &Log,
    input: Input,
    bytes: Option<u64>,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut arrival = Arrival::at(log);
    let checksum = match take_all(&mut arrival, input, bytes, options).await {
        Ok(checksum) => checksum,
        Err(failure) => {
            let hint = match arrival.events() {
                0 => "none of its events was imported".into(),
                events => format!(
                    "its first {events} events are in the log: to go on, run the same import again, \
                     which adds none of them twice"
                ),
            };
            return Err(failure.with_hint(hint));
        }
    };
    let (events, appended) = (arrival.events(), arrival.appended());
    let (there_before, checksum) = (events - appended, checksum.finish());
    if out.is_json() {
        return out.object(&Answer { events, appended, there_before, checksum: &checksum });
    }
    let seconds = begun.elapsed().as_secs_f64();
    let before = match there_before {
        0 => String::new(),
        count => format!(", {count} were there before"),
    };
    out.line(format_args!(
        "imported {appended} events in {seconds:.1} s{before}, checksum {checksum}"
    ))
}

/// Appends batch by batch, one at a time: so the log has the order of the lines.
async fn take_all(
    arrival: &mut Arrival<'_>,
    input: Input,
    bytes: Option<u64>,
    options: &Options,
) -> Result<Checksum, Failure> {
    let mut interrupt = Interrupt::listen(Exit::Interrupted)?;
    let mut pace = Pace::new(options, "import", bytes);
    let (sender, mut batches) = mpsc::channel::<Batch>(AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        lines::read(BufReader::with_capacity(256 << 10, input), &sender)
    });
    loop {
        let batch = tokio::select! {
            biased;
            () = interrupt.requested() => {
                let message = "interrupted: not all is imported";
                return Err(Failure::new(Exit::Interrupted, "interrupted", message));
            }
            batch = batches.recv() => batch,
        };
        let Some(batch) = batch else { break };
        let read = batch.read_so_far();
        arrival.take(batch).await?;
        pace.report(arrival.events(), read);
    }
    // It panics nowhere, and nobody cancels it.
    reading.await.map_err(io::Error::other)?
}
