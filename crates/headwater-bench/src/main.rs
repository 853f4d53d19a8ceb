//! Headwater's speeds beside hand-written SQL, on the same database in the same run.
//!
//! Repetitions of the two subjects are interleaved, so that a disk that slows down slows both.
//! `cargo run --release -p headwater-bench` prints a table; `--json` one row a line.

mod by_hand;
mod subject;
mod table;
mod workload;

use clap::Parser;
use subject::{Headwater, Outcome, Subject};
use table::Measured;

/// Measures Headwater beside hand-written SQL.
#[derive(Parser)]
struct Options {
    /// Events that are replayed and projected.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(20_000..))]
    events: u64,
    /// How often each figure is measured.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let options = Options::parse();
    let mut measured = Vec::new();
    for repetition in 0..options.repetitions {
        eprintln!("repetition {} of {}", repetition + 1, options.repetitions);
        let database = headwater_testkit::postgres::database().await;
        let subjects: [&dyn Subject; 2] = [
            &Headwater::open("headwater", database.url()).await?,
            &by_hand::ByHand::open(database.url()).await?,
        ];
        for subject in subjects {
            measured.extend(workload::all(subject, options.events).await?);
        }
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("bench.db").display());
        let sqlite = Headwater::open("headwater-sqlite", &url).await?;
        measured.extend(workload::all(&sqlite, options.events).await?);
    }
    let rows = Measured::gather(measured);
    if options.json {
        table::print_json(&rows)?;
    } else {
        table::print(&rows);
    }
    Ok(())
}
