//! Networks that lose answers, and connections that die in silence.

use std::time::Duration;

use futures_util::{
    TryStreamExt as _,
    future::{join, join_all},
};
use headwater::{
    App, Append, Error, ErrorKind,
    ExpectedVersion::{Any, Exact},
    Filter, Log, NewEvent, Position, Settings, connect,
    postgres::PostgresStore,
};
use headwater_testkit::{
    account::Balance,
    fixtures::{all, append_to, event, stream},
    postgres::{Proxy, TestDatabase, database, direct_database},
    scale, within,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

struct Network {
    log: Log,
    proxy: Proxy,
    database: TestDatabase,
}

/// The log itself tries again where an outcome is unknown; the store tells each one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Through {
    Log,
    Store,
}

impl Network {
    /// A log on the other side of a network; its statements may take so long.
    async fn open(statement_timeout: Duration) -> Self {
        Self::before(database().await, statement_timeout).await
    }

    async fn before(database: TestDatabase, statement_timeout: Duration) -> Self {
        let proxy = Proxy::start(database.url()).await;
        let settings = Settings { statement_timeout, ..Settings::default() };
        let store = PostgresStore::connect(proxy.url(), settings).await.expect("the log opens");
        Self { log: Log::new(store), proxy, database }
    }

    /// Appends the event with this number to a stream, with the same ids as often as it takes.
    async fn append(&self, name: &str, number: u64, through: Through) -> u32 {
        let append = Append::new(stream(name), Exact(number - 1), [event(number)]);
        let (mut tries, mut unknown) = (1, false);
        loop {
            let appended = match through {
                Through::Log => self.log.append_all([append.clone()]).await,
                Through::Store => self.log.store().append(vec![append.clone()]).await,
            };
            match appended {
                Ok(appended) => {
                    assert_eq!(appended.version(), number, "{name}");
                    if through == Through::Store && !unknown {
                        assert!(!appended.repeated, "{name} {number} was told as not applied");
                    }
                    return tries;
                }
                // Nobody else writes to the stream: a conflict would be one with itself.
                Err(error @ (Error::OutcomeUnknown { .. } | Error::Unavailable { .. })) => {
                    assert_eq!(error.kind(), ErrorKind::Retry);
                    unknown |= matches!(error, Error::OutcomeUnknown { .. });
                    tries += 1;
                }
                Err(error) => panic!("{name} {number}: {error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_answers_are_lost_each_append_is_applied_once() {
    let network = Network::open(Duration::from_secs(20)).await;
    network.proxy.cut_per_mille(20);
    let appends = 40 * u64::from(scale());
    let writer = |n: u64| {
        let network = &network;
        let through = if n.is_multiple_of(2) { Through::Log } else { Through::Store };
        async move {
            let mut tries = 0;
            for number in 1..=appends {
                tries += network.append(&format!("thing-{n}"), number, through).await;
            }
            tries
        }
    };
    let tries: u32 = within("the writers", join_all((0..16).map(writer))).await.into_iter().sum();
    network.proxy.heal();
    println!("{} appends took {tries} tries", 16 * appends);
    let events = all(&network.log).await;
    assert_eq!(u64::try_from(events.len()), Ok(16 * appends));
    network.log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_have_died_in_silence_are_replaced() {
    let deadline = Duration::from_secs(2);
    let network = Network::open(deadline).await;
    let mut cursor = network.log.subscribe(Filter::all(), Position::START);
    for number in 1..=3 {
        network.append("thing-1", number, Through::Log).await;
        let event = within("the next event", cursor.next()).await.expect("the log can be read");
        assert_eq!(event.version, number);
    }
    for round in 0..3 {
        network.proxy.forget_connections();
        let begun = Instant::now();
        let number = 4 + round;
        within("an append", network.append("thing-1", number, Through::Log)).await;
        let event = loop {
            match within("the next event", cursor.next()).await {
                Ok(event) => break event,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
            }
        };
        assert_eq!(event.version, number);
        assert!(begun.elapsed() < Duration::from_secs(12), "it took {:?}", begun.elapsed());
    }
    // No permit is lost with a connection: as many readings at once as there may be, and more.
    let readings = (0..24).map(|_| all(&network.log));
    for events in within("readings", join_all(readings)).await {
        assert_eq!(events.len(), 6);
    }
}

/// The server ends it: whoever works on the same after him does not wait for the network.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_cut_off_holds_its_locks_for_a_while_only() {
    let network = Network::open(Duration::from_secs(60)).await;
    let app = App::new().projection::<Balance>();
    app.catch_up(&network.log).await.expect("its checkpoint is made");
    let hold = async || {
        let mut tx = network.log.store().begin().await?;
        tx.hold("balances", 1).await?;
        Ok::<_, Error>(tx)
    };
    let cut_off = hold().await.expect("it holds the checkpoint");
    network.proxy.forget_connections();
    let begun = Instant::now();
    within("the lock", hold()).await.expect("another one holds it");
    assert!(begun.elapsed() > Duration::from_secs(5), "it was not held");
    drop(cut_off);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_whose_connection_has_died_in_silence_is_replaced() {
    let network = Network::before(direct_database().await, Duration::from_secs(20)).await;
    let other = connect(network.database.url()).await.expect("another process opens the log");
    let mut hints = network.log.store().hints();
    within("it listens", hear(&other, &mut hints)).await;
    network.proxy.forget_connections();
    // What was told before is heard by then.
    sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    within("it listens again", hear(&other, &mut hints)).await;
    assert!(begun.elapsed() > Duration::from_secs(5), "it was never deaf");
}

/// Appends from another process until it is heard of.
async fn hear(other: &Log, hints: &mut watch::Receiver<Instant>) {
    loop {
        hints.mark_unchanged();
        append_to(other, "thing-1", 1).await;
        if timeout(Duration::from_millis(500), hints.changed()).await.is_ok() {
            return;
        }
    }
}

/// Its transaction ends at once: nobody waits for a rollback that a dead connection would not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_connection_has_died_in_silence_is_given_up() {
    let deadline = Duration::from_secs(2);
    let network = Network::open(deadline).await;
    for committing in [false, true] {
        let mut tx = network.log.store().begin().await.expect("it begins");
        network.proxy.forget_connections();
        let begun = Instant::now();
        for _ in 0..5 {
            let held = within("a statement", tx.hold("nobody", 1)).await;
            assert_eq!(held.map_err(|error| error.kind()), Err(ErrorKind::Retry));
        }
        let ended = async { if committing { tx.commit().await } else { tx.rollback().await } };
        let ended = within("its end", ended).await.map_err(|error| error.kind());
        assert_eq!(ended, if committing { Err(ErrorKind::Retry) } else { Ok(()) });
        assert!(begun.elapsed() < 2 * deadline, "it took {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_whose_connection_dies_in_silence_says_so() {
    let deadline = Duration::from_secs(2);
    let network = Network::open(deadline).await;
    for n in 0..16 {
        let events = (0..1_000).map(|n| NewEvent::from_json("grew", 1, format!("\"{n:01000}\"")));
        network
            .log
            .append(&stream(&format!("thing-{n}")), Any, events)
            .await
            .expect("it is applied");
    }
    let mut read = network.log.read(Filter::all(), Position::START);
    within("the first event", read.try_next()).await.expect("the log can be read");
    network.proxy.forget_connections();
    let begun = Instant::now();
    let rest = within("the rest", read.try_collect::<Vec<_>>()).await;
    assert_eq!(rest.map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::Retry));
    assert!(begun.elapsed() < Duration::from_secs(12), "it took {:?}", begun.elapsed());
}

/// Both directions swallow everything, as a switch that hangs: then all goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_silent_network_goes_on_when_it_speaks_again() {
    let silence = Duration::from_secs(5 * u64::from(scale().min(4)));
    let network = Network::open(Duration::from_secs(20)).await;
    let writer = |n: u64| {
        let network = &network;
        async move {
            let (mut number, name) = (0, format!("thing-{n}"));
            let end = Instant::now() + silence + Duration::from_secs(4);
            while Instant::now() < end {
                number += 1;
                network.append(&name, number, Through::Log).await;
            }
            number
        }
    };
    let mut cursor = network.log.subscribe(Filter::all(), Position::START);
    let fault = async {
        sleep(Duration::from_secs(2)).await;
        network.proxy.fall_silent();
        sleep(silence).await;
        network.proxy.heal();
        Instant::now()
    };
    let (written, healed) = join(join_all((0..8).map(writer)), fault).await;
    assert!(healed.elapsed() < Duration::from_secs(30), "it took {:?}", healed.elapsed());
    let written: u64 = written.into_iter().sum();
    let mut seen = 0;
    while seen < written {
        match within("the next batch", cursor.next_batch(1_000)).await {
            Ok(batch) => seen += u64::try_from(batch.events.len()).unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
    }
    assert_eq!(seen, written);
    assert!(healed.elapsed() < Duration::from_secs(30), "it took {:?}", healed.elapsed());
    let events = all(&network.log).await;
    assert_eq!(u64::try_from(events.len()), Ok(written));
}
