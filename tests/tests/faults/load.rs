//! A load of appends by many writers, and an account of what became of each.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use headwater::{
    Append, Appended, CommandError, Error, ErrorKind, ExpectedVersion, Log, NewEvent, Repository,
    Result, StreamName,
};
use headwater_testkit::{
    account::{Account, AccountEvent},
    eventually,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Duration, sleep},
};
use uuid::Uuid;

/// Over how many accounts the load goes: few, so that writers meet.
const ACCOUNTS: u32 = 24;

/// What became of an append.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Applied, with the places of its events where the writer appended them itself.
    Acknowledged(Option<Placed>),
    /// The last word was that its outcome is unknown.
    Unknown,
    /// Each try was told that nothing was written.
    NotApplied,
}

/// An append and its answer.
#[derive(Clone, Debug)]
pub struct Placed {
    pub appends: Vec<Append>,
    pub appended: Appended,
}

/// What became of each append of a load, by the append's id.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub outcomes: Vec<(Uuid, Outcome)>,
    /// The errors on the way, each with how often it came.
    pub faults: BTreeMap<String, u64>,
}

/// Called with the id of each append that was acknowledged, at once.
pub type OnAcknowledged = Arc<dyn Fn(Uuid) + Send + Sync>;

/// Writers that append until they are told to stop.
pub struct Load {
    writers: JoinSet<()>,
    ledger: Arc<Mutex<Ledger>>,
    acknowledged: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
}

impl Load {
    pub fn start(log: &Log, writers: u32, seed: u64, on_acknowledged: OnAcknowledged) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (count, acknowledged) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        for number in 0..writers {
            let writer = Writer {
                log: log.clone(),
                accounts: Repository::new(log).unwrap(),
                rng: StdRng::seed_from_u64(seed ^ u64::from(number)),
                ledger: ledger.clone(),
                count: count.clone(),
                on_acknowledged: on_acknowledged.clone(),
            };
            running.spawn(writer.run(stopped.clone()));
        }
        Self { writers: running, ledger, acknowledged, stop }
    }

    /// Waits until so many more appends were acknowledged.
    pub async fn progress(&self, more: u64) {
        let goal = *self.acknowledged.borrow() + more;
        eventually("the load goes on", async || {
            (*self.acknowledged.borrow() >= goal).then_some(())
        })
        .await;
    }

    /// Lets each writer end what it has begun.
    pub async fn stop(mut self) -> Ledger {
        self.stop.send_replace(true);
        while let Some(ended) = self.writers.join_next().await {
            ended.expect("a writer meets only errors that it may meet");
        }
        self.ledger.lock().unwrap().clone()
    }
}

struct Writer {
    log: Log,
    accounts: Repository<Account>,
    rng: StdRng,
    ledger: Arc<Mutex<Ledger>>,
    count: watch::Sender<u64>,
    on_acknowledged: OnAcknowledged,
}

impl Writer {
    async fn run(mut self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let id = Uuid::from_u128(self.rng.random());
            let outcome = if self.rng.random_bool(0.2) {
                self.command(id).await
            } else {
                let appends = draw(&mut self.rng, id);
                self.append(appends).await
            };
            if let Outcome::Acknowledged(_) = outcome {
                (self.on_acknowledged)(id);
                self.count.send_modify(|count| *count += 1);
            }
            self.ledger.lock().unwrap().outcomes.push((id, outcome));
        }
    }

    /// Appends to several streams at once.
    async fn append(&mut self, appends: Vec<Append>) -> Outcome {
        let mut perhaps = false;
        loop {
            match self.log.append_all(appends.clone()).await {
                Ok(appended) => return Outcome::Acknowledged(Some(Placed { appends, appended })),
                Err(error) => {
                    if let Some(outcome) = self.give_up(&error, &mut perhaps).await {
                        return outcome;
                    }
                }
            }
        }
    }

    /// Loads an account, decides, appends, under an id of the command's own.
    async fn command(&mut self, id: Uuid) -> Outcome {
        let account = account(&mut self.rng);
        let mut perhaps = false;
        loop {
            match command(&self.accounts, &account, id).await {
                Ok(_) => return Outcome::Acknowledged(None),
                // Others were faster again and again, or its first try was of unknown outcome and
                // came through after all: decide anew.
                Err(Error::VersionConflict { .. }) => {}
                Err(error) => {
                    if let Some(outcome) = self.give_up(&error, &mut perhaps).await {
                        return outcome;
                    }
                }
            }
        }
    }

    /// After an error that may be met: whether to try again, drawn by lot.
    async fn give_up(&mut self, error: &Error, perhaps: &mut bool) -> Option<Outcome> {
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        let fault = error.to_string();
        assert!(!fault.contains('\n'), "{fault}");
        *self.ledger.lock().unwrap().faults.entry(fault).or_default() += 1;
        *perhaps |= matches!(error, Error::OutcomeUnknown { .. });
        if self.rng.random_bool(0.5) {
            return Some(if *perhaps { Outcome::Unknown } else { Outcome::NotApplied });
        }
        sleep(Duration::from_millis(5)).await;
        None
    }
}

