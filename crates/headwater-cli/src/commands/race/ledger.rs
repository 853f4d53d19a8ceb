//! What the writers know: which events were committed, and when they were told.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use headwater::Appended;

/// What all writers know together. Cloning is cheap and shares it.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Known>>);

/// What was committed, and how it came about.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The position of each event that was acknowledged, and the moment of that.
    pub(super) committed: Vec<(u64, Instant)>,
    /// Appends that were committed.
    pub(super) appends: u64,
    /// Those of them that lay in a transaction of the writer's.
    pub(super) late: u64,
    /// Appends that were rolled back.
    pub(super) rolled_back: u64,
    /// The longest that a writer had a transaction open.
    pub(super) longest_open: Duration,
}

impl Ledger {
    /// Notes an append at the moment when its commit was acknowledged.
    pub(super) fn committed(&self, appended: &Appended) {
        let now = Instant::now();
        let mut known = self.lock();
        known.appends += 1;
        let positions = appended.streams.iter().flat_map(|stream| &stream.positions);
        known.committed.extend(positions.map(|position| (position.0, now)));
    }

    /// Notes how long a transaction of a writer's was open, and whether it was rolled back.
    pub(super) fn was_open(&self, open: Duration, rolled_back: bool) {
        let mut known = self.lock();
        known.longest_open = known.longest_open.max(open);
        if rolled_back {
            known.rolled_back += 1;
        } else {
            known.late += 1;
        }
    }

    /// How many events were committed until now.
    pub(super) fn events(&self) -> usize {
        self.lock().committed.len()
    }

    /// Everything, in the order of positions.
    pub(super) fn into_known(self) -> Known {
        let mut known = std::mem::take(&mut *self.lock());
        known.committed.sort_unstable();
        known
    }

    // A writer that panicked has noted an event or not, and nothing half.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
