//! The loop that drives callers and gathers how long each of their acts takes.
//!
//! It is closed: a caller begins its next act when the one before has ended, as a service does whose
//! clients wait for an answer.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::job::{Measured, Outcome};

/// The part of the time that the first acts get to open connections and plan statements, unmeasured.
const WARM_UP: u32 = 4;

/// Lets `callers` act for `time`; an act stands for `weight` events. It is told which caller acts and
/// for which time.
pub async fn keep<A, F>(callers: usize, time: Duration, weight: u64, act: A) -> Outcome<Measured>
where
    A: Fn(usize, u64) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome<()>> + Send,
{
    let begins = Instant::now() + time / WARM_UP;
    let ends = begins + time;
    let act = Arc::new(act);
    let mut running = JoinSet::new();
    for caller in 0..callers {
        let act = act.clone();
        running.spawn(async move { one_caller(caller, begins, ends, &*act).await });
    }
    let mut latencies = Vec::new();
    while let Some(caller) = running.join_next().await {
        latencies.extend(caller??);
    }
    if latencies.is_empty() {
        return Err("no act ended within the time of the measurement".into());
    }
    Ok(figures(&mut latencies, time, weight))
}

/// Counts the acts that end between `begins` and `ends`.
async fn one_caller<A, F>(
    caller: usize,
    begins: Instant,
    ends: Instant,
    act: &A,
) -> Outcome<Vec<Duration>>
where
    A: Fn(usize, u64) -> F,
    F: Future<Output = Outcome<()>>,
{
    let mut latencies = Vec::new();
    for number in 0.. {
        let begun = Instant::now();
        if begun >= ends {
            break;
        }
        act(caller, number).await?;
        let ended = Instant::now();
        if (begins..=ends).contains(&ended) {
            latencies.push(ended - begun);
        }
    }
    Ok(latencies)
}

/// The figures of acts that a `time` was filled with.
pub fn figures(latencies: &mut [Duration], time: Duration, weight: u64) -> Measured {
    latencies.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let events = (latencies.len() as u64 * weight) as f64;
    Measured {
        per_second: events / time.as_secs_f64(),
        p50_ms: percentile(latencies, 50),
        p99_ms: percentile(latencies, 99),
        ..Measured::default()
    }
}

/// What so many percent stay below or at, in milliseconds; of sorted times.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let index = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(index).map_or(0.0, Duration::as_secs_f64) * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_events_and_of_acts() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        let measured = figures(&mut times, Duration::from_secs(2), 10);
        assert!((measured.per_second - 500.0).abs() < 0.1);
        assert!((measured.p50_ms - 50.0).abs() < 0.1);
        assert!((measured.p99_ms - 99.0).abs() < 0.1);
    }

    #[tokio::test]
    async fn acts_of_the_warm_up_do_not_count() {
        let time = Duration::from_millis(200);
        let act = |_, _| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(())
        };
        let measured = keep(2, time, 1, act).await.unwrap();
        assert!(measured.per_second <= 200.0, "{measured:?}");
        assert!(measured.p50_ms >= 10.0, "{measured:?}");
    }

    #[tokio::test]
    async fn an_act_that_fails_ends_the_measurement() {
        let act = |caller, _| async move {
            tokio::task::yield_now().await;
            if caller == 1 { Err("broken".into()) } else { Ok(()) }
        };
        let failed = keep(2, Duration::from_secs(10), 1, act).await;
        assert_eq!(failed.unwrap_err().to_string(), "broken");
    }
}
