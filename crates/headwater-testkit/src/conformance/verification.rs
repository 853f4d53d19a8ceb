//! Verifications: read models are compared with what a fold of the log makes, and nothing is left of it.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use headwater::{
    App, BatchTx, Builds, Difference, Error,
    GenerationState::{Building, Live, Verifying},
    Progress, RebuildOptions, Recorded, Result, SqlProjection, Value,
    store::{Instance, Work},
};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    Harness,
    operator::{generations, operator, poison, reaches},
    parking::{Code, Parking, parked},
    projection::{app, book, catch_up, open, run_while},
};
use crate::{account::AccountEvent, eventually, fixtures::failure, within};

/// Read models are compared with a fold of the log: of what differs the first row is named, and what
/// was built for it is gone afterwards.
pub async fn a_row_that_was_altered_by_hand_is_named(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..20 {
        open(log, &format!("a{n:02}"), &format!("o{n:02}")).await;
    }
    catch_up(log).await;
    let verify = async || {
        let verified = within("it is verified", app().verify(log, &[], &|_| {})).await;
        let verified = verified.and_then(Builds::into_result).expect("it is verified");
        verified
            .into_iter()
            .flat_map(|built| built.verified.expect("it looked"))
            .collect::<Vec<_>>()
    };
    assert_eq!(verify().await, []);
    let (balances, owners) = (harness.table("balances__1"), harness.table("owners__1"));
    for sql in [
        format!("update {balances} set cents = 1 where account in ('a07', 'a12')"),
        format!("update {owners} set accounts = 2 where owner = 'o03'"),
        format!("delete from {owners} where owner = 'o05'"),
    ] {
        harness.execute_raw(&sql).await.expect("the tables are as expected");
    }
    let differs = |table: &str, key: &str, only_first, only_second| Difference {
        table: table.into(),
        key: key.into(),
        only_first,
        only_second,
    };
    let found = verify().await;
    assert_eq!(found, [differs("balances", "a07", 2, 2), differs("owners", "o03", 1, 2)]);
    assert_eq!(generations(log).await, [(1, Live)]);
    let how = RebuildOptions { verify: true, ..RebuildOptions::default() };
    let app = app();
    let rebuilt = within("a rebuild", app.rebuild_with(log, &[], &how, &|_| {})).await;
    let rebuilt = rebuilt.and_then(Builds::into_result).expect("it is rebuilt");
    assert_eq!(
        rebuilt.iter().map(|b| b.verified.as_ref().map(Vec::len)).collect::<Vec<_>>(),
        [Some(1); 2]
    );
    assert_eq!(verify().await, [], "the rebuild has mended it");
}

/// Tables of every kind: a key that is a number, no key, a column that bears the name of its table.
pub(super) struct Odd;

#[async_trait]
impl SqlProjection for Odd {
    type Event = AccountEvent;
    const NAME: &'static str = "odd";
    const TABLES: &'static [(&'static str, &'static str)] = &[
        ("odd", "create table {odd} (number bigint primary key, odd bigint, t text)"),
        ("keyless", "create table {keyless} (word text)"),
    ];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<AccountEvent>]) -> Result<()> {
        for event in events {
            let number = i64::try_from(event.position.0).expect("there are few");
            let row = [number.into(), Value::Null, "x".into()];
            tx.execute("insert into {odd} values ($1, $2, $3)", &row).await?;
            tx.execute("insert into {keyless} values ($1)", &["same".into()]).await?;
        }
        Ok(())
    }
}

/// Whatever their columns and keys are, and however often a row occurs.
pub async fn tables_of_every_kind_are_compared(harness: &dyn Harness) {
    let log = harness.log();
    for n in 0..3 {
        open(log, &format!("a{n}"), "ada").await;
    }
    let app = App::new().sql_projection(Odd);
    within("it catches up", app.catch_up(log)).await.expect("it catches up");
    let verify = async || {
        let verified = within("it is verified", app.verify(log, &[], &|_| {})).await;
        verified
            .and_then(Builds::into_result)
            .expect("it is verified")
            .remove(0)
            .verified
            .expect("it looked")
    };
    assert_eq!(verify().await, []);
    let (odd, keyless) = (harness.table("odd__1"), harness.table("keyless__1"));
    for sql in [
        format!("update {odd} set odd = 7 where number = (select max(number) from {odd})"),
        format!("insert into {keyless} values ('same'), ('same')"),
    ] {
        harness.execute_raw(&sql).await.expect("the tables are as expected");
    }
    let found = verify().await;
    let counts: Vec<_> =
        found.iter().map(|d| (d.table.as_str(), d.only_first, d.only_second)).collect();
    assert_eq!(counts, [("odd", 1, 1), ("keyless", 2, 0)]);
    assert!(found[0].key.parse::<u64>().is_ok_and(|key| key >= 3), "{found:?}");
    assert_eq!(found[1].key, "");
}

