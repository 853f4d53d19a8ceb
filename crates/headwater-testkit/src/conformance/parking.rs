//! Events that a projection cannot apply: each declared policy does what it says, and nothing is passed
//! over without a trace.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{TryStreamExt as _, future::join};
use headwater::{
    App, BatchTx, Builds, Error,
    ExpectedVersion::Any,
    FailurePolicy,
    GenerationState::{Building, Live},
    Log, NewEvent, Operator, Parked, Position, Recorded, Result, SqlProjection,
};

use tokio::time::sleep;

use super::{
    Harness, operator,
    projection::{book, open, run_while},
};
use crate::{
    account::AccountEvent,
    eventually,
    fixtures::{failure, stream},
    within,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// What the projections of a test do about bookings of 13 cents.
#[derive(Clone, Default)]
pub(super) struct Code {
    /// Whether the code has been mended.
    mended: Arc<AtomicBool>,
    /// How often such a booking was tried.
    tries: Arc<AtomicU32>,
    /// Whether the next part is to take its time.
    slow: Arc<AtomicBool>,
}

impl Code {
    /// Runs this while the work is within a part.
    pub(super) async fn within_a_part<W: Future, T>(
        &self,
        work: W,
        meanwhile: impl Future<Output = T>,
    ) -> (W::Output, T) {
        self.slow.store(true, SeqCst);
        let meanwhile = async {
            let begun = async || (!self.slow.load(SeqCst)).then_some(());
            eventually("a part is begun", begun).await;
            meanwhile.await
        };
        within("the work", join(work, meanwhile)).await
    }
}

/// Writes each booking down, one of 13 cents only where its code is mended.
macro_rules! ledger {
    ($ledger:ident, $name:literal, $policy:expr) => {
        pub(super) struct $ledger(pub(super) Code);

        #[async_trait]
        impl SqlProjection for $ledger {
            type Event = AccountEvent;
            const NAME: &'static str = $name;
            const ON_FAILURE: FailurePolicy = $policy;
            const TABLES: &'static [(&'static str, &'static str)] = &[(
                $name,
                concat!(
                    "create table {",
                    $name,
                    "} (stream text not null, version bigint not null, cents bigint not null, \
                     primary key (stream, version))"
                ),
            )];

            async fn apply(
                &self,
                tx: &mut BatchTx<'_>,
                events: &[Recorded<AccountEvent>],
            ) -> Result<()> {
                if self.0.slow.swap(false, SeqCst) {
                    sleep(Duration::from_millis(300)).await;
                }
                for event in events {
                    let AccountEvent::Booked { cents } = event.event else { continue };
                    if cents == 13 {
                        self.0.tries.fetch_add(1, SeqCst);
                        assert!(self.0.mended.load(SeqCst), "on purpose");
                    }
                    let version = i64::try_from(event.version).expect("there are few");
                    let row = [event.stream.as_str().into(), version.into(), cents.into()];
                    tx.execute(concat!("insert into {", $name, "} values ($1, $2, $3)"), &row)
                        .await?;
                }
                Ok(())
            }
        }
    };
}

ledger!(Parking, "parking", FailurePolicy::PARK);
ledger!(ParkingAlone, "parking_alone", FailurePolicy::PARK_ALONE);
ledger!(Trying, "trying", FailurePolicy::STOP.retries(2));
ledger!(Persistent, "persistent", FailurePolicy::PARK.retries(20));
// The same projection as `Parking`, declared otherwise.
ledger!(Stopping, "parking", FailurePolicy::STOP);

/// The rows of a ledger: stream, version and cents.
async fn rows(log: &Log, name: &str) -> Vec<(String, i64, i64)> {
    let sql = format!("select stream, version, cents from {{{name}}} order by stream, version");
    let rows = log.query(&sql, &[]).await.expect("the read model can be queried");
    let row = |row: &headwater::Row| {
        Ok::<_, Error>((row.get("stream")?, row.get("version")?, row.get("cents")?))
    };
    rows.iter().map(row).collect::<Result<_>>().expect("they are as declared")
}

fn row(account: &str, version: i64, cents: i64) -> (String, i64, i64) {
    (format!("account-{account}"), version, cents)
}

pub(super) async fn parked(log: &Log, name: &str) -> Vec<Parked> {
    let checkpoints = log.checkpoints().await.expect("they can be listed");
    let live = checkpoints.iter().find(|c| c.projection == name && c.state == Live);
    let parked = log.parked(live.expect("it is in service"));
    parked.try_collect().await.expect("they can be listed")
}

