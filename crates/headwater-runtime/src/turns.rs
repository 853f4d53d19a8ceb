//! Turns to work, for projections that are rebuilt together.

use std::{num::NonZero, pin::pin, thread, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

/// How many decode, fold and write at once, at least and at most: each fills a processor, and takes one of
/// the few connections for transactions.
const AT_ONCE: (usize, usize) = (2, 3);

/// How long a turn lasts. Whoever works for longer waits for something, and others need not.
const LONGEST: Duration = Duration::from_secs(5);

/// The turns of all.
pub(crate) struct Turns(Semaphore);

impl Turns {
    /// As many as this machine has processors, within bounds.
    pub(crate) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(AT_ONCE.0, NonZero::get);
        Self(Semaphore::new(processors.clamp(AT_ONCE.0, AT_ONCE.1)))
    }

    /// Waits for a turn, and works.
    pub(crate) async fn take<T>(&self, work: impl Future<Output = T>) -> T {
        let turn = self.0.acquire().await.expect("nobody closes it");
        let mut work = pin!(work);
        match timeout(LONGEST, &mut work).await {
            Ok(done) => done,
            Err(_elapsed) => {
                drop(turn);
                work.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::future::{join_all, select};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_that_hang_leave_their_turns_to_others() {
        let turns = Turns::new();
        let hang = join_all((0..9).map(|_| turns.take(pending::<()>())));
        let work = async {
            tokio::task::yield_now().await;
            turns.take(ready(())).await;
        };
        let (hang, work) = (pin!(hang), pin!(work));
        let done = timeout(Duration::from_secs(60), select(hang, work)).await;
        assert!(done.is_ok(), "it waits for those that hang");
    }
}