/// Each by itself: an event that cannot be applied is missing in what is compared, as in rows from which it was left
/// out, and a build of another's is left alone.
pub async fn a_verification_removes_what_it_has_built(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let (app, names) = (app(), ["owners".to_owned()]);
    let hold = RebuildOptions { hold: true, ..RebuildOptions::default() };
    let held = within("a rebuild", app.rebuild_with(log, &names, &hold, &|_| {})).await;
    held.and_then(Builds::into_result).expect("it is rebuilt");
    let poison = poison(log).await;
    let verified = within("it is verified", app.verify(log, &[], &|_| {})).await;
    let verified: Vec<_> = verified.expect("it is tried").into_iter().collect();
    let [(name, Err(stands_still)), (_, Ok(owners))] = &verified[..] else {
        panic!("one stands still: {verified:?}")
    };
    assert_eq!((&**name, owners.verified.as_deref()), ("balances", Some(&[][..])));
    assert!(matches!(stands_still, Error::Decode { .. }), "{stands_still:?}");
    operator(log).skip("balances", poison.id).await.expect("it is left out");
    let verified = within("it is verified", app.verify(log, &[], &|_| {})).await;
    let verified = verified.and_then(Builds::into_result).expect("they are compared");
    let found: Vec<_> =
        verified.iter().map(|v| (v.generation, v.parked, v.verified.as_deref())).collect();
    assert_eq!(found, [(1, 0, Some(&[][..])); 2], "of the generation in service");
    assert_eq!(generations(log).await, [(1, Live)]);
    let all = log.store().checkpoints().await.expect("they can be listed");
    assert_eq!(all.iter().filter(|c| c.state == Building).count(), 1);
}

/// What fails is the verification alone, also where a build by the same code waits beside it.
pub async fn a_verification_that_fails_leaves_no_mark_on_a_build(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let (app, names) = (app(), ["balances".to_owned()]);
    let hold = RebuildOptions { hold: true, ..RebuildOptions::default() };
    let held = within("a rebuild", app.rebuild_with(log, &names, &hold, &|_| {})).await;
    held.and_then(Builds::into_result).expect("it is rebuilt");
    poison(log).await;
    let verified = within("it is tried", app.verify(log, &names, &|_| {})).await;
    let error = failure(verified.and_then(Builds::into_result));
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    let all = log.store().checkpoints().await.expect("they can be listed");
    let build = all.iter().find(|at| at.state == Building).expect("it is still there");
    assert_eq!(build.failure, None);
}

/// What a verification has left that was broken off is never in service, and gone soon: by an instance, or by the next
/// verification.
pub async fn what_a_verification_has_left_is_removed(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    leave(harness).await;
    let verified = within("it is verified", app().verify(log, &[], &|_| {})).await;
    verified.and_then(Builds::into_result).expect("it is verified");
    assert!(!is_built(harness).await, "the next one removes it");
    leave(harness).await;
    an_instance_removes_it(harness).await;
    let last = book(log, "a", 1).await;
    run_while(&app(), log, reaches(log, last)).await;
    assert_eq!(generations(log).await, [(1, Live)]);
}

/// The same where nobody has the code any more that has left it.
pub async fn what_other_code_has_left_of_a_verification_is_removed(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    leave(harness).await;
    let checkpoints = harness.table("checkpoints");
    let sql = format!("update {checkpoints} set fingerprint = 'old' where state = 'verifying'");
    harness.execute_raw(&sql).await.expect("the table is as expected");
    an_instance_removes_it(harness).await;
}

