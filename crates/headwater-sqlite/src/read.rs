//! Reading: pages of the log or of a stream, fetched ahead of the reader by at most two.
//!
//! A page is a statement of its own, read to its end before the reader gets it. So a slow reader
//! holds neither a connection nor a snapshot, which would keep the write-ahead log from being
//! reset and let it grow without end.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use headwater_core::{
    Ceiling, Direction, Error, EventStream, Filter, Position, Query, Recorded, Result, Stored,
    StoredEvent, StreamName,
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use tokio::sync::mpsc;

use crate::{
    rows::{Statement, fetch_each, fetch_one},
    store::SqliteStore,
    values::{json, time},
};

/// How many events the first page holds, for readers who want one or a few, and the later ones.
const FIRST_PAGE: i64 = 64;
const PAGE: i64 = 1_024;

/// How large the data of a page may grow, in bytes, before it is cut.
const PAGE_BYTES: usize = 4 << 20;

impl SqliteStore {
    pub(crate) async fn find_ceiling(&self) -> Result<Ceiling> {
        let mut connection = self.inner.connections.log_reader().await?;
        let statement = sqlx::query(include_str!("ceiling.sql"));
        let position = fetch_one(&mut connection, statement, |row| row.try_get(0)).await?;
        // SQLite has one writer: positions become visible in their order.
        Ok(Ceiling { position: Position::from_i64(position), unsettled: false })
    }

    pub(crate) fn run_query(&self, query: Query) -> EventStream {
        let store = self.clone();
        // Begun when the stream is first asked; it ends when the reader goes away.
        let start = stream::once(async move {
            let (pages, read) = mpsc::channel(1);
            tokio::spawn(async move {
                if let Err(error) = store.send_pages(query, &pages).await {
                    let _reader_gone = pages.send(Err(error)).await;
                }
            });
            stream::unfold(read, |mut read| async move {
                let page: Result<Vec<StoredEvent>> = read.recv().await?;
                Some((page, read))
            })
        });
        let events = |page: Vec<StoredEvent>| stream::iter(page.into_iter().map(Ok::<_, Error>));
        Box::pin(start.flatten().map_ok(events).try_flatten())
    }

    async fn send_pages(
        &self,
        query: Query,
        pages: &mpsc::Sender<Result<Vec<StoredEvent>>>,
    ) -> Result<()> {
        let mut reading = Reading::new(query);
        let mut connection = self.inner.connections.log_reader().await?;
        reading.narrow(&mut connection).await?;
        let mut page = reading.page(&mut connection, FIRST_PAGE).await?;
        loop {
            // Nothing is held while the reader makes us wait.
            drop(connection);
            if let Some(last) = page.events.last() {
                reading.pass(last);
            }
            if pages.send(Ok(page.events)).await.is_err() || page.last {
                return Ok(());
            }
            connection = self.inner.connections.log_reader().await?;
            page = reading.page(&mut connection, PAGE).await?;
        }
    }
}

/// Events of one statement, and whether there are none behind them.
struct Page {
    events: Vec<StoredEvent>,
    last: bool,
}

/// What is still to be read.
enum Reading {
    Stream { stream: StreamName, from: i64, direction: Direction },
    Log(LogReading),
}

struct LogReading {
    after: i64,
    until: i64,
    direction: Direction,
    /// The lists as JSON arrays; none where all are wanted.
    categories: Option<String>,
    streams: Option<String>,
    types: Option<String>,
    /// In microseconds, the end excluded.
    recorded: std::ops::Range<i64>,
    filter: Filter,
}

impl Reading {
    fn new(query: Query) -> Self {
        match query {
            Query::Stream { stream, from, direction } => {
                let from = i64::try_from(from).unwrap_or(i64::MAX);
                Self::Stream { stream, from, direction }
            }
            Query::Log { filter, after, until, direction } => {
                let listed = |list: &[&str]| (!list.is_empty()).then(|| json(list));
                let texts =
                    |list: &[String]| listed(&list.iter().map(String::as_str).collect::<Vec<_>>());
                let streams: Vec<_> = filter.streams.iter().map(StreamName::as_str).collect();
                let from = filter.recorded_from.map_or(i64::MIN, |time| time.timestamp_micros());
                let end = filter.recorded_until.map_or(i64::MAX, |time| time.timestamp_micros());
                Self::Log(LogReading {
                    after: after.to_i64(),
                    until: until.to_i64(),
                    direction,
                    categories: texts(&filter.categories),
                    streams: listed(&streams),
                    types: texts(&filter.types),
                    recorded: from..end,
                    filter,
                })
            }
        }
    }

