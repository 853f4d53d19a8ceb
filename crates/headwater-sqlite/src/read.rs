//! Reading: pages of the log or of a stream, fetched ahead of the reader by a few.
//!
//! A page is a statement of its own, read to its end, and unpacked while the next one is fetched. So
//! a slow reader holds neither a connection nor a snapshot, which would keep the write-ahead log
//! from being reset and let it grow without end.

use headwater_core::{
    Ceiling, Direction, Error, EventStream, Filter, Look, Position, Reading, Result, StoredEvent,
    StreamName,
    task::{ended, read_ahead},
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use tokio::sync::mpsc;

use crate::{
    page::{Page, Unpacked, fetch_payloads},
    rows::{Statement, fetch_one},
    store::SqliteStore,
    values::json,
};

/// How many events the first page holds, for readers who want one or a few, and the later ones.
const FIRST_PAGE: i64 = 64;
const PAGE: i64 = 1_024;

/// How large the payloads may be together that are fetched at once.
const CHUNK_BYTES: usize = 4 << 20;

impl SqliteStore {
    pub(crate) async fn look_at_newest(&self, after: Option<Position>) -> Result<Look> {
        let mut connection = self.inner.connections.log_reader().await?;
        let statement = sqlx::query(include_str!("ceiling.sql"));
        let position = fetch_one(&mut connection, statement, |row| row.try_get(0)).await?;
        let position = Position::from_i64(position);
        let mut newest = Vec::new();
        if let Some(after) = after.filter(|after| *after < position) {
            let (filter, direction) = (Filter::all(), Direction::Forward);
            let rest = Rest::of(Reading::Log { filter, after, until: position, direction });
            let page = Page::fetch(&mut connection, rest.statement(FIRST_PAGE)).await?;
            // A page that is full may not be the last one.
            if page.count < FIRST_PAGE {
                let Unpacked { events, apart } = page.unpack()?;
                check_order(&events, direction)?;
                newest = if apart.is_empty() { events } else { newest };
            }
        }
        // SQLite has one writer: positions become visible in their order.
        Ok(Look { ceiling: Ceiling { position, unsettled: false }, newest })
    }

    pub(crate) fn run_reading(&self, reading: Reading) -> EventStream {
        let store = self.clone();
        read_ahead(1, |chunks| async move { store.send_events(reading, &chunks).await })
    }

    /// Unpacks pages, while the next one is fetched.
    async fn send_events(
        &self,
        reading: Reading,
        chunks: &mpsc::Sender<Vec<StoredEvent>>,
    ) -> Result<()> {
        let direction = direction_of(&reading);
        let (pages, mut fetched) = mpsc::channel(1);
        let store = self.clone();
        let fetching = tokio::spawn(async move { store.send_pages(reading, &pages).await });
        while let Some(page) = fetched.recv().await {
            let Unpacked { mut events, apart } = page.unpack()?;
            check_order(&events, direction)?;
            let mut sent = 0;
            for group in Unpacked::groups(&apart, CHUNK_BYTES) {
                let rest = events.split_off(group[0].index - sent);
                sent = group[0].index;
                if chunks.send(std::mem::replace(&mut events, rest)).await.is_err() {
                    return Ok(());
                }
                let mut connection = self.inner.connections.log_reader().await?;
                fetch_payloads(&mut connection, group, &mut events, sent).await?;
            }
            if chunks.send(events).await.is_err() {
                return Ok(());
            }
        }
        ended(fetching).await
    }

    async fn send_pages(&self, reading: Reading, pages: &mpsc::Sender<Page>) -> Result<()> {
        let mut rest = Rest::of(reading);
        let mut limit = FIRST_PAGE;
        let mut connection = self.inner.connections.log_reader().await?;
        rest.narrow(&mut connection).await?;
        loop {
            let page = Page::fetch(&mut connection, rest.statement(limit)).await?;
            // Nothing is held while the reader makes us wait.
            drop(connection);
            let last = page.count < limit;
            if let Some(places) = page.places {
                rest.pass(places);
            }
            if pages.send(page).await.is_err() || last {
                return Ok(());
            }
            limit = PAGE.min(limit * 4);
            connection = self.inner.connections.log_reader().await?;
        }
    }
}

/// The first events behind `after`, by the connection of a transaction.
pub(crate) async fn behind(
    connection: &mut SqliteConnection,
    after: Position,
    limit: u32,
) -> Result<Vec<StoredEvent>> {
    let (filter, direction) = (Filter::all(), Direction::Forward);
    let rest = Rest::of(Reading::Log { filter, after, until: Position::END, direction });
    let page = Page::fetch(connection, rest.statement(limit.into())).await?;
    let Unpacked { mut events, apart } = page.unpack()?;
    check_order(&events, direction)?;
    fetch_payloads(connection, &apart, &mut events, 0).await?;
    Ok(events)
}

fn direction_of(reading: &Reading) -> Direction {
    match reading {
        Reading::Stream { direction, .. } | Reading::Log { direction, .. } => *direction,
    }
}

/// SQLite packs a page in the order of its rows; it documents that nowhere.
fn check_order(events: &[StoredEvent], direction: Direction) -> Result<()> {
    let in_order = events.is_sorted_by(|a, b| match direction {
        Direction::Forward => a.position < b.position,
        Direction::Backward => a.position > b.position,
    });
    if in_order {
        return Ok(());
    }
    Err(Error::Mismatch { reason: "SQLite did not yield the events in their order".into() })
}

/// What is still to be read.
enum Rest {
    Stream { stream: StreamName, from: i64, direction: Direction },
    Log(Box<LogRest>),
}

struct LogRest {
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

impl Rest {
    fn of(reading: Reading) -> Self {
        match reading {
            Reading::Stream { stream, from, direction } => {
                let from = i64::try_from(from).unwrap_or(i64::MAX);
                Self::Stream { stream, from, direction }
            }
            Reading::Log { filter, after, until, direction } => {
                let listed = |list: &[&str]| (!list.is_empty()).then(|| json(list));
                let texts =
                    |list: &[String]| listed(&list.iter().map(String::as_str).collect::<Vec<_>>());
                let streams: Vec<_> = filter.streams.iter().map(StreamName::as_str).collect();
                let from = filter.recorded_from.map_or(i64::MIN, |time| time.timestamp_micros());
                let end = filter.recorded_until.map_or(i64::MAX, |time| time.timestamp_micros());
                Self::Log(Box::new(LogRest {
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

    /// Goes on behind the events at these places.
    fn pass(&mut self, (lowest, highest): (i64, i64)) {
        match self {
            Self::Stream { from, direction, .. } => match direction {
                Direction::Forward => *from = highest + 1,
                Direction::Backward => *from = lowest - 1,
            },
            Self::Log(log) => match log.direction {
                Direction::Forward => log.after = highest,
                Direction::Backward => log.until = lowest - 1,
            },
        }
    }
}

impl LogRest {
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
