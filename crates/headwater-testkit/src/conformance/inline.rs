//! Inline projections: whoever has appended finds it in the read model, whatever else happens to it.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::{join, join_all};
use headwater::{
    App, Append, BatchTx, Builds, Error, ExpectedVersion::Any, FailurePolicy, Lifecycle, Log,
    NewEvent, Operator, Recorded, Result, Settings, SqlProjection, store::Work,
};
use tokio::time::sleep;

use super::{
    Dialect, Harness,
    lease::instance,
    projection::{app, balance, balances, balances_checkpoint, book, open, run_while, status},
};
use crate::{
    account::{AccountEvent, Balance, InlineBalance},
    eventually,
    fixtures::{self, stream},
    within,
};

fn inline_app() -> App {
    App::new().projection::<InlineBalance>()
}

/// Writes each booking down; the database refuses one of 13 cents.
macro_rules! strict_ledger {
    ($ledger:ident, $name:literal, $policy:expr) => {
        struct $ledger;

        #[async_trait]
        impl SqlProjection for $ledger {
            type Event = AccountEvent;
            const NAME: &'static str = $name;
            const ON_FAILURE: FailurePolicy = $policy;
            const LIFECYCLE: Lifecycle = Lifecycle::Inline;
            const TABLES: &'static [(&'static str, &'static str)] = &[(
                $name,
                concat!(
                    "create table {",
                    $name,
                    "} (position bigint primary key, cents bigint not null check (cents <> 13))"
                ),
            )];

            async fn apply(
                &self,
                tx: &mut BatchTx<'_>,
                events: &[Recorded<AccountEvent>],
            ) -> Result<()> {
                for event in events {
                    let AccountEvent::Booked { cents } = event.event else { continue };
                    let row = [event.position.to_i64().into(), cents.into()];
                    tx.execute(concat!("insert into {", $name, "} values ($1, $2)"), &row).await?;
                }
                Ok(())
            }
        }
    };
}

strict_ledger!(Refusing, "refusing", FailurePolicy::STOP);
strict_ledger!(SettingAside, "setting_aside", FailurePolicy::PARK);

/// The sum of a ledger.
async fn sum(log: &Log, name: &str) -> i64 {
    let sql = format!("select cast(coalesce(sum(cents), 0) as bigint) as cents from {{{name}}}");
    let rows = log.query(&sql, &[]).await.expect("the read model can be queried");
    rows[0].get("cents").expect("it is a number")
}

/// Waits until a projection changes with the appends.
async fn is_inline(log: &Log, name: &str) {
    eventually(&format!("{name} changes with the appends"), async || {
        let all = log.checkpoints().await.expect("they can be listed");
        all.iter().any(|c| c.projection == name && c.inline && c.failure.is_none()).then_some(())
    })
    .await;
}

async fn bookings(log: &Log, account: &str) -> i64 {
    let rows = log.find("where account = $1", &[account.into()]).await;
    let rows: Vec<Balance> = rows.expect("it can be read");
    rows.first().map_or(0, |row| row.bookings)
}

/// Books again and again, and looks each time whether the booking is in the read model.
async fn book_and_look(log: &Log, account: &str, times: i64) {
    let before = bookings(log, account).await;
    for n in 1..=times {
        book(log, account, 1).await;
        assert_eq!(bookings(log, account).await, before + n, "{account} reads its own write");
    }
}

/// That holds for many at once as well, of which each looks for its own.
pub async fn an_append_changes_an_inline_read_model_itself(harness: &dyn Harness) {
    let log = harness.log();
    open(log, "a", "ada").await;
    let work = async {
        is_inline(log, "balances").await;
        assert_eq!(balances(log).await, [balance("a", "ada", 0, 0)], "what was there before");
        book_and_look(log, "a", 20).await;
        let names: Vec<_> = (0..8).map(|n| format!("of-{n}")).collect();
        join_all(names.iter().map(|name| book_and_look(log, name, 20))).await;
        let last = book(log, "a", 1).await;
        let stands = status(log, "balances").await;
        assert!(stands.inline && stands.position == last && stands.failure.is_none(), "{stands:?}");
    };
    run_while(&inline_app(), log, work).await;
}