/// Opens the account or books a cent, in a command of this id.
pub async fn command(accounts: &Repository<Account>, account: &String, id: Uuid) -> Result<()> {
    let decide = |account: &Account| {
        let opened = AccountEvent::Opened { owner: "ada".into() };
        let booked = AccountEvent::Booked { cents: 1 };
        Ok::<_, Infallible>(vec![if account.open { booked } else { opened }])
    };
    let command = accounts.command(account).command_id(id).metadata(mark(id, 1));
    command.execute(decide).await.map(drop).map_err(CommandError::into_error)
}

/// One of the accounts, at random.
pub fn account(rng: &mut StdRng) -> String {
    format!("a{:02}", rng.random_range(0..ACCOUNTS))
}

/// The metadata by which an auditor finds the events of one append.
fn mark(id: Uuid, count: usize) -> String {
    format!(r#"{{"append":"{id}","of":{count}}}"#)
}

fn event(rng: &mut StdRng) -> AccountEvent {
    match rng.random_range(0..8) {
        0 => AccountEvent::Opened { owner: format!("o{}", rng.random_range(0..5)) },
        _ => AccountEvent::Booked { cents: rng.random_range(-500..1_000) },
    }
}

/// An append of one to four events each to one to three accounts.
pub fn draw(rng: &mut StdRng, id: Uuid) -> Vec<Append> {
    let mut accounts: Vec<_> = (0..rng.random_range(1..=3)).map(|_| account(rng)).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let events: Vec<Vec<AccountEvent>> = accounts
        .iter()
        .map(|_| {
            let count = rng.random_range(1..=4);
            (0..count).map(|_| event(rng)).collect()
        })
        .collect();
    let count = events.iter().map(Vec::len).sum();
    accounts
        .iter()
        .zip(&events)
        .map(|(account, events)| {
            let stream = StreamName::new("account", account).unwrap();
            let events = events.iter().map(|e| NewEvent::of(e).unwrap().metadata(mark(id, count)));
            Append::new(stream, ExpectedVersion::Any, events)
        })
        .collect()
}

/// Fills a log with bookings over forty accounts, in appends of a thousand.
pub async fn fill(log: &Log, events: usize) {
    let accounts: Vec<_> = (0..40).map(|n| format!("b{n:02}")).collect();
    for batch in 0..events / 1_000 {
        let append = |(n, account)| {
            let owner = AccountEvent::Opened { owner: format!("o{}", n % 5) };
            let first = (batch == 0).then_some(owner);
            let booked = AccountEvent::Booked { cents: 7 };
            let events = first.into_iter().chain(std::iter::repeat(booked)).take(25);
            let stream = StreamName::new("account", account).unwrap();
            Append::new(stream, ExpectedVersion::Any, events.map(|e| NewEvent::of(&e).unwrap()))
        };
        log.append_all(accounts.iter().enumerate().map(append)).await.unwrap();
    }
}

/// Books a cent.
pub async fn book(log: &Log, account: u32) -> Appended {
    let stream = StreamName::new("account", format!("b{account:02}")).unwrap();
    let event = NewEvent::of(&AccountEvent::Booked { cents: 1 }).unwrap();
    log.append(&stream, ExpectedVersion::Any, [event]).await.unwrap()
}
