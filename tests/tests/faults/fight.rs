//! Two processes that command the same aggregate, each with its state in memory.

use futures_util::future::{join, join_all};
use headwater::{Aggregate as _, CommandError, Decoder, Log, Repository, RetryPolicy, connect};
use headwater_testkit::{
    account::{Account, AccountEvent, Refusal},
    fixtures::{all, collect, stream},
    postgres, scale,
};

use crate::child::{self, Child};

/// The balance may not pass it, nor fall below nothing.
const LIMIT: i64 = 20;

/// How many callers of each process.
const CALLERS: i64 = 16;

/// What the callers of a process came to: bookings that were carried out, and refusals.
struct Came {
    added: i64,
    taken: i64,
    refused: i64,
}

/// In a process of its own: callers who add and take a cent. In the tests' own process: the same, and
/// the balance is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_fights() {
    let Some(url) = child::database() else {
        let log = connect("sqlite::memory:").await.unwrap();
        let came = fight(&log, 10).await;
        return judge(&log, came.added - came.taken).await;
    };
    let log = connect(&url).await.unwrap();
    let Came { added, taken, refused } = fight(&log, rounds()).await;
    println!("fought {added} {taken} {refused}");
    log.close().await;
}

/// A hundred thousand commands of two processes at scale 50.
fn rounds() -> i64 {
    63 * i64::from(scale().min(50))
}

async fn fight(log: &Log, rounds: i64) -> Came {
    let accounts = Repository::<Account>::new(log).unwrap();
    let accounts = accounts.retry(RetryPolicy { retries: 10_000, ..RetryPolicy::default() });
    let caller = |caller| {
        let accounts = &accounts;
        async move {
            let mut came = Came { added: 0, taken: 0, refused: 0 };
            for round in 0..rounds {
                let cents = if (caller + round) % 3 == 0 { -1 } else { 1 };
                match accounts.execute(&"a".into(), |account| book(account, cents)).await {
                    Ok(done) => {
                        assert_eq!(done.events, [AccountEvent::Booked { cents }]);
                        came.added += cents.max(0);
                        came.taken -= cents.min(0);
                    }
                    Err(CommandError::Refused(_)) => came.refused += 1,
                    Err(CommandError::Log(error)) => panic!("{error}"),
                }
            }
            came
        }
    };
    let all = join_all((0..CALLERS).map(caller)).await;
    all.into_iter().fold(Came { added: 0, taken: 0, refused: 0 }, |sum, came| Came {
        added: sum.added + came.added,
        taken: sum.taken + came.taken,
        refused: sum.refused + came.refused,
    })
}

fn book(account: &Account, cents: i64) -> Result<Vec<AccountEvent>, Refusal> {
    if !(0..=LIMIT).contains(&(account.cents + cents)) {
        return Err(Refusal::Overdrawn);
    }
    Ok(vec![AccountEvent::Booked { cents }])
}

/// No event passes the limit, and each that was acknowledged is there, and no other.
async fn judge(log: &Log, balance: i64) {
    let decoder = Decoder::<AccountEvent>::new().unwrap();
    let mut account = Account::default();
    for event in collect(log.read_stream(&stream("account-a"), 1)).await {
        account.apply(&decoder.decode(event).unwrap().event);
        assert!((0..=LIMIT).contains(&account.cents), "the limit was passed");
    }
    assert_eq!(account.cents, balance, "an update was lost, or one too many is there");
}

async fn let_them_fight(url: &str) {
    let log = connect(url).await.unwrap();
    let fighter = || async {
        let mut child = Child::start("fight::a_process_fights", url);
        let said = child.says("fought ").await.expect("it tells how it went");
        let numbers: Vec<i64> = said.split(' ').map(|number| number.parse().unwrap()).collect();
        Came { added: numbers[0], taken: numbers[1], refused: numbers[2] }
    };
    let (one, other) = join(fighter(), fighter()).await;
    let (added, taken) = (one.added + other.added, one.taken + other.taken);
    let refused = one.refused + other.refused;
    println!("{added} added, {taken} taken, {refused} refused");
    assert_eq!(added + taken + refused, 2 * CALLERS * rounds());
    assert!(refused > 0, "the limit was never met");
    judge(&log, added - taken).await;
    assert_eq!(i64::try_from(all(&log).await.len()), Ok(added + taken));
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_postgresql_lose_no_update_of_one_aggregate() {
    let database = postgres::database().await;
    let_them_fight(database.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_sqlite_lose_no_update_of_one_aggregate() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    let_them_fight(&url).await;
}