/// Begins a verification, and breaks it off.
async fn leave(harness: &dyn Harness) {
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let progress = move |_: &Progress| {
        let _nobody_waits = begun.send(());
    };
    let (app, names) = (app(), ["balances".to_owned()]);
    let verifying = Box::pin(app.verify(harness.log(), &names, &progress));
    match select(verifying, Box::pin(begins.recv())).await {
        Either::Left((ended, _)) => panic!("it is too quick: {ended:?}"),
        Either::Right((_, verifying)) => drop(verifying),
    }
    assert!(is_built(harness).await, "it is left");
}

/// Whether what a verification builds is there.
async fn is_built(harness: &dyn Harness) -> bool {
    let built = format!("select count(*) from {}", harness.table("balances__2"));
    harness.number_raw(&built).await.is_ok()
}

async fn an_instance_removes_it(harness: &dyn Harness) {
    let removed = eventually("it is removed", async || (!is_built(harness).await).then_some(()));
    run_while(&app(), harness.log(), removed).await;
}

/// Who has lost its lease waits for the one who has it, and does nothing meanwhile.
pub async fn a_verification_goes_on_once_it_has_its_lease_again(harness: &dyn Harness) {
    let log = harness.log();
    let (code, names) = (Code::default(), ["parking".to_owned()]);
    let app = App::new().sql_projection(Parking(code.clone()));
    book(log, "a", 2).await;
    within("it catches up", app.catch_up(log)).await.expect("it catches up");
    let other = Instance {
        id: Uuid::now_v7(),
        name: "another".into(),
        process: "another".into(),
        runs: vec![],
    };
    let verifying = async || {
        let all = log.store().checkpoints().await.expect("they can be listed");
        all.into_iter().find(|at| at.state == Verifying).expect("it is being verified")
    };
    let take_over = async {
        let built = verifying().await;
        let mut tx = log.store().begin().await.expect("it begins");
        let held = tx.hold(&built.projection, built.generation).await.expect("it can be held");
        let held = held.expect("it is there");
        tx.amend(&held, &held, None).await.expect("the lease is taken away");
        tx.commit().await.expect("it is committed");
        let (work, lease) = ([Work::verifying("parking")], Duration::from_secs(60));
        let granted = log.store().keep_leases(&other, &work, lease).await;
        assert_eq!(granted.expect("it is free"), work);
        let taken = verifying().await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(verifying().await, taken, "nobody changes what is another's");
        log.store().keep_leases(&other, &[], Duration::ZERO).await.expect("it is given up");
    };
    let (verified, ()) = code.within_a_part(app.verify(log, &names, &|_| {}), take_over).await;
    let verified = verified.and_then(Builds::into_result).expect("it is verified");
    assert_eq!(verified[0].verified, Some(vec![]));
}

/// What an operator leaves out meanwhile is missing in one of both: nobody calls that a difference.
pub async fn an_event_left_out_during_a_verification_is_told(harness: &dyn Harness) {
    let log = harness.log();
    let (code, names) = (Code::default(), ["parking".to_owned()]);
    let app = App::new().sql_projection(Parking(code.clone()));
    book(log, "a", 13).await;
    book(log, "b", 2).await;
    within("it catches up", app.catch_up(log)).await.expect("it goes on over it");
    let event = parked(log, "parking").await.remove(0).event_id;
    let verify = async || app.verify(log, &names, &|_| {}).await.and_then(Builds::into_result);
    let skip = async { operator(log).skip("parking", event).await };
    let (verified, skipped) = code.within_a_part(verify(), skip).await;
    skipped.expect("it is left out");
    let told = failure(verified).to_string();
    assert!(told.contains("what is left out of parking has changed: verify it again"), "{told}");
    let verified = within("the next one", verify()).await.expect("it is verified");
    assert_eq!(verified[0].verified, Some(vec![]));
}

/// Events come in, and instances apply them: what is compared is at the same position.
pub async fn a_read_model_is_verified_while_events_come_in(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    catch_up(log).await;
    let running = app();
    let write = async {
        let verify = async {
            for _ in 0..3 {
                let verified = within("it is verified", app().verify(log, &[], &|_| {})).await;
                for built in verified.and_then(Builds::into_result).expect("it is verified") {
                    assert_eq!(built.verified, Some(Vec::new()), "{}", built.projection);
                }
            }
        };
        let write = async {
            loop {
                book(log, "a", 1).await;
            }
        };
        tokio::select! {
            () = verify => {}
            () = write => {}
        }
    };
    run_while(&running, log, write).await;
}
