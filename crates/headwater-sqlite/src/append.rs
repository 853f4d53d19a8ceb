//! Append: from the public call to the outcome of each append of a group.
//!
//! Three statements as a rule: where the log and the streams end, the events, the streams' new versions.
//! `append_plan` judges before anything is written. Which ids are taken is looked up only where it matters:
//! for an append that is refused, and where an event cannot go in. Then the group is undone and written again;
//! and where one still cannot, each append is written apart, in a savepoint: what one of them causes in the
//! database is never another's, unless it ends the whole transaction.

use std::{collections::HashMap, sync::LazyLock};

use headwater_core::{
    Append, Appended, Error, NewEvent, Result, StreamName,
    batcher::{Waiting, Writer},
    inline::{self, Refused},
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    append_plan::{Found, Plan, plan},
    connections::Turn,
    errors::{is_of_an_append, of_statement},
    rows::{Statement, fetch_all},
    savepoint::Savepoint,
    store::{SqliteStore, now},
    transaction::SqliteTx,
    values::{json, time},
};

/// Why a group was not applied.
enum Failed {
    Store(Error),
    Inline(Refused),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Inline(refused)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Store(error) => error,
            Failed::Inline(refused) => refused.into(),
        }
    }
}

impl SqliteStore {
    pub(crate) async fn append_checked(&self, appends: Vec<Append>) -> Result<Appended> {
        self.inner.limits.check(&appends)?;
        let start = |writer| {
            let store = self.clone();
            // A task of its own: a caller who goes away cannot stop the transaction half-way.
            tokio::spawn(async move { store.append_waiting(writer).await });
        };
        self.inner.batcher.append(appends, start).await
    }

    /// Appends what is waiting, group by group, each time that it may write.
    async fn append_waiting(&self, mut writer: Writer) {
        loop {
            let turn = self.inner.connections.turn().await;
            // The callers of the group before were just answered: let them bring their next appends.
            tokio::task::yield_now().await;
            let Some(group) = writer.take() else { return };
            self.append_group(turn, group).await;
        }
    }

    /// Appends a group, and answers its callers.
    async fn append_group(&self, turn: Turn, group: Vec<Waiting>) {
        let (mut turn, mut rest) = (Some(turn), vec![(group, Vec::new())]);
        while let Some((mut group, mut without)) = rest.pop() {
            let appends: Vec<_> = group.iter().map(|waiting| waiting.appends.as_slice()).collect();
            let turn = match turn.take() {
                Some(turn) => turn,
                None => self.inner.connections.turn().await,
            };
            // Nobody is answered before the commit: a conflict, too, was judged on what it made true.
            let outcomes = match self.write_and_commit(turn, &appends, &without).await {
                Ok(outcomes) => outcomes,
                // In halves, nobody suffers for another.
                Err(Failed::Inline(refused)) if group.len() > 1 && !refused.is_transient() => {
                    let second = group.split_off(group.len() / 2);
                    rest.extend([(second, without.clone()), (group, without)]);
                    continue;
                }
                Err(Failed::Inline(refused)) if refused.goes_without || refused.is_transient() => {
                    without.push(refused.projection);
                    rest.push((group, without));
                    continue;
                }
                Err(failed) => {
                    let error = Error::from(failed);
                    appends.iter().map(|_| Err(error.clone())).collect()
                }
            };
            if outcomes.iter().any(Result::is_ok) {
                self.hint();
            }
            for (waiting, outcome) in group.into_iter().zip(outcomes) {
                waiting.answer(outcome);
            }
        }
    }

    /// Writes a group and what it changes inline, in one transaction.
    async fn write_and_commit(
        &self,
        turn: Turn,
        appends: &[&[Append]],
        without: &[String],
    ) -> Result<Vec<Result<Appended>>, Failed> {
        let transaction = self.inner.connections.begin(turn).await?;
        let mut connection = transaction.connection().await?;
        let outcomes = write_group(&mut connection, appends).await?;
        let inlines = self.inner.inlines.now();
        if inlines.is_empty() {
            transaction.commit(connection).await?;
        } else {
            let mut tx = SqliteTx::of_append(transaction, connection);
            let applied = inline::apply(&inlines, &mut tx, &outcomes, without).await;
            tx.end(applied.map_err(Failed::Inline)).await?;
        }
        Ok(outcomes)
    }

