//! The figures: gathered over the repetitions, printed with their ratio to hand-written SQL.

use std::time::Duration;

use serde::Serialize;

/// One run of one workload on one subject.
pub struct Measured {
    /// The workload.
    pub workload: &'static str,
    /// How many callers at once.
    pub callers: usize,
    /// The subject.
    pub subject: &'static str,
    /// Events in all.
    pub events: u64,
    /// Time in all.
    pub took: Duration,
    /// Time of each act.
    pub latencies: Vec<Duration>,
}

/// The figures of one workload on one subject.
#[derive(Serialize)]
pub struct Figures {
    workload: &'static str,
    callers: usize,
    subject: &'static str,
    /// The median over the repetitions.
    per_second: f64,
    per_second_min: f64,
    per_second_max: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// To hand-written SQL, which is measured on PostgreSQL alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

impl Measured {
    /// Gathers the repetitions.
    pub fn gather(all: Vec<Self>) -> Vec<Figures> {
        let mut groups: Vec<Vec<Self>> = Vec::new();
        for one in all {
            let same = |group: &&mut Vec<Self>| {
                let first = &group[0];
                (first.workload, first.callers, first.subject)
                    == (one.workload, one.callers, one.subject)
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(one),
                None => groups.push(vec![one]),
            }
        }
        let mut figures: Vec<_> = groups.into_iter().map(figures).collect();
        let by_hand: Vec<_> = figures
            .iter()
            .filter(|row| row.subject == "sqlx")
            .map(|row| (row.workload, row.callers, row.per_second))
            .collect();
        for row in figures.iter_mut().filter(|row| row.subject != "headwater-sqlite") {
            let same = by_hand.iter().find(|(w, c, _)| (*w, *c) == (row.workload, row.callers));
            row.ratio = same.map(|(_, _, per_second)| row.per_second / per_second);
        }
        figures
    }
}

fn figures(group: Vec<Measured>) -> Figures {
    let Measured { workload, callers, subject, .. } = group[0];
    #[allow(clippy::cast_precision_loss)]
    let mut rates: Vec<f64> =
        group.iter().map(|one| one.events as f64 / one.took.as_secs_f64()).collect();
    rates.sort_by(f64::total_cmp);
    let mut latencies: Vec<_> = group.into_iter().flat_map(|one| one.latencies).collect();
    latencies.sort();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    Figures {
        workload,
        callers,
        subject,
        per_second: rates[rates.len() / 2],
        per_second_min: rates[0],
        per_second_max: rates[rates.len() - 1],
        p50_ms: at(50),
        p99_ms: at(99),
        ratio: None,
    }
}

/// Prints one JSON object a line.
pub fn print_json(rows: &[Figures]) -> serde_json::Result<()> {
    for row in rows {
        println!("{}", serde_json::to_string(row)?);
    }
    Ok(())
}

/// Prints a table.
pub fn print(rows: &[Figures]) {
    println!(
        "{:<20}{:>8}  {:<18}{:>12}{:>12}{:>12}{:>10}{:>10}{:>9}",
        "workload", "callers", "subject", "events/s", "min", "max", "p50 ms", "p99 ms", "to sqlx"
    );
    for row in rows {
        let ratio = row.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}x"));
        println!(
            "{:<20}{:>8}  {:<18}{:>12.0}{:>12.0}{:>12.0}{:>10.2}{:>10.2}{:>9}",
            row.workload,
            row.callers,
            row.subject,
            row.per_second,
            row.per_second_min,
            row.per_second_max,
            row.p50_ms,
            row.p99_ms,
            ratio
        );
    }
}
