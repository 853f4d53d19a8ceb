//! `subscriptions`: subscribers whose places the log keeps, and how far they are.

use headwater::{Log, Position, SubscriptionCheckpoint};
use serde::Serialize;

use super::{
    history,
    sure::{Sure, operator},
};
use crate::{Failure, Output, envelope::time};

pub(super) const EXAMPLES: &str = "\
Examples:
  headwater subscriptions list
  headwater subscriptions seek mailer 120000 --yes
  headwater subscriptions rm mailer --yes";

const LIST_EXAMPLES: &str = "\
Examples:
  headwater subscriptions list
  headwater subscriptions list --json";

const SEEK_EXAMPLES: &str = "\
Examples:
  headwater subscriptions seek mailer 0 --yes
  headwater subscriptions seek mailer 120000";

const REMOVE_EXAMPLES: &str = "\
Examples:
  headwater subscriptions rm mailer
  headwater subscriptions rm mailer --yes --json";

const HISTORY_EXAMPLES: &str = "\
Examples:
  headwater subscriptions history
  headwater subscriptions history mailer --json";

/// What can be done with subscriptions.
#[derive(clap::Subcommand)]
pub enum SubscriptionsCommand {
    /// List the subscriptions, and how far each is behind the log
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    List,
    /// Move a subscription to a position: what it acknowledged behind that comes again
    #[command(after_help = SEEK_EXAMPLES)]
    Seek(SeekSubscriptionArgs),
    /// Remove a subscription: one that is opened under its name begins anew
    #[command(after_help = REMOVE_EXAMPLES)]
    Rm(RemoveArgs),
    /// Show what operators have done to subscriptions
    #[command(after_help = HISTORY_EXAMPLES)]
    History(SubscriptionHistoryArgs),
}

/// What `subscriptions seek` takes.
#[derive(clap::Args)]
pub struct SeekSubscriptionArgs {
    /// The subscription
    #[arg(value_name = "NAME")]
    name: String,
    /// The position behind which it goes on; 0 for the start of the log
    #[arg(value_name = "POSITION")]
    position: u64,
    #[command(flatten)]
    sure: Sure,
}

/// What `subscriptions rm` takes.
#[derive(clap::Args)]
pub struct RemoveArgs {
    /// The subscription
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    sure: Sure,
}

/// What `subscriptions history` takes.
#[derive(clap::Args)]
pub struct SubscriptionHistoryArgs {
    /// Of this subscription alone
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Listed<'a> {
    subscription: &'a str,
    position: u64,
    lag: Option<u64>,
    of_this_log: bool,
    updated_at: String,
}

pub(super) async fn run(
    log: &Log,
    command: SubscriptionsCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        SubscriptionsCommand::List => list(log, out).await,
        SubscriptionsCommand::Seek(args) => seek(log, args, out).await,
        SubscriptionsCommand::Rm(args) => remove(log, args, out).await,
        SubscriptionsCommand::History(SubscriptionHistoryArgs { name }) => {
            history::of_subscriptions(log, name.as_deref(), out).await
        }
    }
}

async fn list(log: &Log, out: &mut Output) -> Result<(), Failure> {
    let (all, head) = (log.subscriptions().await?, log.ceiling().await?.position);
    let listed = all.iter().map(|at| listed(at, head));
    if out.is_json() {
        return listed.into_iter().try_for_each(|listed| out.object(&listed));
    }
    if all.is_empty() {
        return out.line("there are no subscriptions under a name");
    }
    out.table(&["SUBSCRIPTION", "POSITION", "LAG", "UPDATED AT"], listed.map(row))
}

fn listed(at: &SubscriptionCheckpoint, head: Position) -> Listed<'_> {
    Listed {
        subscription: &at.subscription,
        position: at.position.0,
        lag: at.of_this_log.then(|| head.0.saturating_sub(at.position.0)),
        of_this_log: at.of_this_log,
        updated_at: time(at.updated_at),
    }
}

fn row(listed: Listed<'_>) -> [String; 4] {
    let lag = listed.lag.map_or_else(|| "not of this log".into(), |lag| lag.to_string());
    [listed.subscription.to_owned(), listed.position.to_string(), lag, listed.updated_at]
}

async fn seek(log: &Log, args: SeekSubscriptionArgs, out: &mut Output) -> Result<(), Failure> {
    let SeekSubscriptionArgs { name, position, sure } = args;
    let consequence = "What lies between comes again, or never.";
    sure.ask(&name, &format!("{name} goes on behind position {position}. {consequence}"))?;
    operator(log).seek_subscription(&name, Position(position)).await?;
    if out.is_json() {
        return out.object(&serde_json::json!({
            "subscription": name, "action": "seek", "position": position
        }));
    }
    out.line(format!("{name} goes on behind position {position}"))
}

async fn remove(log: &Log, args: RemoveArgs, out: &mut Output) -> Result<(), Failure> {
    let RemoveArgs { name, sure } = args;
    sure.ask(&name, &format!("The place of {name} is forgotten."))?;
    operator(log).remove_subscription(&name).await?;
    if out.is_json() {
        return out.object(&serde_json::json!({ "subscription": name, "action": "rm" }));
    }
    out.line(format!("{name} is gone"))
}
