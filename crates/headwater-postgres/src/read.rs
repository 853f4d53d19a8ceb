//! Reading: streaming queries, decoded row by row, held back by a reader that does not ask.
//!
//! A reader that does not ask for long gives its connection up, and goes on later from where it was:
//! the log does not change behind it.

use std::time::Duration;

use futures_util::StreamExt as _;
use headwater_core::{
    Direction, EventStream, Filter, Position, Reading, Recorded, Result, Stored, StoredEvent,
    StreamName, task::read_ahead,
};
use sqlx::{Row as _, postgres::PgRow};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{
    connections::{Held, Statement, late},
    errors::of_statement,
    sql::{Statements, checked},
    store::PostgresStore,
};

/// How many events travel together from the connection to the reader, and how many bytes of them.
const CHUNK: (usize, usize) = (256, 256 << 10);

/// How many rows that have come already are taken at once.
const READY: usize = 32;

/// How many chunks may wait for the reader.
const AHEAD: usize = 2;

/// How many positions one query reads at first, and always where much of them matches: as many rows as are
/// sorted in the memory that a server has for it by itself.
const SLICE: u64 = 10_000;

/// How long a query that found little may take for the next one to read more.
const QUICK: Duration = Duration::from_millis(250);

/// How long a reader may leave its connection idle, and how long where others wait for one.
const SLOW: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(50));

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
        let mut rest = Rest::of(reading);
        while let Some(statement) = rest.statement(&self.inner.statements) {
            let mut connection = self.inner.readings.acquire().await?;
            // Whoever went away while this waited for a connection wants nothing any more.
            if chunks.is_closed() {
                return Ok(());
            }
            let begun = Instant::now();
            let Some(sent) = self.send_rows(&mut connection, statement, chunks).await? else {
                return Ok(());
            };
            // Whatever the reader still has to take, it takes without a connection.
            drop(connection);
            match sent.left.last() {
                Some(last) if !sent.whole => rest.pass(last),
                _ => rest.pass_slice(sent.count, begun.elapsed()),
            }
            if !sent.left.is_empty() && chunks.send(sent.left).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends rows on, until they end or the reader is slow; `None` where it went away.
    async fn send_rows(
        &self,
        held: &mut Held,
        statement: Statement<'_>,
        chunks: &mpsc::Sender<Vec<StoredEvent>>,
    ) -> Result<Option<Sent>> {
        let (statement, own) = held.ready(statement).await.map_err(of_statement)?;
        let (connection, deadline) = held.start();
        // What has come already is taken without a timer and a look at the reader for each row.
        let mut rows = statement.fetch(connection).ready_chunks(READY);
        let (mut left, mut bytes, mut count) = (Vec::with_capacity(CHUNK.0), 0, 0);
        loop {
            let came = tokio::select! {
                came = timeout(deadline, rows.next()) => came.map_err(|_| late(deadline)),
                // Also where nothing matches for a long time.
                () = chunks.closed() => return Ok(None),
            };
            let Some(came) = came.map_err(of_statement)? else { break };
            for row in came {
                let event = row.and_then(|row| decode(&row)).map_err(of_statement)?;
                count += 1;
                bytes += event.size();
                left.push(event);
            }
            if left.len() >= CHUNK.0 || bytes >= CHUNK.1 {
                let patience = if self.inner.readings.are_scarce() { SLOW.1 } else { SLOW.0 };
                match timeout(patience, chunks.reserve()).await {
                    Ok(Ok(place)) => {
                        place.send(std::mem::replace(&mut left, Vec::with_capacity(CHUNK.0)));
                        bytes = 0;
                    }
                    Ok(Err(_gone)) => return Ok(None),
                    // The rows that are under way go down with the connection.
                    Err(_slow) => return Ok(Some(Sent { left, count, whole: false })),
                }
            }
        }
        drop(rows);
        held.finish(own, Ok(())).await.map_err(of_statement)?;
        Ok(Some(Sent { left, count, whole: true }))
    }
}

