//! Headwater's speeds beside hand-written SQL and beside its peers, on the same databases in the same
//! run.
//!
//! `cargo run --release -p headwater-bench -- quick` takes two minutes, `all` at most twenty-five; a
//! table of the figures and one of the targets that they are compared with go to the standard output.
//! README.md says how it measures, and what the subjects and the workloads are.
//!
//! Each measurement runs in a process of its own, which this binary starts from itself: memory can be
//! measured, nothing is warm from the measurement before, and several processes are measured like one.

mod bench;
mod by_hand;
mod by_headwater;
mod commit_delay;
mod databases;
mod figures;
mod machine;
mod peers;
mod plan;
mod process;
mod shared;
mod subjects;
mod table;
mod targets;

use std::{collections::BTreeSet, time::Duration};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use bench::Bench;
use plan::{Extent, Measurement};
use shared::job::{Job, Outcome, URL};

/// The allocator that the shop uses, and `docs/performance.md` advises. All subjects have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Headwater beside hand-written SQL and its peers.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    act: Act,
    /// One JSON object a line, instead of tables.
    #[arg(long, global = true)]
    json: bool,
    /// How often each figure is measured [default: 1 for quick, 3 for all].
    #[arg(long, global = true, value_parser = clap::value_parser!(u16).range(1..))]
    repetitions: Option<u16>,
    /// How long each measurement lasts, in milliseconds [default: 700 for quick, 2000 for all].
    #[arg(long, global = true, value_parser = clap::value_parser!(u64).range(100..))]
    time: Option<u64>,
    /// How long a slow commit takes, such as 2ms; 0ms leaves the slow commits out.
    #[arg(long, global = true, default_value = "2ms", value_parser = milliseconds)]
    commit_delay: Duration,
    /// Measures cqrs-es and disintegrate as well; builds their binary first.
    #[arg(long, global = true)]
    peers: bool,
    /// Only the workloads whose names hold this text.
    #[arg(long, global = true, default_value = "")]
    only: String,
    /// Only these subjects, such as headwater,sqlx.
    #[arg(long, global = true, value_delimiter = ',')]
    subjects: Vec<String>,
}

#[derive(Subcommand)]
enum Act {
    /// The main workloads, in two minutes: for CI. It never fails for being slow.
    Quick,
    /// All workloads, with repetitions.
    All,
    /// Runs one job and prints what was measured: how this binary starts itself.
    #[command(hide = true)]
    Run { job: String },
}

/// The slowest commit that can be asked for, in milliseconds.
const LONGEST_DELAY: u64 = 1_000;

fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix("ms").unwrap_or(text).trim();
    match number.parse() {
        Ok(number @ ..=LONGEST_DELAY) => Ok(Duration::from_millis(number)),
        _ => Err(format!("give milliseconds such as 2ms, {LONGEST_DELAY}ms at most")),
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let options = Options::parse();
    // What provides the databases is made for tests, and panics with a sentence.
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload_as_str().unwrap_or("a panic");
        let place = panic.location().map(|place| format!(" ({place})"));
        eprintln!("error: {what}{}", place.unwrap_or_default());
    }));
    match &options.act {
        Act::Quick => measure(&options, Extent::Quick, 700, 1).await,
        Act::All => measure(&options, Extent::All, 2_000, 3).await,
        Act::Run { job } => {
            let job: Job = serde_json::from_str(job)?;
            subjects::answer(job, &std::env::var(URL)?).await
        }
    }
}

/// Leaves what was asked for in the plan.
///
/// # Errors
///
/// Where that is nothing, or a subject has no such name: what there is.
fn select(
    plan: &mut Vec<Measurement>,
    Options { only, subjects, .. }: &Options,
) -> Result<(), String> {
    let known: BTreeSet<_> =
        plan.iter().flat_map(|one| &one.entries).map(|entry| entry.subject).collect();
    if let Some(name) = subjects.iter().find(|name| !known.contains(name.as_str())) {
        let known = Vec::from_iter(known).join(", ");
        return Err(format!("no subject is called {name}; there are {known}"));
    }
    let names: BTreeSet<_> = plan.iter().map(|one| one.name.clone()).collect();
    let names = Vec::from_iter(names).join("; ");
    plan.retain(|one| one.name.contains(only));
    for one in plan.iter_mut().filter(|_| !subjects.is_empty()) {
        one.entries.retain(|entry| subjects.iter().any(|name| name == entry.subject));
    }
    plan.retain(|one| !one.entries.is_empty());
    if plan.is_empty() {
        return Err(format!("nothing is left to measure of: {names}"));
    }
    Ok(())
}

async fn measure(options: &Options, extent: Extent, time: u64, repetitions: usize) -> Outcome<()> {
    let own = std::env::current_exe()?;
    let peers = if options.peers { peers::build(&own) } else { Err("--peers adds them".into()) };
    let time = Duration::from_millis(options.time.unwrap_or(time));
    let repetitions = options.repetitions.map_or(repetitions, usize::from);
    let mut plan = plan::plan(extent, options.commit_delay);
    if let Err(reason) = select(&mut plan, options) {
        Options::command().error(ErrorKind::InvalidValue, reason).exit();
    }
    let mut head = machine::describe(time, repetitions).await?;
    if let Err(reason) = &peers {
        head.push(format!("cqrs-es and disintegrate are left out: {reason}"));
    }
    let mut bench = Bench::new(own, peers.ok(), time, repetitions);
    let gathered = bench.run(&plan).await;
    let rows = gathered.rows(&plan);
    head.extend(machine::load("end"));
    if options.json {
        head.iter().for_each(|line| eprintln!("{line}"));
        table::print_json(&rows)?;
    } else {
        head.iter().for_each(|line| println!("{line}"));
        table::print(&rows);
        let replay = plan::replay_of(plan::events(extent));
        let delay = options.commit_delay.as_secs_f64() * 1e3;
        targets::print(&targets::targets(&rows, &replay, delay));
    }
    match gathered.failures() {
        [] => Ok(()),
        failures => Err(format!("not measured: {}", failures.join("; ")).into()),
    }
}
