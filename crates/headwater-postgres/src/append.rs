//! Append: what is waiting goes out as one call of the function `append`, one round trip, whatever the
//! number of appends and streams.

use std::{pin::pin, sync::Arc, time::Duration};

use headwater_core::{
    Append, Appended, Error, Result,
    batcher::{OVERLAP_AFTER, Waiting, Writer},
    inline::{self, Inline, Refused},
};
use sqlx::PgConnection;
use tokio::time::timeout;

use crate::{
    append_group::Group,
    connections::Held,
    errors::{self, has_code, is_unique_violation},
    store::PostgresStore,
    transaction::PostgresTx,
};

/// How often a group is sent anew that met another one over an event id or a row.
const RACES: usize = 5;

/// How long a group waits for a stream that another transaction holds, before that stream's appends
/// are set apart. Longer than a commit takes anywhere: another process may just be appending to it.
pub(crate) const SHORT: Duration = Duration::from_millis(250);

/// How long an append waits for those who change the same read models, such as the swap of a rebuild; then it
/// goes without.
const ROW_WAIT: &str = "set local lock_timeout = '1s'";

/// Why a group was not applied, or perhaps not.
enum Failed {
    Statement(sqlx::Error),
    Inline(Refused),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Statement(error)
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
            Failed::Statement(error) => errors::of_commit(error),
            Failed::Inline(refused) => refused.into(),
        }
    }
}

impl PostgresStore {
    pub(crate) async fn append_checked(&self, appends: Vec<Append>) -> Result<Appended> {
        self.inner.limits.check(&appends)?;
        self.inner.batcher.append(appends, |writer| self.start(writer)).await
    }

    /// Sets a writer to work, in a task of its own: a caller who goes away cannot stop the statement
    /// half-way.
    fn start(&self, writer: Writer) {
        let store = self.clone();
        tokio::spawn(async move { store.append_waiting(writer).await });
    }

    /// Appends what is waiting, group by group.
    async fn append_waiting(&self, mut writer: Writer) {
        while let Some(group) = writer.take() {
            let mut appending = pin!(self.append_next(group));
            if timeout(OVERLAP_AFTER, &mut appending).await.is_err() {
                if let Some(another) = self.inner.batcher.start_another() {
                    self.start(another);
                }
                appending.await;
            }
            // The callers of this group were just answered: let them bring their next appends.
            tokio::task::yield_now().await;
        }
    }

    async fn append_next(&self, group: Vec<Waiting>) {
        match self.inner.appends.acquire().await {
            Ok(mut connection) => {
                let held = self.append_group(&mut connection, group, SHORT).await;
                if !held.is_empty() {
                    self.append_held(&mut connection, held).await;
                }
            }
            Err(error) => {
                refuse(group, &error);
                // Each of the others would wait for a connection as long as these did.
                self.inner.batcher.refuse(&error);
            }
        }
    }

    /// Sends a group and answers its callers. Yields those who append to a stream that another
    /// transaction holds for longer than `patience`, and perhaps others: nothing of theirs is applied.
    pub(crate) async fn append_group(
        &self,
        connection: &mut Held,
        group: Vec<Waiting>,
        patience: Duration,
    ) -> Vec<Waiting> {
        let (mut rest, mut held) = (vec![(group, Vec::new())], Vec::new());
        while let Some((mut group, mut without)) = rest.pop() {
            if group.is_empty() {
                continue;
            }
            match self.send(connection, &group, patience, &mut without).await {
                Ok(outcomes) => {
                    if outcomes.iter().any(Result::is_ok) {
                        self.inner.hints.send();
                    }
                    for (waiting, outcome) in group.into_iter().zip(outcomes) {
                        waiting.answer(outcome);
                    }
                }
                Err(Failed::Inline(refused)) if refused.is_transient() => {
                    refuse(group, &refused.error);
                }
                Err(Failed::Inline(refused)) if refused.goes_without && group.len() == 1 => {
                    without.push(refused.projection);
                    rest.push((group, without));
                }
                Err(Failed::Statement(error)) if has_code(&error, "55P03") => held.extend(group),
                Err(Failed::Statement(error)) if is_race(&error) && group.len() == 1 => {
                    refuse(group, &raced());
                }
                Err(failed) => match Error::from(failed) {
                    // Refused for the sake of one: sent in halves, nobody suffers for another.
                    Error::Database { .. } | Error::InlineRefused { .. } if group.len() > 1 => {
                        let second = group.split_off(group.len() / 2);
                        rest.extend([(second, without.clone()), (group, without)]);
                    }
                    error => refuse(group, &error),
                },
            }
        }
        held
    }