/// Of many that are appended together one alone is refused, and leaves nothing behind.
pub async fn an_append_that_an_inline_projection_cannot_apply_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    let done = AtomicBool::new(false);
    let work = async {
        is_inline(log, "refusing").await;
        let append = |n: i64| async move {
            let cents = if n == 7 { 13 } else { 1 };
            let event = NewEvent::of(&AccountEvent::Booked { cents }).expect("it is JSON");
            log.append(&stream(&format!("account-{n}")), Any, [event]).await
        };
        let appending = async {
            let ended = join_all((0..20).map(append)).await;
            done.store(true, SeqCst);
            ended
        };
        let reading = async {
            while !done.load(SeqCst) {
                let all = fixtures::all(log).await;
                assert!(!all.iter().any(|event| event.event.data.contains("13")), "never seen");
            }
        };
        let (mut ended, ()) = join(appending, reading).await;
        let refused = ended.remove(7);
        assert!(
            matches!(&refused, Err(Error::InlineRefused { projection, .. }) if projection == "refusing"),
            "{refused:?}"
        );
        assert!(ended.iter().all(Result::is_ok), "{ended:?}");
        assert_eq!(fixtures::all(log).await.len(), 19);
        assert_eq!(sum(log, "refusing").await, 19);
        book(log, "7", 1).await;
        assert_eq!(sum(log, "refusing").await, 20, "it goes on");
    };
    run_while(&App::new().sql_projection(Refusing), log, work).await;
}

/// Until that is settled it is changed after the appends, in the log's order.
pub async fn an_append_goes_on_without_what_is_to_set_it_aside(harness: &dyn Harness) {
    let log = harness.log();
    let work = async {
        is_inline(log, "setting_aside").await;
        let bad = book(log, "a", 13).await;
        let next = book(log, "a", 1).await;
        let other = book(log, "b", 1).await;
        let arrived = log.wait_for("setting_aside", other, Duration::from_secs(30)).await;
        assert_eq!(arrived, Ok(true));
        assert_eq!(sum(log, "setting_aside").await, 1, "of the other stream alone");
        let event = fixtures::all(log).await.into_iter().find(|event| event.position == bad);
        let event = event.expect("it was appended").id;
        Operator::new(log, "ada").skip("setting_aside", event).await.expect("it is left out");
        eventually("what waited is applied", async || {
            (sum(log, "setting_aside").await == 2).then_some(())
        })
        .await;
        assert!(next < other);
        eventually("it changes with the appends again", async || {
            let before = sum(log, "setting_aside").await;
            book(log, "a", 1).await;
            (sum(log, "setting_aside").await == before + 1).then_some(())
        })
        .await;
    };
    run_while(&App::new().sql_projection(SettingAside), log, work).await;
}

/// Another program may know nothing of the projection: its events are not passed over.
pub async fn what_others_append_is_applied_to_an_inline_read_model(harness: &dyn Harness) {
    if !harness.is_shared() {
        return super::only_where_shared();
    }
    let log = harness.log();
    let other = harness.reopen(Settings::default()).await.expect("it opens");
    let work = async {
        is_inline(log, "balances").await;
        for _ in 0..5 {
            let (_, last) = join(book(&other, "a", 1), book(log, "a", 1)).await;
            let last = book(&other, "b", 1).await.max(last);
            let arrived = log.wait_for("balances", last, Duration::from_secs(30)).await;
            assert_eq!(arrived, Ok(true), "nobody else appends, and it gets there");
        }
        assert_eq!(bookings(log, "a").await, 10);
        assert_eq!(bookings(log, "b").await, 5);
        book_and_look_soon(log).await;
        book_and_look(log, "a", 5).await;
    };
    run_while(&inline_app(), log, work).await;
    other.close().await;
}

