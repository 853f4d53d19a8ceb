//! A store over the real one, whose appends a test lets pass one by one, whose looks it holds up, and whose
//! readings it breaks off.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use headwater::{
    Append, Appended, Checkpoint, Error, EventStream, Failure, Fault, Finding, Log, Migrated,
    Parked, Position, Result, Row, StreamInfo, StreamInfos, StreamName, SubscriptionCheckpoint,
    Value,
    store::{
        Inlines, Instance, Leases, Look, Operation, ProjectionStore, Reading, Snapshot, Store,
        StoreTx, SubscriptionStore, Work,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use uuid::Uuid;

use crate::eventually;

/// What a gate does with an append.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It reaches the store.
    Pass,
    /// It fails so, and does not reach the store.
    Fail(Error),
    /// It reaches the store, and its answer is lost.
    LoseAnswer,
}

/// Holds up the appends to a log until the test says what becomes of each; counts its readings.
#[derive(Debug)]
pub struct Gate {
    log: Log,
    shared: Arc<Shared>,
    fates: mpsc::UnboundedSender<Fate>,
}

#[derive(Debug)]
struct Shared {
    behind: Mutex<Log>,
    arrived: watch::Sender<usize>,
    fates: tokio::sync::Mutex<mpsc::UnboundedReceiver<Fate>>,
    /// From which version each stream was read.
    readings: Mutex<Vec<(StreamName, u64)>>,
    /// How often the log was read, and its ceiling.
    looks: Mutex<(usize, usize)>,
    /// Whether looks are held up, after the store has answered.
    looks_held: watch::Sender<bool>,
    renewals: watch::Sender<Renewals>,
    /// What breaks readings of the log off.
    breaks: Mutex<Option<Break>>,
}

/// The renewals of leases: whether they are held up, and how many have come and gone.
#[derive(Debug, Default)]
struct Renewals {
    held: bool,
    arrived: usize,
    ended: usize,
}

#[derive(Debug)]
struct Break {
    /// How many events come before.
    after: usize,
    error: Error,
    /// Whether it is the next reading only.
    once: bool,
}

struct Gated(Arc<Shared>);

impl Gate {
    /// A gate in front of `log`, closed.
    pub fn before(log: &Log) -> Self {
        let (fates, told) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            behind: Mutex::new(log.clone()),
            arrived: watch::Sender::new(0),
            fates: tokio::sync::Mutex::new(told),
            readings: Mutex::default(),
            looks: Mutex::default(),
            looks_held: watch::Sender::new(false),
            renewals: watch::Sender::default(),
            breaks: Mutex::default(),
        });
        Self { log: Log::new(Gated(shared.clone())), shared, fates }
    }

    /// The log behind the gate, as its users see it.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until so many appends have come, those before counted.
    pub async fn arrived(&self, count: usize) {
        let there = || async { (*self.shared.arrived.borrow() >= count).then_some(()) };
        eventually("appends at the gate", there).await;
    }

    /// How many appends have come.
    pub fn arrivals(&self) -> usize {
        *self.shared.arrived.borrow()
    }

    /// Says what becomes of the next append, and of one more each time.
    pub fn next(&self, fate: Fate) {
        let _all_pass = self.fates.send(fate);
    }

    /// Lets everything pass from now on.
    pub async fn open(&self) {
        // Whoever waits holds the receiver.
        self.next(Fate::Pass);
        let mut fates = self.shared.fates.lock().await;
        fates.close();
        while fates.try_recv().is_ok() {}
    }

    /// Holds up renewals of leases until `work` has ended, which begins when the first of them has come; then
    /// waits until all of them have reached the store.
    pub async fn hold_renewals(&self, work: impl Future<Output = ()>) {
        self.shared.renewals.send_modify(|renewals| renewals.held = true);
        let mut renewals = self.shared.renewals.subscribe();
        let come = renewals.wait_for(|renewals| renewals.arrived > renewals.ended).await;
        drop(come.expect("the gate is there"));
        work.await;
        self.shared.renewals.send_modify(|renewals| renewals.held = false);
        let gone = renewals.wait_for(|renewals| renewals.arrived == renewals.ended).await;
        drop(gone.expect("the gate is there"));
    }

    /// Puts another log behind the gate, as a restored one.
    pub fn swap(&self, log: &Log) {
        *lock(&self.shared.behind) = log.clone();
    }

    /// Which streams were read since the last call, and from which version.
    pub fn readings(&self) -> Vec<(StreamName, u64)> {
        std::mem::take(&mut *lock(&self.shared.readings))
    }

    /// Breaks the next reading of the log off after so many events, as a store does that goes away.
    pub fn break_next_reading(&self, events: usize) {
        let error = Error::Unavailable { reason: "the store went away".into() };
        *lock(&self.shared.breaks) = Some(Break { after: events, error, once: true });
    }

    /// Breaks every reading of the log off after so many events.
    pub fn break_readings(&self, events: usize, error: Error) {
        *lock(&self.shared.breaks) = Some(Break { after: events, error, once: false });
    }

    /// Holds up the answers to looks at the ceiling, or lets them go.
    pub fn hold_looks(&self, hold: bool) {
        self.shared.looks_held.send_replace(hold);
    }

    /// Waits until a look is held up.
    pub async fn looked(&self) {
        let held = || async { (self.shared.looks_held.receiver_count() > 0).then_some(()) };
        eventually("a look at the gate", held).await;
    }

    /// How often the log was read since the last call, and how often its ceiling.
    pub fn looks(&self) -> (usize, usize) {
        std::mem::take(&mut *lock(&self.shared.looks))
    }
}

