//! Live latency: how long an event takes from its append to those who follow the log.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{
    job::{Appended, Job, Measured, Outcome},
    pace::figures,
    sale::Sale,
    subject::Subject,
};

/// The time between two appends: 200 a second.
const EVERY: Duration = Duration::from_millis(5);

/// How long a follower waits for the last events.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The first of so many parts of the events are not counted: connections open, plans are made.
const WARM_UP: usize = 5;

/// What a follower has seen: the numbers of events, and when.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<(i64, i64)>>>);

impl Seen {
    /// Notes an event that has just come.
    pub fn note(&self, number: i64) {
        let now = now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((number, now));
    }

    fn all(&self) -> Vec<(i64, i64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Follows the log in a task of its own for as long as this lives.
pub struct Follower {
    seen: Seen,
    following: JoinSet<Outcome<()>>,
}

impl Follower {
    /// Begins to follow.
    pub fn start<S: Subject>(subject: &Arc<S>) -> Self {
        let (seen, mut following) = (Seen::default(), JoinSet::new());
        let (subject, noted) = (subject.clone(), seen.clone());
        following.spawn(async move { subject.follow(noted).await });
        Self { seen, following }
    }

    /// Waits for the last events, and yields what was seen.
    pub async fn end(mut self, after: Duration) -> Outcome<Vec<(i64, i64)>> {
        tokio::select! {
            () = tokio::time::sleep(after + PATIENCE) => {}
            Some(ended) = self.following.join_next() => ended??,
        }
        Ok(self.seen.all())
    }
}

/// Appends at an even pace, however long each append takes.
pub async fn append<S: Subject>(job: &Job, subject: &Arc<S>) -> Outcome<Vec<Appended>> {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut running, mut appended) = (JoinSet::new(), Vec::new());
    let ends = tokio::time::Instant::now() + job.time + job.time / 4;
    let mut number = 0;
    while tokio::time::Instant::now() < ends {
        ticks.tick().await;
        let (subject, own) = (subject.clone(), number);
        running.spawn(async move {
            let (cart, mut sale) = (format!("live.{own}"), Sale::new(0, 0));
            sale.number = own;
            let called = now();
            subject.append(cart, vec![sale]).await?;
            Outcome::Ok(Appended { number: own, called, acknowledged: now() })
        });
        number += 1;
    }
    while let Some(done) = running.join_next().await {
        appended.push(done??);
    }
    appended.sort_unstable_by_key(|one| one.number);
    Ok(appended)
}

/// The figures of what was appended in one process and seen in another, or the same.
///
/// # Errors
///
/// Where an event was not seen.
pub fn latencies(appended: &[Appended], seen: &[(i64, i64)]) -> Outcome<Measured> {
    let when: HashMap<i64, i64> = seen.iter().copied().collect();
    let counted = &appended[appended.len() / WARM_UP..];
    let mut times = Vec::with_capacity(counted.len());
    for one in counted {
        let Some(seen) = when.get(&one.number) else {
            return Err(format!("live event {} was not seen", one.number).into());
        };
        // An event may be seen before its writer hears of its append.
        times.push(Duration::from_micros(u64::try_from(seen - one.acknowledged).unwrap_or(0)));
    }
    let ends = counted.iter().map(|one| one.called);
    let span = ends.clone().max().unwrap_or(0) - ends.min().unwrap_or(0);
    let span = Duration::from_micros(u64::try_from(span.max(1))?);
    Ok(figures(&mut times, span, 1))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(number: i64) -> Appended {
        Appended { number, called: number * 5_000, acknowledged: number * 5_000 + 1_000 }
    }

    #[test]
    fn the_time_counts_from_the_acknowledgement_and_is_never_negative() {
        let all: Vec<_> = (0..100).map(appended).collect();
        let early = |one: &Appended| (one.number, one.called);
        let late = |one: &Appended| (one.number, one.acknowledged + 2_000);
        let measured = latencies(&all, &all.iter().map(late).collect::<Vec<_>>()).unwrap();
        assert!((measured.p50_ms - 2.0).abs() < 1e-6, "{measured:?}");
        let measured = latencies(&all, &all.iter().map(early).collect::<Vec<_>>()).unwrap();
        assert!(measured.p99_ms < 1e-6, "{measured:?}");
    }

    #[test]
    fn an_event_that_nobody_saw_leaves_no_figure() {
        let all: Vec<_> = (0..100).map(appended).collect();
        let seen: Vec<_> = (0..99).map(|number| (number, i64::MAX)).collect();
        let lost = latencies(&all, &seen).unwrap_err().to_string();
        assert_eq!(lost, "live event 99 was not seen");
    }
}
