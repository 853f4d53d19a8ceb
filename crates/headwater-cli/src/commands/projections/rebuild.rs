//! `projections rebuild`: the next build of read models, with its progress.

use headwater::{App, Log, RebuildOptions, Rebuilt};
use serde::Serialize;

use super::RebuildArgs;
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
}

pub(super) async fn rebuild(
    log: &Log,
    args: RebuildArgs,
    app: &App,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen(Exit::Interrupted)?;
    let reporter = Reporter::new(options);
    let report = |progress: &_| reporter.report(progress);
    let how = RebuildOptions { hold: args.hold };
    let outcome = tokio::select! {
        () = interrupt.requested() => Err(Failure::new(
            Exit::Interrupted,
            "interrupted",
            "interrupted: the read models in service are as before, and the same command goes on with the rebuild",
        )),
        rebuilt = app.rebuild_with(log, &args.names, &how, &report) => {
            rebuilt.map_err(Failure::of_projection)
        }
    };
    reporter.end();
    let rebuilt = outcome?;
    if out.is_json() {
        return rebuilt.iter().try_for_each(|rebuilt| out.object(&answer(rebuilt)));
    }
    let header = ["PROJECTION", "GENERATION", "EVENTS", "SECONDS", "EVENTS/S", ""];
    out.table(&header, rebuilt.iter().map(rebuilt_row))
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
    }
}

fn rebuilt_row(rebuilt: &Rebuilt) -> [String; 6] {
    [
        rebuilt.projection.clone(),
        rebuilt.generation.to_string(),
        rebuilt.events.to_string(),
        format!("{:.1}", rebuilt.elapsed.as_secs_f64()),
        events_per_second(rebuilt.events, rebuilt.elapsed).to_string(),
        if rebuilt.held_back { "held back" } else { "in service" }.to_owned(),
    ]
}
