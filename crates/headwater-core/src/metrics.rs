//! What Headwater tells a recorder of the crate [`metrics`](https://docs.rs/metrics), all of it in this table.
//!
//! Where the program installs no recorder, nothing is kept. Handles are made when a log is opened and when
//! projections begin to run: install the recorder before that. A label is the name of a projection or a subscription, or a word of
//! this table, never a stream's name or what an event holds. `docs/metrics.md` shows the table to people.

use ::metrics::{Counter, Gauge, Histogram, Label, Unit};

/// A metric: its name, and what it says.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// The name, by the conventions of Prometheus.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts or measures.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence for people.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the process.
    Counter,
    /// It is what it was when it was last looked at.
    Gauge,
    /// It says how often which sizes came.
    Histogram,
}

macro_rules! metrics {
    ($(#[doc = $help:literal] $metric:ident = $kind:ident $name:literal $unit:ident [$($label:literal),*];)+) => {
        $(
            #[doc = $help]
            pub const $metric: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help.trim_ascii(),
            };
        )+

        /// Every metric.
        pub const ALL: &[Metric] = &[$($metric),+];
    };
}

metrics! {
    /// Appends that have ended: applied, repeated, conflict, overloaded, unknown or failed.
    APPENDS = Counter "headwater_appends_total" Count ["outcome"];
    /// Events that appends have written.
    APPENDED_EVENTS = Counter "headwater_appended_events_total" Count [];
    /// How long an append took, from the call to its outcome.
    APPEND_SECONDS = Histogram "headwater_append_seconds" Seconds [];
    /// How many events went to the database together, in one group.
    APPEND_GROUP_EVENTS = Histogram "headwater_append_group_events" Count [];
    /// Places of the queue that are taken: one for each event that waits or is under way, more for a large one.
    APPEND_QUEUE_PLACES = Gauge "headwater_append_queue_places" Count [];
    /// The position that readers may read up to: the head of the log for every projection.
    CEILING_POSITION = Gauge "headwater_ceiling_position" Count [];
    /// How many positions above the ceiling were drawn at the last look, as far as PostgreSQL tells.
    CEILING_LAG_POSITIONS = Gauge "headwater_ceiling_lag_positions" Count [];
    /// For how long writers that are under way have held the ceiling where it is; 0 where it rises.
    CEILING_HELD_SECONDS = Gauge "headwater_ceiling_held_seconds" Seconds [];
    /// How long a unit of work waited for a connection to PostgreSQL.
    CONNECTION_WAIT_SECONDS = Histogram "headwater_connection_wait_seconds" Seconds ["pool"];
    /// Everything up to this position is in the read model in service.
    PROJECTION_POSITION = Gauge "headwater_projection_position" Count ["projection"];
    /// How many positions the read model in service is behind the log; holes count.
    PROJECTION_LAG_POSITIONS = Gauge "headwater_projection_lag_positions" Count ["projection"];
    /// The age of the oldest event that the read model in service may lack; 0 where it lacks none.
    PROJECTION_LAG_SECONDS = Gauge "headwater_projection_lag_seconds" Seconds ["projection"];
    /// 1 for the state that the projection is in, 0 for the others: running, unowned, paused or failed.
    PROJECTION_STATE = Gauge "headwater_projection_state" Count ["projection", "state"];
    /// Events that the read model in service lacks since they are set aside.
    PROJECTION_PARKED_EVENTS = Gauge "headwater_projection_parked_events" Count ["projection"];
    /// How often an operator had the read model in service leave events out, or moved it; a rebuild takes in what its code can apply.
    PROJECTION_SKIPS = Gauge "headwater_projection_skips" Count ["projection"];
    /// 1 where this instance has the lease on the read model in service.
    PROJECTION_LEASE_HELD = Gauge "headwater_projection_lease_held" Count ["projection"];
    /// Events that this instance has applied to the read model in service.
    PROJECTION_EVENTS = Counter "headwater_projection_events_total" Count ["projection"];
    /// How long a batch took, from its first event to the commit; its count is the number of batches.
    PROJECTION_BATCH_SECONDS = Histogram "headwater_projection_batch_seconds" Seconds ["projection"];
    /// How much of the log the next generation holds, from 0 to 1; 0 where none is built.
    REBUILD_PROGRESS_RATIO = Gauge "headwater_rebuild_progress_ratio" Count ["projection"];
    /// Events that this instance has applied to generations that it builds.
    REBUILD_EVENTS = Counter "headwater_rebuild_events_total" Count ["projection"];
    /// How many positions a subscription whose place the log keeps is behind the log; holes count.
    SUBSCRIPTION_LAG_POSITIONS = Gauge "headwater_subscription_lag_positions" Count ["subscription"];
    /// When this instance last looked at the leases of its projections, in seconds since 1970.
    LEASES_LOOKED = Gauge "headwater_leases_looked_timestamp_seconds" Seconds [];
}

/// The upper bounds of a histogram of times: from a commit on a quick disk to a statement's deadline.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// The upper bounds of a histogram of numbers of events.
const EVENTS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];

/// Tells the recorder what each metric means. Call it once, after the recorder was installed.
pub fn describe() {
    for Metric { name, kind, unit, help, .. } in ALL.iter().copied() {
        match kind {
            Kind::Counter => ::metrics::describe_counter!(name, unit, help),
            Kind::Gauge => ::metrics::describe_gauge!(name, unit, help),
            Kind::Histogram => ::metrics::describe_histogram!(name, unit, help),
        }
    }
}

impl Metric {
    /// The upper bounds of a histogram's buckets, for a recorder that wants them; the last one is infinite.
    pub fn buckets(&self) -> &'static [f64] {
        match (self.kind, self.unit) {
            (Kind::Histogram, Unit::Seconds) => &SECONDS,
            (Kind::Histogram, _) => &EVENTS,
            _ => &[],
        }
    }

    /// A handle on the counter with these values of its labels. Making one takes a lock: keep it.
    pub fn counter(&self, values: &[&str]) -> Counter {
        ::metrics::counter!(self.name, self.labelled(values))
    }

    /// The same for a gauge.
    pub fn gauge(&self, values: &[&str]) -> Gauge {
        ::metrics::gauge!(self.name, self.labelled(values))
    }

    /// The same for a histogram.
    pub fn histogram(&self, values: &[&str]) -> Histogram {
        ::metrics::histogram!(self.name, self.labelled(values))
    }

    fn labelled(&self, values: &[&str]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), values.len(), "the labels of {}", self.name);
        let label = |(name, value): (&&'static str, &&str)| Label::new(*name, (*value).to_owned());
        self.labels.iter().zip(values).map(label).collect()
    }
}

/// A number of events or positions as a recorder takes it: exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "recorders take nothing else")]
pub fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_name_tells_its_kind_and_its_unit_by_the_conventions_of_prometheus() {
        let names: HashSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name is used twice");
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("headwater_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_seconds"), metric.unit == Unit::Seconds, "{name}");
            assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{name}");
        }
    }

    #[test]
    fn no_label_can_hold_what_users_write() {
        let labels: HashSet<_> = ALL.iter().flat_map(|metric| metric.labels).copied().collect();
        let known = ["outcome", "pool", "projection", "state", "subscription"];
        assert_eq!(labels, HashSet::from(known));
    }
}