/// Also where its appends never cease: what was left out is applied, and then they go on inline.
pub async fn an_inline_read_model_is_caught_up_with_under_load(harness: &dyn Harness) {
    if !harness.is_shared() {
        return super::only_where_shared();
    }
    let log = harness.log();
    let other = harness.reopen(Settings::default()).await.expect("it opens");
    let done = AtomicBool::new(false);
    let work = async {
        is_inline(log, "balances").await;
        let writers = join_all((0..4).map(async |n| {
            while !done.load(SeqCst) {
                book(log, &format!("of-{n}"), 1).await;
            }
        }));
        let looks = async {
            for _ in 0..3 {
                book(&other, "b", 1).await;
                eventually("own writes are seen at once again", async || {
                    for _ in 0..10 {
                        let before = bookings(log, "a").await;
                        book(log, "a", 1).await;
                        if bookings(log, "a").await != before + 1 {
                            return None;
                        }
                    }
                    Some(())
                })
                .await;
            }
            done.store(true, SeqCst);
        };
        join(writers, looks).await;
        assert_eq!(bookings(log, "b").await, 3);
    };
    run_while(&inline_app(), log, work).await;
    other.close().await;
}

/// A user's transaction that stays open is waited for no longer than a statement may take.
pub async fn an_append_behind_an_open_transaction_is_refused_in_time(harness: &dyn Harness) {
    if harness.dialect() == Dialect::Sqlite {
        println!("a transaction that writes has the only writer: nothing to prove");
        return;
    }
    let log = harness.log();
    let hasty = Settings { statement_timeout: Duration::from_secs(4), ..Settings::default() };
    let hasty = harness.reopen(hasty).await.expect("it opens");
    let work = async {
        is_inline(log, "balances").await;
        let mut open = harness.begin().await;
        let booked = NewEvent::of(&AccountEvent::Booked { cents: 1 }).expect("it is JSON");
        let append = Append::new(stream("account-open"), Any, [booked.clone()]);
        open.append(vec![append]).await.expect("it is appended");
        let refused = hasty.append(&stream("account-other"), Any, [booked]).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        open.commit().await;
        book_and_look_soon(log).await;
    };
    run_while(&inline_app(), log, work).await;
    hasty.close().await;
}

/// Books until it is seen at once.
async fn book_and_look_soon(log: &Log) {
    eventually("own writes are seen at once", async || {
        let before = bookings(log, "a").await;
        book(log, "a", 1).await;
        (bookings(log, "a").await == before + 1).then_some(())
    })
    .await;
}

/// Two that append inline at the same moment count each other's bookings.
pub async fn two_processes_change_one_inline_read_model(harness: &dyn Harness) {
    if !harness.is_shared() {
        return super::only_where_shared();
    }
    let log = harness.log();
    let other = harness.reopen(Settings::default()).await.expect("it opens");
    let work = async {
        is_inline(log, "balances").await;
        let both = async |n: usize| {
            for _ in 0..15 {
                let (first, second) = join(book(log, "both", 1), book(&other, "both", 1)).await;
                assert_eq!(bookings(log, &format!("none-{n}")).await, 0);
                assert_ne!(first, second);
            }
        };
        join_all((0..4).map(both)).await;
        assert_eq!(bookings(log, "both").await, 120);
    };
    run_while(&inline_app(), log, run_while(&inline_app(), &other, work)).await;
    other.close().await;
}

