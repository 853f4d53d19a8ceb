//! The course of a race: everybody starts, the writers stop, the readers come to the end of the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use headwater::{ExpectedVersion, NewEvent, StreamName};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval_at, sleep, sleep_until, timeout},
};

use super::{
    RaceArgs,
    ledger::{Known, Ledger},
    place::Track,
    progress::Reporter,
    readers::{Goal, Seen, by_hand, follow, read_all},
    verdict::{Verdict, judge},
    writers::{Writer, lots},
};
use crate::{Exit, Failure, commands::close};

/// How long everybody has to come to the end, once the time is over.
const ENDING: Duration = Duration::from_secs(30);

const TICK: Duration = Duration::from_secs(1);

/// A reader, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// From the beginning on, by its number from 1.
    Follower(u32),
    /// A follower that came after so long, with a log of its own.
    Late(Duration),
    /// One that read the whole log when it was over.
    Whole,
    /// By hand, with `position > last`.
    ByHand,
}

/// What came of a race.
pub(super) struct Finish {
    pub(super) known: Known,
    pub(super) verdicts: Vec<(Reader, Verdict)>,
    /// The database in words.
    pub(super) database: String,
    /// The transaction that was open elsewhere.
    pub(super) elsewhere: String,
    /// How long the writers wrote.
    pub(super) took: Duration,
}

/// Runs a race to its end.
pub(super) async fn run(
    track: Arc<dyn Track>,
    args: &RaceArgs,
    seed: u64,
    reporter: &Reporter,
) -> Result<Finish, Failure> {
    let elsewhere = track.elsewhere().await?;
    let mut field = Field::start(&track, args, seed).await?;
    field.run_for(args.length(), reporter).await?;
    field.stop_writers().await?;
    let took = field.begun.elapsed();
    reporter.ending();
    field.finish_readers(&*track).await?;
    field.seen.push((Reader::Whole, read_all(track.log()).await?));
    let (what, database) = (elsewhere.what().to_owned(), track.log().store().describe().await?);
    elsewhere.end().await?;
    let known = field.ledger.into_known();
    let mut seen = field.seen;
    seen.sort_unstable_by_key(|(reader, _)| reader.place());
    let verdicts =
        seen.iter().map(|(reader, seen)| (*reader, judge(&known.committed, seen))).collect();
    Ok(Finish { known, verdicts, database, elsewhere: what, took })
}

impl Reader {
    /// Its place in the report.
    fn place(self) -> (u8, u32) {
        match self {
            Self::Follower(number) => (0, number),
            Self::Late(_) => (1, 0),
            Self::Whole => (2, 0),
            Self::ByHand => (3, 0),
        }
    }
}

/// Everybody who is under way. Dropping it ends them all.
struct Field {
    begun: Instant,
    ledger: Ledger,
    writers: JoinSet<Result<(), Failure>>,
    readers: JoinSet<Result<(Reader, Seen), Failure>>,
    seen: Vec<(Reader, Seen)>,
    /// How many events each follower has.
    counts: Vec<Arc<AtomicU64>>,
    stop: watch::Sender<bool>,
    goal: watch::Sender<Goal>,
}

impl Field {
    async fn start(track: &Arc<dyn Track>, args: &RaceArgs, seed: u64) -> Result<Self, Failure> {
        let mut field = Self {
            begun: Instant::now(),
            ledger: Ledger::default(),
            writers: JoinSet::new(),
            readers: JoinSet::new(),
            seen: Vec::new(),
            counts: Vec::new(),
            stop: watch::Sender::new(false),
            goal: watch::Sender::new(Goal::Open),
        };
        field.start_readers(track, args).await?;
        let mut writers = Vec::new();
        for number in 1..=args.writers {
            writers.push(Writer {
                number,
                log: track.log().clone(),
                connection: track.connect().await?,
                habits: track.habits(),
                ledger: field.ledger.clone(),
                rng: lots(seed, number),
            });
        }
        // The time of the race does not include the making of connections.
        field.begun = Instant::now();
        for writer in writers {
            field.writers.spawn(writer.write(field.stop.subscribe()));
        }
        Ok(field)
    }

    async fn start_readers(
        &mut self,
        track: &Arc<dyn Track>,
        args: &RaceArgs,
    ) -> Result<(), Failure> {
        for number in 1..=args.followers {
            let count = Arc::<AtomicU64>::default();
            self.counts.push(count.clone());
            let follower = follow(track.log().clone(), self.goal.subscribe(), count);
            self.readers.spawn(async move { Ok((Reader::Follower(number), follower.await?)) });
        }
        let by_hand = by_hand(track.connect().await?, self.goal.subscribe());
        self.readers.spawn(async move { Ok((Reader::ByHand, by_hand.await?)) });
        let (track, goal, after) = (track.clone(), self.goal.subscribe(), args.length() / 2);
        self.readers.spawn(async move {
            sleep(after).await;
            let log = track.join().await?;
            let seen = follow(log.clone(), goal, Arc::default()).await?;
            close(&log).await;
            Ok((Reader::Late(after), seen))
        });
        Ok(())
    }

    /// Lets everybody run, unless one of them fails.
    async fn run_for(&mut self, length: Duration, reporter: &Reporter) -> Result<(), Failure> {
        let end = tokio::time::Instant::from_std(self.begun + length);
        let mut ticks = interval_at(tokio::time::Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = sleep_until(end) => return Ok(()),
                _ = ticks.tick() => {
                    let behind = self.ledger.events().saturating_sub(self.slowest());
                    reporter.report(self.begun.elapsed(), self.ledger.events(), behind);
                }
                Some(ended) = self.writers.join_next() => ended.map_err(of_task)??,
                Some(ended) = self.readers.join_next() => {
                    self.seen.push(ended.map_err(of_task)??);
                }
            }
        }
    }

    fn slowest(&self) -> usize {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        usize::try_from(counts.min().unwrap_or(0)).unwrap_or(usize::MAX)
    }

    async fn stop_writers(&mut self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        let ended = async {
            while let Some(ended) = self.writers.join_next().await {
                ended.map_err(of_task)??;
            }
            Ok(())
        };
        let stuck = |_| stuck("a writer did not end its append");
        timeout(ENDING, ended).await.map_err(stuck)?
    }

    /// Lets the readers come to the last event. Those who do not in time stay where they are.
    async fn finish_readers(&mut self, track: &dyn Track) -> Result<(), Failure> {
        let last = NewEvent::from_json("race.ended", 1, "{}");
        let stream = StreamName::new("race", 1)?;
        let appended = track.log().append(&stream, ExpectedVersion::Any, [last]).await?;
        self.ledger.committed(&appended);
        self.goal.send_replace(Goal::Position(appended.position().0));
        if let Ok(gathered) = timeout(ENDING, self.gather()).await {
            return gathered;
        }
        self.goal.send_replace(Goal::Here);
        let stuck = |_| stuck("a reader gave no answer");
        timeout(ENDING, self.gather()).await.map_err(stuck)?
    }

    async fn gather(&mut self) -> Result<(), Failure> {
        while let Some(ended) = self.readers.join_next().await {
            self.seen.push(ended.map_err(of_task)??);
        }
        Ok(())
    }
}

fn stuck(what: &str) -> Failure {
    let message = format!("{what} within {} s of the end", ENDING.as_secs());
    Failure::from(headwater::Error::Unavailable { reason: message })
}

/// A task of ours that panicked; its message is on standard error.
fn of_task(error: JoinError) -> Failure {
    Failure::new(Exit::Failed, "panicked", format!("a part of the race failed: {error}"))
}
