//! Who may use which connection, and for how long.
//!
//! All writing goes through one connection, one transaction at a time: SQLite has one writer, and a
//! queue in the process is fair and quick where its busy handler sleeps and retries. Reading goes
//! through a pool, a page at a time.
//!
//! A database in memory has one connection for all. Two connections to one cannot read and write at
//! the same time, since it has no write-ahead log: the `memdb` file system shuts readers out for as
//! long as a transaction is open, a shared cache shows them what is not committed. So readers of the
//! log share the writer's connection statement by statement, even while a transaction over read
//! models is open, which never touches events; everything else waits for the transaction to end.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    sync::Arc,
};

use headwater_core::Result;
use sqlx::{
    Connection as _, Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection,
    sqlite::SqliteConnectOptions,
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard},
};

use crate::{
    connect,
    errors::{closed, is_busy, of_commit, of_statement},
};

/// The connections of a store.
pub(crate) struct Connections {
    /// Held for the whole of a transaction.
    lane: Arc<Mutex<()>>,
    /// Held for a statement; an append holds it from begin to commit.
    writer: Arc<Mutex<Writer>>,
    /// For readers of a file, and for the user's own transactions.
    pool: SqlitePool,
    options: SqliteConnectOptions,
    memory: bool,
    /// Keeps a database in memory alive while the writer's connection is replaced.
    anchor: Mutex<Option<SqliteConnection>>,
}

/// The right to the next transaction, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedMutexGuard<()>);

struct Writer {
    /// None after it was thrown away; the next transaction makes a new one.
    connection: Option<SqliteConnection>,
    /// Whether a transaction was begun that has not ended well: nobody may use its connection.
    in_transaction: bool,
    closed: bool,
}

impl Connections {
    pub(crate) fn new(
        writer: SqliteConnection,
        anchor: Option<SqliteConnection>,
        options: SqliteConnectOptions,
    ) -> Self {
        Self {
            lane: Arc::default(),
            writer: Arc::new(Mutex::new(Writer {
                connection: Some(writer),
                in_transaction: false,
                closed: false,
            })),
            pool: connect::pool(&options),
            options,
            memory: anchor.is_some(),
            anchor: Mutex::new(anchor),
        }
    }

    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// The file; none where the database is in memory.
    pub(crate) fn file(&self) -> Option<&Path> {
        (!self.memory).then(|| self.options.get_filename())
    }

    pub(crate) fn options(&self) -> &SqliteConnectOptions {
        &self.options
    }

    /// A connection that sees every committed event; for one page or one statement.
    pub(crate) async fn log_reader(&self) -> Result<Reader> {
        let connection = if self.memory {
            ReadConnection::Shared(self.writer_connection().await?)
        } else {
            ReadConnection::Pooled(self.pool.acquire().await.map_err(of_statement)?)
        };
        Ok(Reader { connection, _turn: None })
    }

    /// A connection that sees committed checkpoints and read models.
    pub(crate) async fn reader(&self) -> Result<Reader> {
        let turn = if self.memory { Some(self.turn().await) } else { None };
        Ok(Reader { _turn: turn, ..self.log_reader().await? })
    }

    /// Waits until the transactions before have ended.
    pub(crate) async fn turn(&self) -> Turn {
        Turn(self.lane.clone().lock_owned().await)
    }

    /// Begins a transaction that may write.
    pub(crate) async fn begin(self: &Arc<Self>, turn: Turn) -> Result<Transaction> {
        let mut writer = self.writer.clone().lock_owned().await;
        if writer.in_transaction {
            discard(&mut writer).await;
        }
        drop(writer);
        let mut connection = self.writer_connection().await?;
        connection.writer.in_transaction = true;
        match sqlx::query("begin immediate").execute(&mut *connection).await {
            Ok(_) => Ok(Transaction { connections: self.clone(), turn: Some(turn) }),
            // Another process is writing: the connection is as it was.
            Err(error) if is_busy(&error) => {
                connection.writer.in_transaction = false;
                Err(of_statement(error))
            }
            Err(error) => {
                discard(&mut connection.writer).await;
                Err(of_statement(error))
            }
        }
    }

