//! Append: what is waiting goes out as one call of the function `append`, one round trip, whatever the
//! number of appends and streams.

use headwater_core::{Append, Appended, Error, Result, batcher::Waiting};
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::{
    append_group::Group,
    connections::Held,
    errors::{self, has_code, is_unique_violation},
    store::PostgresStore,
};

/// How often a group is sent anew that met another one over an event id or a row.
const RACES: usize = 3;

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
            Ok(mut connection) => self.append_group(&mut connection, group).await,
            Err(error) => {
                group.into_iter().for_each(|waiting| waiting.answer(Err(error.clone())));
                // Each of the others would wait for a connection as long as these did.
                self.inner.batcher.refuse(Instant::now(), &error);
            }
        }
    }

    /// Sends a group; where the database refuses all of it for the sake of one, it is sent in halves.
    async fn append_group(&self, connection: &mut Held, group: Vec<Waiting>) {
        let mut rest = vec![group];
        while let Some(mut group) = rest.pop() {
            match self.send(connection, &group).await {
                Ok(outcomes) => {
                    if outcomes.iter().any(Result::is_ok) {
                        self.inner.hints.raise();
                    }
                    for (waiting, outcome) in group.into_iter().zip(outcomes) {
                        waiting.answer(outcome);
                    }
                }
                Err(Error::Database { .. }) if group.len() > 1 => {
                    let second = group.split_off(group.len() / 2);
                    rest.extend([second, group]);
                }
                Err(error) => {
                    group.into_iter().for_each(|waiting| waiting.answer(Err(error.clone())));
                }
            }
        }
    }

    async fn send(
        &self,
        connection: &mut Held,
        group: &[Waiting],
    ) -> Result<Vec<Result<Appended>>> {
        let group = Group::of(group.iter().map(|waiting| waiting.appends.as_slice()));
        let mut race = 0;
        loop {
            // A single statement is its own transaction: once it was sent, a broken connection
            // leaves open whether it was committed.
            let sent = connection.fetch_one(group.statement(&self.inner.statements)).await;
            match sent.and_then(|row| group.outcomes(&row)) {
                Ok(outcomes) => return Ok(outcomes),
                Err(error) if is_race(&error) && race < RACES => race += 1,
                Err(error) if is_race(&error) => return Err(raced()),
                Err(error) => return Err(errors::of_commit(error)),
            }
        }
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
            let statement = group.statement(&self.inner.statements);
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
    sqlx::query(sql).execute(connection).await.map(drop).map_err(|error| {
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

/// Also where the user's transaction sees the log as it was when it began (repeatable read).
fn raced() -> Error {
    let reason = "another append has just taken one of these event ids: try again, in a new \
                  transaction";
    Error::Unavailable { reason: reason.into() }
}
