//! What is measured: the workloads of `quick` and of `all`, and their subjects.

use std::time::Duration;

use crate::{
    shared::job::{Filled, Workload},
    subjects::{
        COPY, CQRS_ES, DISINTEGRATE, HEADWATER, INSERT, SNAPSHOTS, SQLITE, SQLX, SQLX_BULK,
        SQLX_STREAM,
    },
};

/// How long a run may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// At most two minutes.
    Quick,
    /// At most twenty-five.
    All,
}

/// One workload, with all that are measured on it.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Its name in the table.
    pub name: String,
    /// Callers, of all processes together.
    pub callers: usize,
    /// How many processes share them.
    pub processes: usize,
    /// How long each commit is held up, where it is.
    pub commit_delay: Option<Duration>,
    /// How many times as long as others it lasts.
    pub lasts: u32,
    /// Who is measured, and on what.
    pub entries: Vec<Entry>,
}

/// One subject of a measurement. The work of one may be put otherwise than that of another, where the
/// result is the same.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub subject: &'static str,
    pub workload: Workload,
    /// The callers, where they are others than the measurement's.
    pub callers: Option<usize>,
    /// What the log holds beforehand; a log that is only read is filled once for all repetitions.
    pub filled: Filled,
}

/// The event counts of replays and projections, in carts of ten.
const LENGTH: u64 = 10;

/// What is built a row at a time gets fewer events, and what commits each row still fewer, so that it
/// ends; the figure is per second.
const FEW: Filled = Filled { carts: 2_000, length: LENGTH };
const FEWER: Filled = Filled { carts: 300, length: LENGTH };

/// The carts that are loaded.
const LOADED: u64 = 20;

/// Commands to one cart before the next one takes its place.
const COMMANDS: u64 = 100;

/// The whole plan.
pub fn plan(extent: Extent, commit_delay: Duration) -> Vec<Measurement> {
    let mut plan = appends();
    plan.extend(commands());
    plan.extend(processes(commit_delay));
    plan.extend(loads(extent));
    plan.extend(replays(extent));
    plan.extend(projections(extent));
    plan.extend(lives());
    if extent == Extent::Quick {
        plan.retain(|one| !LEFT_OUT.contains(&(one.name.as_str(), one.callers)));
    }
    plan
}

/// What `quick` has no time for.
const LEFT_OUT: [(&str, usize); 5] = [
    ("append 1", 16),
    ("append 1, sustained", 512),
    ("command cycle, 300 aggregates", 16),
    ("one hot stream, slow commits", 16),
    ("append 1, slow commits", 64),
];

fn measurement(name: impl Into<String>, callers: usize, entries: Vec<Entry>) -> Measurement {
    Measurement { name: name.into(), callers, processes: 1, commit_delay: None, lasts: 1, entries }
}

