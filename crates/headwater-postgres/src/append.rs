//! Append: what is waiting goes out as one call of the function `append`, one round trip, whatever the
//! number of appends and streams.

use std::time::Duration;

use headwater_core::{
    Append, Appended, Error, Result,
    batcher::{Lane, Waiting},
};
use sqlx::{PgConnection, Row as _};
use tokio::time::Instant;

use crate::{
    append_group::Group,
    connections::Held,
    errors::{self, has_code, is_unique_violation},
    store::PostgresStore,
};

/// How often a group is sent anew that met another one over an event id or a row.
const RACES: usize = 3;

/// How long a group waits for a stream that another transaction holds, before that stream's appends
/// are set apart. Longer than a commit takes anywhere: another process may just be appending to it.
const SHORT: Duration = Duration::from_millis(250);

impl PostgresStore {
    pub(crate) async fn append_checked(&self, appends: Vec<Append>) -> Result<Appended> {
        self.inner.limits.check(&appends)?;
        let outcome = self.inner.batcher.push(appends).await?;
        let store = self.clone();
        // A task of its own: a caller who goes away cannot stop the statement half-way.
        tokio::spawn(async move { store.append_waiting().await });
        outcome.await.unwrap_or_else(|_| {
            Err(Error::OutcomeUnknown { reason: "the program is shutting down".into() })
        })
    }

    /// Appends what is waiting once a connection is free, and answers the callers.
    async fn append_waiting(&self) {
        let begun = Instant::now();
        let turn = match self.inner.appends.turn().await {
            Ok(turn) => turn,
            // As long as this one, they all have waited who came before it.
            Err(error) => return self.inner.batcher.refuse(begun, &error),
        };
        // The callers of the group before were just answered: let them bring their next appends.
        tokio::task::yield_now().await;
        let group = self.inner.batcher.take();
        if group.is_empty() {
            // Another task has taken the append along.
            return;
        }
        match turn.connect().await {
            Ok(mut connection) => self.append_group(&mut connection, group, SHORT).await,
            Err(error) => {
                refuse(group, &error);
                // Each of the others would wait for a connection as long as these did.
                self.inner.batcher.refuse(Instant::now(), &error);
            }
        }
    }

    /// Sends a group and answers its callers, without those who wait for streams that another
    /// transaction holds for longer than `patience`.
    async fn append_group(
        &self,
        connection: &mut Held,
        group: Vec<Waiting>,
        mut patience: Duration,
    ) {
        let mut rest = vec![group];
        while let Some(mut group) = rest.pop().filter(|group| !group.is_empty()) {
            match self.send(connection, &group, patience).await {
                Ok(outcomes) => {
                    if outcomes.iter().any(Result::is_ok) {
                        self.inner.hints.raise();
                    }
                    for (waiting, outcome) in group.into_iter().zip(outcomes) {
                        waiting.answer(outcome);
                    }
                }
                Err(error) if is_held(&error) && patience < self.patience() => {
                    // What still is in the way then, such as a lock of the table, is waited for.
                    patience = self.patience();
                    rest.push(self.set_held_apart(connection, group).await);
                }
                Err(error) => match errors::of_commit(error) {
                    // Refused for the sake of one: sent in halves, nobody suffers for another.
                    Error::Database { .. } if group.len() > 1 => {
                        let second = group.split_off(group.len() / 2);
                        rest.extend([second, group]);
                    }
                    error => refuse(group, &error),
                },
            }
        }
    }

    async fn send(
        &self,
        connection: &mut Held,
        group: &[Waiting],
        patience: Duration,
    ) -> Result<Vec<Result<Appended>>, sqlx::Error> {
        let group = Group::of(group.iter().map(|waiting| waiting.appends.as_slice()));
        let mut race = 0;
        loop {
            // A single statement is its own transaction: once it was sent, a broken connection
            // leaves open whether it was committed.
            let statement = group.statement(&self.inner.statements, Some(patience));
            let sent = connection.fetch_one(statement).await;
            match sent.and_then(|row| group.outcomes(&row)) {
                Err(error) if is_race(&error) && race < RACES => race += 1,
                ended => return ended,
            }
        }
    }

    /// Takes those out of a group who wait for a stream that another transaction holds: they go on
    /// waiting in lanes of their own, with connections of their own.
    async fn set_held_apart(&self, connection: &mut Held, group: Vec<Waiting>) -> Vec<Waiting> {
        let streams = Group::of(group.iter().map(|waiting| waiting.appends.as_slice()))
            .held_streams(&self.inner.statements);
        let held = connection.fetch_all(streams).await;
        let held = held.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
        // Where that could not be learnt, the group is sent once more as it is.
        let held: Vec<String> = held.unwrap_or_default();
        let (group, lanes) = self.inner.batcher.set_apart(group, held);
        lanes.into_iter().for_each(|lane| self.append_in_lane(lane));
        group
    }

    fn append_in_lane(&self, mut lane: Lane) {
        let store = self.clone();
        tokio::spawn(async move {
            while let Some(group) = lane.take() {
                match store.inner.held_appends.acquire().await {
                    Ok(mut connection) => {
                        store.append_group(&mut connection, group, store.patience()).await;
                    }
                    Err(error) => refuse(group, &error),
                }
            }
        });
    }

    /// How long an append waits for a stream that another transaction holds: it ends before the
    /// statement's deadline, after which nobody would know whether it was applied.
    fn patience(&self) -> Duration {
        self.inner.statement_timeout * 3 / 4
    }

    /// Appends inside your own transaction: your change and the events, or nothing.
    ///
    /// A refused append changes nothing and leaves the transaction usable. The events become
    /// visible when you commit; until then readers of the log wait below them, writers do
    /// not. Keep such transactions short. Readers in this process are woken by their poll, within a
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

/// Whether another append was just inserting one of these ids into another stream: it is committed
/// by now, so that the function sees its event when it is called again. Two that each wait for an id
/// of the other are a deadlock, of which the database ends one.
fn is_race(error: &sqlx::Error) -> bool {
    is_unique_violation(error, "events_id") || has_code(error, "40P01")
}

/// Whether a lock was not granted in time: nothing was applied.
fn is_held(error: &sqlx::Error) -> bool {
    has_code(error, "55P03")
}

fn refuse(group: Vec<Waiting>, error: &Error) {
    group.into_iter().for_each(|waiting| waiting.answer(Err(error.clone())));
}

/// Also where the user's transaction sees the log as it was when it began (repeatable read).
fn raced() -> Error {
    let reason = "another append has just taken one of these event ids: try again, in a new \
                  transaction";
    Error::Unavailable { reason: reason.into() }
}
