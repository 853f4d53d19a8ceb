//! A page of events on its way out of SQLite: one text instead of a thousand rows.
//!
//! The driver copies each value of each row and sends each row through a channel, which costs four
//! times what SQLite needs to find it. So `read_log.sql` and its like pack a page into one text: for
//! each event twelve fields that end with a comma, then its texts, of the lengths that the
//! fields name. Large payloads do not travel along; they are fetched one by one.

use headwater_core::{Error, Position, Recorded, Result, Stored, StoredEvent, StreamName};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    rows::{Statement, fetch_one},
    values::time,
};

/// How large a payload may be that travels in the page, in bytes; the statements name it too.
const INLINE: usize = 4_096;

/// How large the payloads that are fetched one by one may grow before the page is cut.
const PAGE_BYTES: usize = 4 << 20;

/// Events of one statement, and whether it found no more than these.
pub(crate) struct Page {
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) whole: bool,
}

/// Runs one of the statements that pack a page.
pub(crate) async fn fetch_page(
    connection: &mut SqliteConnection,
    statement: Statement<'_>,
) -> Result<Page> {
    let unpack = |row: &SqliteRow| {
        let packed: Option<&str> = row.try_get(0)?;
        Ok(unpack(packed.unwrap_or_default()))
    };
    let (mut events, apart) = fetch_one(connection, statement, unpack).await?.ok_or_else(broken)?;
    let mut bytes = 0;
    for index in apart {
        if bytes >= PAGE_BYTES {
            events.truncate(index);
            return Ok(Page { events, whole: false });
        }
        let event = &mut events[index];
        let payload = sqlx::query(include_str!("read_payload.sql")).bind(event.position.to_i64());
        let columns = |row: &SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
        (event.event.data, event.metadata) = fetch_one(connection, payload, columns).await?;
        bytes += event.event.data.len();
    }
    Ok(Page { events, whole: true })
}

/// The events of a page, and which of them have their payload apart.
fn unpack(packed: &str) -> Option<(Vec<StoredEvent>, Vec<usize>)> {
    let mut rest = Rest(packed);
    let mut events: Vec<StoredEvent> = Vec::new();
    let mut apart = Vec::new();
    while !rest.0.is_empty() {
        let position = rest.number()?;
        let version: i64 = rest.number()?;
        let schema_version = rest.number()?;
        let recorded_at = rest.number()?;
        let occurred_at = rest.optional(Rest::number)?;
        let (stream, event_type, data) = (rest.number()?, rest.number()?, rest.number()?);
        let metadata = rest.optional(Rest::number::<usize>)?;
        let id = rest.id()?;
        let correlation_id = rest.optional(Rest::id)?;
        let causation_id = rest.optional(Rest::id)?;
        let stream = name(rest.text(stream)?, events.last());
        let event_type = rest.text(event_type)?.to_owned();
        let (mut payload, mut extra) = (String::new(), None);
        if data + metadata.unwrap_or(0) <= INLINE {
            payload = rest.text(data)?.to_owned();
            if let Some(length) = metadata {
                extra = Some(rest.text(length)?.to_owned());
            }
        } else {
            apart.push(events.len());
        }
        events.push(Recorded {
            position: Position::from_i64(position),
            stream,
            version: u64::try_from(version).ok()?,
            id,
            event: Stored { event_type, schema_version, data: payload },
            metadata: extra,
            correlation_id,
            causation_id,
            occurred_at: time(occurred_at.unwrap_or(recorded_at)),
            recorded_at: time(recorded_at),
        });
    }
    Some((events, apart))
}

/// Events of one stream share its name.
fn name(name: &str, before: Option<&StoredEvent>) -> StreamName {
    match before {
        Some(event) if event.stream.as_str() == name => event.stream.clone(),
        _ => StreamName::from_store(name),
    }
}

/// What is not yet unpacked.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn field(&mut self) -> Option<&'a str> {
        let (field, rest) = self.0.split_once(',')?;
        self.0 = rest;
        Some(field)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.field()?.parse().ok()
    }

    fn id(&mut self) -> Option<Uuid> {
        Uuid::try_parse(self.field()?).ok()
    }

    /// A field that may be empty.
    fn optional<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.0.starts_with(',') {
            self.0 = &self.0[1..];
            return Some(None);
        }
        read(self).map(Some)
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

fn broken() -> Error {
    Error::Database {
        code: "page".into(),
        message: "the table events holds what Headwater has not written".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190A0B0C0D0E0F00102030405060708";

    #[test]
    fn a_packed_event_comes_out_as_it_went_in() {
        let packed = format!("7,2,1,1000001,,7,4,3,2,{ID},,{ID},cart-ütype[,]{{}}");
        let (events, apart) = unpack(&packed.repeat(2)).unwrap();
        assert!(apart.is_empty());
        assert_eq!(events.len(), 2);
        let event = &events[1];
        assert_eq!((event.position, event.version), (Position(7), 2));
        assert_eq!((event.stream.as_str(), event.event.event_type.as_str()), ("cart-ü", "type"));
        assert_eq!((event.event.data.as_str(), event.metadata.as_deref()), ("[,]", Some("{}")));
        assert_eq!((event.correlation_id, event.causation_id), (None, Some(event.id)));
        assert_eq!(event.occurred_at.timestamp_micros(), 1_000_001);
    }

    #[test]
    fn every_statement_packs_alike() {
        let head = |sql: &'static str| sql.split_once("where").unwrap().0;
        let log = include_str!("read_log.sql");
        assert!(log.contains(&format!("<= {INLINE}")));
        for sql in [
            include_str!("read_log_backward.sql"),
            include_str!("read_correlation.sql"),
            include_str!("read_correlation_backward.sql"),
            include_str!("read_event.sql"),
            include_str!("read_stream.sql"),
            include_str!("read_stream_backward.sql"),
        ] {
            assert_eq!(head(sql), head(log));
        }
    }

    #[test]
    fn what_is_cut_or_foreign_is_told_and_does_not_panic() {
        let packed = format!("7,2,1,1000001,5,7,4,3,2,{ID},,,cart-ütype[,]{{}}");
        assert_eq!(unpack(&packed).unwrap().0.len(), 1);
        for end in (1..packed.len()).filter(|end| packed.is_char_boundary(*end)) {
            assert!(unpack(&packed[..end]).is_none(), "{}", &packed[..end]);
        }
        assert!(unpack(&packed.replace(",7,4,", ",6,4,")).is_none(), "a character was cut");
        assert!(unpack("").unwrap().0.is_empty());
    }
}
