//! The conformance suite: one behaviour, one test, on every store.
//!
//! ```
//! headwater_testkit::conformance!(sqlite_file, headwater_testkit::conformance::SqliteFile::fresh);
//! ```
//!
//! makes a module `sqlite_file` with a test for each behaviour below, each on a fresh log that the
//! factory yields. Behaviours are sorted by topic, a file each; the name of one is the sentence that
//! it proves.

pub mod append;
pub mod append_in;
pub mod append_only;
mod behaviours;
pub mod bytes;
pub mod cancellation;
pub mod ceiling;
pub mod changes;
pub mod checkpoint;
pub mod commands;
pub mod deploy;
mod harness;
pub mod health;
pub mod idempotency;
pub mod inline;
pub mod lease;
pub mod limits;
pub mod migrate;
pub mod operator;
pub mod parking;
pub mod partitions;
mod postgres;
pub mod projection;
pub mod properties;
pub mod read;
pub mod read_model;
pub mod rebuild;
pub mod repository;
pub mod shared_reading;
pub mod snapshots;
mod sqlite;
pub mod streams;
pub mod subscribe;
pub mod subscriptions;
pub mod verification;

use std::time::Duration;

use tokio::sync::Semaphore;

pub use harness::{Dialect, Harness, UserTransaction};
pub use postgres::Postgres;
pub use sqlite::{SqliteFile, SqliteMemory};

/// How many tests of a process run at once: each may hold some twenty connections to its server.
static AT_ONCE: Semaphore = Semaphore::const_new(6);

/// How long one behaviour may take, times the scale.
const PATIENCE: Duration = Duration::from_secs(180);

/// Says why a behaviour is proved nowhere on this store.
fn only_where_shared() {
    println!("a database in memory is opened once: there is nothing to prove here");
}

/// Runs one behaviour on a fresh log, and closes it.
///
/// # Panics
///
/// Where the behaviour does, or where it takes longer than three minutes.
pub fn run(
    factory: impl AsyncFnOnce() -> Box<dyn Harness>,
    behaviour: impl AsyncFnOnce(&dyn Harness),
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let test = async {
        let _permit = AT_ONCE.acquire().await.expect("it is never closed");
        let harness = factory().await;
        let test = async {
            behaviour(&*harness).await;
            harness.log().close().await;
        };
        if tokio::time::timeout(PATIENCE * crate::scale(), test).await.is_err() {
            panic!("it was stuck for {PATIENCE:?}");
        }
    };
    runtime.block_on(test);
    runtime.shutdown_timeout(Duration::from_secs(5));
}