    async fn send(
        &self,
        connection: &mut Held,
        group: &[Waiting],
        patience: Duration,
        without: &mut Vec<String>,
    ) -> Result<Vec<Result<Appended>>, Failed> {
        let group = Group::of(group.iter().map(|waiting| waiting.appends.as_slice()));
        let mut race = 0;
        loop {
            let inlines = self.inner.inlines.now();
            let sent = if inlines.is_empty() {
                // A single statement is its own transaction: once it was sent, a broken connection
                // leaves open whether it was committed.
                let statement = group.statement(&self.inner.statements, Some(patience));
                let sent = connection.fetch_one(statement).await;
                sent.and_then(|row| group.outcomes(&row)).map_err(Failed::Statement)
            } else {
                let mut sent =
                    self.send_inline(connection, &group, patience, &inlines, without).await;
                if sent.is_err() && !connection.is_broken() {
                    // Where it is not undone, the connection goes down with it.
                    if let Err(error) = connection.end("rollback").await {
                        sent = Err(Failed::Statement(error));
                    }
                }
                sent
            };
            match sent {
                Err(Failed::Statement(error)) if is_race(&error) && race < RACES => race += 1,
                // A lock, as a rule; the projection's own runner applies what is left out.
                Err(Failed::Inline(refused))
                    if refused.is_transient() && !connection.is_broken() =>
                {
                    without.push(refused.projection);
                }
                ended => return ended,
            }
        }
    }

    /// Sends a group in a transaction with what it changes inline. After an error it is still open.
    async fn send_inline(
        &self,
        connection: &mut Held,
        group: &Group<'_>,
        patience: Duration,
        inlines: &[Arc<dyn Inline>],
        without: &[String],
    ) -> Result<Vec<Result<Appended>>, Failed> {
        connection.begin().await?;
        let row =
            connection.fetch_one(group.statement(&self.inner.statements, Some(patience))).await?;
        let outcomes = group.outcomes(&row)?;
        // The function has set a shorter one, for streams that are held.
        connection.control(ROW_WAIT).await?;
        let mut tx = PostgresTx::on(self.clone(), connection);
        inline::apply(inlines, &mut tx, &outcomes, without).await?;
        connection.end("commit").await?;
        Ok(outcomes)
    }

    /// Appends inside your own transaction: your change and the events, or nothing.
    ///
    /// A refused append changes nothing and leaves the transaction usable. The events become
    /// visible when you commit; until then readers of the log wait below them, and writers do
    /// not, unless a projection is inline. Keep such transactions short. Readers in this process are woken by their poll, within a
    /// second, or at once by [`PostgresStore::hint`] after the commit.
    ///
    /// # Errors
    ///
    /// As for [`Log::append_all`](headwater_core::Log::append_all); an error of the connection is
    /// [`Error::Unavailable`], since only your commit can have an unknown outcome.
    ///
    /// # Cancellation
    ///
    /// Where this future is dropped before it has ended, roll the transaction back: the events may
    /// be in it or not.
    pub async fn append_in(
        &self,
        connection: &mut PgConnection,
        appends: Vec<Append>,
    ) -> Result<Appended> {
        self.inner.limits.check(&appends)?;
        let group = Group::of([appends.as_slice()]);
        let mut race = 0;
        loop {
            control(connection, "savepoint headwater_append").await?;
            let statement = group.statement(&self.inner.statements, None);
            let statement = statement.persistent(!self.inner.pooled);
            let sent = statement.fetch_one(&mut *connection).await;
            if let Err(error) = &sent {
                control(connection, "rollback to savepoint headwater_append").await?;
                if is_race(error) && race < RACES {
                    race += 1;
                    continue;
                }
            }
            control(connection, "release savepoint headwater_append").await?;
            return match sent.and_then(|row| group.outcomes(&row)) {
                Ok(mut outcomes) => outcomes.remove(0),
                Err(error) if is_race(&error) => Err(raced()),
                Err(error) => Err(errors::of_statement(error)),
            };
        }
    }
}

async fn control(connection: &mut PgConnection, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop).map_err(|error| {
        // Neither outside a transaction nor in one that has failed.
        if has_code(&error, "25P01") || has_code(&error, "25P02") {
            return Error::InvalidInput(
                "append_in needs an open transaction, without a failure".into(),
            );
        }
        errors::of_statement(error)
    })
}

/// Whether another append was just inserting one of these ids into another stream, or was beginning one
/// of these streams: it is committed by now, so that the function sees what it wrote when it is called
/// again. Two that each wait for an id of the other are a deadlock, of which the database ends one.
fn is_race(error: &sqlx::Error) -> bool {
    is_unique_violation(error, "events_id")
        || is_unique_violation(error, "streams_pkey")
        || has_code(error, "40P01")
}

pub(crate) fn refuse(group: Vec<Waiting>, error: &Error) {
    group.into_iter().for_each(|waiting| waiting.answer(Err(error.clone())));
}

/// Also where the user's transaction sees the log as it was when it began (repeatable read).
fn raced() -> Error {
    let reason = "another append has just taken one of these event ids, or begun one of these \
                  streams: try again, in a new transaction";
    Error::Unavailable { reason: reason.into() }
}