/// How far a query came.
struct Sent {
    /// What could not be sent on yet.
    left: Vec<StoredEvent>,
    count: u64,
    whole: bool,
}

/// What is left of a reading.
///
/// A part of the log is read slice by slice, since a planner without statistics, as on a log that was
/// just restored, would sort all of it before the first row. Where little matches, slices get wider.
struct Rest {
    /// None once it has ended.
    reading: Option<Reading>,
    width: u64,
}

impl Rest {
    fn of(reading: Reading) -> Self {
        let width = match &reading {
            Reading::Log { filter, .. } if !has_index(filter) => SLICE,
            _ => u64::MAX,
        };
        Self { reading: Some(reading), width }
    }

    /// The query for the next slice; `None` at the end.
    fn statement<'a>(&self, statements: &'a Statements) -> Option<Statement<'a>> {
        match self.reading.as_ref()? {
            Reading::Stream { stream, from, direction } => {
                Some(of_stream(statements, stream, *from, *direction))
            }
            Reading::Log { filter, after, until, direction } => {
                let (after, until) = self.slice(*after, *until, *direction);
                (after < until).then(|| of_log(statements, filter, after, until, *direction))
            }
        }
    }

    fn slice(
        &self,
        after: Position,
        until: Position,
        direction: Direction,
    ) -> (Position, Position) {
        match direction {
            Direction::Forward => (after, until.min(Position(after.0.saturating_add(self.width)))),
            Direction::Backward => (after.max(Position(until.0.saturating_sub(self.width))), until),
        }
    }

    /// All of a slice was read: so many events, in this time.
    fn pass_slice(&mut self, count: u64, took: Duration) {
        let Some(Reading::Log { after, until, direction, .. }) = &self.reading else {
            self.reading = None;
            return;
        };
        let (low, high) = self.slice(*after, *until, *direction);
        if let Some(Reading::Log { after, until, direction, .. }) = &mut self.reading {
            match direction {
                Direction::Forward => *after = high,
                Direction::Backward => *until = low,
            }
        }
        if count >= SLICE / 4 {
            self.width = self.width.min(SLICE);
        } else if took < QUICK {
            self.width = self.width.saturating_mul(4);
        }
    }

    /// Everything up to this event was read.
    fn pass(&mut self, event: &StoredEvent) {
        match &mut self.reading {
            Some(Reading::Stream { from, direction: Direction::Forward, .. }) => {
                *from = event.version + 1;
            }
            Some(Reading::Stream { from, direction: Direction::Backward, .. }) => {
                *from = event.version - 1;
            }
            Some(Reading::Log { after, direction: Direction::Forward, .. }) => {
                *after = event.position;
            }
            Some(Reading::Log { until, direction: Direction::Backward, .. }) => {
                *until = Position(event.position.0 - 1);
            }
            None => {}
        }
    }
}

/// Whether an index leads to what matches, wherever it lies.
fn has_index(filter: &Filter) -> bool {
    filter.event_id.is_some()
        || filter.correlation_id.is_some()
        || filter.recorded_from.is_some()
        || filter.recorded_until.is_some()
        || !filter.streams.is_empty()
}

fn of_stream<'a>(
    statements: &'a Statements,
    stream: &StreamName,
    from: u64,
    direction: Direction,
) -> Statement<'a> {
    let sql = match direction {
        Direction::Forward => &statements.read_stream,
        Direction::Backward => &statements.read_stream_backward,
    };
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    sqlx::query(checked(sql)).bind(stream.as_str().to_owned()).bind(from)
}

fn of_log<'a>(
    statements: &'a Statements,
    filter: &Filter,
    after: Position,
    until: Position,
    direction: Direction,
) -> Statement<'a> {
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

/// An event, of the columns that every reading begins with.
pub(crate) fn decode(row: &PgRow) -> Result<StoredEvent, sqlx::Error> {
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
