//! `append`: one event, from the command line or from standard input.

use std::io::{self, IsTerminal as _, Read as _};

use chrono::{DateTime, Utc};
use headwater::{Error, ExpectedVersion, Log, NewEvent, StreamName};
use serde::Serialize;
use uuid::Uuid;

use super::events::parse_time;
use crate::{Failure, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  headwater append cart-7 cart.opened --data '{\"currency\":\"GBP\"}' --expect none
  headwater append cart-7 cart.item_added --schema-version 2 < item.json
  headwater append cart-7 cart.closed --data '{}' --id 0199c3a0-7d52-7c8e-8a3b-5f1f4f0d2b11";

/// More than any limit of a log: what is longer is refused anyway.
const LONGEST_INPUT: u64 = 65 << 20;

/// What `append` takes.
#[derive(clap::Args)]
pub struct AppendArgs {
    /// The stream, such as cart-7
    stream: String,
    /// The event's type, such as cart.item_added
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The event's data; without it they are read from standard input
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// What version the stream must have: any, none (there is no stream yet), or a number
    #[arg(long, value_name = "VERSION", default_value = "any", value_parser = parse_expected)]
    expect: ExpectedVersion,
    /// The event's id: the same append with the same id is applied once
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
    /// The version of the type's schema
    #[arg(long, value_name = "N", default_value_t = 1)]
    schema_version: u32,
    /// A JSON object to keep beside the data
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// The conversation that the event belongs to
    #[arg(long, value_name = "UUID")]
    correlation_id: Option<Uuid>,
    /// The message that caused the event
    #[arg(long, value_name = "UUID")]
    causation_id: Option<Uuid>,
    /// When it happened, such as 2026-11-23T08:15:30Z; now where it is not given
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    occurred_at: Option<DateTime<Utc>>,
}

/// An append as it was asked for, before any log is opened.
pub(super) struct Asked {
    stream: StreamName,
    expected: ExpectedVersion,
    event: NewEvent,
}

#[derive(Serialize)]
struct Answer<'a> {
    stream: &'a str,
    version: u64,
    position: u64,
    event_id: Uuid,
    repeated: bool,
}

impl AppendArgs {
    pub(super) fn into_event(self) -> Result<Asked, Failure> {
        let stream = StreamName::parse(&self.stream)?;
        let data = self.data.map_or_else(read_data, Ok)?;
        let mut event = NewEvent::from_json(self.event_type, self.schema_version, data);
        event.id = self.id.unwrap_or(event.id);
        event.metadata = self.metadata;
        event.correlation_id = self.correlation_id;
        event.causation_id = self.causation_id;
        event.occurred_at = self.occurred_at;
        Ok(Asked { stream, expected: self.expect, event })
    }
}

fn read_data() -> Result<String, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::bad_input("the event has no data")
            .with_hint("give them with --data, or as a file: append ... < event.json"));
    }
    let mut data = String::new();
    match stdin.take(LONGEST_INPUT).read_to_string(&mut data) {
        // The line end is the shell's, not the event's.
        Ok(_) => Ok(data.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Failure::bad_input("the data on standard input are not UTF-8"))
        }
        Err(error) => Err(error.into()),
    }
}

fn parse_expected(text: &str) -> Result<ExpectedVersion, String> {
    match text {
        "any" => Ok(ExpectedVersion::Any),
        "none" => Ok(ExpectedVersion::None),
        number => number
            .parse()
            .map(ExpectedVersion::Exact)
            .map_err(|_| "it is any, none, or the number of the stream's last version".into()),
    }
}

pub(super) async fn run(log: &Log, asked: Asked, out: &mut Output) -> Result<(), Failure> {
    let Asked { stream, expected, event } = asked;
    let event_id = event.id;
    let appended = log.append(&stream, expected, [event]).await.map_err(|error| {
        let unknown = matches!(error, Error::OutcomeUnknown { .. });
        let failure = Failure::from(error);
        if unknown {
            failure.with_hint(format!("run it again with --id {event_id}, which applies it once"))
        } else {
            failure
        }
    })?;
    let (version, position) = (appended.version(), appended.position().0);
    if out.is_json() {
        let (stream, repeated) = (stream.as_str(), appended.repeated);
        return out.object(&Answer { stream, version, position, event_id, repeated });
    }
    let what = if appended.repeated { "had been appended before" } else { "appended" };
    out.line(format_args!("{what}: {stream} version {version}, position {position}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_version_is_a_word_or_a_number() {
        assert_eq!(parse_expected("any"), Ok(ExpectedVersion::Any));
        assert_eq!(parse_expected("none"), Ok(ExpectedVersion::None));
        assert_eq!(parse_expected("0"), Ok(ExpectedVersion::Exact(0)));
        assert!(parse_expected("-1").is_err());
    }
}
