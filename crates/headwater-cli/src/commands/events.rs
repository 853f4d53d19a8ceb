//! `events`: the log as it lies, filtered, in either direction, and as it grows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use headwater::{Cursor, ErrorKind, EventStream, Filter, Log, Position, StoredEvent, StreamName};
use uuid::Uuid;

use super::split;
use crate::{Exit, Failure, Interrupt, Output, columns::Columns, envelope, output::reader_gone};

pub(super) const EXAMPLES: &str = "\
Examples:
  headwater events --category cart --limit 20
  headwater events --type order.placed --since 2026-11-23T00:00:00Z
  headwater events --backward --limit 10
  headwater events --follow --from end --json | jq .type
  headwater events --follow --subscription mailer --type order.placed --json";

/// How many events go to the terminal at once, at most.
const CHUNK: usize = 256;

/// How long a follower waits before it asks a store again that was away.
const PAUSE: Duration = Duration::from_secs(1);

/// What `events` takes.
#[derive(clap::Args)]
pub struct EventsArgs {
    /// Only streams of this category (may be repeated)
    #[arg(long, value_name = "NAME")]
    category: Vec<String>,
    /// Only this stream (may be repeated)
    #[arg(long, value_name = "STREAM")]
    stream: Vec<String>,
    /// Only events of this type (may be repeated)
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Vec<String>,
    /// Only events of this conversation
    #[arg(long, value_name = "UUID")]
    correlation_id: Option<Uuid>,
    /// Only events recorded at or after this time, such as 2026-11-23T08:15:30Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<DateTime<Utc>>,
    /// Only events recorded before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "follow")]
    until: Option<DateTime<Utc>>,
    /// Begin behind this position (with --backward: before it), or at the end of the log
    #[arg(long, value_name = "POSITION|end", value_parser = parse_from)]
    from: Option<Begin>,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Newest first
    #[arg(long)]
    backward: bool,
    /// Go on with events as they come, until Ctrl-C
    #[arg(long, conflicts_with = "backward")]
    follow: bool,
    /// Go on behind what was written under this name before, with the same filter; --from counts the first time
    #[arg(long, value_name = "NAME", conflicts_with = "backward")]
    subscription: Option<String>,
}

#[derive(Clone, Copy)]
enum Begin {
    Position(u64),
    End,
}

fn parse_from(text: &str) -> Result<Begin, String> {
    match text {
        "end" => Ok(Begin::End),
        number => {
            number.parse().map(Begin::Position).map_err(|_| "it is a position or `end`".into())
        }
    }
}

/// Reads a time as RFC 3339 has it.
pub(super) fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "a time looks like 2026-11-23T08:15:30Z".into())
}

impl EventsArgs {
    fn filter(&self) -> Result<Filter, Failure> {
        let streams = self.stream.iter().map(|name| StreamName::parse(name));
        Ok(Filter {
            categories: self.category.clone(),
            streams: streams.collect::<Result<_, _>>()?,
            types: self.event_type.clone(),
            correlation_id: self.correlation_id,
            recorded_from: self.since,
            recorded_until: self.until,
            ..Filter::all()
        })
    }
}

pub(super) async fn run(log: &Log, args: EventsArgs, out: &mut Output) -> Result<(), Failure> {
    let filter = args.filter()?;
    let mut printer = Printer::new(out, args.limit);
    if args.backward {
        // Both directions leave out the position they are given, so the last one seen is the next to give.
        let from = match args.from {
            Some(Begin::Position(position)) => Position(position.saturating_sub(1)),
            Some(Begin::End) | None => Position::END,
        };
        return printer.print_all(log.read_backward(filter, from)).await;
    }
    let after = match args.from {
        Some(Begin::Position(position)) => Position(position),
        Some(Begin::End) => log.ceiling().await?.position,
        None => Position::START,
    };
    match args.subscription {
        Some(name) => take_in(log, &name, filter, after, args.follow, &mut printer).await,
        None if args.follow => follow(log.subscribe(filter, after), &mut printer).await,
        None => printer.print_all(log.read(filter, after)).await,
    }
}

async fn follow(mut cursor: Cursor, printer: &mut Printer<'_>) -> Result<(), Failure> {
    step_by_step(printer, async |printer| {
        let limit = printer.wanted().min(CHUNK);
        let batch = patiently(async || cursor.next_batch(limit).await).await?;
        printer.print(&batch.events)?;
        Ok(true)
    })
    .await
}

