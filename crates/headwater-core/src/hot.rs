//! The aggregates that are kept in memory, within a bound: those that were used last.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

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

    /// The desk of a stream, or a new one, to be used.
    pub(crate) fn desk(&self, source: &Arc<Source<A>>, stream: &StreamName) -> InUse<'_, A> {
        let mut desks = self.desks();
        let new = || (Arc::new(Desk::new(source.clone(), stream.clone())), 0);
        let desk = desks.by_stream.get_or_insert(stream.clone(), new).0.clone();
        InUse { hot: self, desk: Some(desk) }
    }

    /// Takes in how heavy a desk is that was used. Lets it go where it alone is over the bound, and else
    /// those that were not used for the longest time, until all together keep to it. Those in use stay.
    fn weigh(&self, stream: &StreamName, heavy: usize) {
        let mut desks = self.desks();
        let Desks { by_stream, size } = &mut *desks;
        if let Some((desk, weight)) = by_stream.get_mut(stream) {
            *size = *size - *weight + heavy;
            *weight = heavy;
            if heavy > self.bound && Arc::strong_count(desk) == 1 {
                *size -= heavy;
                by_stream.pop(stream);
            }
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

/// A desk that is used. It is weighed once it no longer is, also where its user goes away.
pub(crate) struct InUse<'a, A: Aggregate> {
    hot: &'a Hot<A>,
    /// Always there, until it is dropped.
    desk: Option<Arc<Desk<A>>>,
}

impl<A: Aggregate> Deref for InUse<'_, A> {
    type Target = Arc<Desk<A>>;

    fn deref(&self) -> &Arc<Desk<A>> {
        self.desk.as_ref().expect("it is there until it is dropped")
    }
}

impl<A: Aggregate> Drop for InUse<'_, A> {
    fn drop(&mut self) {
        let Some(desk) = self.desk.take() else { return };
        // Asked before the lock is taken: somebody may just be deciding there.
        let (stream, heavy) = (desk.stream().clone(), desk.size());
        drop(desk);
        // Far from the end of the numbers, so that the sum of all is.
        self.hot.weigh(&stream, heavy.min(usize::MAX >> 16) + stream.as_str().len());
    }
}
