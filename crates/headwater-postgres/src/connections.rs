//! Who may use which connection, and for how long.
//!
//! The driver's own pool loses acknowledged writes where a future is dropped, and a permit for each
//! connection that dies in silence (sqlx issues 4385, 4393, 4349). So this one trusts nothing that it
//! has not seen end: a connection is used again only where its last statement and its transaction
//! ended well; in every other case it is closed, without a farewell that could take its time.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headwater_core::{Error, Result, metrics::CONNECTION_WAIT_SECONDS};
use metrics::Histogram;
use sqlx::{
    Connection as _, Executor as _, PgConnection, Postgres,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::errors::{is_answer, unavailable};

/// How long a unit of work waits for a connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long it pauses before it tries again to connect to a server that refuses.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// How long a connection that has rested may take to say that it still lives.
const PING: Duration = Duration::from_secs(3);

/// How long a connection is kept: a server's session holds plans and memory for as long as it lives.
const AGE: Duration = Duration::from_secs(30 * 60);

/// What begins a transaction. One whose program is gone, and whose end the network swallowed, must
/// not hold its locks for longer than that.
const BEGIN: &str = "begin; set local idle_in_transaction_session_timeout = '15s'";

pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// The connections for one kind of work. Cloning is cheap and shares them.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Shared>);

/// How the server is reached.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) options: PgConnectOptions,
    /// How long a statement may take.
    pub(crate) deadline: Duration,
    /// Whether each transaction may meet another session.
    pub(crate) pooled: bool,
}

struct Shared {
    route: Route,
    trust: Duration,
    limit: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    waits: Histogram,
}

struct Idle {
    connection: PgConnection,
    born: Instant,
    since: Instant,
}

impl Connections {
    /// At most `limit` connections for one `kind` of work, none of them opened yet. One that has rested
    /// for longer than `trust` is asked whether it still lives, which costs a round trip.
    pub(crate) fn new(kind: &str, route: Route, limit: u32, trust: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(limit as usize));
        let (idle, waits) = (Mutex::default(), CONNECTION_WAIT_SECONDS.histogram(&[kind]));
        Self(Arc::new(Shared { route, trust, limit, permits, idle, waits }))
    }

    /// A connection: the one that rests for the shortest time, or a new one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where none is free, or the server lets none in, for ten seconds;
    /// [`Error::Database`] where it refuses for good.
    pub(crate) async fn acquire(&self) -> Result<Held> {
        let asked = Instant::now();
        let deadline = asked + PATIENCE;
        let home = self.0.clone();
        let permit = match timeout_at(deadline, home.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_closed)) => return Err(away("the log is closed")),
            Err(_elapsed) => return Err(away("no connection in time: all of them are in use")),
        };
        let (connection, born) = match home.rested().await {
            Some(rested) => rested,
            None => (home.connect(deadline).await?, Instant::now()),
        };
        home.waits.record(asked.elapsed());
        Ok(Held {
            connection: Some(connection),
            in_statement: false,
            broken: false,
            in_transaction: false,
            born,
            home,
            _permit: permit,
        })
    }

    /// Whether somebody waits for a connection, or soon would.
    pub(crate) fn are_scarce(&self) -> bool {
        self.0.permits.available_permits() == 0
    }

    /// Takes in a connection that was made beforehand.
    pub(crate) fn adopt(&self, connection: PgConnection) {
        let now = Instant::now();
        self.0.idle().push(Idle { connection, born: now, since: now });
    }

    /// Closes every connection, after what is under way has ended.
    pub(crate) async fn close(&self) {
        let all = self.0.permits.acquire_many(self.0.limit).await;
        self.0.permits.close();
        drop(all);
        let idle = std::mem::take(&mut *self.0.idle());
        for Idle { connection, .. } in idle {
            let _gone_anyway = timeout(PING, connection.close()).await;
        }
    }
}

