//! What the checkpoints say of projections and subscriptions: which stand still, and which are behind.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use headwater::{
    Checkpoint, Direction, Filter, Finding, GenerationState, Log, Position, SubscriptionCheckpoint,
    finding::span,
    store::{Reading, Work},
};

use crate::{Failure, commands::projections::left_out};

/// How long an event may wait for a projection without a word.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn findings(log: &Log) -> Result<Vec<Finding>, Failure> {
    let (mut findings, leases) = (Vec::new(), log.store().leases().await?);
    for checkpoint in log.checkpoints().await? {
        if checkpoint.state == GenerationState::Verifying {
            // Of one that compares, nothing moves; whoever does has the lease.
            let under_way = leases.held(&Work::verifying(&checkpoint.projection)).is_some();
            findings.extend(verification_left(&checkpoint, Utc::now()).filter(|_| !under_way));
            continue;
        }
        let waiting = waiting_since(log, checkpoint.position).await?;
        findings.extend(of(&checkpoint, waiting, Utc::now()));
        findings.extend(parked(&checkpoint));
        findings.extend(skipped(&checkpoint));
    }
    findings.extend(log.subscriptions().await?.iter().filter_map(diverged));
    Ok(findings)
}

/// A subscription whose subscriber is refused.
fn diverged(at: &SubscriptionCheckpoint) -> Option<Finding> {
    let SubscriptionCheckpoint { subscription, position, .. } = at;
    let what = format!("the subscription {subscription} at position {position} is not of this log");
    (!at.of_this_log).then(|| {
        Finding::error("subscription-diverged", what)
            .means("the log was restored to an earlier moment, or is another one: its subscriber is refused")
            .cure(format!("`subscriptions seek {subscription}` to where it is to go on"))
    })
}

/// When the first event behind a position was recorded. Not by the ceiling, since a look at that may tell
/// others what it found, which would be a change.
async fn waiting_since(log: &Log, after: Position) -> Result<Option<DateTime<Utc>>, Failure> {
    let (filter, until, direction) = (Filter::all(), Position::END, Direction::Forward);
    let reading = Reading::Log { filter, after, until, direction };
    let first = log.store().read(reading).try_next().await?;
    Ok(first.map(|event| event.recorded_at))
}

fn of(
    checkpoint: &Checkpoint,
    waiting: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let Checkpoint { projection, position, .. } = checkpoint;
    let ago = |time: DateTime<Utc>| (now - time).to_std().unwrap_or_default();
    let still = ago(checkpoint.updated_at);
    if checkpoint.state == GenerationState::Building {
        return of_build(checkpoint, still);
    }
    if let Some(failure) = &checkpoint.failure {
        let at = failure.position;
        let what = format!("{projection} stands still at position {at}: {}", failure.error);
        return Some(
            Finding::error("projection-failed", what).means("its read model grows old").cure(
                "mend the projection and start its service again, or `projections rebuild` it; \
                     `projections skip` leaves an event out",
            ),
        );
    }
    if checkpoint.paused {
        let what = format!("{projection} is paused, at position {position}");
        return Some(
            Finding::note("projection-paused", what)
                .means("an operator has paused it, as `projections history` tells")
                .cure(format!("`projections resume {projection}`")),
        );
    }
    let waiting = ago(waiting?);
    if waiting <= PATIENCE {
        return None;
    }
    let waits = span(waiting);
    Some(if still > PATIENCE {
        let what = format!("{projection} has been at position {position} for {}", span(still));
        Finding::warning("projection-idle", what)
            .means(format!(
                "events have been waiting for it for {waits}: nothing runs it, or a \
                transaction holds readers back"
            ))
            .cure(
                "start its service, or `projections run`; `projections rebuild` where it is \
                not needed as it is",
            )
    } else {
        let what = format!("{projection} is {waits} behind the log, at position {position}");
        Finding::warning("projection-behind", what)
            .means("it goes on, and its queries show what was then")
            .cure(
                "wait where it catches up; otherwise make its batches cheaper, or rebuild it, \
                which is quicker",
            )
    })
}

/// A build that has stood still for so long.
fn of_build(checkpoint: &Checkpoint, still: Duration) -> Option<Finding> {
    let projection = &checkpoint.projection;
    if let Some(failure) = &checkpoint.failure {
        let what = format!("a rebuild of {projection} failed: {}", failure.error);
        let cure = format!(
            "mend its code, then `projections retry {projection}`; `projections drop` gives it up"
        );
        let means = "the read model in service is as it was";
        return Some(Finding::error("rebuild-failed", what).means(means).cure(cure));
    }
    if checkpoint.held_back {
        let what = format!("a build of {projection} waits for an operator");
        let cure = format!(
            "`projections promote {projection}` puts it into service, `projections drop` gives it up"
        );
        let means = "it is kept up to date beside the read model in service";
        return Some(Finding::note("build-held-back", what).means(means).cure(cure));
    }
    (still > PATIENCE).then(|| {
        let what = format!("a rebuild of {projection} has not gone on for {}", span(still));
        Finding::note("rebuild-left", what)
            .means("its tables take room; the read model in service is as it was")
            .cure(format!("`projections rebuild {projection}` goes on with it"))
    })
}

