//! The pulse of an instance: when its keeper last looked at the leases.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::Utc;
use headwater_core::metrics::LEASES_LOOKED;
use metrics::Gauge;
use tokio::time::Instant;

/// When the keeper last looked; nothing where none is at work. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// A keeper is at work, until what this yields is dropped.
    pub(crate) fn begin(&self) -> Beating {
        let beating = Beating { pulse: self.clone(), looked: LEASES_LOOKED.gauge(&[]) };
        self.set(Some(Instant::now()));
        beating
    }

    /// How long ago the keeper has looked.
    pub(crate) fn since_last(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|last| last.elapsed())
    }

    fn set(&self, last: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

/// A keeper that is at work.
pub(crate) struct Beating {
    pulse: Pulse,
    looked: Gauge,
}

impl Beating {
    /// It has looked now.
    pub(crate) fn beat(&self) {
        self.pulse.set(Some(Instant::now()));
        self.looked.set(f64::from(u32::try_from(Utc::now().timestamp()).unwrap_or(u32::MAX)));
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.pulse.set(None);
    }
}