impl Shared {
    /// A connection that lives, of those that rest.
    async fn rested(&self) -> Option<(PgConnection, Instant)> {
        loop {
            let Idle { mut connection, born, since } = self.idle().pop()?;
            if born.elapsed() >= AGE {
                continue;
            }
            if since.elapsed() < self.trust {
                return Some((connection, born));
            }
            match timeout(PING, connection.ping()).await {
                Ok(Ok(())) => return Some((connection, born)),
                Ok(Err(_dead)) => {}
                // What swallows the bytes of one swallows those of all.
                Err(_silent) => self.idle().clear(),
            }
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<PgConnection> {
        let mut pause = PAUSE.0;
        loop {
            let connected =
                timeout_at(deadline, PgConnection::connect_with(&self.route.options)).await;
            let error = match connected {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => unavailable(error),
                Err(_elapsed) => {
                    return Err(away("no connection in time: the server does not answer"));
                }
            };
            // A server that restarts, or has no connection left for the moment.
            if !matches!(error, Error::Unavailable { .. }) || Instant::now() + pause > deadline {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn away(reason: &str) -> Error {
    Error::Unavailable { reason: reason.into() }
}

/// A connection in use. Dropped, it rests for the next one, unless it is in the middle of something.
pub(crate) struct Held {
    /// Always there, until it is dropped.
    connection: Option<PgConnection>,
    /// Whether a statement was sent whose end was not seen.
    in_statement: bool,
    /// Whether a statement ended so that the connection is not to be used again.
    broken: bool,
    /// Whether a transaction was begun that has not ended.
    in_transaction: bool,
    born: Instant,
    home: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Held {
    /// Begins a transaction.
    pub(crate) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.in_transaction = true;
        self.control(BEGIN).await
    }

    /// Commits, or rolls back, the transaction.
    pub(crate) async fn end(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.control(statement).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Whether no other statement is to be sent.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Refuses a statement that would only wait for its deadline.
    fn check(&self) -> Result<(), sqlx::Error> {
        if !self.broken {
            return Ok(());
        }
        let reason = "an earlier statement broke it";
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, reason)))
    }

    /// Runs one or several statements of a file or of ours, without parameters.
    pub(crate) async fn control(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        self.check()?;
        let (connection, deadline) = self.start();
        let done = in_time(deadline, connection.execute(sql)).await;
        self.seen(done).map(drop)
    }

    /// Runs a statement, and yields all its rows.
    pub(crate) async fn fetch_all(
        &mut self,
        query: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let (query, own) = self.ready(query).await?;
        let (connection, deadline) = self.start();
        let rows = in_time(deadline, query.fetch_all(connection)).await;
        self.finish(own, rows).await
    }

    /// Runs a statement that yields one row.
    pub(crate) async fn fetch_one(&mut self, query: Statement<'_>) -> Result<PgRow, sqlx::Error> {
        self.fetch_optional(query).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Runs a statement that yields at most one row.
    pub(crate) async fn fetch_optional(
        &mut self,
        query: Statement<'_>,
    ) -> Result<Option<PgRow>, sqlx::Error> {
        let (query, own) = self.ready(query).await?;
        let (connection, deadline) = self.start();
        let row = in_time(deadline, query.fetch_optional(connection)).await;
        self.finish(own, row).await
    }

    /// Runs a statement, and yields the number of rows that it changed.
    pub(crate) async fn execute(&mut self, query: Statement<'_>) -> Result<u64, sqlx::Error> {
        let (query, own) = self.ready(query).await?;
        let (connection, deadline) = self.start();
        let done = in_time(deadline, query.execute(connection)).await;
        self.finish(own, done).await.map(|done| done.rows_affected())
    }

    /// Makes a statement fit the connection. Behind a pooler the server's session is only ours within
    /// a transaction, and keeps no statement that was prepared: then it gets a transaction of its own,
    /// which [`Held::finish`] ends, unless it is in one.
    pub(crate) async fn ready<'q>(
        &mut self,
        query: Statement<'q>,
    ) -> Result<(Statement<'q>, bool), sqlx::Error> {
        self.check()?;
        if !self.home.route.pooled {
            return Ok((query, false));
        }
        let own = !self.in_transaction;
        if own {
            self.in_transaction = true;
            self.control(BEGIN).await?;
        }
        Ok((query.persistent(false), own))
    }

    /// Takes in how a statement ended, and ends the transaction that it had for its own.
    pub(crate) async fn finish<T>(
        &mut self,
        own: bool,
        ended: Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let ended = self.seen(ended);
        if own && !self.in_statement {
            self.end(if ended.is_ok() { "commit" } else { "rollback" }).await?;
        }
        ended
    }

    /// The connection, for one statement, and how long that may take; [`Held::finish`] takes in how it
    /// ended.
    pub(crate) fn start(&mut self) -> (&mut PgConnection, Duration) {
        self.in_statement = true;
        let connection = self.connection.as_mut().expect("it is there until it is dropped");
        (connection, self.home.route.deadline)
    }

    /// Takes in how a statement ended: with an answer, or in a way that nobody knows.
    fn seen<T>(&mut self, ended: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.in_statement = ended.as_ref().is_err_and(|error| !is_answer(error));
        if self.in_statement {
            self.broken = true;
            // What broke this one has broken those that rest, or soon will.
            self.home.idle().clear();
        }
        ended
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let whole = !self.in_statement && !self.in_transaction;
        if whole && self.born.elapsed() < AGE {
            let (born, since) = (self.born, Instant::now());
            self.home.idle().push(Idle { connection, born, since });
        }
    }
}

/// What takes longer than its deadline ends like a broken connection, and so does the connection.
pub(crate) async fn in_time<T>(
    deadline: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(deadline, statement).await.unwrap_or_else(|_elapsed| Err(late(deadline)))
}

/// The error of a statement that took longer than this.
pub(crate) fn late(deadline: Duration) -> sqlx::Error {
    let reason = format!("no answer within {} s", deadline.as_secs());
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, reason))
}
