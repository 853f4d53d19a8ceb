//! The log as its users hold it: append, read, follow.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{
    TryStreamExt as _,
    stream::{self, BoxStream},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    Append, Appended, Ceiling, Changes, Checkpoint, Cursor, Direction, Error, EventStream,
    ExpectedVersion, Filter, Fold, GenerationState, Migrated, NewEvent, Parked, Position,
    ReadModel, Reading, Replay, Result, Row, Store, StoredEvent, StreamInfo, StreamInfos,
    StreamName, Value, limits, meters::AppendMeter, physical_name, quoted, tail::Tail, task,
};

/// How long an append of unknown outcome is tried again.
const SETTLING: Duration = Duration::from_millis(1_500);

/// How often a move of a checkpoint is looked for that another process may have made.
const OTHERS: Duration = Duration::from_millis(50);

/// How many parked events are listed at a time.
const PARKED_PAGE: u32 = 1_000;

/// An append-only log of events in a database. Cloning is cheap and shares the connections.
///
/// Every method may be dropped before it ends (in a `select!`, by a time-out): an append that was
/// begun is then applied or not, as a whole, and a retry with the same event ids settles which.
#[derive(Clone)]
pub struct Log {
    store: Arc<dyn Store>,
    tail: Tail,
    /// Sent whenever this process has moved a checkpoint.
    moves: watch::Sender<()>,
    meter: Arc<AppendMeter>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// The log in `store`.
    pub fn new(store: impl Store) -> Self {
        let (meter, moves) = (Arc::new(AppendMeter::new()), watch::Sender::default());
        Self { store: Arc::new(store), tail: Tail::default(), meter, moves }
    }

    /// The newest events, for all who follow the log.
    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Tells those who wait for a projection that this process has moved a checkpoint.
    pub fn checkpoint_moved(&self) {
        self.moves.send_replace(());
    }

    /// The store underneath, for what runs over a log.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Appends events to one stream.
    ///
    /// # Errors
    ///
    /// As for [`Log::append_all`].
    pub async fn append(
        &self,
        stream: &StreamName,
        expected: ExpectedVersion,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Result<Appended> {
        self.append_all([Append::new(stream.clone(), expected, events)]).await
    }

    /// Appends to several streams, all or nothing, each with its expected version.
    ///
    /// The events lie in the log in the order given. A stream that comes again, with
    /// [`ExpectedVersion::Any`], goes on behind its part before, so that events of several streams can
    /// lie between each other. An append with the same event ids and the same
    /// content as an earlier one changes nothing and yields the first result.
    ///
    /// # Errors
    ///
    /// Not applied: [`Error::VersionConflict`] (read again, decide again),
    /// [`Error::IdempotencyConflict`], [`Error::TooLarge`], [`Error::InvalidName`],
    /// [`Error::InvalidInput`] (give other input; also inside
    /// [`SqlProjection::apply`](crate::SqlProjection::apply), which a rebuild runs again),
    /// [`Error::InlineRefused`] (a projection cannot apply it), [`Error::Unavailable`] (try again),
    /// [`Error::Database`]. Perhaps applied: [`Error::OutcomeUnknown`], after it was tried again for
    /// a second and a half (try again with the same ids).
    pub async fn append_all(&self, appends: impl IntoIterator<Item = Append>) -> Result<Appended> {
        task::refuse_in_batch()?;
        let appends: Vec<Append> = appends.into_iter().collect();
        let events = appends.iter().map(|append| append.events.len()).sum::<usize>();
        let first = appends.first().and_then(|append| append.events.first());
        let span = tracing::debug_span!(
            "append",
            events,
            correlation_id = first.and_then(|event| event.correlation_id).map(display),
        );
        let begun = Instant::now();
        let outcome = self.append_and_settle(appends).instrument(span).await;
        self.meter.ended(&outcome, events, begun.elapsed());
        outcome
    }

    async fn append_and_settle(&self, appends: Vec<Append>) -> Result<Appended> {
        match self.store.append(appends.clone()).await {
            Err(unknown @ Error::OutcomeUnknown { .. }) => self.settle(unknown, appends).await,
            outcome => outcome,
        }
        .inspect(|_| {
            if !self.store.inlines().now().is_empty() {
                self.checkpoint_moved();
            }
        })
    }

    /// Tries an append of unknown outcome again with the same ids. Where the store stays away it
    /// remains unknown.
    async fn settle(&self, mut unknown: Error, appends: Vec<Append>) -> Result<Appended> {
        let deadline = Instant::now() + SETTLING;
        let mut pause = Duration::from_millis(50);
        loop {
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
            pause *= 2;
            match tokio::time::timeout_at(deadline, self.store.append(appends.clone())).await {
                Err(_elapsed) => return Err(unknown),
                Ok(Ok(appended)) => return Ok(appended),
                // Judged on the log itself, which does not hold the first try, and never will.
                Ok(Err(refused @ Error::IdempotencyConflict { .. })) => return Err(refused),
                Ok(Err(refused @ Error::VersionConflict { expected, actual, .. }))
                    if expected.is_passed_at(actual) =>
                {
                    return Err(refused);
                }
                Ok(Err(again @ Error::OutcomeUnknown { .. })) => unknown = again,
                // A refusal to look says nothing of the first try.
                Ok(Err(_)) => {}
            }
        }
    }

    /// Reads a stream from the version `from` on, oldest first; a missing stream yields nothing.
    pub fn read_stream(&self, stream: &StreamName, from: u64) -> EventStream {
        let direction = Direction::Forward;
        self.store.read(Reading::Stream { stream: stream.clone(), from, direction })
    }

    /// Reads a stream from the version `from` (`u64::MAX`: the end) back, newest first.
    pub fn read_stream_backward(&self, stream: &StreamName, from: u64) -> EventStream {
        let direction = Direction::Backward;
        self.store.read(Reading::Stream { stream: stream.clone(), from, direction })
    }

    /// Reads what the log holds now behind the position `after`, oldest first.
    ///
    /// It ends at the ceiling of this moment, which an append of one's own may lie above for a
    /// moment while others write; [`Log::subscribe`] goes on.
    pub fn read(&self, filter: Filter, after: Position) -> EventStream {
        self.read_below_ceiling(filter, after, Position::END, Direction::Forward)
    }

    /// Reads what the log holds now at and below the position `from`, newest first.
    pub fn read_backward(&self, filter: Filter, from: Position) -> EventStream {
        self.read_below_ceiling(filter, Position::START, from, Direction::Backward)
    }

    pub(crate) fn read_below_ceiling(
        &self,
        filter: Filter,
        after: Position,
        until: Position,
        direction: Direction,
    ) -> EventStream {
        let log = self.clone();
        let query = async move {
            let until = until.min(log.ceiling().await?.position);
            Ok::<_, Error>(log.store.read(Reading::Log { filter, after, until, direction }))
        };
        Box::pin(futures_util::stream::once(query).try_flatten())
    }

    /// The event of this id, if the log holds it; also one that still lies above the ceiling.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn event(&self, id: Uuid) -> Result<Option<StoredEvent>> {
        let (filter, after, until) = (Filter::all().event_id(id), Position::START, Position::END);
        let direction = Direction::Forward;
        self.store.read(Reading::Log { filter, after, until, direction }).try_next().await
    }

