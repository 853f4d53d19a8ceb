//! A run: each measurement in each repetition, its subjects one after the other.
//!
//! Subjects take turns within a repetition, and begin with another one each time, so that a disk or a
//! neighbour that slows down slows all of them.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    commit_delay,
    databases::{Database, Logs},
    figures::Gathered,
    plan::{Entry, Measurement},
    process::Process,
    shared::{
        job::{Filled, Job, Measured, Outcome, Workload},
        live,
    },
    subjects::{PEERS, Store},
};

/// What a run needs to know.
pub struct Bench {
    /// This binary.
    pub own: PathBuf,
    /// The binary of the peers, where they are measured.
    pub peers: Option<PathBuf>,
    /// How long a measurement lasts.
    pub time: Duration,
    /// How often each is repeated.
    pub repetitions: usize,
    logs: Logs,
}

impl Bench {
    /// A run that is about to begin.
    pub fn new(own: PathBuf, peers: Option<PathBuf>, time: Duration, repetitions: usize) -> Self {
        Self { own, peers, time, repetitions, logs: Logs::default() }
    }

    /// Runs the plan. What fails is left out, and said.
    pub async fn run(&mut self, plan: &[Measurement]) -> Gathered {
        let (begun, mut gathered) = (Instant::now(), Gathered::default());
        for repetition in 0..self.repetitions {
            for measurement in plan {
                let passed = begun.elapsed().as_secs();
                let (round, of) = (repetition + 1, self.repetitions);
                eprintln!(
                    "[{passed:>4} s] {round}/{of} {}, {} callers",
                    measurement.name, measurement.callers
                );
                self.measure(measurement, repetition, &mut gathered).await;
            }
        }
        gathered
    }

    async fn measure(&mut self, one: &Measurement, repetition: usize, gathered: &mut Gathered) {
        let mut entries: Vec<_> = one
            .entries
            .iter()
            .filter(|entry| self.peers.is_some() || !PEERS.contains(&entry.subject))
            .collect();
        let turn = repetition % entries.len().max(1);
        entries.rotate_left(turn);
        for entry in entries {
            match self.measure_entry(one, entry).await {
                Ok(measured) => gathered.add(one, entry, measured),
                Err(error) => gathered.fail(one, entry, &error.to_string()),
            }
        }
    }

    async fn measure_entry(&mut self, one: &Measurement, entry: &Entry) -> Outcome<Measured> {
        let store = Store::of(entry.subject);
        if entry.filled == Filled::default() {
            let database = Database::fresh(store).await?;
            return self.measure_on(one, entry, &database).await;
        }
        if self.logs.get(store, entry.filled).is_none() {
            let database = self.filled(store, entry.filled).await?;
            self.logs.keep(store, entry.filled, database);
        }
        let Some(database) = self.logs.get(store, entry.filled) else {
            return Err("a log that was kept is there".into());
        };
        self.measure_on(one, entry, database).await
    }

    async fn filled(&self, store: Store, filled: Filled) -> Outcome<Database> {
        let database = Database::fresh(store).await?;
        let job = Job {
            subject: store.filler().into(),
            workload: Workload::Fill,
            callers: 1,
            process: 0,
            time: self.time,
            filled,
        };
        let mut process = self.start(&job, &database.url()).await?;
        process.go().await?;
        process.end().await?;
        database.tidy().await?;
        Ok(database)
    }

    async fn measure_on(
        &self,
        one: &Measurement,
        entry: &Entry,
        database: &Database,
    ) -> Outcome<Measured> {
        let (url, mut processes) = (database.url(), Vec::new());
        for process in 0..one.processes {
            processes.push(self.start(&self.job(one, entry, process), &url).await?);
        }
        if let Some(delay) = one.commit_delay {
            let table = Store::of(entry.subject).events_table();
            commit_delay::slow_down(&url, table, delay).await?;
        }
        database.settle().await?;
        for process in &mut processes {
            process.go().await?;
        }
        let mut all = Vec::new();
        for process in processes {
            all.push(process.end().await?);
        }
        together(&all)
    }

    /// The job of one of the processes. Of two live ones the second follows what the first appends.
    fn job(&self, one: &Measurement, entry: &Entry, process: usize) -> Job {
        let follows = entry.workload == Workload::LiveAppend && process == 1;
        Job {
            subject: entry.subject.into(),
            workload: if follows { Workload::LiveFollow } else { entry.workload },
            callers: entry.callers.unwrap_or(one.callers / one.processes).max(1),
            process,
            time: self.time * one.lasts,
            filled: entry.filled,
        }
    }

    async fn start(&self, job: &Job, url: &str) -> Outcome<Process> {
        let peer = PEERS.contains(&job.subject.as_str());
        let binary = if peer { self.peers.as_ref() } else { Some(&self.own) };
        let binary = binary.ok_or("the binary of the peers is not there")?;
        Process::start(binary, job, url).await
    }
}

/// What several processes have measured: the sum of what they did, the slowest of their times.
fn together(all: &[Measured]) -> Outcome<Measured> {
    let appended: Vec<_> = all.iter().flat_map(|one| one.appended.iter().copied()).collect();
    let peak = all.iter().filter_map(|one| one.peak_mib).reduce(f64::max);
    if !appended.is_empty() {
        let seen: Vec<_> = all.iter().flat_map(|one| one.seen.iter().copied()).collect();
        let measured = live::latencies(&appended, &seen)?;
        return Ok(Measured { peak_mib: peak, ..measured });
    }
    let slowest = |time: fn(&Measured) -> f64| all.iter().map(time).fold(0.0, f64::max);
    Ok(Measured {
        per_second: all.iter().map(|one| one.per_second).sum(),
        p50_ms: slowest(|one| one.p50_ms),
        p99_ms: slowest(|one| one.p99_ms),
        peak_mib: peak,
        ..Measured::default()
    })
}
