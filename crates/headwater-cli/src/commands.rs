//! The commands, one file each.

mod append;
mod doctor;
mod events;
mod export;
mod history;
pub(crate) mod import;
mod migrate;
mod projections;
mod race;
#[cfg(feature = "http")]
pub(crate) mod serve;
mod streams;
mod subscriptions;
mod sure;
mod verify;

use std::time::Duration;

use headwater::{App, Log, Settings};

pub use self::{
    append::AppendArgs,
    doctor::DoctorArgs,
    events::EventsArgs,
    export::ExportArgs,
    import::ImportArgs,
    projections::{
        DropArgs, NamesArgs, OfOneArgs, OneArgs, ProjectionsCommand, RebuildArgs, RunArgs,
        SeekArgs, SkipArgs,
    },
    race::RaceArgs,
    streams::{ShowArgs, StreamCommand, StreamsArgs},
    subscriptions::{
        RemoveArgs, SeekSubscriptionArgs, SubscriptionHistoryArgs, SubscriptionsCommand,
    },
    verify::VerifyArgs,
};
use crate::{Failure, Options, Output, options::PATIENCE};

/// The operator's commands; a service flattens them into its own.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Bring the schema of the log up to date
    #[command(after_help = migrate::EXAMPLES)]
    Migrate,
    /// Append an event to a stream
    #[command(after_help = append::EXAMPLES)]
    Append(AppendArgs),
    /// Show events of the log, and follow it
    #[command(after_help = events::EXAMPLES)]
    Events(EventsArgs),
    /// List the streams
    #[command(after_help = streams::LIST_EXAMPLES)]
    Streams(StreamsArgs),
    /// Look at one stream
    #[command(subcommand, after_help = streams::SHOW_EXAMPLES)]
    Stream(StreamCommand),
    /// Look at projections, run and rebuild them
    #[command(subcommand, after_help = projections::EXAMPLES)]
    Projections(ProjectionsCommand),
    /// Look at the subscriptions whose places the log keeps, move and remove them
    #[command(subcommand, visible_alias = "subs", after_help = subscriptions::EXAMPLES)]
    Subscriptions(SubscriptionsCommand),
    /// Write the whole log to a file, an event a line
    #[command(after_help = export::EXAMPLES)]
    Export(ExportArgs),
    /// Check the log against itself
    #[command(after_help = verify::EXAMPLES)]
    Verify(VerifyArgs),
    /// Say what is wrong with the database, or will be, and what cures it
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(DoctorArgs),
    /// Try on your own database what the log promises of order
    #[command(after_help = race::EXAMPLES)]
    Race(RaceArgs),
}

/// Runs one of the operator's commands; the projections are those of `app`.
///
/// Apart from `migrate` and `projections run` none changes the schema of the log.
///
/// # Errors
///
/// What went wrong, with its exit code. Where the reader of the output has gone, that code is 0.
pub async fn run(options: &Options, command: Command, app: &App) -> Result<(), Failure> {
    let mut output = Output::new(options);
    let out = &mut output;
    let done = match command {
        Command::Migrate => migrate::run(options, out).await,
        Command::Append(args) => {
            let event = args.into_event()?;
            with_log(options, async |log| append::run(log, event, out).await).await
        }
        Command::Events(args) => {
            with_log(options, async |log| events::run(log, args, out).await).await
        }
        Command::Streams(args) => {
            with_log(options, async |log| streams::list(log, args, out).await).await
        }
        Command::Stream(StreamCommand::Show(args)) => {
            with_log(options, async |log| streams::show(log, args, out).await).await
        }
        Command::Projections(command) => projections::run(options, command, app, out).await,
        Command::Subscriptions(command) => {
            at_log(options, async |log| subscriptions::run(log, command, out).await).await
        }
        Command::Export(args) => {
            with_log(options, async |log| export::run(log, args, options, out).await).await
        }
        Command::Verify(args) => verify::run(options, args, out).await,
        Command::Doctor(args) => doctor::run(options, args, out).await,
        Command::Race(args) => race::run(options, args, out).await,
    };
    // What was found stands before the reason for ending.
    output.flush().and(done)
}

/// Opens the log as it is, and closes it whatever happens.
async fn with_log<T>(
    options: &Options,
    work: impl AsyncFnOnce(&Log) -> Result<T, Failure>,
) -> Result<T, Failure> {
    within(options.connect_as_is().await?, work).await
}

/// The same for a look or an act, which a sound database answers at once: of a server that has gone silent, or of rows
/// that somebody holds, the operator is told soon. SQLite ends a wait for its one writer by itself, after 5 s.
async fn at_log<T>(
    options: &Options,
    work: impl AsyncFnOnce(&Log) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let settings = Settings { statement_timeout: PATIENCE, ..Settings::default() };
    within(options.connect_with(settings).await?, work).await
}

/// Works with a log, and closes it whatever happens.
async fn within<T>(
    log: Log,
    work: impl AsyncFnOnce(&Log) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let outcome = work(&log).await;
    close(&log).await;
    outcome
}

/// Closes the log, unless its database does not let go.
async fn close(log: &Log) {
    let _ = tokio::time::timeout(Duration::from_secs(1), log.close()).await;
}

/// Parts what was read from the error behind it, so that it is shown before the command fails.
fn split<T>(chunk: Vec<headwater::Result<T>>) -> (Vec<T>, headwater::Result<()>) {
    let mut outcome = Ok(());
    let whole = chunk.into_iter().map_while(|item| match item {
        Ok(item) => Some(item),
        Err(error) => {
            outcome = Err(error);
            None
        }
    });
    (whole.collect(), outcome)
}
