//! The workloads, each run on a subject and timed.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    subject::{Outcome, Subject},
    table::Measured,
};

/// Runs every workload: single appends, appends in bulk up to `events`, a replay, a projection.
pub async fn all(subject: &dyn Subject, events: u64) -> Outcome<Vec<Measured>> {
    let mut measured = Vec::new();
    for (callers, count) in [(1, 200), (16, 2_000)] {
        measured.push(append(subject, "append 1", callers, count, 1).await?);
    }
    measured.push(append(subject, "append 10", 16, 1_000, 10).await?);
    let stored = 200 + 2_000 + 10_000;
    let rest = events.saturating_sub(stored).div_ceil(1_000);
    measured.push(append(subject, "append 1,000", 4, rest, 1_000).await?);

    let expected = stored + rest * 1_000;
    let begun = Instant::now();
    let replayed = subject.replay().await?;
    measured.push(single(subject, "replay", expected, begun.elapsed()));
    if replayed != expected {
        return Err(format!("{} replayed {replayed} of {expected} events", subject.name()).into());
    }
    let begun = Instant::now();
    subject.project().await?;
    measured.push(single(subject, "project from zero", expected, begun.elapsed()));
    Ok(measured)
}

fn single(subject: &dyn Subject, workload: &'static str, events: u64, took: Duration) -> Measured {
    Measured { workload, callers: 1, subject: subject.name(), events, took, latencies: vec![took] }
}

/// Appends `count` times `size` events, each to a new stream, by `callers` at once.
async fn append(
    subject: &dyn Subject,
    workload: &'static str,
    callers: usize,
    count: u64,
    size: u64,
) -> Outcome<Measured> {
    let begun = Instant::now();
    // Streams of different workloads must not meet.
    let first = u64::try_from(callers)? * 1_000_000_000 + size * 1_000_000;
    let latencies = stream::iter(first..first + count)
        .map(|stream| async move {
            let begun = Instant::now();
            subject.append(stream, size).await?;
            Outcome::Ok(begun.elapsed())
        })
        .buffer_unordered(callers)
        .try_collect()
        .await?;
    let took = begun.elapsed();
    let subject = subject.name();
    Ok(Measured { workload, callers, subject, events: count * size, took, latencies })
}
