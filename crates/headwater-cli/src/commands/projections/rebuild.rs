//! `projections rebuild` and `verify`: the next build of read models, with its progress.

use std::sync::{Mutex, PoisonError};

use headwater::{App, Checkpoint, GenerationState, Log, Phase, Progress, RebuildOptions, Rebuilt};
use serde::Serialize;

use super::{super::sure::by, RebuildArgs, follow};
use crate::{
    Exit, Failure, Interrupt, Options, Output,
    progress::{Reporter, events_per_second},
};

#[derive(Serialize)]
struct Answer<'a> {
    projection: &'a str,
    generation: u32,
    events: u64,
    seconds: f64,
    events_per_second: u64,
    resumed: bool,
    held_back: bool,
    identical: Option<bool>,
    differences: Vec<Differs<'a>>,
}

/// How a table differs from what a fold of the log makes.
#[derive(Serialize)]
struct Differs<'a> {
    table: &'a str,
    first_key: &'a str,
    in_service_only: u64,
    rebuilt_only: u64,
}

pub(super) async fn rebuild(
    log: &Log,
    args: RebuildArgs,
    app: &App,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    let RebuildArgs { names, hold, verify, max_rate, all: _ } = args;
    let how = RebuildOptions { hold, verify, max_rate, by: Some(by()) };
    let ended = Mutex::new(Vec::new());
    let work = async |report: &Report<'_>| {
        let noted = |progress: &Progress| {
            report(progress);
            if matches!(progress.phase, Phase::Held | Phase::Done) {
                let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                ended.push(progress.projection.clone());
            }
        };
        app.rebuild_with(log, &names, &how, &noted).await
    };
    let left =
        "the read models in service are as before, and the same command goes on with the rebuild";
    let rebuilt = match build(options, left, work).await {
        Ok(rebuilt) => rebuilt,
        Err(failure) => {
            let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
            return Err(of_some(log, app, failure, &ended).await);
        }
    };
    show(&rebuilt, out)?;
    if out.is_json() {
        return Ok(());
    }
    rebuilt.iter().flat_map(differences).try_for_each(|differs| out.line(sentence(&differs)))?;
    rebuilt.iter().filter(|rebuilt| rebuilt.held_back).try_for_each(|rebuilt| {
        let Rebuilt { projection, generation, .. } = rebuilt;
        out.line(follow::held_back(projection, *generation))
    })
}

/// The failure of a rebuild, with each build that has failed, and with those that have ended well.
async fn of_some(log: &Log, app: &App, mut failure: Failure, ended: &[String]) -> Failure {
    if failure.exit() == Exit::ProjectionFailed {
        let own = app.names();
        let failed = |at: &Checkpoint| {
            let why = at.failure.as_ref().filter(|_| own.contains(&&*at.projection))?;
            let building = at.state == GenerationState::Building;
            building.then(|| follow::could_not(&at.projection, &why.error))
        };
        let all = log.checkpoints().await.unwrap_or_default();
        let failed: Vec<_> = all.iter().filter_map(failed).collect();
        if !failed.is_empty() {
            failure = failure.told_as(failed.join("; "));
        }
        let cure =
            "mend its code and run it again; the service's own `projections drop` gives a build up";
        failure = failure.and_hint(cure);
    }
    if ended.is_empty() {
        return failure;
    }
    failure.and_hint(format!("these have ended well: {}", ended.join(", ")))
}

/// Compares read models with what a fold of the log makes; exit code 5 where one differs.
pub(super) async fn verify(
    log: &Log,
    names: &[String],
    app: &App,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    let (names, waiting) = match names {
        [] => comparable(log, app).await?,
        names => (names.to_vec(), Vec::new()),
    };
    let work = async |report: &Report<'_>| match &*names {
        // To the library no names are all.
        [] => Ok(Vec::new()),
        names => app.verify(log, names, report).await,
    };
    let left =
        "the read models in service are as before; `projections drop` removes what was built";
    let verified = build(options, left, work).await?;
    show(&verified, out)?;
    let differ: Vec<_> = verified.iter().flat_map(differences).map(|d| sentence(&d)).collect();
    if !differ.is_empty() {
        let differ = differ.join("; ");
        return Err(Failure::new(Exit::ProjectionFailed, "read-model-differs", differ)
            .with_hint("`projections rebuild` makes it right"));
    }
    if waiting.is_empty() {
        return Ok(());
    }
    let waiting = format!("not compared, since a build of it waits: {}", waiting.join(", "));
    Err(Failure::new(Exit::BadInput, "build-waits", waiting)
        .with_hint("`projections status` shows it; promote it, retry it, or drop it"))
}

