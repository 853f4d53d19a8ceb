//! Event sourcing on PostgreSQL and SQLite: an append-only log of domain events, exposed as streams.
//!
//! Aggregates decide and emit events, the log keeps them, projections fold them into read models.

// The derives write `::headwater`, also for the examples of this crate.
extern crate self as headwater;

#[doc(hidden)]
#[allow(missing_docs, reason = "it is for the examples alone")]
pub mod doc;

#[doc(hidden)]
pub mod __private {
    pub use headwater_core as core;
    pub use serde;
    pub use serde_json;
}

/// Follows the log:
///
/// ```
/// use headwater::{ExpectedVersion, Filter, NewEvent, Position, StreamName};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = headwater::connect("sqlite::memory:").await?;
/// let mut letters = log.subscribe(Filter::all().category("letter"), Position::START);
///
/// let sent = NewEvent::from_json("letter.sent", 1, "{}");
/// log.append(&StreamName::new("letter", 7)?, ExpectedVersion::Any, [sent.clone()]).await?;
///
/// assert_eq!(letters.next().await?.id, sent.id); // and so on, for ever
/// # Ok(())
/// # }
/// ```
pub use headwater_core::Cursor;
/// Computes rows from events:
///
/// ```
/// # use headwater::doc::CartEvent;
/// use headwater::{Fold, ReadModel, Recorded};
///
/// #[derive(ReadModel)]
/// #[read_model(table = "demand")]
/// struct Demand {
///     #[key]
///     sku: String,
///     pieces: i64,
/// }
///
/// impl Fold for Demand {
///     type Event = CartEvent;
///
///     fn keys(event: &Recorded<CartEvent>) -> Vec<String> {
///         match &event.event {
///             CartEvent::ItemAdded { sku, .. } => vec![sku.clone()],
///             CartEvent::CheckedOut => vec![],
///         }
///     }
///
///     fn fold(row: Option<Self>, sku: &String, event: &Recorded<CartEvent>) -> Option<Self> {
///         let CartEvent::ItemAdded { quantity, .. } = &event.event else { return row };
///         let pieces = row.map_or(0, |row| row.pieces) + quantity;
///         Some(Self { sku: sku.clone(), pieces })
///     }
/// }
/// # headwater::App::new().projection::<Demand>().check().unwrap();
/// ```
pub use headwater_core::Fold;
/// Appends and reads:
///
/// ```
/// use futures_util::TryStreamExt as _;
/// use headwater::{ExpectedVersion, Filter, NewEvent, Position, StreamName};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = headwater::connect("sqlite::memory:").await?;
/// let stream = StreamName::new("letter", 7)?;
/// let sent = NewEvent::from_json("letter.sent", 1, r#"{"to":"ann"}"#);
/// let appended = log.append(&stream, ExpectedVersion::None, [sent.clone()]).await?;
/// assert_eq!((appended.version(), appended.position()), (1, Position(1)));
///
/// // The same ids and the same content: the first result.
/// let again = log.append(&stream, ExpectedVersion::None, [sent.clone()]).await?;
/// assert!(again.repeated);
///
/// let mut letters = log.read(Filter::all().category("letter"), Position::START);
/// while let Some(event) = letters.try_next().await? {
///     assert_eq!((event.id, event.event.data.as_str()), (sent.id, r#"{"to":"ann"}"#));
/// }
/// # Ok(())
/// # }
/// ```
pub use headwater_core::Log;
/// Carries decisions into the log:
///
/// ```
/// # use headwater::doc::Cart;
/// use headwater::{CommandError, Repository};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = headwater::connect("sqlite::memory:").await?;
/// let carts = Repository::<Cart>::new(&log)?;
/// carts.execute(&7, |cart| cart.add_item("the-chemex-kit", 2)).await?;
///
/// // With the version that the caller has seen, which may be out of date.
/// let stale = carts.command(&7).expect_version(0).execute(|cart| cart.add_item("a-mug", 1)).await;
/// assert!(matches!(stale, Err(CommandError::Log(headwater::Error::VersionConflict { .. }))));
///
/// let cart = carts.load(&7).await?;
/// assert_eq!((cart.version, cart.state.pieces), (1, 2));
/// # Ok(())
/// # }
/// ```
pub use headwater_core::Repository;
/// Writes rows with statements of its own, in the transaction of the checkpoint:
///
/// ```
/// # use headwater::doc::CartEvent;
/// use headwater::{BatchTx, Recorded, Result, SqlProjection};
///
/// struct CartDays;
///
/// #[async_trait::async_trait]
/// impl SqlProjection for CartDays {
///     type Event = CartEvent;
///     const NAME: &'static str = "cart_days";
///     const TABLES: &'static [(&'static str, &'static str)] =
///         &[("cart_days", "create table {cart_days} (day text primary key, events bigint not null)")];
///
///     async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<CartEvent>]) -> Result<()> {
///         for event in events {
///             let day = event.occurred_at.date_naive().to_string();
///             let sql = "insert into {cart_days} values ($1, 1) \
///                        on conflict (day) do update set events = {cart_days}.events + 1";
///             tx.execute(sql, &[day.into()]).await?;
///         }
///         Ok(())
///     }
/// }
/// # headwater::App::new().sql_projection(CartDays).check().unwrap();
/// ```
pub use headwater_core::SqlProjection;
/// Follows the log under a name, in any process behind what was acknowledged:
///
/// ```
/// use headwater::{ExpectedVersion, Filter, NewEvent, Position, StreamName};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = headwater::connect("sqlite::memory:").await?;
/// let sent = NewEvent::from_json("letter.sent", 1, "{}");
/// log.append(&StreamName::new("letter", 7)?, ExpectedVersion::Any, [sent]).await?;
///
/// let mut postman = log.subscription("postman", Filter::all(), Position::START).await?;
/// let batch = postman.next_batch(100).await?;
/// // ... do what is to be done for each of batch.events ...
/// postman.acknowledge(batch.position).await?;
/// # Ok(())
/// # }
/// ```
pub use headwater_core::Subscription;
pub use headwater_core::{
    Aggregate, Append, Appended, AppendedStream, Batch, BatchTx, Ceiling, Change, Changes,
    Checkpoint, Column, ColumnType, ColumnValue, Command, CommandError, Decoder, Difference,
    Direction, Done, Error, ErrorKind, Event, EventStream, EventType, ExpectedVersion, Failure,
    FailurePolicy, Fault, Filter, Finding, GenerationState, Lifecycle, Limits, Loaded, Migrated,
    NewEvent, OnFailure, Parked, Pooler, Pools, Position, Queue, ReadModel, Recorded, Replay,
    Result, RetryPolicy, Row, Settings, Severity, Snapshots, Stored, StoredEvent, StreamInfo,
    StreamInfos, StreamName, SubscriptionCheckpoint, Table, Upcaster, Value, ValueError, Windows,
    codec, envelope, finding, metrics, testing,
};
/// What a store must be able to do: for those who write one.
pub mod store {
    pub use headwater_core::{
        BuiltBy, Definition, Inline, Instance, Lease, Leases, Look, Operation, ProjectionStore,
        Reading, RowTx, Snapshot, Store, StoreTx, SubscriptionStore, TableDefinition, Work, expand,
        expand_generation,
        inline::{Inlines, Written},
        physical_name, send_hint,
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
/// Keeps projections up to date, and rebuilds them:
///
/// ```
/// # use headwater::doc::{Cart, CartTotal};
/// use headwater::{App, Repository};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = headwater::connect("sqlite::memory:").await?;
/// let carts = Repository::<Cart>::new(&log)?;
/// carts.execute(&7, |cart| cart.add_item("the-chemex-kit", 2)).await?;
///
/// let app = App::new().projection::<CartTotal>();
/// app.catch_up(&log).await?; // a service keeps `app.run(&log)` going instead
/// let before = log.find::<CartTotal>("where pieces > $1", &[1_i64.into()]).await?;
/// assert_eq!(before, [CartTotal { cart: "7".into(), pieces: 2 }]);
///
/// app.rebuild(&log, &[], &|progress| println!("{progress:?}")).await?;
/// assert_eq!(log.find::<CartTotal>("", &[]).await?, before);
/// # Ok(())
/// # }
/// ```
pub use headwater_runtime::App;
pub use headwater_runtime::{
    Builds, Operator, Phase, Progress, ProjectionStatus, Readiness, RebuildOptions, Rebuilt,
    RowChange, RowChanges,
};
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
    let feature = ["postgres", "sqlite"].into_iter().find(|feature| url.starts_with(feature));
    Err(Error::InvalidInput(match feature {
        Some(feature) => format!(
            "this build does not support the database of the URL: add the feature `{feature}` to the dependency headwater"
        ),
        None => "a database URL starts with postgres:// or sqlite://".into(),
    }))
}
