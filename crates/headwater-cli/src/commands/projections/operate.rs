//! The acts of an operator on one projection, each kept with who did it and when.

use headwater::{App, Checkpoint, Log, Position};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    Failure, Output,
    commands::sure::{Sure, by, operator},
};

/// The projection that an act is for.
#[derive(clap::Args)]
pub struct OneArgs {
    /// The projection
    #[arg(value_name = "NAME")]
    pub(super) name: String,
}

/// What `projections seek` takes.
#[derive(clap::Args)]
pub struct SeekArgs {
    /// The projection
    #[arg(value_name = "NAME")]
    name: String,
    /// The position behind which it goes on
    #[arg(value_name = "POSITION")]
    position: u64,
    #[command(flatten)]
    sure: Sure,
}

/// What `projections skip` takes.
#[derive(clap::Args)]
pub struct SkipArgs {
    /// The projection
    #[arg(value_name = "NAME")]
    name: String,
    /// The id of the event at which it stands still, as `projections status` shows it
    #[arg(long, value_name = "ID")]
    event: Uuid,
    #[command(flatten)]
    sure: Sure,
}

/// What `projections drop` takes.
#[derive(clap::Args)]
pub struct DropArgs {
    /// The projection
    #[arg(value_name = "NAME")]
    name: String,
    /// The generation, as `projections list` shows it; never the one in service
    #[arg(long, value_name = "NUMBER")]
    generation: u32,
    #[command(flatten)]
    sure: Sure,
}

#[derive(Serialize)]
struct Changed<'a> {
    projection: &'a str,
    action: &'static str,
    generation: u32,
    state: &'a str,
    position: u64,
    paused: bool,
}

pub(super) async fn pause(log: &Log, name: &str, out: &mut Output) -> Result<(), Failure> {
    let at = operator(log).pause(name).await?;
    let sentence = format!("{name} stands still at position {} until it is resumed", at.position);
    say(out, "pause", &at, &sentence)
}

pub(super) async fn resume(log: &Log, name: &str, out: &mut Output) -> Result<(), Failure> {
    let at = operator(log).resume(name).await?;
    say(out, "resume", &at, &format!("{name} goes on behind position {}", at.position))
}

pub(super) async fn retry(log: &Log, name: &str, out: &mut Output) -> Result<(), Failure> {
    let at = operator(log).retry(name).await?;
    say(out, "retry", &at, &format!("{name} tries again behind position {}", at.position))
}

pub(super) async fn skip(log: &Log, args: SkipArgs, out: &mut Output) -> Result<(), Failure> {
    let SkipArgs { name, event, sure } = args;
    sure.ask(&name, &format!("Event {event} is left out of {name}, until it is rebuilt."))?;
    let at = operator(log).skip(&name, event).await?;
    let sentence = format!("{name} goes on behind event {event}, which it has left out");
    say(out, "skip", &at, &sentence)
}

pub(super) async fn seek(log: &Log, args: SeekArgs, out: &mut Output) -> Result<(), Failure> {
    let SeekArgs { name, position, sure } = args;
    let consequence = "What lies between is left out or applied twice, until it is rebuilt.";
    sure.ask(&name, &format!("{name} goes on behind position {position}. {consequence}"))?;
    let at = operator(log).seek(&name, Position(position)).await?;
    say(out, "seek", &at, &format!("{name} goes on behind position {position}"))
}

pub(super) async fn drop_generation(
    log: &Log,
    args: DropArgs,
    app: &App,
    out: &mut Output,
) -> Result<(), Failure> {
    let DropArgs { name, generation, sure } = args;
    sure.ask(&name, &format!("Generation {generation} of {name} is removed with its tables."))?;
    app.drop_generation(log, &name, generation, &by()).await?;
    if out.is_json() {
        let (projection, action) = (&name, "drop");
        return out.object(&serde_json::json!({
            "projection": projection, "action": action, "generation": generation
        }));
    }
    out.line(format!("generation {generation} of {name} is gone"))
}

fn say(
    out: &mut Output,
    action: &'static str,
    at: &Checkpoint,
    sentence: &str,
) -> Result<(), Failure> {
    if !out.is_json() {
        return out.line(sentence);
    }
    out.object(&Changed {
        projection: &at.projection,
        action,
        generation: at.generation,
        state: at.state.as_str(),
        position: at.position.0,
        paused: at.paused,
    })
}
