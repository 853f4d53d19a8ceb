//! The targets: what Headwater is to reach beside the other subjects of the same run.

use crate::{
    figures::Figures,
    subjects::{HEADWATER, INSERT, PEERS, SNAPSHOTS, SQLITE, SQLX, SQLX_BULK, SQLX_STREAM},
    table,
};

/// A target and what was measured; nothing where a subject of it was not.
#[derive(Debug)]
pub struct Target {
    workload: &'static str,
    demand: String,
    measured: Option<f64>,
    unit: &'static str,
    met: Option<bool>,
}

/// The most memory that a process of Headwater may have resident.
const MEMORY_MIB: f64 = 256.0;

/// The figures of a run.
struct Run<'a> {
    rows: &'a [Figures],
}

impl Run<'_> {
    fn row(&self, workload: &str, callers: usize, subject: &str) -> Option<&Figures> {
        self.rows.iter().find(|row| {
            (row.workload.as_str(), row.callers, row.subject) == (workload, callers, subject)
        })
    }

    /// How fast Headwater is beside another subject.
    fn ratio(&self, workload: &str, callers: usize, other: &str) -> Option<f64> {
        let own = self.row(workload, callers, HEADWATER)?;
        Some(own.per_second / self.row(workload, callers, other)?.per_second)
    }

    /// How fast Headwater is beside the fastest of its peers.
    fn to_peers(&self, workload: &str, callers: usize) -> Option<f64> {
        let ratios = PEERS.iter().filter_map(|peer| self.ratio(workload, callers, peer));
        ratios.reduce(f64::min)
    }

    /// How fast Headwater is in one workload beside another one.
    fn between(&self, one: (&str, usize), other: (&str, usize)) -> Option<f64> {
        let (one, other) =
            (self.row(one.0, one.1, HEADWATER)?, self.row(other.0, other.1, HEADWATER)?);
        Some(one.per_second / other.per_second)
    }
}

/// All targets, in the order of the workloads.
pub fn targets(rows: &[Figures], replay: &str, commit_delay_ms: f64) -> Vec<Target> {
    let run = Run { rows };
    let mut targets = appends(&run);
    targets.extend(processes(&run, commit_delay_ms));
    targets.extend(commands(&run));
    targets.extend(readings(&run, replay));
    targets.extend(lives(&run));
    targets.push(memory(&run));
    targets
}

/// Met where the ratio to another figure is at least `least`.
fn at_least(workload: &'static str, least: f64, other: &str, measured: Option<f64>) -> Target {
    let demand = format!(">= {least} x {other}");
    Target { workload, demand, measured, unit: "x", met: measured.map(|ratio| ratio >= least) }
}

