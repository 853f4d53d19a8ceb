//! The one JSON form in which events leave a log: on the command line, over HTTP, in a feed.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::StoredEvent;

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

impl StoredEvent {
    /// The event as one line of JSON, with `data` and `metadata` as their writer gave them.
    ///
    /// # Errors
    ///
    /// Where they are no JSON, which no append takes.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let data = one_line(&self.event.data);
        let metadata = self.metadata.as_deref().map(one_line);
        serde_json::to_string(&Envelope {
            position: self.position.0,
            stream: self.stream.as_str(),
            version: self.version,
            event_id: self.id,
            event_type: &self.event.event_type,
            schema: self.event.schema_version,
            occurred_at: time(self.occurred_at),
            recorded_at: time(self.recorded_at),
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            metadata: metadata.as_deref().map(serde_json::from_str).transpose()?,
            data: serde_json::from_str(&data)?,
        })
    }
}

/// A time in the form of all answers: RFC 3339, UTC, microseconds.
pub fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// JSON without line breaks, which can only stand between its tokens: one object stays one line.
fn one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ").into() } else { json.into() }
}