    /// Appends inside your own transaction: your change and the events, or nothing.
    ///
    /// `connection` is one of [`SqliteStore::pool`] or another to the same file. Begin with
    /// `begin immediate`: SQLite refuses to write in a transaction that has read before another
    /// writer committed. Without a transaction the append is one of its own.
    ///
    /// A refused append changes nothing and leaves the transaction usable, unless a trigger of yours ends
    /// it by `raise(rollback)`: then all of it is undone. One whose future is dropped is in the transaction
    /// wholly or not at all. The events become visible when the user commits, and all other writers wait
    /// until then. Readers in this process are woken by their poll, within a second, or at once by
    /// [`SqliteStore::hint`] after the commit.
    ///
    /// # Errors
    ///
    /// As for [`Log::append_all`](headwater_core::Log::append_all), without
    /// [`Error::OutcomeUnknown`]: only the user's commit can have one.
    pub async fn append_in(
        &self,
        connection: &mut SqliteConnection,
        appends: Vec<Append>,
    ) -> Result<Appended> {
        self.inner.limits.check(&appends)?;
        match write_apart(connection, &appends, Ids::New).await? {
            Err(error) if is_of_an_append(&error) => {
                write_apart(connection, &appends, Ids::Any).await?
            }
            outcome => outcome,
        }
    }
}

/// Writes a group in the transaction of `connection`, or in another one that it begins there.
async fn write_group(
    connection: &mut SqliteConnection,
    group: &[&[Append]],
) -> Result<Vec<Result<Appended>>> {
    for ids in [Ids::New, Ids::Any] {
        match write(connection, group, ids).await {
            Err(error) if is_of_an_append(&error) => begin_anew(connection).await?,
            outcomes => return outcomes,
        }
    }
    let mut outcomes = Vec::new();
    for appends in group {
        outcomes.push(write_apart(connection, appends, Ids::Any).await?);
    }
    Ok(outcomes)
}

async fn begin_anew(connection: &mut SqliteConnection) -> Result<()> {
    // What was refused may have ended the transaction.
    let _rolled_back = sqlx::raw_sql("rollback").execute(&mut *connection).await;
    sqlx::raw_sql("begin immediate").execute(connection).await.map(drop).map_err(of_statement)
}

/// Writes one append in a savepoint, and yields its outcome; where that is an error it changes nothing.
async fn write_apart(
    connection: &mut SqliteConnection,
    appends: &[Append],
    ids: Ids,
) -> Result<Result<Appended>> {
    let mut savepoint = Savepoint::begin(connection).await?;
    let outcome = match write(savepoint.connection(), &[appends], ids).await {
        Ok(outcomes) => outcomes.into_iter().next().expect("one for each append"),
        Err(error) if is_of_an_append(&error) => Err(error),
        Err(error) => {
            // It says more than one of the undoing, where SQLite has ended the transaction by itself.
            let _undone = savepoint.undo().await;
            return Err(error);
        }
    };
    match outcome {
        Ok(appended) => savepoint.keep().await.map(|()| Ok(appended)),
        Err(error) => match savepoint.undo().await {
            Ok(()) => Ok(Err(error)),
            Err(_ended) if is_of_an_append(&error) => Err(error),
            Err(undoing) => Err(undoing),
        },
    }
}

/// What is believed of the ids of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// None is in the log, as nearly always.
    New,
    /// Some may be.
    Any,
}

