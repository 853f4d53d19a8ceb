//! The operator's commands, as a library that every service mounts.
//!
//! A service without commands of its own is one line:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     headwater_cli::main(headwater::App::new())
//! }
//! ```
//!
//! One with commands of its own flattens [`Options`] and [`Command`] into them, and lets [`start`]
//! do the rest:
//!
//! ```no_run
//! /// A shop.
//! #[derive(clap::Parser)]
//! struct Shop {
//!     #[command(flatten)]
//!     options: headwater_cli::Options,
//!     #[command(subcommand)]
//!     command: ShopCommand,
//! }
//!
//! #[derive(clap::Subcommand)]
//! enum ShopCommand {
//!     #[command(flatten)]
//!     Headwater(headwater_cli::Command),
//!     /// Say how many events there are
//!     Count,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     headwater_cli::start(|shop: Shop| async move {
//!         let options = shop.options.or_database_url("sqlite://shop.db");
//!         match shop.command {
//!             ShopCommand::Headwater(command) => {
//!                 headwater_cli::run(&options, command, &headwater::App::new()).await
//!             }
//!             ShopCommand::Count => {
//!                 let log = options.connect().await?;
//!                 let mut output = headwater_cli::Output::new(&options);
//!                 output.line(log.ceiling().await?.position)?;
//!                 output.flush()
//!             }
//!         }
//!     })
//! }
//! ```
//!
//! A service embeds it, as the example shop does; its API is as stable as that of the crate
//! `headwater`.

mod checksum;
mod columns;
mod commands;
mod envelope;
mod failure;
mod interrupt;
mod line;
mod options;
mod output;
mod pace;
mod progress;
#[cfg(feature = "prometheus")]
mod prometheus;
mod redact;
mod start;

use std::process::ExitCode;

use clap::CommandFactory as _;
use headwater::App;

pub use commands::{
    AppendArgs, Command, DoctorArgs, DropArgs, EventsArgs, ExportArgs, ImportArgs, NamesArgs,
    OfOneArgs, OneArgs, ProjectionsCommand, RaceArgs, RebuildArgs, RemoveArgs, RunArgs, SeekArgs,
    SeekSubscriptionArgs, ShowArgs, SkipArgs, StreamCommand, StreamsArgs, SubscriptionHistoryArgs,
    SubscriptionsCommand, VerifyArgs, run,
};
pub use failure::{Exit, Failure};
pub use interrupt::Interrupt;
pub use options::Options;
pub use output::Output;
#[cfg(feature = "prometheus")]
pub use prometheus::Prometheus;
pub use redact::redact;
pub use start::start;

/// The log of events: write to it, read it, and look after what is built from it.
#[derive(clap::Parser)]
#[command(name = "headwater", version, after_help = HELP)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: All,
}

/// The commands of every service, and those whose names a service is likely to need itself.
#[derive(clap::Subcommand)]
enum All {
    #[command(flatten)]
    Service(Command),
    /// Append what an export wrote, byte for byte and in its order
    #[command(after_help = commands::import::EXAMPLES)]
    Import(ImportArgs),
    /// Serve the log over HTTP: append, read, follow, consume, operate
    #[cfg(feature = "http")]
    #[command(after_help = commands::serve::EXAMPLES)]
    Serve(commands::serve::ServeArgs),
}

const HELP: &str = "\
Examples:
  export DATABASE_URL=sqlite://shop.db
  headwater migrate
  headwater append cart-7 cart.opened --data '{\"currency\":\"GBP\"}'
  headwater events --follow
  headwater projections status --json

Exit codes:
  0  done
  1  failed: somebody must look
  2  bad usage or bad input
  3  the store cannot be reached or is busy: try again
  4  conflict: another version, or an event id that is taken
  5  a projection stands still
  130  interrupted before it was done";

/// Runs the operator's commands for a service whose projections are those of `app`.
///
/// It reads the process's arguments, has a runtime of its own, and reports failures: return what it
/// yields from `main`.
pub fn main(app: App) -> ExitCode {
    start(|Cli { options, command }: Cli| async move {
        let mut output = Output::new(&options);
        let done = match command {
            All::Service(command) => return run(&options, command, &app).await,
            #[cfg(feature = "http")]
            All::Serve(args) => commands::serve::run(&options, args, &mut output).await,
            All::Import(args) => commands::import::run(&options, args, &mut output).await,
        };
        output.flush().and(done)
    })
}

/// The whole command line, for shell completions and manual pages.
pub fn command() -> clap::Command {
    Cli::command()
}
