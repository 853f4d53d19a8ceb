//! A page of events on its way out of SQLite: one text instead of a thousand rows.
//!
//! The driver copies each value of each row and sends each row through a channel, which costs four
//! times what SQLite needs to find it. So `read_log.sql` and its like pack a page into one text:
//! thirteen fields an event, with U+0001 between them, which neither names nor JSON can hold. Large
//! payloads do not travel along; they are fetched afterwards.

use std::collections::HashMap;

use headwater_core::{Error, Position, Recorded, Result, Stored, StoredEvent, StreamName};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    errors::of_statement,
    rows::{Statement, fetch_all, fetch_one},
    values::{json, time},
};

/// How large a payload may be that travels in the page, in bytes; the statements name it too.
const INLINE: usize = 4_096;

/// A page as it came out of SQLite.
pub(crate) struct Page {
    packed: String,
    /// How many events it holds.
    pub(crate) count: i64,
    /// The lowest and the highest place, a position or a version; none where it holds no event.
    pub(crate) places: Option<(i64, i64)>,
}

impl Page {
    /// Runs one of the statements that pack a page.
    pub(crate) async fn fetch(
        connection: &mut SqliteConnection,
        statement: Statement<'_>,
    ) -> Result<Self> {
        let decode = |row: &SqliteRow| {
            let packed: Option<String> = row.try_get(0)?;
            let (lowest, highest): (Option<i64>, Option<i64>) = (row.try_get(2)?, row.try_get(3)?);
            let places = lowest.zip(highest);
            Ok(Self { packed: packed.unwrap_or_default(), count: row.try_get(1)?, places })
        };
        fetch_one(connection, statement, decode).await
    }

    pub(crate) fn unpack(&self) -> Result<Unpacked> {
        unpack(&self.packed).ok_or_else(broken)
    }
}

/// The events of a page.
#[derive(Default)]
pub(crate) struct Unpacked {
    pub(crate) events: Vec<StoredEvent>,
    /// Those whose payload did not travel along, in the order of `events`.
    pub(crate) apart: Vec<Apart>,
}

/// A payload that is to be fetched.
pub(crate) struct Apart {
    /// The index of its event.
    pub(crate) index: usize,
    position: i64,
    bytes: usize,
}

impl Unpacked {
    /// The payloads to be fetched, in groups that fit into `bytes`, or hold one that does not.
    pub(crate) fn groups(apart: &[Apart], bytes: usize) -> impl Iterator<Item = &[Apart]> {
        let mut rest = apart;
        std::iter::from_fn(move || {
            let mut sum = 0;
            let fits = |payload: &&Apart| {
                sum += payload.bytes;
                sum <= bytes
            };
            let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
            let (group, after) = rest.split_at(count);
            rest = after;
            (!group.is_empty()).then_some(group)
        })
    }
}

/// Fetches the payloads of a group into `events`, the first of which has the index `from`.
pub(crate) async fn fetch_payloads(
    connection: &mut SqliteConnection,
    group: &[Apart],
    events: &mut [StoredEvent],
    from: usize,
) -> Result<()> {
    let positions: Vec<_> = group.iter().map(|payload| payload.position).collect();
    let rows = sqlx::query(include_str!("read_payloads.sql")).bind(json(&positions));
    let mut payloads = HashMap::with_capacity(group.len());
    for row in fetch_all(connection, rows).await? {
        let (position, data, metadata) = payload(&row).map_err(of_statement)?;
        payloads.insert(position, (data, metadata));
    }
    for Apart { index, position, .. } in group {
        let event = &mut events[index - from];
        (event.event.data, event.metadata) = payloads.remove(position).ok_or_else(broken)?;
    }
    Ok(())
}

fn payload(row: &SqliteRow) -> Result<(i64, String, Option<String>), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

