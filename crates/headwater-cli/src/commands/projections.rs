//! `projections`: what is built from the log, how far it is, and how to build it anew.

mod list;
mod rebuild;
mod status;

use headwater::{App, Log};

use super::{close, with_log};
use crate::{Exit, Failure, Interrupt, Options, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  headwater projections list
  headwater projections status --json
  headwater projections rebuild cart_summaries";

const LIST_EXAMPLES: &str = "\
Examples:
  headwater projections list
  headwater projections list --json";

const STATUS_EXAMPLES: &str = "\
Examples:
  headwater projections status
  headwater projections status --json || echo 'a projection stands still'";

const REBUILD_EXAMPLES: &str = "\
Examples:
  headwater projections rebuild cart_summaries
  headwater projections rebuild --all --no-progress";

const RUN_EXAMPLES: &str = "\
Examples:
  headwater projections run
  headwater projections run --once";

/// What can be done with projections.
#[derive(clap::Subcommand)]
pub enum ProjectionsCommand {
    /// List the projections, with every build of their read models
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Say where each projection stands; exit code 5 where one stands still
    #[command(after_help = STATUS_EXAMPLES)]
    Status,
    /// Build read models anew, beside the ones in service, and swap them in
    #[command(after_help = REBUILD_EXAMPLES)]
    Rebuild(RebuildArgs),
    /// Keep the projections up to date, until Ctrl-C
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
}

/// What `projections rebuild` takes.
#[derive(clap::Args)]
pub struct RebuildArgs {
    /// The projections
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All projections
    #[arg(long)]
    all: bool,
}

/// What `projections run` takes.
#[derive(clap::Args)]
pub struct RunArgs {
    /// End when they have reached the end of the log
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(
    options: &Options,
    command: ProjectionsCommand,
    app: &App,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        ProjectionsCommand::List => {
            with_log(options, async |log| list::list(log, app, out).await).await
        }
        ProjectionsCommand::Status => {
            with_log(options, async |log| status::status(log, app, out).await).await
        }
        ProjectionsCommand::Rebuild(args) => {
            needs_code(app, "rebuild")?;
            with_log(options, async |log| rebuild::rebuild(log, args, app, options, out).await)
                .await
        }
        ProjectionsCommand::Run(args) => {
            needs_code(app, "run")?;
            let log = options.connect().await?;
            let outcome = keep_up_to_date(&log, args, app).await;
            close(&log).await;
            outcome
        }
    }
}

fn needs_code(app: &App, command: &str) -> Result<(), Failure> {
    app.check()?;
    if app.names().is_empty() {
        let message = format!(
            "this program holds no projections: run `projections {command}` with the service's own binary"
        );
        return Err(Failure::new(Exit::BadInput, "needs-service", message));
    }
    Ok(())
}

async fn keep_up_to_date(log: &Log, args: RunArgs, app: &App) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen(Exit::Success)?;
    let work = async { if args.once { app.catch_up(log).await } else { app.run(log).await } };
    tokio::select! {
        () = interrupt.requested() => Ok(()),
        outcome = work => outcome.map_err(Failure::of_projection),
    }
}
