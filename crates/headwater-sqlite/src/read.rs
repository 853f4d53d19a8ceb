//! Reading: pages of the log or of a stream, fetched ahead of the reader by at most two.
//!
//! A page is a statement of its own, read to its end before the reader gets it. So a slow reader
//! holds neither a connection nor a snapshot, which would keep the write-ahead log from being
//! reset and let it grow without end.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use headwater_core::{
    Ceiling, Direction, Error, EventStream, Filter, Position, Query, Result, StoredEvent,
    StreamName,
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use tokio::sync::mpsc;

use crate::{
    page::fetch_page,
    rows::{Statement, fetch_one},
    store::SqliteStore,
    values::json,
};

/// How many events the first page holds, for readers who want one or a few, and the later ones.
const FIRST_PAGE: i64 = 64;
const PAGE: i64 = 1_024;

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
        let mut limit = FIRST_PAGE;
        let mut connection = self.inner.connections.log_reader().await?;
        reading.narrow(&mut connection).await?;
        loop {
            let page = fetch_page(&mut connection, reading.statement(limit)).await?;
            // Nothing is held while the reader makes us wait.
            drop(connection);
            let last = page.whole && i64::try_from(page.events.len()).is_ok_and(|n| n < limit);
            reading.pass(&page.events)?;
            if pages.send(Ok(page.events)).await.is_err() || last {
                return Ok(());
            }
            limit = PAGE.min(limit * 4);
            connection = self.inner.connections.log_reader().await?;
        }
    }
}

/// What is still to be read.
enum Reading {
    Stream { stream: StreamName, from: i64, direction: Direction },
    Log(Box<LogReading>),
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
                Self::Log(Box::new(LogReading {
                    after: after.to_i64(),
                    until: until.to_i64(),
                    direction,
                    categories: texts(&filter.categories),
                    streams: listed(&streams),
                    types: texts(&filter.types),
                    recorded: from..end,
                    filter,
                }))
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

    /// Goes on behind these events.
    fn pass(&mut self, events: &[StoredEvent]) -> Result<()> {
        let Some(last) = events.last() else { return Ok(()) };
        let version = i64::try_from(last.version).unwrap_or(i64::MAX);
        let direction = match self {
            Self::Stream { direction, .. } => *direction,
            Self::Log(log) => log.direction,
        };
        // SQLite packs a page in the order of its rows; it documents that nowhere.
        let in_order = events.is_sorted_by(|a, b| match direction {
            Direction::Forward => a.position < b.position,
            Direction::Backward => a.position > b.position,
        });
        if !in_order {
            return Err(Error::Database {
                code: "order".into(),
                message: "SQLite did not yield the events in their order".into(),
            });
        }
        match (self, direction) {
            (Self::Stream { from, .. }, Direction::Forward) => *from = version + 1,
            (Self::Stream { from, .. }, Direction::Backward) => *from = version - 1,
            (Self::Log(log), Direction::Forward) => log.after = last.position.to_i64(),
            (Self::Log(log), Direction::Backward) => log.until = last.position.to_i64() - 1,
        }
        Ok(())
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
