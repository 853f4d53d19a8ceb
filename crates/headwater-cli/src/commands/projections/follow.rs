//! Work that an instance of the service does for the operator: asked for, and followed to its end.

use std::time::{Duration, Instant};

use headwater::{
    App, Checkpoint, Error,
    GenerationState::{self, Building, Live},
    Log, Phase, Progress,
    store::Work,
};
use serde::Serialize;
use tokio::time::sleep;

use crate::commands::sure::operator;
use crate::{Exit, Failure, Interrupt, Options, Output, progress::Reporter};

/// How often it looks how far the instance is.
const LOOK: Duration = Duration::from_millis(200);

/// How long an instance may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Answer<'a> {
    projection: &'a str,
    generation: u32,
    position: u64,
    seconds: f64,
    held_back: bool,
    by: &'static str,
}

/// What an instance was asked for.
pub(super) struct Asked {
    projection: String,
    /// The generation that was in service then.
    before: u32,
    begun: Instant,
}

/// A build that was asked to come into service.
pub(super) struct Wanted {
    building: Checkpoint,
    asked: Asked,
}

/// Asks for rebuilds; yields what was asked for, and why others were refused.
pub(super) async fn ask_rebuild(
    log: &Log,
    names: &[String],
    hold: bool,
) -> Result<(Vec<Asked>, Vec<Failure>), Failure> {
    let checkpoints = log.checkpoints().await?;
    let live = || checkpoints.iter().filter(|checkpoint| checkpoint.state == Live);
    let all: Vec<_> = live().map(|checkpoint| checkpoint.projection.clone()).collect();
    if all.is_empty() {
        return Err(super::without_code("rebuild"));
    }
    let names = if names.is_empty() { &all } else { names };
    // Before any of them is asked for.
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        let known: Vec<_> = all.iter().map(String::as_str).collect();
        return Err(Error::unknown_projection(unknown, &known).into());
    }
    let before = |name: &str| live().find(|c| c.projection == name).map_or(0, |c| c.generation);
    let (mut asked, mut refused) = (Vec::new(), Vec::new());
    for projection in names {
        match operator(log).rebuild(projection, hold).await {
            Ok(_) => asked.push(Asked {
                projection: projection.clone(),
                before: before(projection),
                begun: Instant::now(),
            }),
            Err(error) => {
                let told = could_not(projection, &error.to_string());
                refused.push(Failure::from(error).told_as(told));
            }
        }
    }
    Ok((asked, refused))
}

/// Follows all that was asked for; the failure of those that were refused or have failed.
pub(super) async fn follow_all(
    log: &Log,
    (asked, mut failed): (Vec<Asked>, Vec<Failure>),
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    for asked in asked {
        match follow(log, &asked, options, out).await {
            Ok(()) => {}
            Err(failure) if failure.exit() == Exit::Interrupted => return Err(failure),
            Err(failure) => failed.push(failure),
        }
    }
    let told: Vec<_> = failed.iter().map(ToString::to_string).collect();
    match failed.into_iter().next() {
        Some(first) => Err(first.told_as(told.join("; "))),
        None => Ok(()),
    }
}

/// Asks for a build to be put into service.
pub(super) async fn ask_promote(log: &Log, name: &str, app: &App) -> Result<Wanted, Failure> {
    let before = in_service(log, name).await?;
    let building = operator(log).with_code(app).promote(name).await?;
    Ok(Wanted::new(building, before))
}

/// Asks for the generation before to come back.
pub(super) async fn ask_roll_back(log: &Log, name: &str, app: &App) -> Result<Wanted, Failure> {
    let before = in_service(log, name).await?;
    let building = operator(log).with_code(app).roll_back(name).await?;
    Ok(Wanted::new(building, before))
}

impl Wanted {
    fn new(building: Checkpoint, before: u32) -> Self {
        let projection = building.projection.clone();
        Self { building, asked: Asked { projection, before, begun: Instant::now() } }
    }
}

/// Lets a build that is wanted come into service, by an instance that has its code or by this program.
pub(super) async fn swap(
    log: &Log,
    wanted: &Wanted,
    app: &App,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    let Wanted { building, asked } = wanted;
    let leases = log.store().leases().await?;
    if !leases.has_code(building.definition_id()) && app.has_code_of(building) {
        let names = [asked.projection.clone()];
        app.rebuild(log, &names, &|_| {}).await.map_err(Failure::of_projection)?;
    }
    follow(log, asked, options, out).await
}

