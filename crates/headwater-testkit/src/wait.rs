//! How tests wait and how large they are: for a state with a deadline, never for a span of time.

use std::{future::Future, task::Poll, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// How long anything in a test may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until `state` yields a value.
///
/// # Panics
///
/// After a minute, naming what was waited for.
pub async fn eventually<T, F>(what: &str, mut state: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = state().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Waits for a future that ends soon, unless something is stuck.
///
/// # Panics
///
/// After a minute, naming what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Drops a future at its `wakes`-th wake, counted from 1, instead of letting it go on; `None` then.
///
/// With one number after the other, a call is dropped at each point where it waits. A time-out
/// cannot do that: it is as coarse as the runtime's clock.
pub async fn dropped_at<T>(wakes: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut polls = 0;
    std::future::poll_fn(|context| {
        if polls == wakes {
            return Poll::Ready(None);
        }
        polls += 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// How much larger than usual a test is to be: `HEADWATER_TEST_SCALE`, 1 by default.
///
/// # Panics
///
/// Where the variable is set to anything but a whole number from 1.
pub fn scale() -> u32 {
    match std::env::var("HEADWATER_TEST_SCALE") {
        Ok(value) => match value.parse() {
            Ok(scale) if scale > 0 => scale,
            _ => panic!("HEADWATER_TEST_SCALE must be a whole number from 1, and is {value:?}"),
        },
        Err(_) => 1,
    }
}

/// The seed of a test that draws lots, printed: `HEADWATER_TEST_SEED`, or a fresh one.
///
/// # Panics
///
/// Where the variable is set to anything but a whole number.
pub fn seed(test: &str) -> u64 {
    let seed = match std::env::var("HEADWATER_TEST_SEED") {
        Ok(value) => match value.parse() {
            Ok(seed) => seed,
            Err(_) => panic!("HEADWATER_TEST_SEED must be a whole number, and is {value:?}"),
        },
        Err(_) => rand::random(),
    };
    println!("{test}: HEADWATER_TEST_SEED={seed}");
    seed
}