fn entries(workload: Workload, subjects: &[&'static str]) -> Vec<Entry> {
    filled(workload, Filled::default(), subjects)
}

fn filled(workload: Workload, filled: Filled, subjects: &[&'static str]) -> Vec<Entry> {
    let entry = |&subject| Entry { subject, workload, callers: None, filled };
    subjects.iter().map(entry).collect()
}

fn appends() -> Vec<Measurement> {
    let one = Workload::Append { events: 1 };
    let all = [HEADWATER, SQLITE, INSERT, SQLX, CQRS_ES, DISINTEGRATE];
    let mut plan: Vec<_> =
        [1, 16, 64].map(|callers| measurement("append 1", callers, entries(one, &all))).into();
    let mut many = entries(one, &[HEADWATER, SQLITE, SQLX, CQRS_ES, DISINTEGRATE]);
    // What one connection can carry at most: batches made by hand, one after the other.
    let by_hand = entries(Workload::Batch { carts: 200 }, &[SQLX_BULK]);
    many.extend(by_hand.into_iter().map(|entry| Entry { callers: Some(1), ..entry }));
    plan.push(measurement("append 1", 512, many));
    // What grows with each append shows in the memory of this one.
    let sustained = measurement("append 1, sustained", 512, entries(one, &[HEADWATER, SQLITE]));
    plan.push(Measurement { lasts: 5, ..sustained });
    let ten = Workload::Append { events: 10 };
    let all = [HEADWATER, SQLITE, SQLX, SQLX_BULK, CQRS_ES, DISINTEGRATE];
    plan.push(measurement("append 10", 16, entries(ten, &all)));
    plan
}

fn commands() -> Vec<Measurement> {
    let all = [HEADWATER, SQLITE, SQLX, CQRS_ES, DISINTEGRATE];
    [("command cycle", 0), ("command cycle, 300 aggregates", 300), ("one hot stream", 1)]
        .map(|(name, carts)| {
            let workload = Workload::Command { carts, length: COMMANDS };
            measurement(name, 16, entries(workload, &all))
        })
        .into()
}

/// Several processes, with the commits of this disk and with slow ones.
fn processes(commit_delay: Duration) -> Vec<Measurement> {
    let workload = Workload::Append { events: 1 };
    let four = |measurement| Measurement { processes: 4, ..measurement };
    let slow = |measurement| Measurement { commit_delay: Some(commit_delay), ..measurement };
    let both = || entries(workload, &[HEADWATER, SQLX]);
    let mut plan = vec![four(measurement("append 1, 4 processes", 64, both()))];
    if !commit_delay.is_zero() {
        plan.push(slow(measurement("append 1, slow commits", 64, both())));
        plan.push(slow(four(measurement("append 1, slow commits, 4 processes", 64, both()))));
        let hot = Workload::Command { carts: 1, length: COMMANDS };
        let hot = entries(hot, &[HEADWATER, SQLX]);
        plan.push(slow(measurement("one hot stream, slow commits", 16, hot)));
    }
    plan
}

fn loads(extent: Extent) -> Vec<Measurement> {
    let mut plan = Vec::new();
    let lengths: &[u64] = if extent == Extent::Quick { &[1_000] } else { &[100, 1_000] };
    for &length in lengths {
        let log = Filled { carts: LOADED, length };
        let (cold, warm) = (Workload::Load { warm: false }, Workload::Load { warm: true });
        let all = [HEADWATER, SNAPSHOTS, SQLITE, SQLX, SQLX_STREAM, CQRS_ES, DISINTEGRATE];
        plan.push(measurement(format!("load {length}, cold"), 4, filled(cold, log, &all)));
        let cached = [HEADWATER, SQLITE];
        plan.push(measurement(format!("load {length}, warm"), 4, filled(warm, log, &cached)));
    }
    if extent == Extent::All {
        let log = Filled { carts: 1, length: 100_000 };
        let cold = filled(Workload::Load { warm: false }, log, &[HEADWATER, SQLITE, SQLX_STREAM]);
        plan.push(measurement("load 100000, cold", 1, cold));
    }
    plan
}

fn replays(extent: Extent) -> Vec<Measurement> {
    let some = [HEADWATER, SQLITE, SQLX, SQLX_STREAM, COPY, CQRS_ES, DISINTEGRATE];
    let replay = |events: u64, subjects: &[&'static str]| {
        let log = Filled { carts: events / LENGTH, length: LENGTH };
        measurement(replay_of(events), 1, filled(Workload::Replay, log, subjects))
    };
    let mut plan = vec![replay(events(extent), &some)];
    if extent == Extent::All {
        plan.push(replay(1_000_000, &[HEADWATER, SQLITE, SQLX_STREAM, COPY]));
    }
    plan
}

/// The name of a replay.
pub fn replay_of(events: u64) -> String {
    format!("replay {events}")
}

/// How many events a log holds that is replayed and projected.
pub fn events(extent: Extent) -> u64 {
    match extent {
        Extent::Quick => 50_000,
        Extent::All => 200_000,
    }
}

fn projections(extent: Extent) -> Vec<Measurement> {
    let log = Filled { carts: events(extent) / LENGTH, length: LENGTH };
    let project = |name: &str, read_models, peers: &[&'static str]| {
        let workload = Workload::Project { read_models };
        let mut all = filled(workload, log, &[HEADWATER, SQLITE, SQLX_BULK]);
        all.extend(filled(workload, FEW, &[SQLX]));
        all.extend(filled(workload, FEWER, peers));
        measurement(name, 1, all)
    };
    vec![
        project("customer totals from zero", 1, &[CQRS_ES, DISINTEGRATE]),
        project("four read models from zero", 4, &[]),
    ]
}

fn lives() -> Vec<Measurement> {
    let within = entries(Workload::Live, &[HEADWATER, SQLITE, DISINTEGRATE]);
    let across = entries(Workload::LiveAppend, &[HEADWATER, DISINTEGRATE]);
    vec![
        measurement("live, in process", 1, within),
        Measurement { processes: 2, ..measurement("live, across processes", 1, across) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_table_stands_for_one_measurement() {
        for extent in [Extent::Quick, Extent::All] {
            let mut rows = std::collections::HashSet::new();
            for one in plan(extent, Duration::from_millis(2)) {
                for entry in one.entries {
                    let row = (one.name.clone(), one.callers, entry.subject);
                    assert!(rows.insert(row.clone()), "{row:?} comes twice");
                }
            }
        }
    }

    #[test]
    fn quick_leaves_out_what_is_there() {
        let all = plan(Extent::All, Duration::from_millis(2));
        for (name, callers) in LEFT_OUT {
            assert!(all.iter().any(|one| (one.name.as_str(), one.callers) == (name, callers)));
        }
    }
}