    /// Follows the log behind the position `after`: first what is there, then what comes.
    ///
    /// Catching up and following are one cursor, so there is no hand-over to lose an event in. Each
    /// event comes once, in the order of positions.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, on PostgreSQL: it listens to other processes in a task.
    pub fn subscribe(&self, filter: Filter, after: Position) -> Cursor {
        Cursor::new(self.clone(), filter, after)
    }

    /// The position in front of the first event that was recorded at `time` or later: to subscribe
    /// from a moment in the past. Clocks order nothing, so that a few events behind it may bear
    /// earlier times.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn position_at(&self, time: DateTime<Utc>) -> Result<Position> {
        let first =
            self.read(Filter::all().recorded_from(time), Position::START).try_next().await?;
        match first {
            Some(event) => Ok(Position(event.position.0 - 1)),
            None => Ok(self.ceiling().await?.position),
        }
    }

    /// The position that every reader may read up to now.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn ceiling(&self) -> Result<Ceiling> {
        let now = Instant::now();
        self.tail.look(&*self.store, None, now).await.map(|(ceiling, _)| ceiling)
    }

    /// A stream's version, count and times; `None` where there is no such stream.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        self.store.stream_info(stream).await
    }

    /// The streams of a category, or all of them, sorted by name.
    pub fn streams(&self, category: Option<&str>) -> StreamInfos {
        self.store.streams(category)
    }

    /// The events that were set aside at a generation, in the order of the log.
    pub fn parked(&self, at: &Checkpoint) -> BoxStream<'static, Result<Parked>> {
        let (log, at) = (self.clone(), at.clone());
        let pages = stream::try_unfold(Some(Position::START), move |after| {
            let (log, at) = (log.clone(), at.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let page = log.store.parked(&at, after, PARKED_PAGE).await?;
                let next = page.last().map(|parked| parked.position);
                Ok::<_, Error>(Some((stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        Box::pin(pages.try_flatten())
    }

    /// Brings the store's schema up to date. Many processes may call it at the same moment.
    ///
    /// # Errors
    ///
    /// [`Error::SchemaTooNew`] where a newer program has made the schema: start a newer program.
    pub async fn migrate(&self) -> Result<Migrated> {
        self.store.migrate().await
    }

    /// The checkpoints of the generations in service and being built, also to be compared, sorted by projection.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        let all = self.store.checkpoints().await?;
        Ok(all.into_iter().filter(|c| c.state != GenerationState::Retired).collect())
    }

    /// Runs a query over read models and the public views, on either database.
    ///
    /// `{name}` stands for the full name of a table or view, `$1`, `$2` ... for the parameters:
    /// `select sku from {product_sales} where units > $1`.
    ///
    /// # Errors
    ///
    /// [`Error::Database`] where the query is wrong; [`Error::Unavailable`] (try again);
    /// [`Error::InvalidInput`] inside [`SqlProjection::apply`](crate::SqlProjection::apply), where
    /// [`BatchTx::fetch`](crate::BatchTx::fetch) sees what the batch has written.
    pub async fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>> {
        task::refuse_in_batch()?;
        self.store.query(sql, parameters).await
    }

    /// Finds rows of a read model; `condition` is what follows `from` in SQL, such as
    /// `where total > $1 order by total desc limit 10`, or nothing.
    ///
    /// # Errors
    ///
    /// As for [`Log::query`].
    pub async fn find<R: ReadModel>(
        &self,
        condition: &str,
        parameters: &[Value],
    ) -> Result<Vec<R>> {
        let table = R::table();
        let columns: Vec<_> = table.columns.iter().map(|column| quoted(column.name)).collect();
        let sql = format!("select {} from {{{}}} {condition}", columns.join(", "), table.name);
        let rows = self.query(&sql, parameters).await.map_err(|error| match error {
            Error::Database { code, message } => {
                let message = format!(
                    "{message}; where the declaration of {name} has changed, run `projections rebuild {name}`",
                    name = table.name
                );
                Error::Database { code, message }
            }
            other => other,
        })?;
        rows.into_iter().map(|row| R::from_values(row.values).map_err(Error::from)).collect()
    }

    /// Waits until the projection's read model holds everything up to `position`.
    ///
    /// Yields `false` where it has not come so far within `patience`, and at once where it stands
    /// still.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] (try again) or [`Error::Database`]; [`Error::InvalidInput`] inside
    /// [`SqlProjection::apply`](crate::SqlProjection::apply).
    pub async fn wait_for(
        &self,
        projection: &str,
        position: Position,
        patience: Duration,
    ) -> Result<bool> {
        task::refuse_in_batch()?;
        let reached = async {
            // Subscribed before the first look, so that no move falls between.
            let mut moves = self.moves.subscribe();
            loop {
                let checkpoints = self.store.checkpoints().await?;
                if let Some(reached) = reached(&checkpoints, projection, position) {
                    return Ok(reached);
                }
                // Another process may keep it up to date.
                let _moved = timeout(OTHERS, moves.changed()).await;
            }
        };
        timeout(patience, reached).await.unwrap_or(Ok(false))
    }

    /// The rows of a fold as they were when the log ended at `position`, by their keys. It folds the log
    /// from its start, in memory, and stores nothing; [`Log::position_at`] tells the position of a time, and a
    /// [`Replay`] goes on from there.
    ///
    /// # Errors
    ///
    /// [`Error::EventDeclaration`] and [`Error::Decode`] (mend the code), [`Error::Unavailable`] (try
    /// again) or [`Error::Database`].
    pub async fn fold_at<F: Fold>(&self, position: Position) -> Result<HashMap<F::Key, F>> {
        let mut replay = Replay::new(self)?;
        replay.go_to(position).await?;
        Ok(replay.into_rows())
    }

    /// Follows the rows of a fold that events behind `after` change, in the read model in service.
    ///
    /// # Errors
    ///
    /// [`Error::EventDeclaration`]: mend the code.
    pub fn changes<F: Fold>(&self, after: Position) -> Result<Changes<F>> {
        Changes::new(self, after)
    }

    /// Closes the connections, after what is under way has ended.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

/// Whether a projection, with all its partitions, has come to a position; `false` where it stands still before
/// it.
fn reached(all: &[Checkpoint], projection: &str, position: Position) -> Option<bool> {
    let in_service = |c: &&Checkpoint| c.is_of(projection) && c.state == GenerationState::Live;
    let live: Vec<_> = all.iter().filter(in_service).collect();
    let behind = |c: &&&Checkpoint| c.position < position;
    if live.iter().filter(behind).any(|unit| unit.failure.is_some()) {
        return Some(false);
    }
    (!live.is_empty() && !live.iter().any(|unit| behind(&unit))).then_some(true)
}

/// Replaces each `{name}` of a user's SQL by what `full_name` makes of it, where the name is a plain
/// lower-case identifier. Other braces, such as those of JSON, stay as they are.
pub fn expand(sql: &str, full_name: impl Fn(&str) -> String) -> String {
    let mut expanded = String::with_capacity(sql.len() + 32);
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('{') {
        expanded.push_str(before);
        match after.split_once('}') {
            Some((name, after)) if limits::check_identifier("table", name).is_ok() => {
                expanded.push_str(&full_name(name));
                rest = after;
            }
            _ => {
                expanded.push('{');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

/// Replaces each `{name}` of a user's SQL by the table of `generation`, behind `prefix`.
pub fn expand_generation(sql: &str, prefix: &str, generation: u32) -> String {
    expand(sql, |name| format!("{prefix}{}", physical_name(name, generation)))
}