/// What a verification has built that has stood still for so long.
fn verification_left(checkpoint: &Checkpoint, now: DateTime<Utc>) -> Option<Finding> {
    let still = (now - checkpoint.updated_at).to_std().unwrap_or_default();
    (still > PATIENCE).then(|| {
        let projection = &checkpoint.projection;
        let what = format!("a verification of {projection} has not gone on for {}", span(still));
        Finding::note("verification-left", what)
            .means("its tables take room; it is never in service")
            .cure("the service removes it when it runs; so does the next verification")
    })
}

fn parked(checkpoint: &Checkpoint) -> Option<Finding> {
    let Checkpoint { projection, parked: events, .. } = checkpoint;
    (*events > 0).then(|| {
        Finding::error("events-parked", format!("{projection} has set {events} events aside"))
            .means("they are missing in its read model")
            .cure(format!(
                "`projections parked {projection}` shows why; `projections retry` applies them once \
                 that is mended"
            ))
    })
}

/// What an operator has left out of a read model that is in service, or will be.
fn skipped(checkpoint: &Checkpoint) -> Option<Finding> {
    let Checkpoint { projection, skips, .. } = checkpoint;
    (*skips > 0).then(|| {
        Finding::warning("events-skipped", left_out(projection, *skips))
            .means("events may be missing in its read model, or be in it twice: `projections history` tells of it")
            .cure(format!("`projections rebuild {projection}` takes in what its code can apply"))
    })
}

#[cfg(test)]
mod tests {
    use headwater::{Failure as StandStill, Severity};

    use super::*;

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            projection: "sales".into(),
            generation: 1,
            state: GenerationState::Live,
            position: Position(7),
            event_id: None,
            event_position: Position(7),
            epoch: 1,
            fingerprint: String::new(),
            failure: None,
            updated_at: time(1_000),
            paused: false,
            held_back: false,
            rebuild_asked: None,
            inline: false,
            parked: 0,
            skips: 0,
            of_this_log: true,
        }
    }

    fn found(
        change: fn(&mut Checkpoint),
        waiting: Option<i64>,
        now: i64,
    ) -> Option<(&'static str, Severity)> {
        let mut checkpoint = checkpoint();
        change(&mut checkpoint);
        let finding = of(&checkpoint, waiting.map(time), time(now))?;
        Some((finding.code, finding.severity))
    }

    #[test]
    fn a_projection_that_has_everything_may_rest_for_ever() {
        assert_eq!(found(|_| {}, None, 1_000_000), None);
        assert_eq!(found(|_| {}, Some(1_990), 2_000), None, "the event has only just come");
    }

    #[test]
    fn one_that_rests_while_events_wait_is_told_from_one_that_is_slow() {
        assert_eq!(found(|_| {}, Some(1_001), 1_200), Some(("projection-idle", Severity::Warning)));
        let slow = found(|checkpoint| checkpoint.updated_at = time(1_190), Some(1_001), 1_200);
        assert_eq!(slow, Some(("projection-behind", Severity::Warning)));
    }

    #[test]
    fn one_that_has_failed_is_an_error_and_a_rebuild_that_was_left_a_note() {
        let failed: fn(&mut Checkpoint) = |checkpoint| {
            let error = "no".into();
            checkpoint.failure = Some(StandStill {
                position: Position(8),
                event_id: None,
                code: "decode".into(),
                error,
            });
        };
        assert_eq!(found(failed, None, 1_000), Some(("projection-failed", Severity::Error)));
        let building: fn(&mut Checkpoint) =
            |checkpoint| checkpoint.state = GenerationState::Building;
        assert_eq!(found(building, Some(1), 1_061), Some(("rebuild-left", Severity::Note)));
        assert_eq!(found(building, Some(1), 1_060), None);
        let held: fn(&mut Checkpoint) = |checkpoint| {
            checkpoint.state = GenerationState::Building;
            checkpoint.held_back = true;
        };
        assert_eq!(found(held, Some(1), 1_060), Some(("build-held-back", Severity::Note)));
        let build_failed: fn(&mut Checkpoint) = |checkpoint| {
            let error = "no".into();
            checkpoint.failure = Some(StandStill {
                position: Position(8),
                event_id: None,
                code: "decode".into(),
                error,
            });
            checkpoint.state = GenerationState::Building;
        };
        assert_eq!(found(build_failed, None, 1_000), Some(("rebuild-failed", Severity::Error)));
        let paused: fn(&mut Checkpoint) = |checkpoint| checkpoint.paused = true;
        assert_eq!(found(paused, Some(1), 9_000), Some(("projection-paused", Severity::Note)));
        assert_eq!(parked(&checkpoint()), None);
        let two = Checkpoint { parked: 2, ..checkpoint() };
        assert_eq!(parked(&two).map(|f| f.severity), Some(Severity::Error));
        assert_eq!(skipped(&checkpoint()), None);
        let one = Checkpoint { skips: 1, ..checkpoint() };
        assert_eq!(skipped(&one).map(|f| f.severity), Some(Severity::Warning));
    }
}