/// The projections that can be compared, and those beside whose build, which waits for an operator, no other one can
/// be made to compare with.
async fn comparable(log: &Log, app: &App) -> Result<(Vec<String>, Vec<String>), Failure> {
    let all = log.checkpoints().await?;
    let waits = |name: &String| {
        let building = |c: &Checkpoint| c.is_of(name) && c.state == GenerationState::Building;
        all.iter().any(|c| building(c) && (c.held_back || c.failure.is_some()))
    };
    let names = app.names().into_iter().map(str::to_owned);
    Ok(names.partition(|name| !waits(name)))
}

type Report<'a> = dyn Fn(&Progress) + Send + Sync + 'a;

/// Builds with progress, until Ctrl-C.
async fn build(
    options: &Options,
    left: &str,
    work: impl AsyncFnOnce(&Report<'_>) -> headwater::Result<Vec<Rebuilt>>,
) -> Result<Vec<Rebuilt>, Failure> {
    let mut interrupt = Interrupt::listen(Exit::Interrupted)?;
    let reporter = Reporter::new(options);
    let report = |progress: &_| reporter.report(progress);
    let interrupted =
        || Failure::new(Exit::Interrupted, "interrupted", format!("interrupted: {left}"));
    let built = tokio::select! {
        () = interrupt.requested() => Err(interrupted()),
        built = work(&report) => built.map_err(Failure::of_projection),
    };
    reporter.end();
    built
}

fn show(rebuilt: &[Rebuilt], out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        return rebuilt.iter().try_for_each(|rebuilt| out.object(&answer(rebuilt)));
    }
    let header = ["PROJECTION", "GENERATION", "EVENTS", "SECONDS", "EVENTS/S", "IDENTICAL"];
    out.table(&header, rebuilt.iter().map(rebuilt_row))
}

fn differences(rebuilt: &Rebuilt) -> Vec<Differs<'_>> {
    let all = rebuilt.verified.iter().flatten();
    all.map(|d| Differs {
        table: &d.table,
        first_key: &d.key,
        in_service_only: d.only_first,
        rebuilt_only: d.only_second,
    })
    .collect()
}

fn sentence(differs: &Differs<'_>) -> String {
    let Differs { table, first_key, in_service_only, rebuilt_only } = differs;
    let key = if first_key.is_empty() { "(no key)" } else { first_key };
    format!(
        "{table} is not what a fold of the log makes, first at row {key}: \
         {in_service_only} rows in service and {rebuilt_only} of the log are not in the other"
    )
}

fn answer(rebuilt: &Rebuilt) -> Answer<'_> {
    Answer {
        projection: &rebuilt.projection,
        generation: rebuilt.generation,
        events: rebuilt.events,
        seconds: rebuilt.elapsed.as_secs_f64(),
        events_per_second: events_per_second(rebuilt.events, rebuilt.elapsed),
        resumed: rebuilt.resumed,
        held_back: rebuilt.held_back,
        identical: rebuilt.verified.as_ref().map(Vec::is_empty),
        differences: differences(rebuilt),
    }
}

fn rebuilt_row(rebuilt: &Rebuilt) -> [String; 6] {
    [
        rebuilt.projection.clone(),
        rebuilt.generation.to_string(),
        rebuilt.events.to_string(),
        format!("{:.1}", rebuilt.elapsed.as_secs_f64()),
        events_per_second(rebuilt.events, rebuilt.elapsed).to_string(),
        match rebuilt.verified.as_ref().map(Vec::is_empty) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        }
        .to_owned(),
    ]
}