    /// Cuts a reading by time to the positions between its first and last match, once: the index on
    /// `recorded_at` finds them, while the pages are scanned in the order of positions.
    async fn narrow(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        let Self::Log(log) = self else { return Ok(()) };
        if log.recorded == (i64::MIN..i64::MAX) {
            return Ok(());
        }
        let range = sqlx::query(include_str!("read_time_range.sql"))
            .bind(log.recorded.start)
            .bind(log.recorded.end);
        let ends = |row: &SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
        let (first, last): (Option<i64>, Option<i64>) = fetch_one(connection, range, ends).await?;
        log.after = log.after.max(first.map_or(i64::MAX, |first| first - 1));
        log.until = log.until.min(last.unwrap_or(i64::MIN));
        Ok(())
    }

    fn statement(&self, limit: i64) -> Statement<'_> {
        match self {
            Self::Stream { stream, from, direction } => sqlx::query(match direction {
                Direction::Forward => include_str!("read_stream.sql"),
                Direction::Backward => include_str!("read_stream_backward.sql"),
            })
            .bind(stream.as_str())
            .bind(from)
            .bind(limit),
            Self::Log(log) => log.statement(limit),
        }
    }

    async fn page(&self, connection: &mut SqliteConnection, limit: i64) -> Result<Page> {
        let mut events = Vec::new();
        let mut bytes = 0;
        let whole = fetch_each(connection, self.statement(limit), |row| {
            let event = decode(&row)?;
            bytes += event.event.data.len();
            events.push(event);
            Ok(bytes < PAGE_BYTES)
        });
        let last = whole.await? && i64::try_from(events.len()).is_ok_and(|count| count < limit);
        Ok(Page { events, last })
    }

    /// Goes on behind this event.
    fn pass(&mut self, event: &StoredEvent) {
        let version = i64::try_from(event.version).unwrap_or(i64::MAX);
        match self {
            Self::Stream { from, direction: Direction::Forward, .. } => *from = version + 1,
            Self::Stream { from, direction: Direction::Backward, .. } => *from = version - 1,
            Self::Log(log) => match log.direction {
                Direction::Forward => log.after = event.position.to_i64(),
                Direction::Backward => log.until = event.position.to_i64() - 1,
            },
        }
    }
}

impl LogReading {
    fn statement(&self, limit: i64) -> Statement<'_> {
        let Filter { event_id, correlation_id, .. } = self.filter;
        let sql = match (event_id, correlation_id, self.direction) {
            (Some(_), _, _) => include_str!("read_event.sql"),
            (None, Some(_), Direction::Forward) => include_str!("read_correlation.sql"),
            (None, Some(_), Direction::Backward) => include_str!("read_correlation_backward.sql"),
            (None, None, Direction::Forward) => include_str!("read_log.sql"),
            (None, None, Direction::Backward) => include_str!("read_log_backward.sql"),
        };
        sqlx::query(sql)
            .bind(self.after)
            .bind(self.until)
            .bind(limit)
            .bind(self.categories.as_deref())
            .bind(self.streams.as_deref())
            .bind(self.types.as_deref())
            .bind(self.recorded.start)
            .bind(self.recorded.end)
            .bind(correlation_id)
            .bind(event_id)
    }
}

// By index and unchecked: a rebuild spends a good part of its time here, and the tables are strict.
fn decode(row: &SqliteRow) -> Result<StoredEvent, sqlx::Error> {
    let version: i64 = row.try_get_unchecked(2)?;
    let occurred_at: Option<i64> = row.try_get_unchecked(10)?;
    let recorded_at = row.try_get_unchecked(11)?;
    Ok(Recorded {
        position: Position::from_i64(row.try_get_unchecked(0)?),
        stream: StreamName::from_store(row.try_get_unchecked(1)?),
        version: u64::try_from(version).unwrap_or(0),
        id: row.try_get_unchecked(3)?,
        event: Stored {
            event_type: row.try_get_unchecked(4)?,
            schema_version: row.try_get_unchecked(5)?,
            data: row.try_get_unchecked(6)?,
        },
        metadata: row.try_get_unchecked(7)?,
        correlation_id: row.try_get_unchecked(8)?,
        causation_id: row.try_get_unchecked(9)?,
        occurred_at: time(occurred_at.unwrap_or(recorded_at)),
        recorded_at: time(recorded_at),
    })
}
