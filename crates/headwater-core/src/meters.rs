//! What a log counts as it goes: handles that are made once, when it is opened.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram};
use tokio::time::Instant;

use crate::{
    Appended, Ceiling, Error, Position, Result,
    metrics::{
        APPEND_SECONDS, APPENDED_EVENTS, APPENDS, CEILING_HELD_SECONDS, CEILING_POSITION, number,
    },
};

/// Counts how appends end.
pub(crate) struct AppendMeter {
    applied: Counter,
    repeated: Counter,
    conflict: Counter,
    overloaded: Counter,
    unknown: Counter,
    failed: Counter,
    events: Counter,
    seconds: Histogram,
}

impl AppendMeter {
    pub(crate) fn new() -> Self {
        let outcome = |word| APPENDS.counter(&[word]);
        Self {
            applied: outcome("applied"),
            repeated: outcome("repeated"),
            conflict: outcome("conflict"),
            overloaded: outcome("overloaded"),
            unknown: outcome("unknown"),
            failed: outcome("failed"),
            events: APPENDED_EVENTS.counter(&[]),
            seconds: APPEND_SECONDS.histogram(&[]),
        }
    }

    /// An append of so many events has ended.
    pub(crate) fn ended(&self, outcome: &Result<Appended>, events: usize, took: Duration) {
        self.seconds.record(took);
        let counter = match outcome {
            Ok(appended) if appended.repeated => &self.repeated,
            Ok(_) => {
                self.events.increment(u64::try_from(events).unwrap_or(u64::MAX));
                &self.applied
            }
            Err(Error::VersionConflict { .. }) => &self.conflict,
            Err(Error::Overloaded) => &self.overloaded,
            Err(Error::OutcomeUnknown { .. }) => &self.unknown,
            Err(_) => &self.failed,
        };
        counter.increment(1);
    }
}

/// Tells where the ceiling is, and for how long it has been held there.
pub(crate) struct CeilingMeter {
    position: Gauge,
    held: Gauge,
    /// Since when writers hold it, and where.
    since: Mutex<Option<(Position, Instant)>>,
}

impl Default for CeilingMeter {
    fn default() -> Self {
        Self {
            position: CEILING_POSITION.gauge(&[]),
            held: CEILING_HELD_SECONDS.gauge(&[]),
            since: Mutex::default(),
        }
    }
}

impl CeilingMeter {
    /// A look that began `now` has found this.
    pub(crate) fn found(&self, ceiling: &Ceiling, now: Instant) {
        self.position.set(number(ceiling.position.0));
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = match *since {
            _ if !ceiling.unsettled => None,
            Some((position, first)) if position == ceiling.position => Some((position, first)),
            _ => Some((ceiling.position, now)),
        };
        self.held.set(since.map_or(Duration::ZERO, |(_, first)| now - first));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    fn meter() -> (AppendMeter, [Arc<AtomicU64>; 7]) {
        let counts: [Arc<AtomicU64>; 7] = Default::default();
        let [applied, repeated, conflict, overloaded, unknown, failed, events] =
            counts.clone().map(Counter::from_arc);
        let seconds = Histogram::noop();
        let meter = AppendMeter {
            applied,
            repeated,
            conflict,
            overloaded,
            unknown,
            failed,
            events,
            seconds,
        };
        (meter, counts)
    }

    #[test]
    fn an_append_of_unknown_outcome_is_neither_applied_nor_failed() {
        let (meter, counts) = meter();
        let unknown = Err(Error::OutcomeUnknown { reason: "the answer was lost".into() });
        meter.ended(&unknown, 3, Duration::ZERO);
        assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_ceiling_is_held_for_as_long_as_writers_are_under_way_and_it_does_not_rise() {
        let (held, meter) = (Arc::new(AtomicU64::new(0)), CeilingMeter::default());
        let meter = CeilingMeter { held: Gauge::from_arc(held.clone()), ..meter };
        let begun = Instant::now();
        let held_after = |millis, position, unsettled| {
            let ceiling = Ceiling { position: Position(position), unsettled };
            meter.found(&ceiling, begun + Duration::from_millis(millis));
            f64::from_bits(held.load(Ordering::Relaxed))
        };
        assert_eq!(held_after(0, 5, true), 0.0);
        assert_eq!(held_after(1_500, 5, true), 1.5);
        assert_eq!(held_after(2_000, 6, true), 0.0, "it has risen");
        assert_eq!(held_after(2_500, 6, true), 0.5);
        assert_eq!(held_after(3_000, 6, false), 0.0, "nobody is under way");
        assert_eq!(held_after(4_000, 6, true), 0.0);
    }
}
