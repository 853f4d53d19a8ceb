//! How a log is opened.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::{Error, Limits, Result, limits};

/// How a log is opened; the defaults suit a service with a database of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The schema that holds the log in PostgreSQL, `headwater` by default: one schema, one log.
    /// SQLite has no schemas, and takes only the default.
    pub schema: String,
    /// Whether opening the log brings its schema up to date; true by default. Set it to false
    /// where the service's role may not change tables, and run `headwater migrate` beforehand.
    pub migrate: bool,
    /// How large an append may be.
    pub limits: Limits,
    /// How long one statement in PostgreSQL may take before its connection is given up; 20 s by
    /// default. Raise it where a projection's own SQL, or a query of yours, takes longer. Migrations
    /// may take as long as they like.
    pub statement_timeout: Duration,
    /// How many connections to PostgreSQL the log may use.
    pub pools: Pools,
    /// Whether a pooler stands before PostgreSQL.
    pub pooler: Pooler,
    /// How many appends may wait for the database.
    pub queue: Queue,
}

/// The queue of the appends that wait for the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many events it holds, at least 1; 20,000 by default. An event counts once more for each full
    /// 4 KiB of its data and metadata. A quarter of the queue is for appends that wait for streams which
    /// another transaction holds.
    pub events: usize,
    /// Whether an append that finds it full is refused with
    /// [`Error::Overloaded`](crate::Error::Overloaded); false by default: its caller waits. One that is
    /// larger than the queue needs it empty.
    pub refuse_when_full: bool,
}

impl Default for Queue {
    fn default() -> Self {
        Self { events: 20_000, refuse_when_full: false }
    }
}

/// Whether a pooler that shares the server's sessions among transactions, such as PgBouncer in its mode
/// `transaction`, stands before PostgreSQL.
///
/// Behind one, each statement runs in a transaction of its own and is prepared anew, which costs round
/// trips; and no connection listens, so that what other processes append is found by the poll, within a
/// second. A pooler in its mode `session` needs none of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// Found out when the log is opened, by two connections that meet the same session.
    #[default]
    Detect,
    /// There is none, or one in its mode `session`.
    Absent,
    /// There is one in its mode `transaction`.
    Present,
}

/// How many connections to PostgreSQL each kind of work may use, at least 1, so that none waits for another. They
/// are opened when they are needed. With one more that listens, a log uses at most 19 by default: five
/// processes fit into the 100 that a server allows by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pools {
    /// For appends, each of which carries all that are waiting; 2 by default.
    pub appends: u32,
    /// For appends to streams that another transaction holds, which are tried again and again; 2 by
    /// default.
    pub held_appends: u32,
    /// For the batches of projections and rebuilds, a transaction each; 4 by default.
    pub transactions: u32,
    /// For readings of streams and of the log; 4 by default.
    pub readings: u32,
    /// For what is short, such as the ceiling and checkpoints; 2 by default.
    pub looks: u32,
    /// For [`Log::query`](crate::Log::query) and [`Log::find`](crate::Log::find); 4 by default.
    pub queries: u32,
}

impl Default for Pools {
    fn default() -> Self {
        Self { appends: 2, held_appends: 2, transactions: 4, readings: 4, looks: 2, queries: 4 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schema: "headwater".into(),
            migrate: true,
            limits: Limits::default(),
            statement_timeout: Duration::from_secs(20),
            pools: Pools::default(),
            pooler: Pooler::default(),
            queue: Queue::default(),
        }
    }
}

/// The longest time that a statement may be allowed.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The most data of an event that may be allowed.
const LARGEST_DATA: usize = 64 << 20;

impl Settings {
    /// Checks what a store relies on.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] for the schema, [`Error::InvalidInput`] for an empty pool or queue, for a
    /// time-out of nothing or of more than a day, for a limit of zero, except that of
    /// metadata, or for more than 64 MiB of data in an event.
    pub fn check(&self) -> Result<()> {
        limits::check_identifier("schema", &self.schema)?;
        let Pools { appends, held_appends, transactions, readings, looks, queries } = self.pools;
        let pools = [appends, held_appends, transactions, readings, looks, queries];
        let timeout = self.statement_timeout;
        let Limits { event_data, metadata: _, events, append, depth } = self.limits;
        let wrong = if pools.contains(&0) {
            "each pool needs a connection at least"
        } else if self.queue.events == 0 || self.queue.events > Semaphore::MAX_PERMITS {
            "the queue of appends needs room for an event at least, and for 2^60 at most"
        } else if timeout.is_zero() || timeout > LONGEST {
            "a statement may take more than no time, and a day at most"
        } else if [event_data, events, append, depth].contains(&0) {
            "the limits event_data, events, append and depth need to be 1 at least"
        } else if event_data > LARGEST_DATA {
            "the data of an event may have 64 MiB at most"
        } else {
            return Ok(());
        };
        Err(Error::InvalidInput(wrong.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_cannot_work_with_is_refused() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check()
        };
        with(|_| ()).unwrap();
        for change in [
            (|s| s.schema = "My".into()) as fn(&mut Settings),
            |s| s.pools.looks = 0,
            |s| s.queue.events = 0,
            |s| s.queue.events = usize::MAX,
            |s| s.limits.events = 0,
            |s| s.limits.event_data = 65 << 20,
            |s| s.statement_timeout = Duration::ZERO,
            |s| s.statement_timeout = Duration::MAX,
        ] {
            assert!(with(change).is_err());
        }
    }
}
