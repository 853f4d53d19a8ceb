//! Somebody who queries a read model all the time, and must never notice a rebuild.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use headwater::Log;
use headwater_testkit::{eventually, postgres::direct};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tokio::{
    task::{JoinHandle, yield_now},
    time::{Duration, Instant},
};

/// How a query gets to the read models.
pub enum Way {
    /// Through the log.
    Log(Log),
    /// By SQL of the user's own, prepared once, on a connection of his own.
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Way {
    /// A connection of the user's own to the database at `url`.
    pub async fn own(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            Self::Sqlite(SqliteConnection::connect(url).await.unwrap())
        } else {
            Self::Postgres(direct(url).await)
        }
    }

    /// How many accounts and bookings are in the read model.
    pub async fn look(&mut self) -> (i64, i64) {
        let query = |table| {
            format!(
                "select cast(count(*) as bigint) as accounts, \
                        cast(coalesce(sum(bookings), 0) as bigint) as bookings \
                 from {table}"
            )
        };
        match self {
            Self::Log(log) => {
                let rows = log.query(&query("{balances}"), &[]).await.unwrap();
                (rows[0].get("accounts").unwrap(), rows[0].get("bookings").unwrap())
            }
            Self::Postgres(connection) => {
                sqlx::query_as(AssertSqlSafe(query("headwater.balances")))
                    .fetch_one(connection)
                    .await
                    .unwrap()
            }
            Self::Sqlite(connection) => sqlx::query_as(AssertSqlSafe(query("balances")))
                .fetch_one(connection)
                .await
                .unwrap(),
        }
    }
}

/// A loop of queries.
pub struct Watcher {
    looks: Arc<AtomicU64>,
    slowest: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Looks from now on. Accounts and bookings never become fewer: a look that finds fewer has seen
    /// a half of something.
    pub fn start(way: Way) -> Self {
        let (looks, slowest) = (Arc::default(), Arc::default());
        let task = tokio::spawn(watch(way, Arc::clone(&looks), Arc::clone(&slowest)));
        Self { looks, slowest, task }
    }

    /// Waits for a few more looks, and yields how many there were and how long the slowest took.
    pub async fn end(self) -> (u64, Duration) {
        let goal = self.looks.load(Relaxed) + 3;
        eventually("a watcher looks", async || {
            (self.looks.load(Relaxed) >= goal || self.task.is_finished()).then_some(())
        })
        .await;
        self.task.abort();
        if let Err(ended) = self.task.await
            && ended.is_panic()
        {
            std::panic::resume_unwind(ended.into_panic());
        }
        (self.looks.load(Relaxed), Duration::from_micros(self.slowest.load(Relaxed)))
    }
}

async fn watch(mut way: Way, looks: Arc<AtomicU64>, slowest: Arc<AtomicU64>) {
    let mut before = way.look().await;
    assert!(before.0 > 0 && before.1 > 0, "there is something to see: {before:?}");
    loop {
        let asked = Instant::now();
        let now = way.look().await;
        let took = u64::try_from(asked.elapsed().as_micros()).unwrap();
        slowest.fetch_max(took, Relaxed);
        assert!(now.0 >= before.0 && now.1 >= before.1, "{before:?}, and then {now:?}");
        before = now;
        looks.fetch_add(1, Relaxed);
        yield_now().await;
    }
}
