//! The aggregates that are kept in memory, within a bound: those of the newest commands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::{Aggregate, StreamName, desk::Desk, known::Source};

/// The desks of the aggregates of one kind.
pub(crate) struct Hot<A: Aggregate> {
    /// In bytes.
    bound: usize,
    desks: Mutex<Desks<A>>,
}

struct Desks<A: Aggregate> {
    by_stream: LruCache<StreamName, (Arc<Desk<A>>, usize)>,
    /// The sum of their sizes.
    size: usize,
}

impl<A: Aggregate> Hot<A> {
    pub(crate) fn new(bound: usize) -> Self {
        let desks = Desks { by_stream: LruCache::unbounded(), size: 0 };
        Self { bound, desks: Mutex::new(desks) }
    }

    pub(crate) fn bound(&self) -> usize {
        self.bound
    }

    /// The desk of a stream, if there is one.
    pub(crate) fn find(&self, stream: &StreamName) -> Option<Arc<Desk<A>>> {
        self.desks().by_stream.get(stream).map(|(desk, _)| desk.clone())
    }

    /// The desk of a stream, or a new one.
    pub(crate) fn desk(&self, source: &Arc<Source<A>>, stream: &StreamName) -> Arc<Desk<A>> {
        let mut desks = self.desks();
        let new = || (Arc::new(Desk::new(source.clone(), stream.clone())), 0);
        desks.by_stream.get_or_insert(stream.clone(), new).0.clone()
    }

    /// Weighs a desk that was used, and lets those go that were not used for the longest time, until
    /// all together keep to the bound. Those in use stay.
    pub(crate) fn weigh(&self, stream: &StreamName) {
        let mut desks = self.desks();
        let Desks { by_stream, size } = &mut *desks;
        if let Some((desk, weight)) = by_stream.get_mut(stream) {
            *size -= *weight;
            *weight = desk.size() + stream.as_str().len();
            *size += *weight;
        }
        for _ in 0..by_stream.len() {
            if *size <= self.bound {
                break;
            }
            let Some((stream, (desk, weight))) = by_stream.pop_lru() else { break };
            if Arc::strong_count(&desk) > 1 {
                by_stream.put(stream, (desk, weight));
            } else {
                *size -= weight;
            }
        }
    }

    fn desks(&self) -> MutexGuard<'_, Desks<A>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
