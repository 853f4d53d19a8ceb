//! COPY out in its binary format: the ceiling of a replay.
//!
//! COPY in is not measured: the driver sends its data and its end in two pieces and leaves Nagle's
//! algorithm on, so that over TCP each batch waits 40 ms for an acknowledgement.
//!
//! The format: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use sqlx::PgPool;
use uuid::Uuid;

use super::read::Event;
use crate::shared::job::Outcome;

/// What a file begins with: the signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// How many fields a row has.
const FIELDS: usize = 12;

/// The seconds between the epochs of Unix and of PostgreSQL.
const EPOCH: i64 = 946_684_800;

/// Reads and decodes the whole log, and counts its events.
pub async fn replay(pool: &PgPool) -> Outcome<u64> {
    let mut connection = pool.acquire().await?;
    let mut pieces = connection
        .copy_out_raw(
            "copy (select position, stream, version, id, type, schema_version, data, metadata,
                          correlation_id, causation_id, occurred_at, recorded_at
                   from by_hand.events order by position) to stdout (format binary)",
        )
        .await?;
    let (mut buffer, mut header, mut count) = (Vec::new(), true, 0);
    while let Some(piece) = pieces.try_next().await? {
        buffer.extend_from_slice(&piece);
        if header {
            if buffer.len() < HEADER.len() {
                continue;
            }
            buffer.drain(..HEADER.len());
            header = false;
        }
        // A piece is a row with the servers of today; the format does not promise it.
        let mut rest = &buffer[..];
        while let Some((event, behind)) = decode(rest)? {
            count += u64::from(event.sale.quantity > 0);
            rest = behind;
        }
        let taken = buffer.len() - rest.len();
        buffer.drain(..taken);
    }
    Ok(count)
}

/// The first row, and what follows on it; nothing where the row is not whole, or the last was read.
fn decode(bytes: &[u8]) -> Outcome<Option<(Event, &[u8])>> {
    let Some((&count, mut rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let Ok(count) = usize::try_from(i16::from_be_bytes(count)) else { return Ok(None) };
    let mut fields = [None; FIELDS];
    for field in fields.iter_mut().take(count) {
        let Some((&length, behind)) = rest.split_first_chunk() else { return Ok(None) };
        // A length of -1 stands for null.
        let Ok(length) = usize::try_from(i32::from_be_bytes(length)) else {
            rest = behind;
            continue;
        };
        let Some((value, behind)) = behind.split_at_checked(length) else { return Ok(None) };
        (*field, rest) = (Some(value), behind);
    }
    Ok(Some((event(fields)?, rest)))
}

fn event(fields: [Option<&[u8]>; FIELDS]) -> Outcome<Event> {
    let [
        position,
        stream,
        version,
        id,
        kind,
        schema_version,
        data,
        metadata,
        correlation_id,
        causation_id,
        occurred_at,
        recorded_at,
    ] = fields;
    let uuid = |field: Option<&[u8]>| field.map(Uuid::from_slice).transpose();
    let schema_version = schema_version.unwrap_or_default().try_into()?;
    Ok(Event {
        position: number(position)?,
        stream: text(stream)?,
        version: number(version)?,
        id: Uuid::from_slice(id.unwrap_or_default())?,
        kind: text(kind)?,
        schema_version: i32::from_be_bytes(schema_version),
        sale: serde_json::from_slice(data.unwrap_or_default())?,
        metadata: metadata.map(|_| text(metadata)).transpose()?,
        correlation_id: uuid(correlation_id)?,
        causation_id: uuid(causation_id)?,
        occurred_at: occurred_at.map(|_| time(number(occurred_at)?)).transpose()?,
        recorded_at: time(number(recorded_at)?)?,
    })
}

fn text(field: Option<&[u8]>) -> Outcome<String> {
    Ok(String::from_utf8(field.unwrap_or_default().to_vec())?)
}

fn number(field: Option<&[u8]>) -> Outcome<i64> {
    Ok(i64::from_be_bytes(field.unwrap_or_default().try_into()?))
}

fn time(microseconds: i64) -> Outcome<DateTime<Utc>> {
    let epoch = DateTime::from_timestamp(EPOCH, 0).ok_or("the epoch is a time")?;
    Ok(epoch + TimeDelta::microseconds(microseconds))
}
