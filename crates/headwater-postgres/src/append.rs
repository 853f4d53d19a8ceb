//! Append: one call of the function `append`, one round trip, whatever the number of streams.

use std::time::Duration;

use headwater_core::{Append, Appended, Error, Result, task::shielded};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    errors::{self, has_code, is_unique_violation, unavailable},
    sql::{Statements, checked},
    store::PostgresStore,
};

/// How long an append may take before its connection is given up.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often an append is sent anew whose event id another one was just inserting elsewhere.
const RACES: usize = 3;

impl PostgresStore {
    pub(crate) async fn append_checked(&self, appends: Vec<Append>) -> Result<Appended> {
        self.inner.limits.check(&appends)?;
        let store = self.clone();
        shielded(async move { store.append_now(&appends).await }).await
    }

    async fn append_now(&self, appends: &[Append]) -> Result<Appended> {
        let mut connection = self.inner.writers.acquire().await.map_err(unavailable)?;
        let mut race = 0;
        loop {
            // A single statement is its own transaction: once it was sent, a broken connection
            // leaves open whether it was committed.
            let send = send(&self.inner.statements, &mut connection, appends);
            match timeout(DEADLINE, send).await {
                Ok(Ok(outcome)) => {
                    let appended = outcome.into_result(appends)?;
                    self.inner.hints.raise();
                    return Ok(appended);
                }
                Ok(Err(error)) if is_race(&error) && race < RACES => race += 1,
                Ok(Err(error)) if is_race(&error) => return Err(raced()),
                Ok(Err(error)) => {
                    // A server that became a standby refuses for ever: the next connection may
                    // reach the new primary.
                    if error.as_database_error().is_none() || has_code(&error, "25006") {
                        connection.close_on_drop();
                    }
                    return Err(errors::of_commit(error));
                }
                Err(_) => {
                    connection.close_on_drop();
                    let reason = format!("no answer within {} s", DEADLINE.as_secs());
                    return Err(Error::OutcomeUnknown { reason });
                }
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
        let mut race = 0;
        loop {
            control(connection, "savepoint headwater_append").await?;
            let sent = send(&self.inner.statements, connection, &appends).await;
            if let Err(error) = &sent {
                control(connection, "rollback to savepoint headwater_append").await?;
                if is_race(error) && race < RACES {
                    race += 1;
                    continue;
                }
            }
            control(connection, "release savepoint headwater_append").await?;
            return match sent {
                Ok(outcome) => outcome.into_result(&appends),
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

/// Whether another append was just inserting one of these ids into another stream. It is committed
/// by now, so that the function sees its event when it is called again.
fn is_race(error: &sqlx::Error) -> bool {
    is_unique_violation(error, "events_id")
}

/// Also where the user's transaction sees the log as it was when it began (repeatable read).
fn raced() -> Error {
    let reason = "another append has just taken one of these event ids: try again, in a new \
                  transaction";
    Error::Unavailable { reason: reason.into() }
}

/// What the function `append` reports.
struct Outcome {
    word: String,
    positions: Vec<i64>,
    versions: Vec<i64>,
    stream_index: usize,
    actual: u64,
    event_id: Uuid,
}

impl Outcome {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let index: Option<i32> = row.try_get("stream_index")?;
        let actual: Option<i64> = row.try_get("actual")?;
        let event_id: Option<Uuid> = row.try_get("event_id")?;
        let positions: Option<Vec<i64>> = row.try_get("positions")?;
        let versions: Option<Vec<i64>> = row.try_get("versions")?;
        Ok(Self {
            word: row.try_get("outcome")?,
            positions: positions.unwrap_or_default(),
            versions: versions.unwrap_or_default(),
            stream_index: index.and_then(|i| usize::try_from(i).ok()).unwrap_or(1) - 1,
            actual: actual.and_then(|version| u64::try_from(version).ok()).unwrap_or(0),
            event_id: event_id.unwrap_or_default(),
        })
    }

    fn into_result(self, appends: &[Append]) -> Result<Appended> {
        match self.word.as_str() {
            "conflict" => Err(appends[self.stream_index].conflict(self.actual)),
            "id_taken" => Err(Error::IdempotencyConflict { event_id: self.event_id }),
            word @ ("applied" | "repeated") => {
                let repeated = word == "repeated";
                Ok(Appended::from_rows(appends, &self.positions, &self.versions, repeated))
            }
            word => Err(Error::Mismatch { reason: format!("the function append says {word}") }),
        }
    }
}

async fn send(
    statements: &Statements,
    connection: &mut PgConnection,
    appends: &[Append],
) -> Result<Outcome, sqlx::Error> {
    let count: usize = appends.iter().map(|append| append.events.len()).sum();
    let mut stream_of = Vec::with_capacity(count);
    let mut ordinals = Vec::with_capacity(count);
    for (append, index) in appends.iter().zip(1_i32..) {
        stream_of.extend(std::iter::repeat_n(index, append.events.len()));
        ordinals.extend(append.events.iter().zip(1_i64..).map(|(_, ordinal)| ordinal));
    }
    let events = || appends.iter().flat_map(|append| &append.events);
    let counts: Vec<_> = appends.iter().map(|append| count_of(append.events.len())).collect();
    let schema_versions: Vec<_> =
        events().map(|event| i32::try_from(event.schema_version).unwrap_or(i32::MAX)).collect();
    let row = sqlx::query(checked(&statements.append))
        .bind(appends.iter().map(|append| append.stream.as_str()).collect::<Vec<_>>())
        .bind(appends.iter().map(|append| append.expected.to_i64()).collect::<Vec<_>>())
        .bind(counts)
        .bind(stream_of)
        .bind(ordinals)
        .bind(events().map(|event| event.id).collect::<Vec<_>>())
        .bind(events().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
        .bind(schema_versions)
        .bind(events().map(|event| event.data.as_str()).collect::<Vec<_>>())
        .bind(events().map(|event| event.metadata.as_deref()).collect::<Vec<_>>())
        .bind(events().map(|event| event.correlation_id).collect::<Vec<_>>())
        .bind(events().map(|event| event.causation_id).collect::<Vec<_>>())
        .bind(events().map(occurred_at).collect::<Vec<_>>())
        .fetch_one(connection)
        .await?;
    Outcome::from_row(&row)
}

fn count_of(events: usize) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}

/// Cut to the microsecond here: the driver cuts towards the year 2000.
fn occurred_at(event: &headwater_core::NewEvent) -> Option<chrono::DateTime<chrono::Utc>> {
    event.occurred_at_micros().and_then(chrono::DateTime::from_timestamp_micros)
}
