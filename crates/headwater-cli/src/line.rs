//! A line of an export: one event as a JSON object, from which its bytes can be had back.
//!
//! `data` and `metadata` stand in it as they are: parsing would round numbers and lose the order of keys. What
//! holds a line break, or blanks around it, would not survive that, and stands as a string instead, under
//! `data_text` and `metadata_text`.

use chrono::{DateTime, Utc};
use headwater::{NewEvent, Position, Recorded, Stored, StoredEvent, StreamName};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Exit, Failure, envelope::time};

#[derive(Serialize)]
struct Written<'a> {
    position: u64,
    stream: &'a str,
    version: u64,
    id: Uuid,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<Uuid>,
    occurred_at: String,
    recorded_at: String,
}

/// Appends the line of an event to `text`, with its line end.
pub(crate) fn write(event: &StoredEvent, text: &mut Vec<u8>) -> Result<(), Failure> {
    let not_json = |_| {
        let message = format!("the event at position {} holds no JSON", event.position);
        Failure::new(Exit::Failed, "not-json", message)
    };
    let (data, data_text) = as_it_is(&event.event.data).map_err(not_json)?;
    let metadata = event.metadata.as_deref().map(as_it_is).transpose().map_err(not_json)?;
    let (metadata, metadata_text) = metadata.unwrap_or_default();
    let line = Written {
        position: event.position.0,
        stream: event.stream.as_str(),
        version: event.version,
        id: event.id,
        event_type: &event.event.event_type,
        schema_version: event.event.schema_version,
        data,
        data_text,
        metadata,
        metadata_text,
        correlation_id: event.correlation_id,
        causation_id: event.causation_id,
        occurred_at: time(event.occurred_at),
        recorded_at: time(event.recorded_at),
    };
    serde_json::to_writer(&mut *text, &line).map_err(std::io::Error::from)?;
    text.push(b'\n');
    Ok(())
}

/// JSON to stand in a line: by itself where it keeps its bytes there, and otherwise as a string.
fn as_it_is(json: &str) -> serde_json::Result<(Option<&RawValue>, Option<&str>)> {
    let raw: &RawValue = serde_json::from_str(json)?;
    let keeps = raw.get() == json && !json.contains(['\n', '\r']);
    Ok(if keeps { (Some(raw), None) } else { (None, Some(json)) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    position: Option<u64>,
    stream: Option<String>,
    version: Option<u64>,
    id: Option<Uuid>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    schema_version: Option<u32>,
    #[serde(default, borrow, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
    data_text: Option<String>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    metadata_text: Option<String>,
    correlation_id: Option<Uuid>,
    causation_id: Option<Uuid>,
    occurred_at: Option<DateTime<Utc>>,
    recorded_at: Option<DateTime<Utc>>,
}

/// To an option `null` is nothing; to an event it is data.
fn even_null<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Some)
}

/// Reads a line back; an error says what is wrong with it, and shows nothing of it.
pub(crate) fn read(line: &str) -> Result<StoredEvent, String> {
    let read: Read<'_> = serde_json::from_str(line).map_err(|error| {
        let column = error.column();
        if error.is_data() {
            format!(
                "is no event: what ends at column {column} is unknown, doubled or of another kind"
            )
        } else {
            format!("is not JSON at column {column}")
        }
    })?;
    let lacks = |member| move || format!("has no member `{member}`");
    let either = |raw: Option<&RawValue>, text, member| match (raw, text) {
        (Some(_), Some(_)) => Err(format!("has both `{member}` and `{member}_text`")),
        (Some(raw), None) => Ok(Some(raw.get().to_owned())),
        (None, text) => Ok(text),
    };
    let stream = read.stream.ok_or_else(lacks("stream"))?;
    let data = either(read.data, read.data_text, "data")?.ok_or_else(lacks("data"))?;
    let metadata = either(read.metadata, read.metadata_text, "metadata")?;
    let recorded_at = read.recorded_at.unwrap_or(DateTime::UNIX_EPOCH);
    Ok(Recorded {
        position: Position(read.position.unwrap_or(0)),
        stream: StreamName::parse(&stream).map_err(|_| "names a stream that cannot be used")?,
        version: read.version.ok_or_else(lacks("version"))?,
        id: read.id.ok_or_else(lacks("id"))?,
        event: Stored {
            event_type: read.event_type.ok_or_else(lacks("type"))?,
            schema_version: read.schema_version.ok_or_else(lacks("schema_version"))?,
            data,
        },
        metadata,
        correlation_id: read.correlation_id,
        causation_id: read.causation_id,
        occurred_at: read.occurred_at.or(read.recorded_at).ok_or_else(lacks("occurred_at"))?,
        recorded_at,
    })
}

