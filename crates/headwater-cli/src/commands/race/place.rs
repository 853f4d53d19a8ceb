//! What a race needs of a database: a place of its own that goes when the race is over, the log in it,
//! and plain connections beside the log.

use std::time::Duration;

use async_trait::async_trait;
use headwater::{Append, Appended, Error, Log};

use super::elsewhere::Elsewhere;
use crate::Failure;

/// How the name of every place begins, by which one that was left behind is known.
pub(super) const PREFIX: &str = "headwater_race_";

/// A schema or a folder that belongs to one race.
#[async_trait]
pub(super) trait Place: Send {
    /// What it is, such as `schema`.
    fn kind(&self) -> &'static str;

    /// Its name, such as `headwater_race_5f0c1d2e`.
    fn name(&self) -> String;

    /// The places of other races: one that runs now, or one that was killed.
    fn others(&self) -> &[String];

    /// How a person removes such a place.
    fn how_to_remove(&self, name: &str) -> String;

    /// Makes the place and opens a log in it. Where that fails, something may be there to remove.
    async fn open(&self) -> Result<Box<dyn Track>, Failure>;

    /// Removes the place with everything in it; also where it was never made.
    async fn remove(self: Box<Self>) -> Result<(), Failure>;
}

/// The log of a race, and the ways to it.
#[async_trait]
pub(super) trait Track: Send + Sync {
    /// The log that the writers share.
    fn log(&self) -> &Log;

    /// The same log, opened once more as another process would.
    async fn join(&self) -> Result<Log, Failure>;

    /// A connection beside the log, as an application has its own.
    async fn connect(&self) -> Result<Box<dyn Connection>, Failure>;

    /// Opens a transaction that writes somewhere else in the same server.
    async fn elsewhere(&self) -> Result<Elsewhere, Failure>;

    /// How the writers of this database behave.
    fn habits(&self) -> Habits;
}

/// A connection of the application's own.
#[async_trait]
pub(super) trait Connection: Send {
    /// Appends in a transaction of its own, leaves that open for a while, and ends it.
    async fn append_in(
        &mut self,
        append: Append,
        open: Duration,
        end: End,
    ) -> Result<Ended, Failure>;

    /// The positions above `last`, as an event store by hand reads them.
    async fn above(&mut self, last: u64) -> Result<Vec<u64>, Failure>;
}

/// A transaction that has ended as it was to.
pub(super) struct Ended {
    pub(super) appended: Appended,
    /// How long it was open, the wait for a stream that another one held included.
    pub(super) open: Duration,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    Rollback,
}

impl End {
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Rollback => "rollback",
        }
    }
}

/// How often writers open a transaction of their own, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// How many of ten appends go through the log at once; the others open a transaction.
    pub(super) at_once: u32,
    /// How many of ten are rolled back.
    pub(super) rolled_back: u32,
    /// How long a transaction stays open at most.
    pub(super) open: Duration,
    /// How long one in a hundred stays open at most.
    pub(super) long: Duration,
}

/// The failure of a statement outside the log, sorted as the log sorts its own.
pub(super) fn of_driver(error: sqlx::Error) -> Failure {
    let Some(refused) = error.as_database_error() else {
        return Error::Unavailable { reason: error.to_string() }.into();
    };
    let code = refused.code().unwrap_or_default().into_owned();
    let message = refused.message().to_owned();
    // Connections, resources, locks, a server that shuts down; in SQLite, a file that is busy.
    let passes = ["08", "40", "53", "55", "57"].iter().any(|class| code.starts_with(class));
    if code.len() == 5 && passes || code == "5" {
        Error::Unavailable { reason: format!("{message} ({code})") }.into()
    } else {
        Error::Database { code, message }.into()
    }
}

/// A name that no other race has.
pub(super) fn fresh_name() -> String {
    format!("{PREFIX}{:08x}", rand::random::<u32>())
}
