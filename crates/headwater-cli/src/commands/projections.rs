//! `projections`: what is built from the log, how far it is, and how to build it anew.

mod follow;
mod list;
mod operate;
mod parked;
mod rebuild;
mod status;

use std::num::NonZeroU32;

use headwater::{App, Log};

pub use self::operate::{DropArgs, OneArgs, SeekArgs, SkipArgs};
pub(super) use self::status::left_out;

use super::{at_log, close, history, with_log};
use crate::{Exit, Failure, Interrupt, Options, Output, options::in_time};

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
  headwater projections status cart_summaries
  headwater projections status --json || echo 'a projection stands still'";

const REBUILD_EXAMPLES: &str = "\
Examples:
  headwater projections rebuild cart_summaries
  headwater projections rebuild --all --no-progress
  headwater projections rebuild cart_summaries --hold
  headwater projections rebuild cart_summaries --max-rate 20000";

const RUN_EXAMPLES: &str = "\
Examples:
  headwater projections run
  headwater projections run --once";

const VERIFY_EXAMPLES: &str = "\
Examples:
  headwater projections verify cart_summaries
  headwater projections verify --all --json";

const PAUSE_EXAMPLES: &str = "\
Examples:
  headwater projections pause cart_summaries
  headwater projections resume cart_summaries";

const RETRY_EXAMPLES: &str = "\
Examples:
  headwater projections status
  headwater projections retry cart_summaries";

const SKIP_EXAMPLES: &str = "\
Examples:
  headwater projections status
  headwater projections skip cart_summaries --event 019a2b3c-0000-7000-8000-000000000000 --yes";

const SEEK_EXAMPLES: &str = "\
Examples:
  headwater projections seek cart_summaries 120000 --yes";

const PROMOTE_EXAMPLES: &str = "\
Examples:
  headwater projections rebuild cart_summaries --hold
  headwater projections promote cart_summaries
  headwater projections rollback cart_summaries";

const DROP_EXAMPLES: &str = "\
Examples:
  headwater projections list
  headwater projections drop cart_summaries --generation 3";

const PARKED_EXAMPLES: &str = "\
Examples:
  headwater projections parked
  headwater projections parked cart_summaries --json";

const HISTORY_EXAMPLES: &str = "\
Examples:
  headwater projections history
  headwater projections history cart_summaries --json";

/// What can be done with projections.
#[derive(clap::Subcommand)]
pub enum ProjectionsCommand {
    /// List the projections, with every build of their read models
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Say where each projection stands; exit code 5 where one stands still, or may hold other rows than the log makes
    #[command(after_help = STATUS_EXAMPLES)]
    Status(OfOneArgs),
    /// Build read models anew, beside the ones in service, and swap them in
    ///
    /// A program that has their code builds them itself; any other asks the running service to.
    #[command(after_help = REBUILD_EXAMPLES)]
    Rebuild(RebuildArgs),
    /// Compare read models with what a fold of the log makes; exit code 5 where one differs
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(NamesArgs),
    /// Put a build that was held back into service
    #[command(after_help = PROMOTE_EXAMPLES)]
    Promote(OneArgs),
    /// Go back to the read model that was in service before the last rebuild, brought up to date first
    #[command(after_help = PROMOTE_EXAMPLES)]
    Rollback(OneArgs),
    /// Remove a build that is not in service
    #[command(after_help = DROP_EXAMPLES)]
    Drop(DropArgs),
    /// Let a projection stand still
    #[command(after_help = PAUSE_EXAMPLES)]
    Pause(OneArgs),
    /// Let a paused projection go on
    #[command(after_help = PAUSE_EXAMPLES)]
    Resume(OneArgs),
    /// Let a projection try again: the event at which it stands still, or those that it has set aside
    #[command(after_help = RETRY_EXAMPLES)]
    Retry(OneArgs),
    /// Leave out the event at which a projection stands still, or one that it has set aside
    #[command(after_help = SKIP_EXAMPLES)]
    Skip(SkipArgs),
    /// Move a projection to a position
    #[command(after_help = SEEK_EXAMPLES)]
    Seek(SeekArgs),
    /// Show the events that projections have set aside, and why
    #[command(after_help = PARKED_EXAMPLES)]
    Parked(OfOneArgs),
    /// Show what operators have done
    #[command(after_help = HISTORY_EXAMPLES)]
    History(OfOneArgs),
    /// Keep the projections up to date, until Ctrl-C
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
}

/// Which projections a command is for.
#[derive(clap::Args)]
pub struct NamesArgs {
    /// The projections
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All projections
    #[arg(long)]
    all: bool,
}

