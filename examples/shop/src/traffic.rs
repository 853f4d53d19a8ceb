//! Made-up visitors, so that there is something to look at.
//!
//! All that a visitor does follows from the seed and a number: ids, choices, and where it ends. So a
//! start goes on behind as many visitors as there are visits, and completes what some before them had
//! begun.

mod mix;
mod visitor;

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Mutex as SyncMutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use headwater::{ErrorKind, Result};
use headwater_cli::{Exit, Failure, Interrupt, Options, Output};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until, timeout},
};

use self::{mix::Mix, visitor::Visitor};
use crate::{Shop, domain::catalogue::coffee_shop, length::Length};

/// Shown below the help of the command.
pub const EXAMPLES: &str = "\
Examples:
  shop traffic --rps 50 --duration 60s
  shop traffic --seed 7 --visitors 200 --mix browser=70,buyer=15,abandoner=12,canceller=3";

/// Who comes, and how fast.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TrafficOptions {
    /// Another seed, other visitors
    #[arg(long, default_value_t = 42, value_name = "NUMBER")]
    seed: u64,
    /// How many commands a second they give, on average
    #[arg(long, default_value_t = 20, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rps: u32,
    /// How many of them are in the shop at once
    #[arg(long, default_value_t = 60, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    visitors: u32,
    /// How many of each kind, as parts of all
    #[arg(long, default_value_t, value_name = "KIND=PARTS,...")]
    mix: Mix,
}

/// How long commands that are on their way may take when no more are to come.
const ANSWERS: Duration = Duration::from_secs(5);

/// The arguments of `shop traffic`.
#[derive(Clone, Debug, clap::Args)]
pub struct TrafficArgs {
    #[command(flatten)]
    options: TrafficOptions,
    /// End after so long, such as 60s or 5m; otherwise Ctrl-C does
    #[arg(long, value_name = "TIME")]
    duration: Option<Length>,
}

/// Visitors on their way through the shop.
pub(crate) struct Traffic {
    shop: Shop,
    options: TrafficOptions,
    pace: Pace,
    added: Added,
}

/// How many events of each type the log has acknowledged, and not had before.
#[derive(Default)]
struct Added(SyncMutex<BTreeMap<String, u64>>);

/// Runs `shop traffic`.
///
/// # Errors
///
/// What went wrong, with its exit code.
pub async fn run(options: &Options, args: TrafficArgs) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen(Exit::Failed)?;
    let log = options.connect().await?;
    let traffic = Traffic::new(Shop::new(&log)?, args.options);
    let end = args.duration.map(|length| Instant::now() + Duration::from(length));
    let ended = {
        let mut visitors = pin!(traffic.run());
        let failed = tokio::select! {
            () = interrupt.requested() => None,
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => None,
            failed = visitors.as_mut() => Some(failed),
        };
        match failed {
            Some(failed) => failed,
            // What is on its way is answered, and counted.
            None => tokio::select! {
                _ = timeout(ANSWERS, traffic.pace.close()) => Ok(()),
                failed = visitors => failed,
            },
        }
    };
    log.close().await;
    ended?;
    let (added, mut out) = (traffic.added.0.into_inner().unwrap_or_default(), Output::new(options));
    let events = added.values().sum::<u64>();
    if out.is_json() {
        out.object(&serde_json::json!({ "events": events, "types": added }))?;
    } else {
        added.iter().try_for_each(|(name, count)| out.line(format!("{count:8} {name}")))?;
        out.line(format!("{events:8} events were added"))?;
    }
    out.flush()
}

impl Added {
    fn count(&self, types: Vec<String>) {
        let mut added = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        types.into_iter().for_each(|name| *added.entry(name).or_default() += 1);
    }
}

impl Traffic {
    /// Visitors for a shop.
    pub(crate) fn new(shop: Shop, options: TrafficOptions) -> Self {
        let pace = Pace::new(options.rps, options.seed);
        Self { shop, options, pace, added: Added::default() }
    }

    /// Fills the catalogue, and sends visitors until it is dropped. A log that is away is waited
    /// for.
    pub(crate) async fn run(&self) -> Result<()> {
        for offer in coffee_shop() {
            let list =
                self.shop.products.execute(&offer.sku, |product| product.list(offer.clone()));
            // A refusal says that it is or was there.
            self.added.count(visitor::new_events(list.await)?);
        }
        let visitors = usize::try_from(self.options.visitors).unwrap_or(usize::MAX);
        // Some who came long before the last ones have not ended; those who have take no time.
        let begun = u64::from(self.options.visitors) * 5;
        let first = self.first_unknown().await?.saturating_sub(begun);
        stream::iter(first..).map(Ok).try_for_each_concurrent(visitors, |n| self.visit(n)).await
    }

    async fn visit(&self, number: u64) -> Result<()> {
        let visitor = Visitor::new(self.options.seed, self.options.mix, number);
        while let Err(error) = visitor.visit(&self.shop, &self.pace, &self.added).await {
            if error.kind() != ErrorKind::Retry {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    /// The number of a visitor near the first who has not been there yet: who was there before changes nothing.
    async fn first_unknown(&self) -> Result<u64> {
        let visits = self.shop.log.query("select count(*) as visits from {visits}", &[]).await;
        match visits.as_deref() {
            Ok([row]) => Ok(row.get("visits")?),
            // The read model is made at this very moment, or waits for its database.
            _ => Ok(0),
        }
    }
}

/// Lets commands through at a rate that breathes as that of a real shop does.
struct Pace {
    rate: f64,
    begun: Instant,
    next: Mutex<(Instant, StdRng)>,
    /// As many commands as may be on their way at once.
    under_way: Semaphore,
}

/// A command on its way.
type Turn<'a> = SemaphorePermit<'a>;

/// More than there are visitors.
const MANY: u32 = 1 << 20;

impl Pace {
    fn new(rps: u32, seed: u64) -> Self {
        let begun = Instant::now();
        let next = Mutex::new((begun, StdRng::seed_from_u64(seed)));
        let many = usize::try_from(MANY).unwrap_or(usize::MAX);
        Self { rate: rps.into(), begun, next, under_way: Semaphore::new(many) }
    }

    /// Lets no more commands through, and waits for those that are on their way.
    async fn close(&self) {
        let all = self.under_way.acquire_many(MANY).await;
        // None comes any more.
        all.into_iter().for_each(SemaphorePermit::forget);
    }

    /// Waits for one's turn, which is over with what is yielded; whoever came first goes first.
    async fn turn(&self) -> Turn<'_> {
        let mut next = self.next.lock().await;
        let (at, random) = &mut *next;
        sleep_until(*at).await;
        // Random gaps (exponential), on a wave of three quarters of a minute.
        let wave = 1.0 + 0.5 * (self.begun.elapsed().as_secs_f64() / 7.0).sin();
        let gap = -(1.0 - random.random::<f64>()).ln() / (self.rate * wave);
        // Who was held up catches up a moment, and not for ever.
        let earliest = Instant::now() - Duration::from_millis(100);
        *at = (*at + Duration::from_secs_f64(gap)).max(earliest);
        self.under_way.acquire().await.expect("it is never closed")
    }
}
