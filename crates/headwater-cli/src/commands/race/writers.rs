//! The writers: at once through the log, or in a transaction of their own that commits late or is
//! rolled back.

use std::time::Duration;

use headwater::{Append, ExpectedVersion, Log, NewEvent, StreamName};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;

use super::{
    ledger::Ledger,
    place::{Connection, End, Habits},
};
use crate::Failure;

/// How long a writer thinks between two appends, at most. Without a pause it would be the disk that
/// is tried, and not the order.
const PAUSE: Duration = Duration::from_millis(10);

/// How many streams all writers share. A transaction that waits for one of them is open as well, and
/// too many that wait would be a race of their own.
const SHARED: u32 = 8;

/// How many events an append has at most.
const EVENTS: u64 = 3;

/// One of the writers.
pub(super) struct Writer {
    pub(super) number: u32,
    pub(super) log: Log,
    pub(super) connection: Box<dyn Connection>,
    pub(super) habits: Habits,
    pub(super) ledger: Ledger,
    pub(super) rng: StdRng,
}

/// What to do with the next append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    AtOnce,
    InTransaction(Duration, End),
}

/// The lots that a writer draws: the same for the same seed.
pub(super) fn lots(seed: u64, number: u32) -> StdRng {
    StdRng::seed_from_u64(seed ^ (u64::from(number) << 32))
}

impl Writer {
    /// Appends until it is told to stop; what it has begun it ends.
    pub(super) async fn write(mut self, stopped: watch::Receiver<bool>) -> Result<(), Failure> {
        let mut written = 0;
        while !*stopped.borrow() {
            let append = self.draw_append(&mut written)?;
            match draw(&mut self.rng, self.habits) {
                Plan::AtOnce => {
                    let appended = self.log.append_all([append]).await?;
                    self.ledger.committed(&appended);
                }
                Plan::InTransaction(open, end) => self.in_transaction(append, open, end).await?,
            }
            tokio::time::sleep(self.rng.random_range(Duration::ZERO..PAUSE)).await;
        }
        Ok(())
    }

    async fn in_transaction(
        &mut self,
        append: Append,
        open: Duration,
        end: End,
    ) -> Result<(), Failure> {
        let ended = self.connection.append_in(append, open, end).await?;
        if end == End::Commit {
            self.ledger.committed(&ended.appended);
        }
        self.ledger.was_open(ended.open, end == End::Rollback);
        Ok(())
    }

    fn draw_append(&mut self, written: &mut u64) -> Result<Append, Failure> {
        // A stream of its own mostly, since a late one holds up all writers of its stream.
        let stream = if self.rng.random_bool(0.05) {
            StreamName::new("shared", self.rng.random_range(1..=SHARED))?
        } else {
            StreamName::new("writer", self.number)?
        };
        let events = (0..self.rng.random_range(1..=EVENTS)).map(|_| {
            *written += 1;
            let data = format!(r#"{{"writer":{},"number":{written}}}"#, self.number);
            NewEvent::from_json("race.ran", 1, data)
        });
        let events: Vec<_> = events.collect();
        Ok(Append::new(stream, ExpectedVersion::Any, events))
    }
}

fn draw(rng: &mut StdRng, habits: Habits) -> Plan {
    let longest = if rng.random_bool(0.01) { habits.long } else { habits.open };
    let open = rng.random_range(Duration::ZERO..longest);
    let lot = rng.random_range(0..10);
    if lot < habits.at_once {
        Plan::AtOnce
    } else if lot < habits.at_once + habits.rolled_back {
        Plan::InTransaction(open, End::Rollback)
    } else {
        Plan::InTransaction(open, End::Commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HABITS: Habits = Habits {
        at_once: 4,
        rolled_back: 1,
        open: Duration::from_millis(60),
        long: Duration::from_millis(300),
    };

    fn plans(seed: u64, number: u32) -> Vec<Plan> {
        let mut rng = lots(seed, number);
        (0..1_000).map(|_| draw(&mut rng, HABITS)).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_plans_and_each_writer_its_own() {
        assert_eq!(plans(7, 1), plans(7, 1));
        assert_ne!(plans(7, 1), plans(7, 2));
        assert_ne!(plans(7, 1), plans(8, 1));
    }

    #[test]
    fn some_commit_at_once_some_late_and_some_never() {
        let plans = plans(7, 1);
        let rolled_back = |plan: &&Plan| matches!(plan, Plan::InTransaction(_, End::Rollback));
        let at_once = plans.iter().filter(|plan| **plan == Plan::AtOnce).count();
        let rolled_back = plans.iter().filter(rolled_back).count();
        assert!((300..500).contains(&at_once), "{at_once}");
        assert!((50..200).contains(&rolled_back), "{rolled_back}");
    }
}
