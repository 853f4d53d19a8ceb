//! Runs one job for one of Headwater's peers against the database of a URL in the environment, and
//! prints one line of JSON with what was measured. `headwater-bench --peers` starts it.
//!
//! Each peer is used as its documentation shows, with a pool as large as that of the hand-written SQL.

mod cqrs_es;
mod disintegrate;
#[path = "../../src/shared/mod.rs"]
#[allow(dead_code, reason = "the bench uses the rest")]
mod shared;

use sqlx::{PgPool, postgres::PgPoolOptions};

use shared::{
    job::{Job, Outcome, URL},
    run,
};

/// As for the other subjects.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some("run"), Some(job)) = (arguments.next().as_deref(), arguments.next()) else {
        return Err("headwater-bench starts this with a job".into());
    };
    let job: Job = serde_json::from_str(&job)?;
    let pool = pool().await?;
    match job.subject.as_str() {
        "cqrs-es" => run::answer(cqrs_es::CqrsEs::open(pool).await?, job).await,
        "disintegrate" => run::answer(disintegrate::Disintegrate::open(pool).await?, job).await,
        other => Err(format!("there is no peer {other}").into()),
    }
}

async fn pool() -> Outcome<PgPool> {
    let options = PgPoolOptions::new().max_connections(16).test_before_acquire(false);
    Ok(options.connect(&std::env::var(URL)?).await?)
}