/// Whether an instance builds it.
async fn is_owned(log: &Log, projection: &str) -> Result<bool, Failure> {
    Ok(log.store().leases().await?.held(&Work::building(projection)).is_some())
}

/// The generation in service; 0 where there is none.
async fn in_service(log: &Log, name: &str) -> Result<u32, Failure> {
    let all = log.checkpoints().await?;
    Ok(in_state(&all, name, Live).map_or(0, |live| live.generation))
}

fn in_state<'a>(
    all: &'a [Checkpoint],
    name: &str,
    state: GenerationState,
) -> Option<&'a Checkpoint> {
    all.iter().find(|checkpoint| checkpoint.projection == name && checkpoint.state == state)
}

/// Follows what was asked for until it is in service, or held back.
pub(super) async fn follow(
    log: &Log,
    asked: &Asked,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen(Exit::Interrupted)?;
    let reporter = Reporter::new(options);
    let ended = tokio::select! {
        () = interrupt.requested() => Err(Failure::new(
            Exit::Interrupted,
            "interrupted",
            "interrupted: the instance goes on; `projections status` shows how far it is",
        )),
        ended = wait(log, asked, &reporter) => ended,
    };
    reporter.end();
    let built = ended?;
    let seconds = asked.begun.elapsed().as_secs_f64();
    if out.is_json() {
        return out.object(&Answer {
            projection: &asked.projection,
            generation: built.generation,
            position: built.position.0,
            seconds,
            held_back: built.held_back,
            by: "instance",
        });
    }
    let (name, generation) = (&asked.projection, built.generation);
    out.line(if built.held_back {
        held_back(name, generation)
    } else {
        format!("generation {generation} of {name} is in service, after {seconds:.1} s")
    })
}

/// What is said of a build that waits to be promoted.
pub(super) fn held_back(projection: &str, generation: u32) -> String {
    format!(
        "generation {generation} of {projection} is complete and held back: promote puts it into service"
    )
}

async fn wait(log: &Log, asked: &Asked, reporter: &Reporter) -> Result<Checkpoint, Failure> {
    let name = &asked.projection;
    let end = log.ceiling().await?.position;
    let (mut start, mut last, mut moved) = (None, None, Instant::now());
    loop {
        let head = log.ceiling().await?.position;
        let all = log.checkpoints().await?;
        let live = in_state(&all, name, Live);
        if let Some(live) = live.filter(|live| live.generation != asked.before) {
            return Ok(live.clone());
        }
        if let Some(building) = in_state(&all, name, Building) {
            if let Some(failure) = &building.failure {
                return Err(failed(name, &failure.error));
            }
            if building.held_back && building.position >= end {
                return Ok(building.clone());
            }
            let first = *start.get_or_insert(building.position);
            reporter.report(&Progress {
                projection: building.projection.clone(),
                generation: building.generation,
                phase: if building.position < head { Phase::Building } else { Phase::Swapping },
                position: building.position,
                target: head.max(building.position),
                events: building.position.0.saturating_sub(first.0),
                elapsed: asked.begun.elapsed(),
            });
            if last != Some(building.position) || is_owned(log, name).await? {
                (last, moved) = (Some(building.position), Instant::now());
            }
        }
        if moved.elapsed() > PATIENCE {
            return Err(nobody(name));
        }
        sleep(LOOK).await;
    }
}

/// What is said of a build that has failed.
pub(super) fn could_not(projection: &str, error: &str) -> String {
    format!("{projection} could not be rebuilt: {error}")
}

fn failed(projection: &str, error: &str) -> Failure {
    let sentence = could_not(projection, error);
    Failure::new(Exit::ProjectionFailed, "projection-failed", sentence)
        .with_hint("mend its code; then `projections retry`, or `projections drop` gives it up")
}

fn nobody(projection: &str) -> Failure {
    let sentence = format!("no instance has begun with {projection} in {PATIENCE:?}");
    Failure::new(Exit::TryAgain, "no-instance", sentence)
        .with_hint("see that the service runs; what was asked for stays asked for")
}
