//! The figures of a run: gathered over its repetitions, and found again by workload and subject.

use serde::Serialize;

use crate::{
    plan::{Entry, Measurement},
    shared::job::Measured,
    subjects::{PEERS, is_headwater},
};

/// The figures of one workload on one subject: a row of the table, and of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The workload.
    pub workload: String,
    /// How many callers at once.
    pub callers: usize,
    /// The subject.
    pub subject: &'static str,
    /// Events, commands or loads a second: the median over the repetitions.
    pub per_second: f64,
    /// The slowest and the fastest repetition.
    pub per_second_min: f64,
    pub per_second_max: f64,
    /// The median over the repetitions of the median time.
    pub p50_ms: f64,
    /// The median over the repetitions of the 99th percentile.
    pub p99_ms: f64,
    /// The most memory resident, of all repetitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_mib: Option<f64>,
}

/// What was measured so far, and what failed.
#[derive(Default)]
pub struct Gathered {
    groups: Vec<(Figures, Vec<Measured>)>,
    failures: Vec<String>,
}

impl Gathered {
    /// Adds a repetition.
    pub fn add(&mut self, measurement: &Measurement, entry: &Entry, measured: Measured) {
        let same = |(row, _): &&mut (Figures, _)| {
            (row.workload.as_str(), row.callers, row.subject)
                == (measurement.name.as_str(), measurement.callers, entry.subject)
        };
        match self.groups.iter_mut().find(same) {
            Some((_, all)) => all.push(measured),
            None => self.groups.push((empty(measurement, entry), vec![measured])),
        }
    }

    /// Notes that a subject could not be measured. What a peer cannot do is no failure of the run.
    pub fn fail(&mut self, measurement: &Measurement, entry: &Entry, reason: &str) {
        let failure = format!("{}: {}: {reason}", measurement.name, entry.subject);
        eprintln!("  {failure}");
        if !PEERS.contains(&entry.subject) {
            self.failures.push(failure);
        }
    }

    /// What could not be measured.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The rows, in the order of `plan`.
    pub fn rows(&self, plan: &[Measurement]) -> Vec<Figures> {
        let place = |row: &Figures| {
            let of_workload = |one: &Measurement| {
                (one.name.as_str(), one.callers) == (row.workload.as_str(), row.callers)
            };
            let first = plan.iter().position(of_workload)?;
            let second = plan[first].entries.iter().position(|one| one.subject == row.subject);
            Some((first, second))
        };
        let mut rows: Vec<_> = self.groups.iter().map(|(row, all)| gathered(row, all)).collect();
        rows.sort_by_key(place);
        rows
    }
}

fn empty(measurement: &Measurement, entry: &Entry) -> Figures {
    Figures {
        workload: measurement.name.clone(),
        callers: measurement.callers,
        subject: entry.subject,
        per_second: 0.0,
        per_second_min: 0.0,
        per_second_max: 0.0,
        p50_ms: 0.0,
        p99_ms: 0.0,
        peak_mib: None,
    }
}

fn gathered(row: &Figures, all: &[Measured]) -> Figures {
    let sorted = |figure: fn(&Measured) -> f64| {
        let mut figures: Vec<f64> = all.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures
    };
    let median = |figure| {
        let figures = sorted(figure);
        figures[figures.len() / 2]
    };
    let rates = sorted(|one| one.per_second);
    let peak = all.iter().filter_map(|one| one.peak_mib).reduce(f64::max);
    Figures {
        per_second: median(|one| one.per_second),
        per_second_min: rates[0],
        per_second_max: rates[rates.len() - 1],
        p50_ms: median(|one| one.p50_ms),
        p99_ms: median(|one| one.p99_ms),
        peak_mib: peak.filter(|_| is_headwater(row.subject)),
        ..row.clone()
    }
}