/// A rebuild swaps under appends of which each reads its own write.
pub async fn a_rebuild_is_handed_over_to_appends_that_go_on(harness: &dyn Harness) {
    let log = harness.log();
    let app = inline_app();
    let done = AtomicBool::new(false);
    let work = async {
        is_inline(log, "balances").await;
        let writer = async |account: String| {
            while !done.load(SeqCst) {
                book_and_look(log, &account, 1).await;
            }
        };
        let rebuilds = async {
            for generation in 2..8 {
                let names = ["balances".to_owned()];
                let rebuilt = app.rebuild(log, &names, &|_| {}).await.expect("it is rebuilt");
                assert_eq!(rebuilt[0].generation, generation);
                sleep(Duration::from_millis(50)).await;
            }
            done.store(true, SeqCst);
        };
        join(join_all((0..8).map(|n| writer(format!("of-{n}")))), rebuilds).await;
        assert!(status(log, "balances").await.inline);
    };
    run_while(&app, log, work).await;
    let all = fixtures::all(log).await;
    let rows = balances(log).await;
    let counted: i64 = rows.iter().map(|row| row.bookings).sum();
    assert_eq!(usize::try_from(counted), Ok(all.len()), "each event is in it once");
}

/// An operator's word holds for it as for any other, and appends do not wait for him.
pub async fn a_paused_inline_projection_holds_up_no_append(harness: &dyn Harness) {
    let log = harness.log();
    let operator = Operator::new(log, "ada");
    let work = async {
        is_inline(log, "balances").await;
        book_and_look(log, "a", 1).await;
        operator.pause("balances").await.expect("it is paused");
        let last = book(log, "a", 1).await;
        assert_eq!(bookings(log, "a").await, 1, "it stands still");
        operator.resume("balances").await.expect("it goes on");
        let arrived = log.wait_for("balances", last, Duration::from_secs(30)).await;
        assert_eq!((arrived, bookings(log, "a").await), (Ok(true), 2));
        book_and_look_soon(log).await;
        let names = ["balances".to_owned()];
        let app = inline_app();
        let verified = app.verify(log, &names, &|_| {}).await;
        let verified = verified.and_then(Builds::into_result).expect("it is verified");
        assert_eq!(verified[0].verified.as_deref(), Some(&[][..]));
        book_and_look_soon(log).await;
    };
    run_while(&inline_app(), log, work).await;
}

/// The same code, declared otherwise: nothing is built anew.
pub async fn a_projection_that_is_not_inline_any_more_holds_up_no_append(harness: &dyn Harness) {
    let log = harness.log();
    let declared = async || {
        let count = format!("select count(*) from {}", harness.table("inline_projections"));
        harness.number_raw(&count).await.expect("they can be counted")
    };
    let work = async {
        is_inline(log, "balances").await;
        book_and_look(log, "a", 3).await;
    };
    run_while(&inline_app(), log, work).await;
    assert_eq!(declared().await, 1);
    let work = async {
        let last = book(log, "a", 1).await;
        assert_eq!(log.wait_for("balances", last, Duration::from_secs(30)).await, Ok(true));
        assert_eq!(status(log, "balances").await.generation, 1);
    };
    run_while(&app(), log, work).await;
    assert_eq!((declared().await, bookings(log, "a").await), (0, 4));
}

/// Its event lies below those of appends that are applied inline, and would be passed over.
pub async fn an_open_transaction_holds_off_what_is_to_change_inline(harness: &dyn Harness) {
    if harness.dialect() == Dialect::Sqlite {
        println!("while a transaction that writes is open, nobody else writes: nothing to prove");
        return;
    }
    let log = harness.log();
    let booked = || NewEvent::of(&AccountEvent::Booked { cents: 1 }).expect("it is JSON");
    let mut open = harness.begin().await;
    let append = Append::new(stream("account-open"), Any, [booked()]);
    open.append(vec![append]).await.expect("it is appended");
    let work = async {
        // Appends of others are not held up by it for longer than a moment.
        for _ in 0..50 {
            within("an append", book(log, "a", 1)).await;
            sleep(Duration::from_millis(20)).await;
        }
        open.commit().await;
        is_inline(log, "balances").await;
        book_and_look(log, "a", 3).await;
        assert_eq!(bookings(log, "open").await, 1, "it is not passed over");
        assert_eq!(bookings(log, "a").await, 53);
    };
    run_while(&inline_app(), log, work).await;
}