impl Gated {
    fn log(&self) -> Log {
        lock(&self.0.behind).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Store for Gated {
    async fn append(&self, appends: Vec<Append>) -> Result<Appended> {
        self.0.arrived.send_modify(|count| *count += 1);
        let fate = self.0.fates.lock().await.recv().await;
        let log = self.log();
        match fate.unwrap_or(Fate::Pass) {
            Fate::Pass => log.store().append(appends).await,
            Fate::Fail(error) => Err(error),
            Fate::LoseAnswer => {
                log.store().append(appends).await?;
                Err(Error::OutcomeUnknown { reason: "the answer is lost".into() })
            }
        }
    }

    fn read(&self, reading: Reading) -> EventStream {
        match &reading {
            Reading::Stream { stream, from, .. } => {
                lock(&self.0.readings).push((stream.clone(), *from));
            }
            Reading::Log { .. } => lock(&self.0.looks).0 += 1,
        }
        let of_log = matches!(reading, Reading::Log { .. });
        let events = self.log().store().read(reading);
        let mut breaks = lock(&self.0.breaks);
        let Some(Break { after, error, .. }) = breaks.as_ref().filter(|_| of_log) else {
            return events;
        };
        let (after, error) = (*after, error.clone());
        breaks.take_if(|breaks| breaks.once);
        Box::pin(events.take(after).chain(stream::once(async { Err(error) })))
    }

    async fn look(&self, after: Option<Position>) -> Result<Look> {
        lock(&self.0.looks).1 += 1;
        let look = self.log().store().look(after).await;
        let mut held = self.0.looks_held.subscribe();
        held.wait_for(|held| !held).await.expect("the gate is there");
        look
    }

    fn hints(&self) -> watch::Receiver<Instant> {
        self.log().store().hints()
    }

    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        self.log().store().stream_info(stream).await
    }

    fn streams(&self, category: Option<&str>) -> StreamInfos {
        self.log().store().streams(category)
    }

    async fn snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>> {
        self.log().store().snapshot(stream).await
    }

    async fn save_snapshot(&self, stream: &StreamName, snapshot: Snapshot) -> Result<()> {
        self.log().store().save_snapshot(stream, snapshot).await
    }

    async fn faults(&self, limit: u32) -> Result<Vec<Fault>> {
        self.log().store().faults(limit).await
    }

    async fn examine(&self, thorough: bool) -> Result<Vec<Finding>> {
        self.log().store().examine(thorough).await
    }

    async fn migrate(&self) -> Result<Migrated> {
        self.log().store().migrate().await
    }

    async fn check(&self) -> Result<()> {
        self.log().store().check().await
    }

    async fn close(&self) {
        self.log().store().close().await;
    }

    async fn describe(&self) -> Result<String> {
        self.log().store().describe().await
    }
}

#[async_trait]
impl ProjectionStore for Gated {
    async fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        self.log().store().checkpoints().await
    }

    async fn record_failure(&self, at: &Checkpoint, failure: Option<&Failure>) -> Result<()> {
        self.log().store().record_failure(at, failure).await
    }

    async fn leases(&self) -> Result<Leases> {
        self.log().store().leases().await
    }

    async fn keep_leases(
        &self,
        instance: &Instance,
        wanted: &[Work],
        lease: Duration,
    ) -> Result<Vec<Work>> {
        let (log, instance, wanted) = (self.log(), instance.clone(), wanted.to_vec());
        let shared = self.0.clone();
        // As in a store: what was sent gets there, whoever has gone meanwhile.
        let sent = tokio::spawn(async move {
            if wanted.is_empty() {
                return log.store().keep_leases(&instance, &wanted, lease).await;
            }
            shared.renewals.send_modify(|renewals| renewals.arrived += 1);
            let mut passes = shared.renewals.subscribe();
            drop(passes.wait_for(|renewals| !renewals.held).await.expect("the gate is there"));
            let kept = log.store().keep_leases(&instance, &wanted, lease).await;
            shared.renewals.send_modify(|renewals| renewals.ended += 1);
            kept
        });
        sent.await.expect("it does not panic")
    }

    async fn parked(&self, at: &Checkpoint, after: Position, limit: u32) -> Result<Vec<Parked>> {
        self.log().store().parked(at, after, limit).await
    }

    fn inlines(&self) -> Arc<Inlines> {
        self.log().store().inlines()
    }

    async fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>> {
        self.log().store().query(sql, parameters).await
    }

    async fn begin(&self) -> Result<Box<dyn StoreTx>> {
        self.log().store().begin().await
    }
}

#[async_trait]
impl SubscriptionStore for Gated {
    async fn subscriptions(&self, name: Option<&str>) -> Result<Vec<SubscriptionCheckpoint>> {
        self.log().store().subscriptions(name).await
    }

    async fn make_subscription(&self, name: &str, start: Position) -> Result<()> {
        self.log().store().make_subscription(name, start).await
    }

    async fn acknowledge(
        &self,
        at: &SubscriptionCheckpoint,
        to: Position,
        seen: Option<(Position, Uuid)>,
    ) -> Result<Option<SubscriptionCheckpoint>> {
        self.log().store().acknowledge(at, to, seen).await
    }

    async fn change_subscription(
        &self,
        to: Option<Position>,
        operation: &Operation,
    ) -> Result<bool> {
        self.log().store().change_subscription(to, operation).await
    }
}
