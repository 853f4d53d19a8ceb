//! The one JSON form of an event, as programs read it.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use headwater::StoredEvent;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Exit, Failure, Output};

#[derive(Serialize)]
struct Envelope<'a> {
    position: u64,
    stream: &'a str,
    version: u64,
    event_id: Uuid,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema: u32,
    occurred_at: String,
    recorded_at: String,
    correlation_id: Option<Uuid>,
    causation_id: Option<Uuid>,
    // What the writer stored goes out as it is: parsing would round numbers and lose the order of keys.
    metadata: Option<&'a RawValue>,
    data: &'a RawValue,
}

/// Writes an event as one line of JSON.
pub(crate) fn write(out: &mut Output, event: &StoredEvent) -> Result<(), Failure> {
    let data = one_line(&event.event.data);
    let metadata = event.metadata.as_deref().map(one_line);
    let raw = |json| {
        serde_json::from_str::<&RawValue>(json).map_err(|_| {
            let message = format!("the event at position {} holds no JSON", event.position);
            Failure::new(Exit::Failed, "not-json", message)
        })
    };
    out.object(&Envelope {
        position: event.position.0,
        stream: event.stream.as_str(),
        version: event.version,
        event_id: event.id,
        event_type: &event.event.event_type,
        schema: event.event.schema_version,
        occurred_at: time(event.occurred_at),
        recorded_at: time(event.recorded_at),
        correlation_id: event.correlation_id,
        causation_id: event.causation_id,
        metadata: metadata.as_deref().map(raw).transpose()?,
        data: raw(&data)?,
    })
}

/// A time in the form of all answers: RFC 3339, UTC, microseconds.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// JSON without line breaks, which can only stand between its tokens: one object stays one line.
fn one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ").into() } else { json.into() }
}