/// Met where the figure is at most `most`.
fn at_most(
    workload: &'static str,
    figure: &str,
    (most, unit): (f64, &'static str),
    measured: Option<f64>,
) -> Target {
    let demand = format!("{figure}<= {most}{unit}");
    Target { workload, demand, measured, unit, met: measured.map(|figure| figure <= most) }
}

const PEER: &str = "the fastest peer";

fn appends(run: &Run<'_>) -> Vec<Target> {
    let one = |subject| Some(run.row("append 1", 1, subject)?.p50_ms);
    let floor = one(HEADWATER).zip(one(INSERT)).map(|(own, insert)| own / insert);
    let bulk = run.ratio("append 1", 512, SQLX_BULK);
    vec![
        at_most("append 1, 1 caller", "p50 to one bare INSERT ", (1.3, "x"), floor),
        at_least("append 1, 64 callers", 3.0, "sqlx", run.ratio("append 1", 64, SQLX)),
        at_least("", 4.0, PEER, run.to_peers("append 1", 64)),
        at_least("append 1, 512 callers", 0.75, "batches of 200 by hand", bulk),
        at_least("append 10, 16 callers", 1.6, "sqlx", run.ratio("append 10", 16, SQLX)),
        at_least("", 3.0, PEER, run.to_peers("append 10", 16)),
    ]
}

fn processes(run: &Run<'_>, commit_delay_ms: f64) -> Vec<Target> {
    let (four, slow) = ("append 1, 4 processes", "append 1, slow commits, 4 processes");
    let sum = run.between((four, 64), ("append 1", 64));
    let p99 = run.row(slow, 64, HEADWATER).map(|row| row.p99_ms / commit_delay_ms);
    vec![
        at_least("4 processes of 16 callers", 1.0, "one process of 64", sum),
        at_least("with slow commits", 4.0, "sqlx", run.ratio(slow, 64, SQLX)),
        at_most("", "p99 to the commit ", (4.0, "x"), p99),
    ]
}

fn commands(run: &Run<'_>) -> Vec<Target> {
    let (cycle, hot) = ("command cycle", "one hot stream");
    vec![
        at_least("command cycle, 16 callers", 4.0, "sqlx", run.ratio(cycle, 16, SQLX)),
        at_least("", 5.0, PEER, run.to_peers(cycle, 16)),
        at_least("one hot stream, 16 callers", 8.0, "sqlx", run.ratio(hot, 16, SQLX)),
        at_least("", 10.0, PEER, run.to_peers(hot, 16)),
    ]
}

fn readings(run: &Run<'_>, replay: &str) -> Vec<Target> {
    let (cold, warm, totals) = ("load 1000, cold", "load 1000, warm", "customer totals from zero");
    let snapshots = run.row(cold, 4, SNAPSHOTS).zip(run.row(cold, 4, SQLX));
    let snapshots = snapshots.map(|(own, sqlx)| own.per_second / sqlx.per_second);
    let loads = run.row(warm, 4, HEADWATER).map(|row| row.per_second);
    let gain = run.between((warm, 4), (cold, 4));
    let warm_met = loads.zip(gain).map(|(loads, gain)| loads >= 5_000.0 || gain >= 10.0);
    vec![
        at_least("load of 1,000 events, cold", 3.0, "sqlx", run.ratio(cold, 4, SQLX)),
        at_least("with snapshots", 3.0, "sqlx", snapshots),
        Target {
            workload: "load of 1,000 events, warm",
            demand: ">= 5000 a second, or >= 10 x cold".into(),
            measured: loads,
            unit: "/s",
            met: warm_met,
        },
        at_least("replay", 0.95, "sqlx-stream", run.ratio(replay, 1, SQLX_STREAM)),
        at_least("", 1.0, PEER, run.to_peers(replay, 1)),
        at_least(totals, 0.6, "replay", run.between((totals, 1), (replay, 1))),
        at_least("", 20.0, PEER, run.to_peers(totals, 1)),
    ]
}

fn lives(run: &Run<'_>) -> Vec<Target> {
    let (within, across) = ("live, in process", "live, across processes");
    let p50 = run.row(within, 1, HEADWATER).map(|row| row.p50_ms);
    let p99 = |workload| Some(run.row(workload, 1, HEADWATER)?.p99_ms);
    vec![
        at_most(within, "p50 ", (0.5, " ms"), p50),
        at_most("", "p99 ", (2.0, " ms"), p99(within)),
        at_most(across, "p99 ", (25.0, " ms"), p99(across)),
    ]
}

fn memory(run: &Run<'_>) -> Target {
    let own = run.rows.iter().filter(|row| [HEADWATER, SNAPSHOTS, SQLITE].contains(&row.subject));
    let peak = own.filter_map(|row| row.peak_mib).reduce(f64::max);
    at_most("memory of a process", "", (MEMORY_MIB, " MiB"), peak)
}

/// Prints them.
pub fn print(targets: &[Target]) {
    let mut table = table::plain(["workload", "target", "measured", ""]);
    for target in targets {
        let figure = target.measured.map(|figure| match target.unit {
            "/s" | " MiB" => format!("{figure:.0}{}", target.unit),
            unit => format!("{figure:.2}{unit}"),
        });
        let met = match target.met {
            Some(true) => "met",
            Some(false) => "NOT met",
            None => "not measured",
        };
        let figure = figure.unwrap_or_default();
        table.add_row([target.workload, &target.demand, &figure, met]);
    }
    println!("{table}");
}
