//! Append: from the public call to the outcome of each append of a group.
//!
//! Four statements, whatever the number of appends and events: which ids are taken, where the
//! streams are, the events, the streams' new versions. What the first two found is judged in
//! `append_plan`, before anything is written.

use std::collections::HashMap;

use headwater_core::{
    Append, Appended, Error, NewEvent, Result,
    batcher::{Waiting, Writer},
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    append_plan::{Found, Plan, plan},
    connections::Turn,
    errors::of_statement,
    rows::fetch_all,
    savepoint::Savepoint,
    store::{SqliteStore, now},
    values::{json, time},
};

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
        let appends: Vec<_> = group.iter().map(|waiting| waiting.appends.as_slice()).collect();
        let outcomes = async {
            let transaction = self.inner.connections.begin(turn).await?;
            let mut connection = transaction.connection().await?;
            let outcomes = write(&mut connection, &appends).await?;
            transaction.commit(connection).await?;
            Ok(outcomes)
        };
        // Nobody is answered before the commit: a conflict, too, was judged on what it made true.
        let outcomes = outcomes
            .await
            .unwrap_or_else(|error: Error| appends.iter().map(|_| Err(error.clone())).collect());
        if outcomes.iter().any(Result::is_ok) {
            self.hint();
        }
        for (waiting, outcome) in group.into_iter().zip(outcomes) {
            waiting.answer(outcome);
        }
    }

    /// Appends inside your own transaction: your change and the events, or nothing.
    ///
    /// `connection` is one of [`SqliteStore::pool`] or another to the same file. Begin with
    /// `begin immediate`: SQLite refuses to write in a transaction that has read before another
    /// writer committed. Without a transaction the append is one of its own.
    ///
    /// A refused append changes nothing and leaves the transaction usable; one whose future is dropped
    /// is in the transaction wholly or not at all. The events become visible when the user commits,
    /// and all other writers wait until then. Readers in this process are woken by their poll, within a second, or at once
    /// by [`SqliteStore::hint`] after the commit.
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
        let mut savepoint = Savepoint::begin(connection).await?;
        let outcomes = write(savepoint.connection(), &[&appends]).await;
        let appended = match outcomes {
            Ok(outcomes) => outcomes.into_iter().next().unwrap_or_else(|| Err(lost())),
            Err(error) => Err(error),
        };
        match appended {
            Ok(appended) => savepoint.keep().await.map(|()| appended),
            Err(error) => savepoint.undo().await.and(Err(error)),
        }
    }
}

/// Writes a group in the transaction of `connection`, and yields the outcome of each append.
///
/// An error is one of the database: then the transaction must be rolled back.
async fn write(
    connection: &mut SqliteConnection,
    group: &[&[Append]],
) -> Result<Vec<Result<Appended>>> {
    let found = find_ids(connection, group).await?;
    let mut versions = find_versions(connection, group).await?;
    let plans: Vec<_> = group.iter().map(|appends| plan(appends, &found, &mut versions)).collect();
    let rows = plans.iter().zip(group).filter_map(|(plan, appends)| match plan {
        Plan::Write { versions } => Some((appends, versions)),
        _ => None,
    });
    let rows: Vec<_> = rows.flat_map(|(appends, versions)| rows_of(appends, versions)).collect();
    let mut positions = HashMap::new();
    if !rows.is_empty() {
        positions = insert_events(connection, rows).await?;
        update_streams(connection, &versions).await?;
    }
    plans
        .into_iter()
        .zip(group)
        .map(|(plan, appends)| match plan {
            Plan::Write { versions } => applied(appends, &versions, &positions).map(Ok),
            Plan::Repeated(appended) => Ok(Ok(appended)),
            Plan::Refused(error) => Ok(Err(error)),
        })
        .collect()
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

async fn find_versions(
    connection: &mut SqliteConnection,
    group: &[&[Append]],
) -> Result<HashMap<String, u64>> {
    let streams: Vec<_> =
        group.iter().copied().flatten().map(|append| append.stream.as_str()).collect();
    let statement = sqlx::query(include_str!("append_find_versions.sql")).bind(json(&streams));
    let rows = fetch_all(connection, statement).await?;
    let version = |row: &SqliteRow| {
        let version: i64 = row.try_get(1)?;
        Ok((row.try_get(0)?, u64::try_from(version).unwrap_or(0)))
    };
    rows.iter().map(version).collect::<Result<_, _>>().map_err(of_statement)
}

/// An event as a JSON array: the parameters of `append_events.sql`.
type EventRow<'a> = (
    &'a str,
    &'a str,
    u64,
    String,
    &'a str,
    u32,
    &'a str,
    Option<&'a str>,
    Option<String>,
    Option<String>,
    Option<i64>,
);

fn rows_of<'a>(appends: &'a [Append], versions: &'a [u64]) -> impl Iterator<Item = EventRow<'a>> {
    let events =
        appends.iter().flat_map(|append| append.events.iter().map(|event| (&append.stream, event)));
    events.zip(versions).map(|((stream, event), version)| {
        (
            stream.as_str(),
            stream.category(),
            *version,
            hex(event.id),
            event.event_type.as_str(),
            event.schema_version,
            event.data.as_str(),
            event.metadata.as_deref(),
            event.correlation_id.map(hex),
            event.causation_id.map(hex),
            event.occurred_at_micros(),
        )
    })
}

/// Inserts events in their order, and yields their positions.
async fn insert_events(
    connection: &mut SqliteConnection,
    rows: Vec<EventRow<'_>>,
) -> Result<HashMap<Uuid, i64>> {
    let statement = sqlx::query(include_str!("append_events.sql"))
        .bind(json(&rows))
        .bind(now().timestamp_micros());
    let rows = fetch_all(connection, statement).await?;
    let position = |row: &SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(position).collect::<Result<_, _>>().map_err(of_statement)
}

async fn update_streams(
    connection: &mut SqliteConnection,
    versions: &HashMap<String, u64>,
) -> Result<()> {
    sqlx::query(include_str!("append_streams.sql"))
        .bind(json(&Vec::from_iter(versions)))
        .execute(connection)
        .await
        .map(drop)
        .map_err(of_statement)
}

fn applied(
    appends: &[Append],
    versions: &[u64],
    positions: &HashMap<Uuid, i64>,
) -> Result<Appended> {
    let positions: Option<Vec<_>> =
        events(appends).map(|event| positions.get(&event.id).copied()).collect();
    let versions: Vec<_> =
        versions.iter().map(|version| i64::try_from(*version).unwrap_or(i64::MAX)).collect();
    // SQLite draws the positions in the order of the JSON array; it documents that nowhere.
    match positions {
        Some(positions) if positions.is_sorted() => {
            Ok(Appended::from_rows(appends, &positions, &versions, false))
        }
        _ => Err(lost()),
    }
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

fn lost() -> Error {
    Error::Database {
        code: "positions".into(),
        message: "SQLite did not insert the events in their order".into(),
    }
}
