//! `projections status`: where each projection stands, and why one does not go on.

use headwater::{App, Error, Failure as StandStill, GenerationState, Log, ProjectionStatus};
use serde::Serialize;
use uuid::Uuid;

use crate::{Exit, Failure, Output};

#[derive(Serialize)]
struct Stands<'a> {
    projection: &'a str,
    generation: u32,
    state: &'a str,
    position: u64,
    head: u64,
    lag: u64,
    inline: bool,
    paused: bool,
    held_back: bool,
    parked: u64,
    skips: u64,
    owner: Option<&'a str>,
    failure: Option<Why<'a>>,
}

#[derive(Serialize)]
struct Why<'a> {
    position: u64,
    event_id: Option<Uuid>,
    code: &'a str,
    error: &'a str,
}

pub(super) async fn status(
    log: &Log,
    name: Option<&str>,
    app: &App,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut statuses = app.status(log).await?;
    if let Some(name) = name {
        // A projection with all its partitions, or one of these.
        let is_wanted = |status: &ProjectionStatus| status.projection == name || status.is_of(name);
        if !statuses.iter().any(is_wanted) {
            let known: Vec<_> = statuses.iter().map(|status| &*status.projection).collect();
            return Err(Error::unknown_projection(name, &known).into());
        }
        statuses.retain(is_wanted);
    }
    if out.is_json() {
        statuses.iter().try_for_each(|status| out.object(&stands(status)))?;
    } else if statuses.is_empty() {
        out.line("there are no projections yet")?;
    } else {
        let header = [
            "PROJECTION",
            "GENERATION",
            "STATE",
            "POSITION",
            "HEAD",
            "LAG",
            "PARKED",
            "SKIPS",
            "BY",
            "",
        ];
        out.table(&header, statuses.iter().map(status_row))?;
    }
    let still: Vec<_> = statuses
        .iter()
        .filter_map(|status| Some(stands_still(status, status.failure.as_ref()?)))
        .collect();
    if still.is_empty() {
        return incomplete(&statuses);
    }
    let failure = Failure::new(Exit::ProjectionFailed, "projection-failed", still.join("; "));
    let at_an_event = |status: &ProjectionStatus| {
        status.failure.as_ref().is_some_and(|failure| failure.event_id.is_some())
    };
    // Where no event is at fault, the message itself says what to do.
    Err(if statuses.iter().any(at_an_event) {
        failure.with_hint(
            "mend its code and start the service again, or `projections retry`; `projections skip` leaves the event out",
        )
    } else {
        failure
    })
}

/// Events that were set aside or left out are missing in their read model, which nobody must take for well.
fn incomplete(statuses: &[ProjectionStatus]) -> Result<(), Failure> {
    // What is compared lacks what is missing in service, and is gone soon.
    let statuses = || statuses.iter().filter(|status| status.state != GenerationState::Verifying);
    let parked = statuses().filter(|status| status.parked > 0);
    let mut missing: Vec<_> =
        parked.map(|s| format!("{} has set {} events aside", s.projection, s.parked)).collect();
    let (code, hint) = if missing.is_empty() {
        (
            "events-skipped",
            "`projections history` shows them; `projections rebuild` takes in what its code can apply",
        )
    } else {
        (
            "events-parked",
            "`projections parked` shows them; `projections retry` applies them, `projections skip` leaves one out",
        )
    };
    let skipped = statuses().filter(|status| status.skips > 0);
    missing.extend(skipped.map(|status| left_out(&status.projection, status.skips)));
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::ProjectionFailed, code, missing.join("; ")).with_hint(hint))
}

/// What an operator has done to the rows of a read model.
pub(in crate::commands) fn left_out(projection: &str, skips: u64) -> String {
    let many = if skips == 1 { "1 act".to_owned() } else { format!("{skips} acts") };
    format!("an operator has had {projection} skip events, or moved it ({many})")
}

fn stands(status: &ProjectionStatus) -> Stands<'_> {
    Stands {
        projection: &status.projection,
        generation: status.generation,
        state: status.state.as_str(),
        position: status.position.0,
        head: status.head.0,
        lag: status.lag(),
        inline: status.inline,
        paused: status.paused,
        held_back: status.held_back,
        parked: status.parked,
        skips: status.skips,
        owner: status.owner.as_deref(),
        failure: status.failure.as_ref().map(|failure| Why {
            position: failure.position.0,
            event_id: failure.event_id,
            code: &failure.code,
            error: &failure.error,
        }),
    }
}

fn status_row(status: &ProjectionStatus) -> [String; 10] {
    let word = match (&status.failure, status.generation, status.lag()) {
        (Some(_), ..) => "stands still",
        (None, 0, _) => "not begun",
        _ if status.paused => "paused",
        (None, _, 0) if status.held_back => "held back",
        (None, _, 0) => "up to date",
        (None, ..) => "behind",
    };
    [
        status.projection.clone(),
        status.generation.to_string(),
        status.state.to_string(),
        status.position.to_string(),
        status.head.to_string(),
        status.lag().to_string(),
        status.parked.to_string(),
        status.skips.to_string(),
        status.owner.clone().unwrap_or_default(),
        word.to_owned(),
    ]
}

fn stands_still(status: &ProjectionStatus, failure: &StandStill) -> String {
    let StandStill { position, error, .. } = failure;
    format!("{} stands still at position {position}: {error}", status.projection)
}
