//! Verifications: read models are compared with what a fold of the log makes, and nothing is left of it.

use async_trait::async_trait;
use futures_util::future::{Either, select};
use headwater::{
    App, BatchTx, Builds, Difference, Error,
    GenerationState::{Building, Live},
    Progress, RebuildOptions, Recorded, Result, SqlProjection, Value,
};

use super::{
    Harness,
    operator::{generations, operator, poison, reaches},
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
    let found: Vec<_> = verified.iter().map(|v| (v.parked, v.verified.as_deref())).collect();
    assert_eq!(found, [(0, Some(&[][..])), (0, Some(&[][..]))]);
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
    let built = async || {
        let tables = harness.table("balances__2");
        harness.number_raw(&format!("select count(*) from {tables}")).await.is_ok()
    };
    let (app, names) = (app(), ["balances".to_owned()]);
    let leave = async || {
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let progress = move |_: &Progress| {
            let _nobody_waits = begun.send(());
        };
        let verifying = Box::pin(app.verify(log, &names, &progress));
        match select(verifying, Box::pin(begins.recv())).await {
            Either::Left((ended, _)) => panic!("it is too quick: {ended:?}"),
            Either::Right((_, verifying)) => drop(verifying),
        }
        assert!(built().await, "it is left");
    };
    leave().await;
    let verified = within("it is verified", app.verify(log, &[], &|_| {})).await;
    verified.and_then(Builds::into_result).expect("it is verified");
    assert!(!built().await, "the next one removes it");
    leave().await;
    let work = async {
        eventually("an instance removes it", async || (!built().await).then_some(())).await;
        let last = book(log, "a", 1).await;
        reaches(log, last).await;
    };
    run_while(&app, log, work).await;
    assert_eq!(generations(log).await, [(1, Live)]);
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