/// Where the parked events lie, how often each was tried.
async fn places(log: &Log, name: &str) -> Vec<(Position, u32)> {
    parked(log, name).await.iter().map(|parked| (parked.position, parked.attempts)).collect()
}

/// What waits behind it is applied after it, by an operator's word, once its cause is mended.
pub async fn a_parked_event_holds_its_stream_and_no_other(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let app = App::new().sql_projection(Parking(code.clone()));
    let work = async {
        open(log, "a", "ada").await;
        book(log, "a", 1).await;
        let bad = book(log, "a", 13).await;
        let behind = book(log, "a", 2).await;
        let last = book(log, "b", 3).await;
        assert_eq!(log.wait_for("parking", last, PATIENCE).await, Ok(true), "it goes on");
        assert_eq!(rows(log, "parking").await, [row("a", 2, 1), row("b", 1, 3)]);
        assert_eq!(places(log, "parking").await, [(bad, 1), (behind, 0)]);
        let all = parked(log, "parking").await;
        let codes: Vec<_> = all.iter().map(|parked| &*parked.code).collect();
        assert_eq!(codes, ["panicked", "waits"], "its kind is told");
        let first = &all[0];
        assert_eq!((first.stream.as_str(), &*first.event_type), ("account-a", "account.booked"));
        assert!(first.error.contains("panicked") && first.bytes > 5, "{first:?}");
        let status = app.status(log).await.expect("it has a status");
        assert_eq!((status[0].parked, &status[0].failure), (2, &None));
        // Tried again too early: it fails again, and nothing passes it.
        let operator = Operator::new(log, "ada");
        operator.retry("parking").await.expect("it is tried again");
        eventually("it was tried", async || {
            (places(log, "parking").await == [(bad, 2), (behind, 0)]).then_some(())
        })
        .await;
        code.mended.store(true, SeqCst);
        operator.retry("parking").await.expect("it is tried again");
        eventually("all is applied", async || {
            parked(log, "parking").await.is_empty().then_some(())
        })
        .await;
        let last = book(log, "a", 4).await;
        assert_eq!(log.wait_for("parking", last, PATIENCE).await, Ok(true), "its stream goes on");
        let a = [row("a", 2, 1), row("a", 3, 13), row("a", 4, 2), row("a", 5, 4)];
        assert_eq!(rows(log, "parking").await, [&a[..], &[row("b", 1, 3)]].concat());
    };
    run_while(&app, log, work).await;
}

/// Later events of its stream go on where that is declared.
pub async fn an_event_parked_alone_holds_nothing(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let app = App::new().sql_projection(ParkingAlone(code.clone()));
    let bad = book(log, "a", 13).await;
    book(log, "a", 2).await;
    within("it goes on", app.catch_up(log)).await.expect("it goes on over it");
    assert_eq!(rows(log, "parking_alone").await, [row("a", 2, 2)]);
    assert_eq!(places(log, "parking_alone").await, [(bad, 1)]);
    let id = parked(log, "parking_alone").await[0].event_id;
    let operator = Operator::new(log, "ada");
    operator.skip("parking_alone", id).await.expect("it is left out");
    assert_eq!(places(log, "parking_alone").await, []);
    let again = operator.skip("parking_alone", id).await;
    assert!(matches!(again, Err(Error::InvalidInput(_))), "{again:?}");
    let nothing = operator.retry("parking_alone").await;
    assert!(matches!(nothing, Err(Error::NoGeneration { .. })), "{nothing:?}");
    book(log, "a", 5).await;
    within("it goes on", app.catch_up(log)).await.expect("it goes on");
    assert_eq!(rows(log, "parking_alone").await, [row("a", 2, 2), row("a", 3, 5)]);
}

/// As often as it is declared, then it stands still; a decode error at once.
pub async fn an_event_is_tried_again_as_often_as_declared(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let app = App::new().sql_projection(Trying(code.clone()));
    book(log, "a", 1).await;
    book(log, "a", 13).await;
    let ended = within("it stops", app.catch_up(log)).await;
    assert_eq!(ended, Err(Error::Panicked { projection: "trying".into() }));
    // With the whole batch, then alone: the first time, and twice more.
    assert_eq!(code.tries.load(SeqCst), 4);
    assert_eq!(rows(log, "trying").await, [row("a", 1, 1)]);
    code.mended.store(true, SeqCst);
    Operator::new(log, "ada").retry("trying").await.expect("it is tried again");
    within("it goes on", app.catch_up(log)).await.expect("it goes on");
    assert_eq!(rows(log, "trying").await, [row("a", 1, 1), row("a", 2, 13)]);
}

