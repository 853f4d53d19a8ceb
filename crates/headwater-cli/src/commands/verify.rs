//! `verify`: the log against itself, and its checksum.
//!
//! What must be sorted, the database sorts; the events themselves are read once, in their order.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use headwater::{Fault, Log, Position, Settings, StoredEvent};
use serde::{Serialize, de::IgnoredAny};

use super::{export::all, split, within};
use crate::{Exit, Failure, Interrupt, Options, Output, checksum::Checksum, pace::Pace};

pub(super) const EXAMPLES: &str = "\
Examples:
  headwater verify
  headwater verify --limit 100 --json";

const CHUNK: usize = 256;

/// How long a statement may take that goes through the whole log.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// What `verify` takes.
#[derive(clap::Args)]
pub struct VerifyArgs {
    /// Name so many faults at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

#[derive(Serialize)]
struct Answer<'a> {
    events: u64,
    position: u64,
    checksum: &'a str,
    faults: Vec<Named<'a>>,
    more_faults: bool,
}

#[derive(Serialize)]
struct Named<'a> {
    fault: &'static str,
    position: Option<u64>,
    message: &'a str,
}

pub(super) async fn run(
    options: &Options,
    args: VerifyArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let settings = Settings { statement_timeout: LONG, ..Settings::default() };
    let log = options.connect_with(settings).await?;
    within(log, async |log| {
        let mut interrupt = Interrupt::listen(Exit::Interrupted)?;
        tokio::select! {
            verified = verify(log, args.limit, options, out) => verified,
            () = interrupt.requested() => {
                Err(Failure::new(Exit::Interrupted, "interrupted", "interrupted: not all was verified"))
            }
        }
    })
    .await
}

async fn verify(log: &Log, limit: u32, options: &Options, out: &mut Output) -> Result<(), Failure> {
    let begun = Instant::now();
    // One more than is named tells that there are more.
    let mut faults = log.store().faults(limit.saturating_add(1)).await?;
    let until = log.ceiling().await?.position;
    let checksum = read_all(log, until, limit, options, &mut faults).await?;
    let (events, checksum) = (checksum.events(), checksum.finish());
    let named = usize::try_from(limit).unwrap_or(usize::MAX);
    let more_faults = faults.len() > named;
    faults.truncate(named);
    let messages: Vec<_> = faults.iter().map(ToString::to_string).collect();
    if out.is_json() {
        let named = faults.iter().zip(&messages).map(|(fault, message)| Named {
            fault: fault.code(),
            position: fault.position().map(|position| position.0),
            message,
        });
        let (position, checksum, faults) = (until.0, &checksum, named.collect());
        out.object(&Answer { events, position, checksum, faults, more_faults })?;
    } else {
        messages.iter().try_for_each(|message| out.line(message))?;
        let seconds = begun.elapsed().as_secs_f64();
        out.line(format_args!("verified {events} events in {seconds:.1} s, checksum {checksum}"))?;
    }
    if faults.is_empty() && !more_faults {
        return Ok(());
    }
    let count = match (faults.len(), more_faults) {
        (0, _) => "faults".into(),
        (1, false) => "1 fault".into(),
        (count, false) => format!("{count} faults"),
        (count, true) => format!("more than {count} faults"),
    };
    Err(Failure::new(Exit::Failed, "log-broken", format!("the log has {count}")).with_hint(
        "Headwater never writes such a log: find out who changed its tables, and restore a backup",
    ))
}

/// Reads every event up to the ceiling, and notes those that are not readable.
async fn read_all(
    log: &Log,
    until: Position,
    limit: u32,
    options: &Options,
    faults: &mut Vec<Fault>,
) -> Result<Checksum, Failure> {
    let mut checksum = Checksum::new();
    let mut pace = Pace::new(options, "verify", Some(until.0));
    let mut events = all(log, until).ready_chunks(CHUNK);
    let room = faults.len().saturating_add(usize::try_from(limit).unwrap_or(usize::MAX));
    while let Some(chunk) = events.next().await {
        let (whole, outcome) = split(chunk);
        for event in &whole {
            checksum.add(event);
            if faults.len() <= room {
                faults.extend(unreadable(event));
            }
        }
        outcome?;
        if let Some(last) = whole.last() {
            pace.report(checksum.events(), last.position.0);
        }
    }
    Ok(checksum)
}

fn unreadable(event: &StoredEvent) -> impl Iterator<Item = Fault> {
    let parts = [("data", Some(&event.event.data)), ("metadata", event.metadata.as_ref())];
    let no_json = |json: &&String| serde_json::from_str::<IgnoredAny>(json).is_err();
    parts.into_iter().filter_map(move |(part, json)| {
        json.filter(no_json)?;
        Some(Fault::Json { stream: event.stream.clone(), position: event.position, part })
    })
}
