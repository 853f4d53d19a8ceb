//! Reading: streaming queries, decoded row by row, held back by a reader that does not ask.

use futures_util::TryStreamExt as _;
use headwater_core::{
    Direction, EventStream, Filter, Position, Reading, Recorded, Result, Stored, StoredEvent,
    StreamName, task::read_ahead,
};
use sqlx::{
    PgConnection, Postgres, Row as _,
    postgres::{PgArguments, PgRow},
};
use tokio::sync::mpsc;

use crate::{
    errors::{of_statement, unavailable},
    sql::{Statements, checked},
    store::PostgresStore,
};

/// How many events travel together from the connection to the reader, and how many bytes of them.
const CHUNK: (usize, usize) = (256, 256 << 10);

/// How many chunks may wait for the reader.
const AHEAD: usize = 2;

/// How many positions one query reads at first.
const SLICE: u64 = 10_000;

type Statement = sqlx::query::Query<'static, Postgres, PgArguments>;

impl PostgresStore {
    pub(crate) fn run_reading(&self, reading: Reading) -> EventStream {
        let store = self.clone();
        // The task owns the connection, so that a reader who goes away leaves none behind in the
        // middle of a result.
        read_ahead(AHEAD, |chunks| async move { store.send_chunks(reading, &chunks).await })
    }

    async fn send_chunks(
        &self,
        reading: Reading,
        chunks: &mpsc::Sender<Vec<StoredEvent>>,
    ) -> Result<()> {
        let mut connection = self.inner.readers.acquire().await.map_err(unavailable)?;
        // Whoever went away while this waited for a connection wants nothing any more.
        if chunks.is_closed() {
            return Ok(());
        }
        let statements = &self.inner.statements;
        let whole = match reading {
            Reading::Stream { stream, from, direction } => {
                let statement = of_stream(statements, &stream, from, direction);
                send_rows(&mut connection, statement, chunks).await
            }
            Reading::Log { filter, after, until, direction } => {
                let range = (after, until);
                send_slices(&mut connection, statements, &filter, range, direction, chunks).await
            }
        };
        // Rows that nobody wants any more would have to be read before the next use.
        if !matches!(whole, Ok(Some(_))) {
            connection.close_on_drop();
        }
        whole.map(drop)
    }
}

/// Reads a part of the log slice by slice, since a planner without statistics, as on a log that was
/// just restored, would sort all of it before the first row. Where little matches, slices get wider.
async fn send_slices(
    connection: &mut PgConnection,
    statements: &Statements,
    filter: &Filter,
    (mut after, mut until): (Position, Position),
    direction: Direction,
    chunks: &mpsc::Sender<Vec<StoredEvent>>,
) -> Result<Option<u64>> {
    let (mut sent, mut width) = (0, if has_index(filter) { u64::MAX } else { SLICE });
    while after < until {
        let (low, high) = match direction {
            Direction::Forward => (after, until.min(Position(after.0.saturating_add(width)))),
            Direction::Backward => (after.max(Position(until.0.saturating_sub(width))), until),
        };
        let statement = of_log(statements, filter, low, high, direction);
        let Some(count) = send_rows(connection, statement, chunks).await? else { return Ok(None) };
        match direction {
            Direction::Forward => after = high,
            Direction::Backward => until = low,
        }
        sent += count;
        width = if count < SLICE / 4 { width.saturating_mul(4) } else { SLICE };
    }
    Ok(Some(sent))
}

/// Whether an index leads to what matches, wherever it lies.
fn has_index(filter: &Filter) -> bool {
    filter.event_id.is_some()
        || filter.correlation_id.is_some()
        || filter.recorded_from.is_some()
        || filter.recorded_until.is_some()
        || !filter.streams.is_empty()
}

/// Sends the rows on and counts them; `None` where the reader went away before the last.
async fn send_rows(
    connection: &mut PgConnection,
    statement: Statement,
    chunks: &mpsc::Sender<Vec<StoredEvent>>,
) -> Result<Option<u64>> {
    let mut rows = statement.fetch(connection);
    let (mut chunk, mut bytes, mut count) = (Vec::new(), 0, 0);
    loop {
        let row = tokio::select! {
            row = rows.try_next() => row.map_err(of_statement)?,
            // Also where nothing matches for a long time.
            () = chunks.closed() => return Ok(None),
        };
        let Some(row) = row else { break };
        let event = decode(&row).map_err(of_statement)?;
        count += 1;
        bytes += event.event.data.len();
        chunk.push(event);
        if chunk.len() >= CHUNK.0 || bytes >= CHUNK.1 {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK.0));
            bytes = 0;
            if chunks.send(full).await.is_err() {
                return Ok(None);
            }
        }
    }
    if !chunk.is_empty() && chunks.send(chunk).await.is_err() {
        return Ok(None);
    }
    Ok(Some(count))
}

fn of_stream(
    statements: &Statements,
    stream: &StreamName,
    from: u64,
    direction: Direction,
) -> Statement {
    let sql = match direction {
        Direction::Forward => &statements.read_stream,
        Direction::Backward => &statements.read_stream_backward,
    };
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    sqlx::query(checked(sql)).bind(stream.as_str().to_owned()).bind(from)
}

fn of_log(
    statements: &Statements,
    filter: &Filter,
    after: Position,
    until: Position,
    direction: Direction,
) -> Statement {
    let sql = match direction {
        Direction::Forward => &statements.read_log,
        Direction::Backward => &statements.read_log_backward,
    };
    let listed = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let streams = filter.streams.iter().map(|stream| stream.as_str().to_owned()).collect();
    sqlx::query(checked(sql))
        .bind(after.to_i64())
        .bind(until.to_i64())
        .bind(listed(filter.categories.clone()))
        .bind(listed(streams))
        .bind(listed(filter.types.clone()))
        .bind(filter.correlation_id)
        .bind(filter.event_id)
        .bind(filter.recorded_from)
        .bind(filter.recorded_until)
        // Planned anew each time: which index serves depends on which filters are given.
        .persistent(false)
}

fn decode(row: &PgRow) -> Result<StoredEvent, sqlx::Error> {
    let occurred_at = row.try_get_unchecked::<Option<_>, _>(10)?;
    let recorded_at = row.try_get_unchecked(11)?;
    let version: i64 = row.try_get_unchecked(2)?;
    let schema_version: i32 = row.try_get_unchecked(5)?;
    Ok(Recorded {
        position: Position::from_i64(row.try_get_unchecked(0)?),
        stream: StreamName::from_store(row.try_get_unchecked(1)?),
        version: u64::try_from(version).unwrap_or(0),
        id: row.try_get_unchecked(3)?,
        event: Stored {
            event_type: row.try_get_unchecked(4)?,
            schema_version: u32::try_from(schema_version).unwrap_or(0),
            data: row.try_get_unchecked(6)?,
        },
        metadata: row.try_get_unchecked(7)?,
        correlation_id: row.try_get_unchecked(8)?,
        causation_id: row.try_get_unchecked(9)?,
        occurred_at: occurred_at.unwrap_or(recorded_at),
        recorded_at,
    })
}