/// Trying again makes nothing of what cannot be decoded: no time is spent on it.
pub async fn what_cannot_be_decoded_is_not_tried_again(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().sql_projection(Persistent(Code::default()));
    operator::poison(log).await;
    let caught_up = tokio::time::timeout(Duration::from_secs(20), app.catch_up(log)).await;
    caught_up.expect("it does not wait").expect("it goes on over it");
    let parked = parked(log, "persistent").await;
    assert_eq!(parked.iter().map(|parked| parked.attempts).collect::<Vec<_>>(), [1, 0]);
}

/// What once stopped a generation may be mended when an operator goes back to it.
pub async fn a_generation_that_has_stood_still_can_be_gone_back_to(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let (app, names) = (App::new().sql_projection(Stopping(code.clone())), ["parking".to_owned()]);
    book(log, "a", 2).await;
    book(log, "a", 13).await;
    failure(within("it stops", app.catch_up(log)).await);
    code.mended.store(true, SeqCst);
    within("a rebuild", app.rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    let back = Operator::new(log, "ada").with_code(&app).roll_back("parking").await;
    assert_eq!(back.expect("it is asked for").failure, None);
    within("it goes back", app.rebuild(log, &names, &|_| {})).await.expect("it goes back");
    assert_eq!(rows(log, "parking").await.len(), 2);
}

/// What was in service before is not what a rebuild makes: it does not go on with it.
pub async fn a_rollback_that_has_failed_is_no_rebuild(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let (app, names) = (App::new().sql_projection(Stopping(code.clone())), ["parking".to_owned()]);
    code.mended.store(true, SeqCst);
    book(log, "a", 2).await;
    let rebuild = async || within("a rebuild", app.rebuild(log, &names, &|_| {})).await;
    within("it catches up", app.catch_up(log)).await.expect("it catches up");
    rebuild().await.expect("it is rebuilt");
    book(log, "a", 13).await;
    within("it catches up", app.catch_up(log)).await.expect("it catches up");
    let operator = Operator::new(log, "ada").with_code(&app);
    code.mended.store(false, SeqCst);
    operator.roll_back("parking").await.expect("it is asked for");
    failure(rebuild().await);
    code.mended.store(true, SeqCst);
    let waits = Error::BuildWaits { projection: "parking".into(), generation: 1, failed: true };
    assert_eq!(failure(rebuild().await), waits);
    assert_eq!(failure(operator.rebuild("parking", false).await), waits);
    app.drop_generation(log, "parking", 1, "ada").await.expect("it is given up");
    assert_eq!(rebuild().await.expect("it is built anew")[0].generation, 3);
    assert_eq!(rows(log, "parking").await.len(), 2);
}

/// Nobody goes on with it by himself, whoever comes.
pub async fn a_build_that_has_failed_waits_for_an_operator(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let app = || App::new().sql_projection(Stopping(code.clone()));
    code.mended.store(true, SeqCst);
    book(log, "a", 13).await;
    within("it catches up", app().catch_up(log)).await.expect("it catches up");
    code.mended.store(false, SeqCst);
    let build = async || {
        let all = log.checkpoints().await.expect("they can be listed");
        all.into_iter().find(|at| at.state == Building)
    };
    let fails = async {
        eventually("an instance is asked", async || {
            Operator::new(log, "ada").rebuild("parking", false).await.ok()
        })
        .await;
        eventually("it fails", async || build().await?.failure).await;
    };
    run_while(&app(), log, fails).await;
    let tries = code.tries.load(SeqCst);
    let waits = async {
        eventually("another one runs", async || {
            let status = app().status(log).await.expect("they have a status");
            status.iter().any(|s| s.state == Live && s.owner.is_some()).then_some(())
        })
        .await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(code.tries.load(SeqCst), tries, "it is not tried");
        code.mended.store(true, SeqCst);
        Operator::new(log, "ada").retry("parking").await.expect("it is tried again");
        eventually("it is in service", async || build().await.is_none().then_some(())).await;
    };
    run_while(&app(), log, waits).await;
}

/// What cannot be decoded is parked as well, without another try, and retried through the upcasters.
pub async fn what_cannot_be_decoded_is_parked(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().sql_projection(Parking(Code::default()));
    let name = stream("account-a");
    let of_first_schema = NewEvent::from_json("account.booked", 1, r#"{"amount":7}"#);
    let poison = NewEvent::from_json("account.booked", 2, r#"{"secret":1}"#);
    let bad = log.append(&name, Any, [poison.clone()]).await.expect("it is JSON").position();
    let behind = log.append(&name, Any, [of_first_schema]).await.expect("it is JSON").position();
    within("it goes on", app.catch_up(log)).await.expect("it goes on over it");
    assert_eq!(places(log, "parking").await, [(bad, 1), (behind, 0)]);
    let first = parked(log, "parking").await.remove(0);
    let (code, why) = (first.code, first.error);
    assert_eq!(code, "decode");
    assert!(why.contains("account.booked") && !why.contains("secret"), "{why}");
    let operator = Operator::new(log, "ada");
    operator.skip("parking", poison.id).await.expect("it is left out");
    operator.retry("parking").await.expect("what waits is tried again");
    let applied = async {
        eventually("it is applied", async || parked(log, "parking").await.is_empty().then_some(()))
            .await;
    };
    run_while(&app, log, applied).await;
    assert_eq!(rows(log, "parking").await, [row("a", 2, 700)]);
}

/// In a generation of its own, with what it sets aside itself; the others are as they were.
pub async fn a_rebuild_parks_what_it_cannot_apply(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let app = App::new().sql_projection(Parking(code.clone()));
    for n in 0..30 {
        book(log, &format!("a{}", n % 3), if n == 10 { 13 } else { n }).await;
    }
    within("it goes on", app.catch_up(log)).await.expect("it goes on over it");
    let before = (rows(log, "parking").await, places(log, "parking").await.len());
    assert_eq!((before.0.len(), before.1), (23, 7));
    let names = ["parking".to_owned()];
    within("a rebuild", app.rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    assert_eq!((rows(log, "parking").await, places(log, "parking").await.len()), before);
    code.mended.store(true, SeqCst);
    within("a rebuild", app.rebuild(log, &names, &|_| {})).await.expect("it is rebuilt");
    assert_eq!((rows(log, "parking").await.len(), parked(log, "parking").await.len()), (30, 0));
}

/// A build that has failed goes on once its code is mended and somebody asks again.
pub async fn a_build_that_has_failed_goes_on_when_it_is_asked_for(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let app = App::new().sql_projection(Stopping(code.clone()));
    code.mended.store(true, SeqCst);
    for cents in [2, 13, 4] {
        book(log, "a", cents).await;
    }
    within("it catches up", app.catch_up(log)).await.expect("it catches up");
    code.mended.store(false, SeqCst);
    let rebuild = async || within("a rebuild", app.rebuild(log, &[], &|_| {})).await;
    failure(rebuild().await);
    code.mended.store(true, SeqCst);
    let rebuilt = rebuild().await.expect("it goes on");
    assert_eq!((rebuilt[0].generation, rebuilt[0].resumed, rebuilt[0].held_back), (2, true, false));
    assert_eq!(rows(log, "parking").await.len(), 3);
}

/// One that waits and one that fails come in the same batch: both are set aside, and none is lost.
pub async fn what_waits_beside_an_event_that_fails_is_set_aside_as_well(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let app = App::new().sql_projection(Parking(code.clone()));
    book(log, "a", 13).await;
    within("it goes on", app.catch_up(log)).await.expect("it goes on over it");
    book(log, "a", 2).await;
    book(log, "b", 13).await;
    within("it goes on", app.catch_up(log)).await.expect("it goes on over both");
    let streams: Vec<_> =
        parked(log, "parking").await.iter().map(|p| p.stream.to_string()).collect();
    assert_eq!(streams, ["account-a", "account-a", "account-b"]);
    code.mended.store(true, SeqCst);
    Operator::new(log, "ada").retry("parking").await.expect("all are tried again");
    run_while(&app, log, all_applied(log)).await;
    assert_eq!(rows(log, "parking").await, [row("a", 1, 13), row("a", 2, 2), row("b", 1, 13)]);
}

async fn all_applied(log: &Log) {
    eventually("all is applied", async || parked(log, "parking").await.is_empty().then_some(()))
        .await;
}

/// Once an event is left out, what waited behind it is applied without another word.
pub async fn what_waits_behind_an_event_that_is_left_out_goes_on(harness: &dyn Harness) {
    let log = harness.log();
    let app = App::new().sql_projection(Parking(Code::default()));
    book(log, "a", 13).await;
    book(log, "a", 2).await;
    within("it goes on", app.catch_up(log)).await.expect("it goes on over it");
    let id = parked(log, "parking").await[0].event_id;
    Operator::new(log, "ada").skip("parking", id).await.expect("it is left out");
    run_while(&app, log, all_applied(log)).await;
    assert_eq!(rows(log, "parking").await, [row("a", 2, 2)]);
    assert_eq!(app.status(log).await.expect("it has one")[0].skips, 1);
}

/// What is compared with the rows in service lacks what they lack, also while events come in.
pub async fn rows_without_what_was_set_aside_or_left_out_do_not_differ(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let app =
        App::new().sql_projection(Parking(code.clone())).sql_projection(ParkingAlone(code.clone()));
    let names = ["parking".to_owned(), "parking_alone".to_owned()];
    for (account, cents) in [("a", 13), ("a", 2), ("b", 13), ("b", 3), ("c", 4)] {
        book(log, account, cents).await;
    }
    within("they go on", app.catch_up(log)).await.expect("they go on over them");
    let verify = async || {
        let behind = async {
            for account in ["a", "b", "c"] {
                book(log, account, 1).await;
            }
        };
        let (verified, ()) = join(app.verify(log, &names, &|_| {}), behind).await;
        let verified = verified.and_then(Builds::into_result).expect("they are compared");
        verified.into_iter().map(|v| v.verified.expect("it looked")).collect::<Vec<_>>()
    };
    assert_eq!(verify().await, [[], []]);
    let operator = Operator::new(log, "ada");
    for name in &names {
        let first = parked(log, name).await.remove(0);
        operator.skip(name, first.event_id).await.expect("it is left out");
    }
    let applied = async {
        eventually("what waited is applied", async || {
            let parked = parked(log, "parking").await;
            parked.iter().all(|parked| parked.stream.id() == "b").then_some(())
        })
        .await;
    };
    run_while(&app, log, applied).await;
    assert_eq!(verify().await, [[], []], "also without one that was left out");
    code.mended.store(true, SeqCst);
    for name in &names {
        operator.retry(name).await.expect("they are tried again");
    }
    let applied = async {
        for name in &names {
            eventually("all is applied", async || parked(log, name).await.is_empty().then_some(()))
                .await;
        }
    };
    run_while(&app, log, applied).await;
    assert_eq!(
        verify().await,
        [[], []],
        "what was left out stays so, also by code that could apply it"
    );
}

/// An event that was applied, and that the code of today cannot apply, is no reason to call them the same.
pub async fn what_cannot_be_applied_any_more_is_told(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    code.mended.store(true, SeqCst);
    let app = App::new().sql_projection(Stopping(code.clone()));
    book(log, "a", 13).await;
    within("it goes on", app.catch_up(log)).await.expect("it is applied");
    code.mended.store(false, SeqCst);
    let verified = within("it fails", app.verify(log, &[], &|_| {})).await;
    let error = failure(verified.and_then(Builds::into_result));
    assert_eq!(error, Error::Panicked { projection: "parking".into() });
}

/// Code that declares another policy overtakes nothing that waits.
pub async fn what_waits_is_not_overtaken_under_another_policy(harness: &dyn Harness) {
    let log = harness.log();
    let code = Code::default();
    let app = App::new().sql_projection(Parking(code.clone()));
    book(log, "a", 13).await;
    within("it goes on", app.catch_up(log)).await.expect("it goes on over it");
    let stopping = App::new().sql_projection(Stopping(code.clone()));
    book(log, "a", 2).await;
    within("it goes on", stopping.catch_up(log)).await.expect("it sets it aside");
    assert_eq!(rows(log, "parking").await, []);
    code.mended.store(true, SeqCst);
    Operator::new(log, "ada").retry("parking").await.expect("both are tried again");
    run_while(&stopping, log, all_applied(log)).await;
    assert_eq!(rows(log, "parking").await, [row("a", 1, 13), row("a", 2, 2)]);
}