/// Of which projection something is shown.
#[derive(clap::Args)]
pub struct OfOneArgs {
    /// Of this projection alone
    #[arg(value_name = "NAME")]
    name: Option<String>,
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
    /// Leave what is built beside the one in service, until it is promoted
    #[arg(long)]
    hold: bool,
    /// Compare the rows with those in service before they are swapped
    #[arg(long)]
    verify: bool,
    /// Apply at most so many events a second to each, beside a service that needs the database
    #[arg(long, value_name = "EVENTS")]
    max_rate: Option<NonZeroU32>,
}

/// What `projections run` takes.
#[derive(Default, clap::Args)]
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
            at_log(options, async |log| list::list(log, app, out).await).await
        }
        ProjectionsCommand::Status(OfOneArgs { name }) => {
            at_log(options, async |log| status::status(log, name.as_deref(), app, out).await).await
        }
        ProjectionsCommand::Rebuild(args) if app.names().is_empty() => {
            app.check()?;
            let RebuildArgs { names, hold, verify, max_rate, all: _ } = args;
            if verify {
                return Err(without_code("rebuild --verify"));
            }
            if max_rate.is_some() {
                return Err(without_code("rebuild --max-rate"));
            }
            let asked =
                at_log(options, async |log| follow::ask_rebuild(log, &names, hold).await).await?;
            with_log(options, async |log| follow::follow_all(log, asked, options, out).await).await
        }
        ProjectionsCommand::Rebuild(args) => {
            app.check()?;
            with_log(options, async |log| {
                answers(log).await?;
                rebuild::rebuild(log, args, app, options, out).await
            })
            .await
        }
        ProjectionsCommand::Verify(args) => {
            needs_code(app, "verify")?;
            let names = args.names;
            with_log(options, async |log| {
                answers(log).await?;
                rebuild::verify(log, &names, app, options, out).await
            })
            .await
        }
        ProjectionsCommand::Promote(OneArgs { name }) => {
            let wanted =
                at_log(options, async |log| follow::ask_promote(log, &name, app).await).await?;
            with_log(options, async |log| follow::swap(log, &wanted, app, options, out).await).await
        }
        ProjectionsCommand::Rollback(OneArgs { name }) => {
            let wanted =
                at_log(options, async |log| follow::ask_roll_back(log, &name, app).await).await?;
            with_log(options, async |log| follow::swap(log, &wanted, app, options, out).await).await
        }
        ProjectionsCommand::Drop(args) => {
            needs_code(app, "drop")?;
            at_log(options, async |log| operate::drop_generation(log, args, app, out).await).await
        }
        ProjectionsCommand::Pause(OneArgs { name }) => {
            at_log(options, async |log| operate::pause(log, &name, out).await).await
        }
        ProjectionsCommand::Resume(OneArgs { name }) => {
            at_log(options, async |log| operate::resume(log, &name, out).await).await
        }
        ProjectionsCommand::Retry(OneArgs { name }) => {
            at_log(options, async |log| operate::retry(log, &name, out).await).await
        }
        ProjectionsCommand::Skip(args) => {
            at_log(options, async |log| operate::skip(log, args, out).await).await
        }
        ProjectionsCommand::Seek(args) => {
            at_log(options, async |log| operate::seek(log, args, out).await).await
        }
        ProjectionsCommand::Parked(OfOneArgs { name }) => {
            at_log(options, async |log| parked::list(log, name.as_deref(), out).await).await
        }
        ProjectionsCommand::History(OfOneArgs { name }) => {
            at_log(options, async |log| history::of_projections(log, name.as_deref(), out).await)
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

/// Whether the database answers, before a work that may take long and waits longer for it.
async fn answers(log: &Log) -> Result<(), Failure> {
    let looks = async {
        log.checkpoints().await?;
        log.store().leases().await?;
        log.ceiling().await
    };
    Ok(in_time(looks).await.map(drop)?)
}

fn needs_code(app: &App, command: &str) -> Result<(), Failure> {
    app.check()?;
    if app.names().is_empty() { Err(without_code(command)) } else { Ok(()) }
}

/// The failure of a program that does not hold the code, where nobody else that runs has it.
fn without_code(command: &str) -> Failure {
    let message = format!(
        "this program holds no projections: run `projections {command}` with the service's own binary"
    );
    Failure::new(Exit::BadInput, "needs-service", message)
}

async fn keep_up_to_date(log: &Log, args: RunArgs, app: &App) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen(Exit::Success)?;
    if !args.once {
        return app.run_until(log, interrupt.requested()).await.map_err(Failure::of_projection);
    }
    tokio::select! {
        () = interrupt.requested() => Ok(()),
        outcome = app.catch_up(log) => outcome.map_err(Failure::of_projection),
    }
}
