//! What one process is told to measure, and what it answers: a line of JSON each way.

use std::{error::Error, time::Duration};

use serde::{Deserialize, Serialize};

/// The result of a measured act.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The environment variable that holds the URL of the database: it bears a password, and arguments
/// are seen by everybody.
pub const URL: &str = "HEADWATER_BENCH_URL";

/// What a process says when it is connected and prepared.
pub const READY: &str = "ready";

/// One measurement of one subject in one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The subject's name.
    pub subject: String,
    /// What it does.
    pub workload: Workload,
    /// How many callers in this process.
    pub callers: usize,
    /// Which of several processes this is, from 0: their carts must not meet.
    pub process: usize,
    /// How long the measurement lasts, where it is not one act.
    pub time: Duration,
    /// The carts that the log was filled with, and of how many events each.
    pub filled: Filled,
}

/// The carts that a log is filled with before a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Filled {
    /// How many carts.
    pub carts: u64,
    /// Events of each.
    pub length: u64,
}

impl Filled {
    /// How many events that is.
    pub fn events(self) -> u64 {
        self.carts * self.length
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Workload {
    /// Fills the log with carts.
    Fill,
    /// Appends so many events to a new cart.
    Append { events: u64 },
    /// Appends one event to each of so many new carts, in one statement: a batch made by hand.
    Batch { carts: u64 },
    /// Loads a cart, decides, appends. Each caller takes the next of `carts`, or has one of its own
    /// where there are none. A cart is left for a new one after `length` commands, so that what is
    /// measured does not change with the time that it takes.
    Command { carts: u64, length: u64 },
    /// Loads a cart, which was not loaded before or, `warm`, was.
    Load { warm: bool },
    /// Reads and decodes every event.
    Replay,
    /// Builds so many read models from zero.
    Project { read_models: usize },
    /// Appends at an even pace and follows the log, in one process.
    Live,
    /// Appends at an even pace.
    LiveAppend,
    /// Follows the log.
    LiveFollow,
}

/// What was measured in one process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Events, or loads, a second.
    pub per_second: f64,
    /// The median time of an act.
    pub p50_ms: f64,
    /// What 99 of 100 acts stay below.
    pub p99_ms: f64,
    /// The most memory that the process had resident.
    pub peak_mib: Option<f64>,
    /// The live events that were appended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub appended: Vec<Appended>,
    /// The live events that were seen: their numbers, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<(i64, i64)>,
}

/// A live event: its number, when its append was called and when it was acknowledged, in microseconds
/// of the machine's clock, which all processes share.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Appended {
    /// The number.
    pub number: i64,
    /// When the append was called.
    pub called: i64,
    /// When it was acknowledged.
    pub acknowledged: i64,
}
