//! Event sourcing on PostgreSQL and SQLite: an append-only log of domain events, exposed as streams.
//!
//! Aggregates decide and emit events, the log keeps them, projections fold them into read models.

#[doc(hidden)]
pub mod __private {
    pub use headwater_core as core;
    pub use serde;
    pub use serde_json;
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
/// Declares types of event on an enum:
///
/// ```
/// use headwater::{Decoder, Event};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event)]
/// #[event(category = "cart")]
/// enum CartEvent {
///     #[event(name = "cart.opened")]
///     Opened { customer: String },
///     #[event(name = "cart.item_added", version = 2, upcast(1 = ItemAddedV1))]
///     ItemAdded(ItemAdded),
///     #[event(name = "cart.abandoned")]
///     Abandoned,
/// }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct ItemAdded {
///     sku: String,
///     quantity: u32,
/// }
///
/// // The first schema knew no quantities.
/// #[derive(Deserialize)]
/// struct ItemAddedV1 {
///     sku: String,
/// }
///
/// impl From<ItemAddedV1> for ItemAdded {
///     fn from(v1: ItemAddedV1) -> Self {
///         Self { sku: v1.sku, quantity: 1 }
///     }
/// }
///
/// let opened = CartEvent::Opened { customer: "ann".into() };
/// assert_eq!(opened.event_type(), ("cart.opened", 1));
/// assert_eq!(opened.encode()?, r#"{"customer":"ann"}"#);
/// assert_eq!(CartEvent::Abandoned.encode()?, "{}");
///
/// // A reader brings old events up to the current schema.
/// let decoder = Decoder::<CartEvent>::new()?;
/// assert_eq!(decoder.types().len(), 3);
/// let step = &CartEvent::types()[1].upcasters[0];
/// assert_eq!((step.upcast)(r#"{"sku":"A-1"}"#)?, r#"{"sku":"A-1","quantity":1}"#);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub use headwater_macros::Event;
/// Declares a read model on a struct:
///
/// ```
/// use headwater::{ReadModel, Value};
///
/// #[derive(ReadModel)]
/// #[read_model(table = "cart_lines")]
/// struct CartLine {
///     #[key]
///     cart_id: String,
///     #[key]
///     line: u32,
///     #[column(text)]
///     sku: Sku,
///     #[column(json)]
///     tags: Vec<String>,
///     note: Option<String>,
/// }
///
/// struct Sku(String);
/// # impl std::fmt::Display for Sku {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
/// #         f.write_str(&self.0)
/// #     }
/// # }
/// # impl std::str::FromStr for Sku {
/// #     type Err = std::convert::Infallible;
/// #     fn from_str(text: &str) -> Result<Self, Self::Err> {
/// #         Ok(Self(text.into()))
/// #     }
/// # }
/// // impl Display for Sku, impl FromStr for Sku ...
///
/// let line = CartLine {
///     cart_id: "7".into(),
///     line: 1,
///     sku: Sku("A-1".into()),
///     tags: vec!["gift".into()],
///     note: None,
/// };
/// assert_eq!(line.key(), ("7".to_string(), 1));
/// assert_eq!(
///     line.to_values(),
///     [
///         Value::from("7"),
///         Value::Int(1),
///         Value::from("A-1"),
///         Value::Json(r#"["gift"]"#.into()),
///         Value::Null,
///     ]
/// );
/// ```
pub use headwater_macros::ReadModel;
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