/// The event as it is appended elsewhere. When it happened is given in any case: left to the store, it
/// would become the time of the import.
pub(crate) fn new_event(event: StoredEvent) -> NewEvent {
    let Stored { event_type, schema_version, data } = event.event;
    let mut new = NewEvent::from_json(event_type, schema_version, data);
    new.id = event.id;
    new.metadata = event.metadata;
    new.correlation_id = event.correlation_id;
    new.causation_id = event.causation_id;
    new.occurred_at = Some(event.occurred_at);
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::example;

    fn line(event: &StoredEvent) -> String {
        let mut text = Vec::new();
        write(event, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn bytes_come_back_as_they_were() {
        for json in [
            "null",
            "{}",
            r#"{"b":1.10, "a" : 18446744073709551616,"b":1e400}"#,
            r#""\u0000\ud800\u2028 ü\/""#,
            " {} ",
            "\t1",
            "[\n1,\r\n2\r]",
            "\"\u{2028}\u{85}\"",
        ] {
            let mut event = example();
            event.event.data = json.into();
            event.metadata = Some(format!("{{\"a\":{json}}}"));
            let line = line(&event);
            assert_eq!(line.matches(['\n', '\r']).count(), 1, "{line}");
            assert_eq!(read(&line), Ok(event), "{json}");
        }
    }

    #[test]
    fn json_stands_as_it_is_where_it_can() {
        let mut event = example();
        event.event.data = r#"{"n": 1.10}"#.into();
        event.metadata = Some("{\n}".into());
        assert_eq!(
            line(&event),
            "{\"position\":7,\"stream\":\"cart-1\",\"version\":2,\
             \"id\":\"00000000-0000-0000-0000-000000000003\",\"type\":\"cart.opened\",\
             \"schema_version\":1,\"data\":{\"n\": 1.10},\"metadata_text\":\"{\\n}\",\
             \"causation_id\":\"00000000-0000-0000-0000-000000000004\",\
             \"occurred_at\":\"1970-01-01T00:00:01.000001Z\",\
             \"recorded_at\":\"1970-01-01T00:00:02.000002Z\"}\n"
        );
    }

    #[test]
    fn what_is_wrong_is_told_and_not_shown() {
        let good = line(&example());
        for (from, to, told) in [
            ("{\"position\"", "{position", "is not JSON at column"),
            ("{\"position\"", "\"secret\" {\"position\"", "is unknown"),
            ("\"stream\":\"cart-1\",", "", "has no member `stream`"),
            ("\"version\":2,", "", "has no member `version`"),
            ("\"data\":{},", "", "has no member `data`"),
            ("\"data\":{},", "\"data\":{},\"data_text\":\"{}\",", "has both `data` and"),
            ("\"version\":2", "\"version\":\"secret\"", "of another kind"),
            ("\"version\":2", "\"version\":-1", "of another kind"),
            ("\"version\":2", "\"secret\":2", "is unknown"),
            ("cart-1", "secret", "names a stream that cannot be used"),
            ("000000000003", "secret", "of another kind"),
            ("1970-01-01T00:00:01.000001Z", "secret", "of another kind"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            let why = read(&bad).unwrap_err();
            assert!(why.contains(told) && !why.contains("secret"), "{from}: {why}");
        }
    }

    #[test]
    fn without_an_account_of_its_own_an_event_happened_when_it_was_recorded() {
        let time = "\"occurred_at\":\"1970-01-01T00:00:01.000001Z\",";
        let read = read(&line(&example()).replace(time, "")).unwrap();
        assert_eq!(read.occurred_at, read.recorded_at);
    }
}
