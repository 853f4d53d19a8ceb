//! The words, traits and pure rules of Headwater; no I/O and no SQL.
//!
//! This crate is an inner room of the house: only the API of the crate `headwater`, which
//! re-exports what users need, is stable.
//!
//! The modules in the order in which an event meets them: a [`Repository`] loads an
//! [`Aggregate`], its decision yields an [`Event`], [`codec`] turns it into bytes, [`limits`]
//! checks them, a [`Log`] hands them to a [`Store`], a [`Cursor`] reads them below the
//! [`Ceiling`], and a [`Fold`] turns them into a [`ReadModel`] with its [`Checkpoint`].

mod aggregate;
mod append;
pub mod batcher;
mod changes;
mod checkpoint;
pub mod codec;
mod command;
mod cursor;
mod definition;
mod desk;
mod difference;
pub mod envelope;
mod error;
mod event;
mod fault;
pub mod finding;
mod hot;
pub mod inline;
mod known;
mod lease;
pub mod limits;
mod log;
mod meters;
pub mod metrics;
mod operation;
mod outcome;
mod parked;
pub mod partition;
mod position;
mod projection;
mod projection_store;
mod read;
mod read_model;
mod replay;
mod repository;
mod settings;
mod snapshot;
mod store;
mod stream;
mod subscription;
mod subscription_store;
mod tail;
pub mod task;
pub mod testing;
mod value;
mod version;
mod windows;

pub use aggregate::Aggregate;
pub use append::{Append, Appended, AppendedStream, NewEvent};
pub use changes::{Change, Changes};
pub use checkpoint::{Checkpoint, Failure, GenerationState};
pub use codec::{Decoder, Event, EventType, Upcaster};
pub use command::Command;
pub use cursor::{Batch, Cursor};
pub use definition::{BuiltBy, Definition, TableDefinition};
pub use difference::Difference;
pub use error::{Error, ErrorKind, Result};
pub use event::{Recorded, Stored, StoredEvent};
pub use fault::Fault;
pub use finding::{Finding, Severity};
pub use inline::{Inline, Lifecycle};
pub use lease::{Instance, Lease, Leases, Work};
pub use limits::Limits;
pub use log::{Log, expand, expand_generation};
pub use operation::Operation;
pub use outcome::{CommandError, Done, RetryPolicy};
pub use parked::{FailurePolicy, OnFailure, Parked};
pub use position::{Ceiling, Position};
pub use projection::{BatchTx, Fold, SqlProjection};
pub use projection_store::{ProjectionStore, RowTx, StoreTx};
pub use read::{Direction, EventStream, Filter, Reading, StreamInfo, StreamInfos};
pub use read_model::{Column, ColumnType, ReadModel, Table, physical_name, quoted};
pub use replay::Replay;
pub use repository::{Loaded, Repository};
pub use settings::{Pooler, Pools, Queue, Settings};
pub use snapshot::{Snapshot, Snapshots};
pub use store::{Look, Migrated, Store, send_hint};
pub use stream::StreamName;
pub use subscription::{Subscription, SubscriptionCheckpoint};
pub use subscription_store::SubscriptionStore;
pub use value::{ColumnValue, Row, Value, ValueError};
pub use version::ExpectedVersion;
pub use windows::Windows;