fn unpack(packed: &str) -> Option<Unpacked> {
    let mut unpacked = Unpacked::default();
    let mut fields = Fields((!packed.is_empty()).then_some(packed));
    while fields.0.is_some() {
        let position = fields.number()?;
        let version: i64 = fields.number()?;
        let schema_version = fields.number()?;
        let recorded_at = fields.number()?;
        let occurred_at = fields.optional(|field| field.parse().ok())?;
        let id = Uuid::try_parse(fields.next()?).ok()?;
        let correlation_id = fields.optional(|field| Uuid::try_parse(field).ok())?;
        let causation_id = fields.optional(|field| Uuid::try_parse(field).ok())?;
        let stream = name(fields.next()?, unpacked.events.last());
        let event_type = fields.next()?.to_owned();
        let bytes = fields.number()?;
        let data = fields.next()?.to_owned();
        let metadata = fields.optional(|field| Some(field.to_owned()))?;
        if bytes > INLINE {
            unpacked.apart.push(Apart { index: unpacked.events.len(), position, bytes });
        } else if data.len() + metadata.as_ref().map_or(0, String::len) != bytes {
            return None;
        }
        unpacked.events.push(Recorded {
            position: Position::from_i64(position),
            stream,
            version: u64::try_from(version).ok()?,
            id,
            event: Stored { event_type, schema_version, data },
            metadata,
            correlation_id,
            causation_id,
            occurred_at: time(occurred_at.unwrap_or(recorded_at)),
            recorded_at: time(recorded_at),
        });
    }
    Some(unpacked)
}

/// Events of one stream share its name.
fn name(name: &str, before: Option<&StoredEvent>) -> StreamName {
    match before {
        Some(event) if event.stream.as_str() == name => event.stream.clone(),
        _ => StreamName::from_store(name),
    }
}

/// The fields that are not yet unpacked.
struct Fields<'a>(Option<&'a str>);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0?;
        let (field, rest) = match rest.split_once('\u{1}') {
            Some((field, rest)) => (field, Some(rest)),
            None => (rest, None),
        };
        self.0 = rest;
        Some(field)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.next()?.parse().ok()
    }

    /// A field that may be empty.
    fn optional<T>(&mut self, read: impl Fn(&'a str) -> Option<T>) -> Option<Option<T>> {
        match self.next()? {
            "" => Some(None),
            field => read(field).map(Some),
        }
    }
}

fn broken() -> Error {
    Error::Mismatch { reason: "the table events holds what Headwater has not written".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190A0B0C0D0E0F00102030405060708";

    fn packed() -> String {
        let fields = ["7", "2", "1", "1000001", "", ID, "", ID, "cart-ü", "type", "5", "[,]", "{}"];
        fields.join("\u{1}")
    }

    #[test]
    fn a_packed_event_comes_out_as_it_went_in() {
        let Unpacked { events, apart } = unpack(&[packed(), packed()].join("\u{1}")).unwrap();
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
        let head = |sql: &'static str| {
            sql.split_once("where").unwrap().0.replace("version as place", "position as place")
        };
        let log = include_str!("read_log.sql");
        assert_eq!(log.matches(&format!("<= {INLINE}")).count(), 2);
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
        let packed = packed();
        for end in (1..packed.len()).filter(|end| packed.is_char_boundary(*end)) {
            assert!(unpack(&packed[..end]).is_none(), "{}", &packed[..end]);
        }
        assert!(unpack(&packed.replace("[,]", "[\u{1}]")).is_none(), "a payload was cut");
        assert!(unpack("").unwrap().events.is_empty());
    }

    #[test]
    fn payloads_are_fetched_in_groups_that_fit() {
        let apart: Vec<_> = [3, 3, 9, 1, 4]
            .into_iter()
            .enumerate()
            .map(|(index, bytes)| Apart { index, position: 0, bytes })
            .collect();
        let groups: Vec<_> = Unpacked::groups(&apart, 6).map(<[Apart]>::len).collect();
        assert_eq!(groups, [2, 1, 2]);
    }
}