/// Writes a group in the transaction of `connection`, and yields the outcome of each append.
///
/// An error is one of the database: then all must be undone. Where it is [of an append](is_of_an_append), such
/// as an id that is taken, another call looks for their ids.
async fn write(
    connection: &mut SqliteConnection,
    group: &[&[Append]],
    ids: Ids,
) -> Result<Vec<Result<Appended>>> {
    let (last, versions_before) = find_tail(connection, group).await?;
    let plan_all = |found: &HashMap<_, _>| {
        let mut versions = versions_before.clone();
        let plans = group.iter().map(|appends| plan(appends, found, &mut versions));
        (plans.collect::<Vec<_>>(), versions)
    };
    let (mut plans, mut versions_after) = plan_all(&HashMap::new());
    // What is refused may have been applied before.
    if ids == Ids::Any || plans.iter().any(|plan| matches!(plan, Plan::Refused(_))) {
        (plans, versions_after) = plan_all(&find_ids(connection, group).await?);
    }
    let (mut rows, mut outcomes) = (Vec::<EventRow<'_>>::new(), Vec::new());
    for (appends, plan) in group.iter().zip(plans) {
        outcomes.push(match plan {
            Plan::Write { versions } => {
                let first = rows.len();
                let next = rows.last().map_or(last, |row| row.position) + 1;
                rows.extend(rows_of(appends, &versions, next));
                let positions: Vec<_> = rows[first..].iter().map(|row| row.position).collect();
                Ok(Appended::from_rows(appends, &positions, &versions, false))
            }
            Plan::Repeated(appended) => Ok(appended),
            Plan::Refused(error) => Err(error),
        });
    }
    if !rows.is_empty() {
        insert_events(connection, &rows).await?;
        update_streams(connection, &versions_after).await?;
    }
    Ok(outcomes)
}

fn events(appends: &[Append]) -> impl Iterator<Item = &NewEvent> {
    appends.iter().flat_map(|append| &append.events)
}

async fn find_ids(
    connection: &mut SqliteConnection,
    group: &[&[Append]],
) -> Result<HashMap<Uuid, Found>> {
    let ids: Vec<_> = group.iter().copied().flat_map(events).map(|event| hex(event.id)).collect();
    let statement = sqlx::query(include_str!("append_find_ids.sql")).bind(json(&ids));
    let rows = fetch_all(connection, statement).await?;
    let found = rows.iter().map(|row| found(row).map(|found| (found.event.id, found)));
    found.collect::<Result<_, _>>().map_err(of_statement)
}

fn found(row: &SqliteRow) -> Result<Found, sqlx::Error> {
    let occurred_at: Option<i64> = row.try_get(10)?;
    Ok(Found {
        position: row.try_get(0)?,
        stream: row.try_get(1)?,
        version: row.try_get(2)?,
        event: NewEvent {
            id: row.try_get(3)?,
            event_type: row.try_get(4)?,
            schema_version: row.try_get(5)?,
            data: row.try_get(6)?,
            metadata: row.try_get(7)?,
            correlation_id: row.try_get(8)?,
            causation_id: row.try_get(9)?,
            occurred_at: occurred_at.map(time),
        },
    })
}

/// The last position, and the versions of the group's streams.
async fn find_tail(
    connection: &mut SqliteConnection,
    group: &[&[Append]],
) -> Result<(i64, HashMap<String, i64>)> {
    let streams: Vec<_> =
        group.iter().copied().flatten().map(|append| append.stream.as_str()).collect();
    let statement = sqlx::query(include_str!("append_find_tail.sql")).bind(json(&streams));
    let rows = fetch_all(connection, statement).await?;
    let (mut position, mut versions) = (0, HashMap::new());
    for row in &rows {
        let number = row.try_get(1).map_err(of_statement)?;
        match row.try_get(0).map_err(of_statement)? {
            Some(stream) => drop(versions.insert(stream, number)),
            None => position = number,
        }
    }
    Ok((position, versions))
}

/// An event on its way into the table, with the position that SQLite would draw for it: nobody else
/// writes meanwhile.
struct EventRow<'a> {
    position: i64,
    stream: &'a StreamName,
    version: i64,
    event: &'a NewEvent,
}

/// The rows of an append that is written with these versions, from a position on.
fn rows_of<'a>(
    appends: &'a [Append],
    versions: &[i64],
    position: i64,
) -> impl Iterator<Item = EventRow<'a>> {
    let events =
        appends.iter().flat_map(|append| append.events.iter().map(|event| (&append.stream, event)));
    let places = (position..).zip(versions);
    events.zip(places).map(|((stream, event), (position, version))| EventRow {
        position,
        stream,
        version: *version,
        event,
    })
}

impl EventRow<'_> {
    fn bind<'q>(&self, statement: Statement<'q>, recorded_at: i64) -> Statement<'q> {
        let event = self.event;
        statement
            .bind(self.position)
            .bind(self.stream.to_string())
            .bind(self.stream.category().to_owned())
            .bind(self.version)
            .bind(event.id)
            .bind(event.event_type.clone())
            .bind(event.schema_version)
            .bind(event.data.clone())
            .bind(event.metadata.clone())
            .bind(event.correlation_id)
            .bind(event.causation_id)
            .bind(event.occurred_at_micros())
            .bind(recorded_at)
    }
}

/// The statements that insert so many events: few texts, so that each stays prepared.
static INSERTS: LazyLock<[(usize, String); 3]> = LazyLock::new(|| {
    let first = include_str!("append_events.sql").trim_end();
    let further = ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    [64, 8, 1].map(|events| (events, format!("{first}{}", further.repeat(events - 1))))
});

/// Inserts events in their order.
async fn insert_events(connection: &mut SqliteConnection, rows: &[EventRow<'_>]) -> Result<()> {
    let (mut rest, recorded_at) = (rows, now().timestamp_micros());
    for (size, insert) in &*INSERTS {
        while let Some((rows, behind)) = rest.split_at_checked(*size) {
            let statement = sqlx::query(insert.as_str());
            let statement =
                rows.iter().fold(statement, |statement, row| row.bind(statement, recorded_at));
            statement.execute(&mut *connection).await.map_err(of_statement)?;
            rest = behind;
        }
    }
    Ok(())
}

async fn update_streams(
    connection: &mut SqliteConnection,
    versions: &HashMap<String, i64>,
) -> Result<()> {
    sqlx::query(include_str!("append_streams.sql"))
        .bind(json(versions))
        .execute(connection)
        .await
        .map(drop)
        .map_err(of_statement)
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}
