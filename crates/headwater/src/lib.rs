//! Event sourcing on PostgreSQL and SQLite: an append-only log of domain events, exposed as streams.
//!
//! Aggregates decide and emit events, the log keeps them, projections fold them into read models.

#[doc(hidden)]
pub mod __private {
    pub use headwater_core as core;
}

pub use headwater_core::{
    Aggregate, Append, Appended, AppendedStream, Batch, BatchTx, Ceiling, Checkpoint, Column,
    ColumnType, ColumnValue, Command, CommandError, Cursor, Decoder, Direction, Done, Error,
    ErrorKind, Event, EventStream, EventType, ExpectedVersion, Failure, Filter, Fold,
    GenerationState, Limits, Loaded, Log, Migrated, NewEvent, Position, ReadModel, Recorded,
    Repository, Result, RetryPolicy, Row, Settings, SqlProjection, Stored, StoredEvent, StreamInfo,
    StreamInfos, StreamName, Table, Upcaster, Value, ValueError, codec, testing,
};
/// What a store must be able to do: for those who write one.
pub mod store {
    pub use headwater_core::{
        Definition, Query, Store, StoreTx, TableDefinition, expand, expand_generation,
        physical_name,
    };
}
#[cfg(feature = "postgres")]
pub use headwater_postgres as postgres;
pub use headwater_runtime::{App, Phase, Progress, ProjectionStatus, Rebuilt};
#[cfg(feature = "sqlite")]
pub use headwater_sqlite as sqlite;

/// Opens the log at `postgres://...` or `sqlite://...`, and brings its schema up to date.
///
/// `sqlite::memory:` opens an empty log that is gone when it is closed.
///
/// # Errors
///
/// As for [`connect_with`].
pub async fn connect(url: &str) -> Result<Log> {
    connect_with(url, Settings::default()).await
}

/// Opens the log at `postgres://...` or `sqlite://...`.
///
/// # Errors
///
/// [`Error::InvalidInput`] where the URL cannot be read or its database was left out of the build,
/// [`Error::Unavailable`] where the database cannot be reached, [`Error::SchemaTooNew`] and
/// [`Error::SchemaTooOld`] where its schema does not fit this program.
#[cfg_attr(not(any(feature = "postgres", feature = "sqlite")), allow(unused_variables))]
pub async fn connect_with(url: &str, settings: Settings) -> Result<Log> {
    #[cfg(feature = "sqlite")]
    if url.starts_with("sqlite:") {
        return Ok(Log::new(sqlite::SqliteStore::connect(url, settings).await?));
    }
    #[cfg(feature = "postgres")]
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Log::new(postgres::PostgresStore::connect(url, settings).await?));
    }
    Err(Error::InvalidInput(
        "a database URL starts with postgres:// or sqlite://, and its database must be a feature of this build".into(),
    ))
}
