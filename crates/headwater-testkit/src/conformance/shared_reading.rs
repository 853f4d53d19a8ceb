//! Projections that are rebuilt together read the log once.

use async_trait::async_trait;
use headwater::{
    App, BatchTx, Error, Event, ExpectedVersion::Any, Log, NewEvent, Position, Progress, Recorded,
    Result, SqlProjection,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Harness, projection::app};
use crate::{
    fixtures::stream,
    gate::Gate,
    hanging::{Hanging, fill},
    within,
};

/// How often a busy machine may let one of them come too late.
const ATTEMPTS: usize = 3;

/// Rebuilds until no more readings of the log were taken than it needs.
async fn takes<F: Future<Output = usize>>(needed: usize, mut rebuild: impl FnMut() -> F) {
    for attempt in 1..=ATTEMPTS {
        let readings = rebuild().await;
        if readings == needed {
            return;
        }
        assert!(attempt < ATTEMPTS, "{readings} readings");
    }
}

/// Rebuilds four projections and finds all events in each; yields how many events each has applied, the
/// hanging one and that of parcels last, and how often the log was read.
async fn rebuild_four(gate: &Gate) -> ([u64; 4], usize) {
    let log = gate.log();
    gate.looks();
    let four = app().sql_projection(Hanging::opened()).sql_projection(Parcels);
    let rebuilt = within("a rebuild", four.rebuild(log, &[], &|_| {})).await;
    let rebuilt = rebuilt.expect("it is rebuilt");
    let (readings, _) = gate.looks();
    let cents = "select cast(sum(cents) as bigint) as n from {balances}";
    let applied = "select cast(sum(events) as bigint) as n from {applied}";
    for (sum, expected) in [(cents, 49_950), (applied, 50_000)] {
        let rows = log.query(sum, &[]).await.expect("the read model can be queried");
        assert_eq!(rows[0].get::<i64>("n").ok(), Some(expected), "{sum}");
    }
    let applied: Vec<_> = rebuilt.iter().map(|done| done.events).collect();
    (applied.try_into().expect("there are four"), readings)
}

/// One reading for all, and one for each swap.
pub async fn rebuilds_that_begin_together_read_the_log_once(harness: &dyn Harness) {
    fill(harness.log(), 50).await;
    let gate = Gate::before(harness.log());
    let rebuild = async || {
        let (events, readings) = rebuild_four(&gate).await;
        assert_eq!(events, [50_000, 50, 50_000, 0]);
        readings
    };
    takes(1 + 4, rebuild).await;
}

/// Appends a thousand events to each of so many parcels.
async fn send(log: &Log, parcels: u32) {
    for n in 0..parcels {
        let sent = (0..1_000).map(|number| NewEvent::of(&ParcelEvent::Sent { number }));
        let sent = sent.collect::<Result<Vec<_>>>().expect("they are JSON");
        log.append(&stream(&format!("parcel-{n}")), Any, sent).await.expect("it is applied");
    }
}

/// Counts events of another category than those of accounts.
struct Parcels;

#[derive(Event, Clone, Serialize, Deserialize)]
#[event(category = "parcel")]
enum ParcelEvent {
    #[event(name = "parcel.sent")]
    Sent { number: u64 },
}

#[async_trait]
impl SqlProjection for Parcels {
    type Event = ParcelEvent;
    const NAME: &'static str = "parcels";
    const TABLES: &'static [(&'static str, &'static str)] =
        &[("sent", "create table {sent} (events bigint not null)")];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<ParcelEvent>]) -> Result<()> {
        let count = i64::try_from(events.len()).expect("a test is small");
        tx.execute("insert into {sent} values ($1)", &[count.into()]).await.map(drop)
    }
}

/// What one wants and another does not is in the one reading as well.
pub async fn rebuilds_of_different_categories_share_a_reading(harness: &dyn Harness) {
    let log = harness.log();
    send(log, 12).await;
    fill(log, 50).await;
    let both = App::new().sql_projection(Hanging::opened()).sql_projection(Parcels);
    let gate = Gate::before(log);
    let rebuild = async || {
        let rebuilt = within("a rebuild", both.rebuild(gate.log(), &[], &|_| {})).await;
        let rebuilt = rebuilt.expect("it is rebuilt");
        assert_eq!((rebuilt[0].events, rebuilt[1].events), (50_000, 12_000));
        gate.looks().0
    };
    takes(1 + 2, rebuild).await;
}

/// All begin again, each where it was, and share the next one.
pub async fn a_shared_reading_that_breaks_is_shared_again(harness: &dyn Harness) {
    fill(harness.log(), 50).await;
    let gate = Gate::before(harness.log());
    let rebuild = async || {
        // Behind what was dealt out of the first batch.
        gate.break_next_reading(35_000);
        let (events, readings) = rebuild_four(&gate).await;
        assert_eq!(events, [50_000, 50, 50_000, 0]);
        readings
    };
    takes(2 + 4, rebuild).await;
}

/// A fault that lasts is told, by each that meets it.
pub async fn a_log_that_cannot_be_read_fails_the_rebuild(harness: &dyn Harness) {
    fill(harness.log(), 50).await;
    let gate = Gate::before(harness.log());
    let damaged = Error::Database { code: "damaged".into(), message: "a block is damaged".into() };
    gate.break_readings(15_000, damaged.clone());
    let both = app().sql_projection(Hanging::opened());
    let rebuilt = within("a rebuild", both.rebuild(gate.log(), &[], &|_| {})).await;
    assert_eq!(rebuilt.map(drop), Err(damaged));
}

/// What a rebuild has built before it is broken off is not built again, and what begins with it at zero is
/// built in full.
pub async fn a_rebuild_that_is_broken_off_goes_on_where_it_was(harness: &dyn Harness) {
    let log = harness.log();
    // So that the batches of the one alone do not end where those of all end.
    send(log, 1).await;
    fill(log, 50).await;
    let hangs = Notify::new();
    let tell = |progress: &Progress| {
        if progress.position > Position::START {
            hangs.notify_one();
        }
    };
    let alone = App::new().sql_projection(Hanging::default());
    let broken_off = async {
        tokio::select! {
            done = alone.rebuild(log, &[], &tell) => panic!("{done:?}"),
            () = hangs.notified() => {}
        }
    };
    within("it hangs", broken_off).await;
    let left = alone.status(log).await.expect("they have a status")[0].position;
    assert!(left > Position::START, "{left}");
    let ([balances, owners, done, parcels], _) = rebuild_four(&Gate::before(log)).await;
    assert_eq!((balances, owners, parcels), (50_000, 50, 1_000));
    // A commit that was under way when it was broken off may have come after the look.
    assert!(done <= 51_000 - left.0, "{done} from {left}");
}
