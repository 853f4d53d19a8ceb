//! `projections rebuild` and `verify`: the next build of read models, with its progress.

use headwater::{App, Builds, Error, Log, Progress, RebuildOptions, Rebuilt};
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
    parked: u64,
    identical: Option<bool>,
    differences: Vec<Differs<'a>>,
}

/// A projection that could not be built.
#[derive(Serialize)]
struct NotBuilt<'a> {
    projection: &'a str,
    code: &'a str,
    message: String,
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
    let work = async |report: &Report<'_>| app.rebuild_with(log, &names, &how, report).await;
    let left =
        "the read models in service are as before, and the same command goes on with the rebuild";
    let (rebuilt, failed) = build(options, left, work).await?;
    show(&rebuilt, &failed, out)?;
    if !out.is_json() {
        rebuilt
            .iter()
            .flat_map(differences)
            .try_for_each(|differs| out.line(sentence(&differs)))?;
        rebuilt.iter().filter(|rebuilt| rebuilt.held_back).try_for_each(|rebuilt| {
            let Rebuilt { projection, generation, .. } = rebuilt;
            out.line(follow::held_back(projection, *generation))
        })?;
    }
    let told = failed.iter().map(|(name, error)| follow::could_not(name, &error.to_string()));
    let told: Vec<_> = told.collect();
    let Some(failure) = of_all(&failed, &told) else { return Ok(()) };
    if failure.exit() != Exit::ProjectionFailed {
        return Err(failure);
    }
    let names: Vec<_> = failed.iter().map(|(name, _)| &**name).collect();
    Err(failure.and_hint(format!(
        "mend its code and run it again for {}; the service's own `projections drop` gives a build up",
        names.join(" ")
    )))
}

/// Compares read models with what a fold of the log makes; exit code 5 where one differs.
pub(super) async fn verify(
    log: &Log,
    names: &[String],
    app: &App,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    let work = async |report: &Report<'_>| app.verify(log, names, report).await;
    let left = "the read models in service are as before, and what was built beside them is removed by the \
                service, or by the next verification";
    let (verified, failed) = build(options, left, work).await?;
    show(&verified, &failed, out)?;
    let differ = verified.iter().flat_map(differences).map(|differs| sentence(&differs));
    let not_compared =
        failed.iter().map(|(name, error)| format!("{name} could not be compared: {error}"));
    let (differ, not_compared): (Vec<_>, Vec<_>) = (differ.collect(), not_compared.collect());
    let told = [&*differ, &*not_compared].concat();
    if differ.is_empty() {
        return of_all(&failed, &told).map_or(Ok(()), Err);
    }
    Err(Failure::new(Exit::ProjectionFailed, "read-model-differs", told.join("; "))
        .with_hint("`projections rebuild` makes it right"))
}

/// The failure of all that have failed, as it is told of them.
fn of_all(failed: &[Failed], told: &[String]) -> Option<Failure> {
    let mut failures = failed.iter().map(|(_, error)| Failure::of_projection(error.clone()));
    let first = failures.next()?;
    let stands_still = |failure: &Failure| failure.exit() == Exit::ProjectionFailed;
    let failure = if stands_still(&first) { None } else { failures.find(stands_still) };
    Some(failure.unwrap_or(first).told_as(told.join("; ")))
}

/// The name of a projection, and why it could not be built.
type Failed = (String, Error);

type Report<'a> = dyn Fn(&Progress) + Send + Sync + 'a;

/// Builds with progress, until Ctrl-C.
async fn build(
    options: &Options,
    left: &str,
    work: impl AsyncFnOnce(&Report<'_>) -> headwater::Result<Builds>,
) -> Result<(Vec<Rebuilt>, Vec<Failed>), Failure> {
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
    let (mut rebuilt, mut failed) = (Vec::new(), Vec::new());
    for (name, built) in built? {
        match built {
            Ok(built) => rebuilt.push(built),
            Err(error) => failed.push((name, error)),
        }
    }
    Ok((rebuilt, failed))
}

fn show(rebuilt: &[Rebuilt], failed: &[Failed], out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        rebuilt.iter().try_for_each(|rebuilt| out.object(&answer(rebuilt)))?;
        return failed.iter().try_for_each(|(projection, error)| {
            out.object(&NotBuilt { projection, code: error.code(), message: error.to_string() })
        });
    }
    let header =
        ["PROJECTION", "GENERATION", "EVENTS", "SECONDS", "EVENTS/S", "PARKED", "IDENTICAL"];
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
        parked: rebuilt.parked,
        identical: rebuilt.verified.as_ref().map(Vec::is_empty),
        differences: differences(rebuilt),
    }
}

fn rebuilt_row(rebuilt: &Rebuilt) -> [String; 7] {
    [
        rebuilt.projection.clone(),
        rebuilt.generation.to_string(),
        rebuilt.events.to_string(),
        format!("{:.1}", rebuilt.elapsed.as_secs_f64()),
        events_per_second(rebuilt.events, rebuilt.elapsed).to_string(),
        rebuilt.parked.to_string(),
        match rebuilt.verified.as_ref().map(Vec::is_empty) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        }
        .to_owned(),
    ]
}
