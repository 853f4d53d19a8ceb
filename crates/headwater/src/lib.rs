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
    Repository, Result, RetryPolicy, Row, SqlProjection, Stored, StoredEvent, StreamInfo,
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
