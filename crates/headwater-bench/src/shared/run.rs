//! How a process runs the one job that it was started for.
//!
//! It prepares, says that it is ready, waits for a line so that several processes begin together,
//! measures, and answers with a line of JSON.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    job::{Filled, Job, Measured, Outcome, READY, Workload},
    live::{self, Follower},
    pace,
    sale::{Sale, filled_cart, lines, pieces},
    subject::Subject,
};

/// How many events a statement holds that fills a log, and how many of them are under way at once.
const FILLING: (u64, usize) = (1_000, 4);

/// Runs `job` and prints what was measured.
pub async fn answer<S: Subject>(subject: S, job: Job) -> Outcome<()> {
    let subject = Arc::new(subject);
    let follower = prepare(&job, &subject).await?;
    println!("{READY}");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    let mut measured = measure(&job, &subject, follower).await?;
    measured.peak_mib = peak_mib();
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn prepare<S: Subject>(job: &Job, subject: &Arc<S>) -> Outcome<Option<Follower>> {
    match job.workload {
        Workload::Load { warm: true } => {
            for cart in 0..job.filled.carts {
                subject.load(filled_cart(cart)).await?;
            }
        }
        Workload::Project { .. } => subject.forget().await?,
        Workload::Live | Workload::LiveFollow => return Ok(Some(Follower::start(subject))),
        _ => {}
    }
    Ok(None)
}

async fn measure<S: Subject>(
    job: &Job,
    subject: &Arc<S>,
    follower: Option<Follower>,
) -> Outcome<Measured> {
    match job.workload {
        Workload::Fill => fill(job, subject).await,
        Workload::Append { events } => append(job, subject, events).await,
        Workload::Batch { carts } => batch(job, subject, carts).await,
        Workload::Command { carts, length } => command(job, subject, carts, length).await,
        Workload::Load { .. } => load(job, subject).await,
        Workload::Replay => replay(job.filled, subject).await,
        Workload::Project { read_models } => project(job.filled, subject, read_models).await,
        Workload::Live | Workload::LiveAppend | Workload::LiveFollow => {
            live(job, subject, follower).await
        }
    }
}

async fn append<S: Subject>(job: &Job, subject: &Arc<S>, events: u64) -> Outcome<Measured> {
    let (subject, process) = (subject.clone(), job.process);
    pace::keep(job.callers, job.time, events, move |caller, number| {
        let subject = subject.clone();
        async move {
            let cart = format!("new.{process}.{caller}.{number}");
            subject.append(cart, lines(number, events)).await
        }
    })
    .await
}

async fn batch<S: Subject>(job: &Job, subject: &Arc<S>, carts: u64) -> Outcome<Measured> {
    let subject = subject.clone();
    pace::keep(job.callers, job.time, carts, move |caller, number| {
        let subject = subject.clone();
        // Far enough apart that the carts of two callers never meet.
        let first = (caller as u64) << 40 | (number * carts);
        async move { subject.fill(first..first + carts, 1).await }
    })
    .await
}

async fn command<S: Subject>(
    job: &Job,
    subject: &Arc<S>,
    carts: u64,
    length: u64,
) -> Outcome<Measured> {
    let (subject, process) = (subject.clone(), job.process);
    let shared = Arc::new(AtomicU64::new(0));
    pace::keep(job.callers, job.time, 1, move |caller, number| {
        let (subject, shared) = (subject.clone(), shared.clone());
        async move {
            let cart = if carts == 0 {
                format!("own.{process}.{caller}.{}", number / length)
            } else {
                let turn = shared.fetch_add(1, Ordering::Relaxed);
                format!("shared.{}.{}", turn % carts, turn / carts / length)
            };
            subject.command(cart, Sale::new(number, 0)).await
        }
    })
    .await
}

async fn load<S: Subject>(job: &Job, subject: &Arc<S>) -> Outcome<Measured> {
    let (subject, Filled { carts, length }) = (subject.clone(), job.filled);
    pace::keep(job.callers, job.time, 1, move |caller, number| {
        let subject = subject.clone();
        async move {
            let cart = (number + caller as u64) % carts;
            let loaded = u64::try_from(subject.load(filled_cart(cart)).await?)?;
            same("pieces", loaded, pieces(cart, length))
        }
    })
    .await
}

async fn replay<S: Subject>(filled: Filled, subject: &Arc<S>) -> Outcome<Measured> {
    let begun = Instant::now();
    let events = subject.replay().await?;
    let took = begun.elapsed();
    same("events", events, filled.events())?;
    Ok(once(took, events))
}

async fn project<S: Subject>(
    filled: Filled,
    subject: &Arc<S>,
    read_models: usize,
) -> Outcome<Measured> {
    let begun = Instant::now();
    let projected = subject.project(read_models).await?;
    let took = begun.elapsed();
    let expected = (0..filled.carts).map(|cart| pieces(cart, filled.length)).sum();
    same("pieces", u64::try_from(projected)?, expected)?;
    Ok(once(took, filled.events()))
}

async fn live<S: Subject>(
    job: &Job,
    subject: &Arc<S>,
    follower: Option<Follower>,
) -> Outcome<Measured> {
    let mut measured = Measured::default();
    if job.workload == Workload::LiveFollow {
        let lasts = job.time + job.time / 4;
        let Some(follower) = follower else { return Ok(measured) };
        measured.seen = follower.end(lasts).await?;
        return Ok(measured);
    }
    measured.appended = live::append(job, subject).await?;
    if let Some(follower) = follower {
        measured.seen = follower.end(Duration::ZERO).await?;
    }
    Ok(measured)
}

/// Fills the log by a few callers, each of which takes the next carts.
async fn fill<S: Subject>(job: &Job, subject: &Arc<S>) -> Outcome<Measured> {
    let Filled { carts, length } = job.filled;
    let (events, callers) = FILLING;
    let step = (events / length).max(1);
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (subject, next) = (subject.clone(), next.clone());
        running.spawn(async move {
            loop {
                let range = taken(&next, step, carts);
                if range.is_empty() {
                    return Outcome::Ok(());
                }
                subject.fill(range, length).await?;
            }
        });
    }
    while let Some(caller) = running.join_next().await {
        caller??;
    }
    Ok(once(begun.elapsed(), carts * length))
}

fn taken(next: &AtomicU64, step: u64, end: u64) -> Range<u64> {
    let first = next.fetch_add(step, Ordering::Relaxed).min(end);
    first..(first + step).min(end)
}

/// The figures of a single act over so many events.
fn once(took: Duration, events: u64) -> Measured {
    pace::figures(&mut [took], took, events)
}

fn same(what: &str, found: u64, expected: u64) -> Outcome<()> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{found} {what} where {expected} were expected").into())
}

/// The most memory that this process had resident, as Linux counts it.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