/// Its snapshot is older than the row that would tell it to wait.
pub async fn an_append_of_an_older_snapshot_is_not_passed_over(harness: &dyn Harness) {
    if harness.dialect() == Dialect::Sqlite {
        println!("SQLite writes on the newest state alone: nothing to prove");
        return;
    }
    let log = harness.log();
    let booked = || NewEvent::of(&AccountEvent::Booked { cents: 1 }).expect("it is JSON");
    let mut old = harness.begin().await;
    let begin = "set transaction isolation level repeatable read; select 1";
    old.execute(begin).await.expect("it is the first statement");
    let work = async {
        is_inline(log, "balances").await;
        let append = Append::new(stream("account-old"), Any, [booked()]);
        old.append(vec![append]).await.expect("it is appended");
        let beside = async {
            book(log, "a", 1).await;
        };
        let commit = async {
            sleep(Duration::from_millis(300)).await;
            old.commit().await;
        };
        join(beside, commit).await;
        let last = book(log, "a", 1).await;
        assert_eq!(log.wait_for("balances", last, Duration::from_secs(30)).await, Ok(true));
        assert_eq!((bookings(log, "old").await, bookings(log, "a").await), (1, 2));
    };
    run_while(&inline_app(), log, work).await;
}

/// An owner that was cut off sees that another one has it, and has to become the owner again.
pub async fn an_earlier_owner_changes_no_inline_read_model(harness: &dyn Harness) {
    if !harness.is_shared() {
        return super::only_where_shared();
    }
    let log = harness.log();
    let other = harness.reopen(Settings::default()).await.expect("it opens");
    let next = instance("next");
    let work = async {
        is_inline(log, "balances").await;
        eventually("another one has it", async || {
            let live = balances_checkpoint(log).await;
            let mut tx = log.store().begin().await.expect("it begins");
            let held = tx.hold("balances", live.generation).await.expect("it is held");
            let held = held.expect("it is there");
            tx.amend(&held, &held, None).await.expect("the lease is revoked");
            tx.commit().await.expect("it commits");
            let wanted = [Work::live("balances")];
            let kept = log.store().keep_leases(&next, &wanted, Duration::from_secs(1)).await;
            (kept.expect("leases can be kept") == wanted).then_some(())
        })
        .await;
        let epoch = balances_checkpoint(log).await.epoch;
        // Nobody applies what this program appends, but the owner.
        book(&other, "a", 1).await;
        eventually("the lease runs out, and the owner of before is it again", async || {
            (bookings(log, "a").await == 1).then_some(())
        })
        .await;
        assert!(balances_checkpoint(log).await.epoch > epoch, "not in its earlier time");
    };
    run_while(&inline_app(), log, work).await;
    other.close().await;
}

/// An append into a restored log is not to be mixed with rows that hold what is gone.
pub async fn an_append_leaves_an_inline_read_model_of_another_log_alone(harness: &dyn Harness) {
    let log = harness.log();
    let work = async {
        is_inline(log, "balances").await;
        book_and_look(log, "a", 1).await;
        let id = match harness.dialect() {
            Dialect::Postgres => "'00000000-0000-0000-0000-000000000007'",
            Dialect::Sqlite => "x'00000000000000000000000000000007'",
        };
        let checkpoints = harness.table("checkpoints");
        let sql = format!("update {checkpoints} set event_id = {id} where projection = 'balances'");
        harness.execute_raw(&sql).await.expect("the table of checkpoints is as expected");
        book(log, "a", 1).await;
        let noted = eventually("its runner leaves it alone too", async || {
            balances_checkpoint(log).await.failure
        });
        assert_eq!(noted.await.code, "log-diverged");
        assert_eq!(bookings(log, "a").await, 1);
    };
    run_while(&inline_app(), log, work).await;
}
