//! The shop's commands: its own, and all of Headwater's.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use headwater_cli::{Command as Operator, Failure, Options, ProjectionsCommand, RunArgs};
use shop::{
    audit,
    demo::{self, DemoArgs},
    import::{self, ImportArgs},
    report,
    traffic::{self, TrafficArgs},
    web::{self, WebArgs},
};

/// Decoding and folding allocate much.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An event-sourced shop, to look at and to copy.
#[derive(Parser)]
#[command(name = "shop", version, after_help = EXAMPLES)]
struct Shop {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the shop at work: visitors, read models, and a page that moves
    #[command(after_help = demo::EXAMPLES)]
    Demo(DemoArgs),
    /// Serve the shop: the API, the page and the projections
    #[command(after_help = web::EXAMPLES)]
    Web(WebArgs),
    /// Keep the read models up to date, without serving: the worker of a platform
    #[command(after_help = WORKER_EXAMPLES)]
    Worker,
    /// Prepare the database that is named for this version: the release of a platform
    #[command(after_help = RELEASE_EXAMPLES)]
    Release,
    /// Bring the trade of a real shop into the log
    #[command(after_help = import::EXAMPLES)]
    Import(ImportArgs),
    /// Sum up what was sold and what came back
    #[command(after_help = report::EXAMPLES)]
    Report,
    /// Hold the read models of the dashboard against the events themselves
    #[command(after_help = audit::EXAMPLES)]
    Audit,
    /// Send made-up visitors
    #[command(after_help = traffic::EXAMPLES)]
    Traffic(TrafficArgs),
    #[command(flatten)]
    Headwater(Operator),
}

const EXAMPLES: &str = "\
Where no log is named, demo writes one in the user's data directory; report, audit and Headwater's
own commands take that one then.

Examples:
  shop demo
  shop events --follow
  shop verify          # the log against itself, and the numbers of the dashboard against the log
  export DATABASE_URL=sqlite://year.db
  shop import online-retail online-retail.csv.gz
  shop report
  shop projections rebuild --all";

const WORKER_EXAMPLES: &str = "\
Examples:
  shop release && { shop web & shop worker & }";

const RELEASE_EXAMPLES: &str = "\
Examples:
  shop release --database-url postgres://localhost/shop";

fn main() -> ExitCode {
    headwater_cli::start(run)
}

async fn run(Shop { options, command }: Shop) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(&options, args).await,
        Command::Web(args) => web::run(&options, args).await,
        Command::Import(args) => import::run(&options, args).await,
        Command::Traffic(args) => traffic::run(&options, args).await,
        Command::Audit => audit::run(&or_demo(options)).await,
        Command::Report => report::run(&or_demo(options)).await,
        Command::Release => headwater(&options, Operator::Migrate).await,
        Command::Worker => {
            let run = ProjectionsCommand::Run(RunArgs::default());
            headwater(&options, Operator::Projections(run)).await
        }
        // The log against itself, and then the numbers of the dashboard against the log.
        Command::Headwater(verify @ Operator::Verify(_)) => {
            let options = or_demo(options);
            headwater(&options, verify).await?;
            audit::run(&options).await
        }
        Command::Headwater(command) => headwater(&or_demo(options), command).await,
    }
}

/// One of Headwater's own commands.
async fn headwater(options: &Options, command: Operator) -> Result<(), Failure> {
    headwater_cli::run(options, command, &shop::app()).await
}

/// The log of the demo where no other one is named.
fn or_demo(options: Options) -> Options {
    match demo::demo_log() {
        Some(url) => options.or_database_url(url),
        None => options,
    }
}