/// Shows what lies behind the place of a subscription, and moves the place on by what was written.
async fn take_in(
    log: &Log,
    name: &str,
    filter: Filter,
    after: Position,
    follow: bool,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut subscription = log.subscription(name, filter.clone(), after).await?;
    step_by_step(printer, async |printer| {
        let limit = printer.wanted().min(CHUNK);
        let shown = async {
            let batch = patiently(async || match follow {
                true => subscription.next_batch(limit).await.map(Some),
                false => subscription.available(limit).await,
            });
            let Some(batch) = batch.await? else { return Ok(false) };
            printer.print(&batch.events)?;
            patiently(async || subscription.acknowledge(batch.position).await).await?;
            Ok::<_, Failure>(true)
        };
        match shown.await {
            // It goes on from where the operator has put it.
            Err(moved) if moved.code() == MOVED => {
                subscription = log.subscription(name, filter.clone(), after).await?;
                Ok(true)
            }
            shown => shown,
        }
    })
    .await
}

/// Takes step after step while more is wanted, until one finds nothing more, Ctrl-C, or the reader has gone.
async fn step_by_step(
    printer: &mut Printer<'_>,
    mut step: impl AsyncFnMut(&mut Printer<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen(Exit::Success)?;
    let reader_gone = reader_gone();
    tokio::pin!(reader_gone);
    while printer.wanted() > 0 {
        let more = tokio::select! {
            () = interrupt.requested() => break,
            () = &mut reader_gone => break,
            more = step(printer) => more?,
        };
        if !more {
            break;
        }
    }
    Ok(())
}

/// The code of a subscription that was moved since it was opened.
const MOVED: &str = "subscription-moved";

/// Does it also when the store is away for a while: a follower is there to stay.
async fn patiently<T>(mut act: impl AsyncFnMut() -> headwater::Result<T>) -> Result<T, Failure> {
    loop {
        match act().await {
            Err(error) if error.kind() == ErrorKind::Retry && error.code() != MOVED => {
                tracing::warn!("{error}; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            done => return Ok(done?),
        }
    }
}

/// Prints events as they come.
pub(super) struct Printer<'a> {
    out: &'a mut Output,
    columns: Columns<6>,
    wanted: usize,
}

impl<'a> Printer<'a> {
    pub(super) fn new(out: &'a mut Output, limit: Option<usize>) -> Self {
        let header = ["POSITION", "STREAM", "VERSION", "TYPE", "RECORDED AT", "DATA"];
        let columns = Columns::new(header, [8, 16, 7, 16, 27, 0]);
        Self { out, columns, wanted: limit.unwrap_or(usize::MAX) }
    }

    /// How many more events are to be printed.
    fn wanted(&self) -> usize {
        self.wanted
    }

    pub(super) async fn print_all(&mut self, events: EventStream) -> Result<(), Failure> {
        let mut chunks = events.take(self.wanted).ready_chunks(CHUNK);
        while let Some(chunk) = chunks.next().await {
            let (whole, outcome) = split(chunk);
            self.print(&whole)?;
            outcome?;
        }
        Ok(())
    }

    fn print(&mut self, events: &[StoredEvent]) -> Result<(), Failure> {
        self.wanted -= events.len().min(self.wanted);
        if self.out.is_json() {
            for event in events {
                envelope::write(self.out, event)?;
            }
        } else if !events.is_empty() {
            let rows: Vec<_> = events.iter().map(|event| row(event, self.out.width())).collect();
            self.columns.write(self.out, &rows)?;
        }
        self.out.flush()
    }
}

fn row(event: &StoredEvent, width: Option<usize>) -> [String; 6] {
    // Enough for any screen, and far less than a mebibyte.
    let shown = event.event.data.chars().take(width.unwrap_or(usize::MAX));
    [
        event.position.to_string(),
        event.stream.to_string(),
        event.version.to_string(),
        event.event.event_type.clone(),
        envelope::time(event.recorded_at),
        // A line break ends the line, and a terminal obeys control characters.
        shown.map(|c| if c.is_control() { ' ' } else { c }).collect(),
    ]
}