    /// Closes every connection, after what is under way has ended.
    pub(crate) async fn close(&self) {
        let _lane = self.lane.lock().await;
        let mut writer = self.writer.lock().await;
        writer.closed = true;
        discard(&mut writer).await;
        self.pool.close().await;
        drop(self.anchor.lock().await.take());
    }

    async fn writer_connection(&self) -> Result<WriterConnection> {
        let mut writer = self.writer.clone().lock_owned().await;
        if writer.closed {
            return Err(closed());
        }
        if writer.connection.is_none() {
            writer.connection = Some(connect::open(&self.options).await?);
        }
        Ok(WriterConnection { writer })
    }
}

/// Closes the writer's connection, by which SQLite rolls back what it had begun.
async fn discard(writer: &mut Writer) {
    if let Some(connection) = writer.connection.take()
        && let Err(error) = connection.close().await
    {
        tracing::warn!(%error, "a connection did not close well");
    }
    writer.in_transaction = false;
}

/// The writer's connection, while it is held.
pub(crate) struct WriterConnection {
    writer: OwnedMutexGuard<Writer>,
}

impl Deref for WriterConnection {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.writer.connection.as_ref().expect("it is made before it is held")
    }
}

impl DerefMut for WriterConnection {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.writer.connection.as_mut().expect("it is made before it is held")
    }
}

/// A connection to read with.
pub(crate) struct Reader {
    connection: ReadConnection,
    _turn: Option<Turn>,
}

enum ReadConnection {
    Pooled(PoolConnection<Sqlite>),
    Shared(WriterConnection),
}

impl Deref for Reader {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match &self.connection {
            ReadConnection::Pooled(connection) => connection,
            ReadConnection::Shared(connection) => connection,
        }
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match &mut self.connection {
            ReadConnection::Pooled(connection) => connection,
            ReadConnection::Shared(connection) => connection,
        }
    }
}

/// A transaction that may write. Dropped without a commit, it rolls back before another begins.
pub(crate) struct Transaction {
    connections: Arc<Connections>,
    /// None once it has ended.
    turn: Option<Turn>,
}

impl Transaction {
    pub(crate) async fn connection(&self) -> Result<WriterConnection> {
        self.connections.writer_connection().await
    }

    /// Commits on the connection of this transaction; run it where no caller can cancel it.
    pub(crate) async fn commit(mut self, mut connection: WriterConnection) -> Result<()> {
        let done = sqlx::query("commit").execute(&mut *connection).await;
        if done.is_ok() {
            connection.writer.in_transaction = false;
        } else {
            discard(&mut connection.writer).await;
        }
        drop(connection);
        self.turn = None;
        done.map(drop).map_err(of_commit)
    }

    /// Rolls back on the connection of this transaction.
    pub(crate) async fn undo(mut self, mut connection: WriterConnection) {
        undo(&mut connection.writer).await;
        drop(connection);
        self.turn = None;
    }

    pub(crate) async fn rollback(mut self) {
        if let Some(turn) = self.turn.take() {
            roll_back(&self.connections, turn).await;
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        let connections = self.connections.clone();
        // Without a runtime the flag `in_transaction` stays, and the next transaction cleans up.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { roll_back(&connections, turn).await });
        }
    }
}

/// The turn of the next comes only when the rollback is done.
async fn roll_back(connections: &Connections, turn: Turn) {
    let mut writer = connections.writer.lock().await;
    undo(&mut writer).await;
    drop(writer);
    drop(turn);
}

async fn undo(writer: &mut Writer) {
    let done = match &mut writer.connection {
        Some(connection) => sqlx::query("rollback").execute(connection).await.is_ok(),
        None => true,
    };
    if done {
        writer.in_transaction = false;
    } else {
        // SQLite may have rolled back by itself, after a full disk for example.
        discard(writer).await;
    }
}
