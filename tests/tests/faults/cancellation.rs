//! Callers that go away: futures of every kind are dropped at random points, under load.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{TryStreamExt as _, future::join_all};
use headwater::{
    Append, Cursor, ErrorKind, Filter, Log, Pools, Position, Repository, Result, connect,
};
use headwater_testkit::{
    account::{Account, Balance},
    dropped_at, eventually,
    fixtures::stream,
    postgres::{self, direct},
    scale, seed, within,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{task::JoinSet, time::timeout};
use uuid::Uuid;

use crate::{
    audit::{Audit, app, caught_up},
    load::{Ledger, Load, Outcome, account, command, draw, fill},
};

/// How often each of six asks for something; about half of that is dropped.
const ROUNDS: u32 = 80;

/// Somebody who loses patience again and again, with whatever he has asked for.
struct Impatient {
    log: Log,
    accounts: Repository<Account>,
    rng: StdRng,
    /// His appends that were applied before he went away.
    ledger: Ledger,
    /// Those that he did not wait for.
    left: Vec<(Uuid, Left)>,
    cursor: Cursor,
    seen: Vec<Uuid>,
    waited: u32,
    dropped: u32,
}

impl Impatient {
    fn new(log: &Log, seed: u64) -> Self {
        Self {
            log: log.clone(),
            accounts: Repository::new(log).unwrap(),
            rng: StdRng::seed_from_u64(seed),
            ledger: Ledger::default(),
            left: Vec::new(),
            cursor: log.subscribe(Filter::all(), Position::START),
            seen: Vec::new(),
            waited: 0,
            dropped: 0,
        }
    }

    async fn run(mut self, rounds: u32) -> Self {
        for _ in 0..rounds {
            let patience = Patience::draw(&mut self.rng);
            if let Some(()) = self.ask(patience).await {
                self.waited += 1;
            } else {
                self.dropped += 1;
            }
        }
        self
    }

    /// Asks for something; `None` where it was dropped.
    async fn ask(&mut self, patience: Patience) -> Option<()> {
        let log = self.log.clone();
        match self.rng.random_range(0..14) {
            0 | 1 => self.append(patience).await,
            2 => self.command(patience).await,
            3 => {
                let batch = patience.bear(self.cursor.next_batch(50)).await?;
                let batch = available(batch)?;
                self.seen.extend(batch.events.iter().map(|event| event.id));
                Some(())
            }
            4 => {
                let mut read = log.read(Filter::all(), Position::START);
                let all = async { while available(read.try_next().await).flatten().is_some() {} };
                patience.bear(all).await
            }
            5 => {
                let name = stream(&format!("account-{}", account(&mut self.rng)));
                let read = log.read_stream(&name, 1).try_collect::<Vec<_>>();
                patience.bear(read).await.and_then(available).map(drop)
            }
            6 => {
                let found = patience.bear(log.find::<Balance>("", &[])).await;
                found.and_then(available).map(drop)
            }
            7 => patience.bear(app().status(&log)).await.and_then(available).map(drop),
            8 => patience.bear(app().catch_up(&log)).await.and_then(available),
            9 => {
                // It ends with an error only.
                let run = timeout(Duration::from_millis(200), async { app().run(&log).await });
                patience.bear(run).await?.ok().and_then(available)
            }
            10 => {
                let id = account(&mut self.rng);
                patience.bear(self.accounts.load(&id)).await.and_then(available).map(drop)
            }
            11 => {
                let streams = log.streams(None).try_collect::<Vec<_>>();
                patience.bear(streams).await.and_then(available).map(drop)
            }
            12 => {
                let id = self.seen.first().copied().unwrap_or_default();
                patience.bear(log.event(id)).await.and_then(available).map(drop)
            }
            _ => {
                let rebuilt = patience.bear(app().rebuild(&log, &[], &|_| {})).await;
                rebuilt.and_then(available).map(drop)
            }
        }
    }

    async fn append(&mut self, patience: Patience) -> Option<()> {
        let id = Uuid::from_u128(self.rng.random());
        let left = Left::Append(draw(&mut self.rng, id));
        self.write(id, left, patience).await
    }

    async fn command(&mut self, patience: Patience) -> Option<()> {
        let id = Uuid::from_u128(self.rng.random());
        let left = Left::Command(account(&mut self.rng));
        self.write(id, left, patience).await
    }

    async fn write(&mut self, id: Uuid, left: Left, patience: Patience) -> Option<()> {
        let sent = patience.bear(left.send(&self.log, &self.accounts, id)).await;
        let done = sent.and_then(available);
        match done {
            Some(()) => self.ledger.outcomes.push((id, Outcome::Acknowledged(None))),
            None => self.left.push((id, left)),
        }
        done
    }

    /// Comes back, and asks again for what he had left: whether it was applied or not, now it is,
    /// once.
    async fn come_back(&mut self) {
        for (id, left) in std::mem::take(&mut self.left) {
            let sent = async {
                while available(left.send(&self.log, &self.accounts, id).await).is_none() {}
            };
            within("what was left is asked for again", sent).await;
            self.ledger.outcomes.push((id, Outcome::Acknowledged(None)));
        }
    }
}

/// How long somebody waits: a time-out is as coarse as the runtime's clock, so wakes are counted too.
#[derive(Clone, Copy)]
enum Patience {
    Time(Duration),
    Wakes(usize),
}

impl Patience {
    fn draw(rng: &mut StdRng) -> Self {
        if rng.random() {
            Self::Time(Duration::from_micros(1 << rng.random_range(0..20)))
        } else {
            Self::Wakes(rng.random_range(0..16))
        }
    }

    /// What the future yields; `None` where it was dropped.
    async fn bear<T>(self, future: impl Future<Output = T>) -> Option<T> {
        match self {
            Self::Time(time) => timeout(time, future).await.ok(),
            Self::Wakes(wakes) => dropped_at(wakes, future).await,
        }
    }
}

/// What somebody did not wait for.
enum Left {
    Append(Vec<Append>),
    Command(String),
}

impl Left {
    async fn send(&self, log: &Log, accounts: &Repository<Account>, id: Uuid) -> Result<()> {
        match self {
            Self::Append(appends) => log.append_all(appends.clone()).await.map(drop),
            Self::Command(account) => command(accounts, account, id).await,
        }
    }
}

/// What came, unless the crowd was too large: then it may be tried again.
fn available<T>(answer: Result<T>) -> Option<T> {
    answer.inspect_err(|error| assert_eq!(error.kind(), ErrorKind::Retry, "{error}")).ok()
}

/// Each campaign has a log of its own: in a log that grows as they go on, few calls would end.
fn seeds(test: &str) -> impl Iterator<Item = u64> {
    let mut lots = StdRng::seed_from_u64(seed(test));
    (0..scale()).map(move |_| lots.random())
}

async fn drop_and_audit(url: &str, seed: u64) {
    println!("a campaign of seed {seed}");
    let log = connect(url).await.unwrap();
    fill(&log, 1_000).await;
    app().catch_up(&log).await.unwrap();
    let load = Load::start(&log, 4, seed, Arc::new(|_| {}));
    let mut impatient = JoinSet::new();
    for number in 0..6 {
        impatient.spawn(Impatient::new(&log, !seed ^ number).run(ROUNDS));
    }
    let mut impatient = impatient.join_all().await;
    let mut ledger = load.stop().await;
    for one in &mut impatient {
        one.come_back().await;
    }
    // No connection was lost to those who went away.
    if url.starts_with("postgres") {
        sessions_are_free(url).await;
    }
    let many = join_all((0..40).map(|_| log.find::<Balance>("", &[])));
    for found in within("forty queries at once", many).await {
        found.unwrap();
    }
    within("the projections catch up", app().catch_up(&log)).await.unwrap();
    let audit = Audit::of(&log).await;
    audit.agrees_with_read_models(&log).await;
    let ids: Vec<_> = audit.events.iter().map(|event| event.id).collect();
    let dropped: u32 = impatient.iter().map(|one| one.dropped).sum();
    let waited: u32 = impatient.iter().map(|one| one.waited).sum();
    println!("{dropped} futures were dropped, {waited} waited for");
    assert!(dropped > ROUNDS, "only {dropped} futures were dropped, {waited} waited for");
    for mut one in impatient {
        ledger.outcomes.append(&mut one.ledger.outcomes);
        while one.seen.len() < ids.len() {
            if let Some(batch) = available(within("the rest", one.cursor.next_batch(1_000)).await) {
                one.seen.extend(batch.events.iter().map(|event| event.id));
            }
        }
        assert!(one.seen == ids, "a cursor lost or doubled an event");
    }
    audit.agrees_with(&ledger);
    let rebuilt = within("a rebuild", app().rebuild(&log, &[], &|_| {})).await.unwrap();
    assert_eq!(rebuilt.len(), 2);
    caught_up(&log).await;
    audit.agrees_with_read_models(&log).await;
    log.close().await;
}

/// Within five seconds no session is at work or in a transaction, and there are no more than the pools have,
/// and the listener.
async fn sessions_are_free(url: &str) {
    let Pools { appends, held_appends, transactions, readings, looks, queries } = Pools::default();
    let most = 1 + appends + held_appends + transactions + readings + looks + queries;
    let (begun, seen) = (Instant::now(), Cell::new((0, 0)));
    let free = eventually("sessions are free", async || {
        let sessions = sqlx::query_as(
            "select count(*), count(*) filter (where state <> 'idle') from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'",
        );
        let (all, busy): (i64, i64) = sessions.fetch_one(&mut direct(url).await).await.unwrap();
        seen.set((busy, all));
        (busy == 0 && all <= i64::from(most)).then_some(())
    });
    let in_time = timeout(Duration::from_secs(5), free).await.is_ok();
    let (busy, all) = seen.get();
    assert!(in_time, "{busy} of {all} sessions are at work after {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_on_sqlite_may_go_away_at_any_moment() {
    for seed in seeds("cancellation_on_sqlite") {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("log.db").display());
        drop_and_audit(&url, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_on_sqlite_in_memory_may_go_away_at_any_moment() {
    for seed in seeds("cancellation_in_memory") {
        drop_and_audit("sqlite::memory:", seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_on_postgresql_may_go_away_at_any_moment() {
    for seed in seeds("cancellation_on_postgresql") {
        let database = postgres::database().await;
        drop_and_audit(database.url(), seed).await;
    }
}
