//! `race`: tries on the user's own database what the log promises of order.
//!
//! Writers commit at once, late, or not at all; followers read beside them, and so does a reader by
//! hand, which shows what the promise is worth. The race has a schema or a file of its own, and
//! removes it however it ends.

mod course;
mod elsewhere;
mod ledger;
mod place;
mod postgres;
mod progress;
mod readers;
mod report;
mod sqlite;
mod verdict;
mod writers;

use std::{sync::Arc, time::Duration};

use self::{
    course::Finish,
    place::{Place, Track},
    postgres::Schema,
    progress::Reporter,
    report::{Surroundings, report},
    sqlite::Folder,
};
use super::close;
use crate::{Exit, Failure, Interrupt, Options, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  headwater race
  headwater race --seconds 60 --database-url postgres://app@db/shop
  headwater race --writers 8 --seed 7 --json

It writes into a schema of its own, whatever --schema says, or for SQLite into a
folder beside the file, and removes it at the end: no log that is there is
touched. The role must be allowed to create a schema. While it runs, the server
does the work of 32 busy writers: think before you run it beside customers.";

/// How long it may take to tidy up after Ctrl-C.
const GRACE: Duration = Duration::from_secs(20);

/// How long it may take to remove the place.
const REMOVAL: Duration = Duration::from_secs(15);

/// What `race` takes.
#[derive(clap::Args)]
pub struct RaceArgs {
    /// How many writers
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    writers: u32,
    /// How many followers from the beginning; one more joins half-way
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    followers: u32,
    /// How long the writers write, in seconds, at most ten minutes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Repeats the lots that the writers draw; a fresh one where it is not given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl RaceArgs {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

pub(super) async fn run(
    options: &Options,
    args: RaceArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen_for(Exit::Interrupted, GRACE)?;
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let place = choose(options.database_url()?, &args).await?;
    let mut around = Surroundings {
        place: format!("{} {}", place.kind(), place.name()),
        removed: false,
        others: others_of(&*place),
        seed,
    };
    let outcome = race(&*place, &args, seed, options, &mut interrupt).await;
    let removed = remove(place).await;
    around.removed = removed.is_ok();
    let reported = match outcome {
        Ok(Some(finish)) => report(&finish, &args, &around, out),
        Ok(None) => Err(interrupted(&around)),
        Err(failure) => Err(failure),
    };
    match (reported, removed) {
        (Err(failure), Err(left)) => {
            tracing::warn!("{left}");
            Err(failure)
        }
        (reported, removed) => reported.and(removed),
    }
}

/// The places of other races, each with the way to remove it.
fn others_of(place: &dyn Place) -> Vec<(String, String)> {
    place.others().iter().map(|name| (name.clone(), place.how_to_remove(name))).collect()
}

/// Chooses where to run, and makes nothing yet.
async fn choose(url: &str, args: &RaceArgs) -> Result<Box<dyn Place>, Failure> {
    if url.starts_with("sqlite:") {
        return Ok(Box::new(Folder::choose(url)?));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Box::new(Schema::choose(url, args.writers).await?));
    }
    Err(Failure::bad_input("a database URL starts with postgres:// or sqlite://"))
}

/// Runs the race in its place; `None` where it was interrupted, and what was begun has been dropped.
async fn race(
    place: &dyn Place,
    args: &RaceArgs,
    seed: u64,
    options: &Options,
    interrupt: &mut Interrupt,
) -> Result<Option<Finish>, Failure> {
    // Not while the place is being made: that goes on by itself, and would come after its removal.
    let track: Arc<dyn Track> = place.open().await?.into();
    let reporter = Reporter::new(options, args.length());
    let outcome = tokio::select! {
        () = interrupt.requested() => Ok(None),
        finish = course::run(track.clone(), args, seed, &reporter) => finish.map(Some),
    };
    reporter.end();
    close(track.log()).await;
    outcome
}

fn interrupted(around: &Surroundings) -> Failure {
    let message = if around.removed {
        format!("interrupted: there is no result, and the {} is removed", around.place)
    } else {
        "interrupted: there is no result".into()
    };
    Failure::new(Exit::Interrupted, "interrupted", message)
}

async fn remove(place: Box<dyn Place>) -> Result<(), Failure> {
    let (kind, name) = (place.kind(), place.name());
    let how = place.how_to_remove(&name);
    let reason = match tokio::time::timeout(REMOVAL, place.remove()).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failure)) => failure.to_string(),
        Err(_elapsed) => "no answer in time".into(),
    };
    let message = format!("the {kind} {name} of the race is still there: {reason}");
    Err(Failure::new(Exit::Failed, "not-removed", message)
        .with_hint(format!("remove it by hand: {how}")))
}
