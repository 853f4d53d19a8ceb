//! Instances that share projections are killed, paused and started again: each event counts once, and
//! each projection has one owner whose writes are taken.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use headwater::{App, Log, connect, store::Work};
use headwater_testkit::{
    account::PartitionedBalance, eight, eventually, postgres, scale, seed, within,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child as Process, Command},
    time::{Instant, sleep},
};

use crate::{
    audit::{Audit, app, balances_are_folded},
    child,
    load::{Load, book},
};

const LEASE: Duration = Duration::from_secs(1);

/// Which projections a started process keeps up to date; its own name in the leases.
const NAME: &str = "HEADWATER_FAULTS_INSTANCE";

/// In a process of its own: an instance of a service, which tells what it does. In the tests' own
/// process: one that stops at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_runs() {
    let (url, name) = match child::database() {
        Some(url) => (url, std::env::var(NAME).unwrap()),
        None => ("sqlite::memory:".into(), String::new()),
    };
    let log = connect(&url).await.unwrap();
    let app = match name.get(..5) {
        Some("eight") => eight::app(),
        Some("parts") => parts(),
        _ => app(),
    };
    let app = app.lease(LEASE).instance_name(&name);
    if name.is_empty() {
        return app.run_until(&log, std::future::ready(())).await.unwrap();
    }
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stdout).init();
    app.run(&log).await.unwrap();
}

fn parts() -> App {
    App::new().projection::<PartitionedBalance>()
}

/// An instance in a process of its own, and what it has said.
struct Instance {
    process: Process,
    said: Arc<Mutex<Vec<String>>>,
}

impl Instance {
    fn start(url: &str, name: &str) -> Self {
        let mut command = child::command("ownership::an_instance_runs", url);
        let mut process = command.env(NAME, name).spawn().unwrap();
        let said = Arc::<Mutex<Vec<String>>>::default();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let heard = said.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().unwrap().push(line);
            }
        });
        Self { process, said }
    }

    async fn signal(&self, signal: &str) {
        let pid = self.process.id().expect("it runs").to_string();
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status();
        assert!(sent.await.unwrap().success(), "it is there");
    }

    async fn kill(mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "it ended: {:?}", self.said);
        self.process.kill().await.unwrap();
    }

    /// How often it has said this.
    fn says(&self, what: &str) -> usize {
        self.said.lock().unwrap().iter().filter(|line| line.contains(what)).count()
    }
}

/// Checks in one look that each read model holds exactly what lies at or below its checkpoint.
async fn agree(log: &Log) {
    let look = "select c.projection as projection, \
                case c.projection \
                  when 'balances' then (select count(*) from {all_events} e \
                    where e.type = 'account.booked' and e.position <= c.position) \
                  else (select count(*) from {all_events} e \
                    where e.type = 'account.opened' and e.position <= c.position) end as expected, \
                case c.projection \
                  when 'balances' then (select cast(coalesce(sum(b.bookings), 0) as bigint) from {balances} b) \
                  else (select cast(coalesce(sum(o.accounts), 0) as bigint) from {owners} o) end as found \
                from {all_checkpoints} c where c.state = 'live'";
    for row in log.query(look, &[]).await.unwrap() {
        let (projection, expected): (String, i64) =
            (row.get("projection").unwrap(), row.get("expected").unwrap());
        assert_eq!(row.get::<i64>("found").unwrap(), expected, "{projection}");
    }
}

async fn kill_runners(url: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let log = connect(url).await.unwrap();
    app().catch_up(&log).await.unwrap();
    let load = Load::start(&log, 2, seed, Arc::new(|_| {}));
    let kills = 8 * scale();
    for _ in 0..kills {
        let runner = Instance::start(url, "runner");
        eventually("it has begun", async || (runner.says("taken over") > 0).then_some(())).await;
        sleep(Duration::from_micros(rng.random_range(0..100_000))).await;
        runner.kill().await;
        agree(&log).await;
    }
    let ledger = load.stop().await;
    within("they catch up", app().catch_up(&log)).await.unwrap();
    let audit = Audit::of(&log).await;
    audit.agrees_with(&ledger);
    audit.agrees_with_read_models(&log).await;
    println!("{kills} kills over {} events", audit.events.len());
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_on_sqlite_that_are_killed_leave_each_read_model_as_its_checkpoint_says() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    kill_runners(&url, seed("runners_killed_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_on_postgresql_that_are_killed_leave_each_read_model_as_its_checkpoint_says() {
    let database = postgres::database().await;
    kill_runners(database.url(), seed("runners_killed_on_postgresql")).await;
}

/// Kills instances that share the partitions of one fold, each time another, while the others go on.
async fn kill_owners_of_partitions(url: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let log = connect(url).await.unwrap();
    let mut instances: Vec<_> =
        (0..4).map(|n| Instance::start(url, &format!("parts-{n}"))).collect();
    let kills = 3 * scale() as usize;
    for kill in 0..kills {
        let killed = rng.random_range(0..4);
        let name = format!("parts-{}", killed + 4 * kill);
        eventually("each has one", async || {
            let status = parts().status(&log).await.unwrap();
            let owners: HashSet<_> = status.iter().filter_map(|unit| unit.owner.clone()).collect();
            (owners.len() == 4).then_some(())
        })
        .await;
        let end = rng.random_range(1..100);
        for n in 0..200 {
            book(&log, n % 40).await;
            if n == end {
                std::mem::replace(&mut instances[killed], Instance::start(url, &name)).kill().await;
            }
        }
    }
    let last = book(&log, 1).await.position();
    let begun = Instant::now();
    within("they settle", parts().settled(&log, last)).await.unwrap();
    balances_are_folded(&log, last).await;
    println!("{kills} kills, {last} events, settled after {:?}", begun.elapsed());
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_on_sqlite_whose_owners_are_killed_count_each_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    kill_owners_of_partitions(&url, seed("partitions_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_on_postgresql_whose_owners_are_killed_count_each_event_once() {
    let database = postgres::database().await;
    kill_owners_of_partitions(database.url(), seed("partitions_on_postgresql")).await;
}

/// The name of the instance that has the lease on the balances, and the epoch of their checkpoint.
async fn owner(log: &Log) -> Option<(String, i64)> {
    let leases = log.store().leases().await.unwrap();
    let owner = leases.held(&Work::live("balances")).map(|lease| leases.name_of(lease.owner))?;
    let checkpoints = log.checkpoints().await.unwrap();
    let balances = checkpoints.iter().find(|checkpoint| checkpoint.projection == "balances")?;
    Some((owner, balances.epoch))
}

/// The projections whose owners are paused, and the names of the two instances.
struct Paused {
    app: App,
    names: [&'static str; 2],
    /// Whether each read model can be compared with its checkpoint: partitions stand at places of their own.
    is_whole: bool,
}

impl Paused {
    fn whole() -> Self {
        Self { app: app(), names: ["0", "1"], is_whole: true }
    }

    fn in_partitions() -> Self {
        Self { app: parts(), names: ["parts-0", "parts-1"], is_whole: false }
    }
}

/// Pauses whoever has the balances, or their first partition, again and again, for longer than its lease.
///
/// What it holds in the middle of a transaction PostgreSQL frees after 15 s, and SQLite never.
async fn pause_owners(url: &str, seed: u64, patience: Duration, paused: Paused) {
    let mut rng = StdRng::seed_from_u64(seed);
    let log = connect(url).await.unwrap();
    let Paused { app, names, is_whole } = paused;
    app.catch_up(&log).await.unwrap();
    let instances = names.map(|name| Instance::start(url, name));
    let (rounds, mut in_the_way, mut longest) = (3 * scale(), 0, Duration::ZERO);
    for round in 0..rounds {
        let (paused, epoch) = eventually("somebody has it", || owner(&log)).await;
        let number = usize::from(paused == names[1]);
        let (zombie, other) = (&instances[number], &instances[1 - number]);
        let told = (zombie.says("taken it over"), other.says("taken over by this instance"));
        // Somewhere in the work on these.
        let writes = tokio::spawn({
            let log = log.clone();
            async move {
                for n in 0..40 {
                    book(&log, n % 5).await;
                }
            }
        });
        sleep(Duration::from_micros(rng.random_range(0..30_000))).await;
        zombie.signal("STOP").await;
        let begun = Instant::now();
        let mut taken = false;
        while !taken && begun.elapsed() < patience {
            sleep(LEASE / 20).await;
            let looked = tokio::time::timeout(LEASE, owner(&log)).await.ok().flatten();
            taken = looked.is_some_and(|(name, now)| name != paused && now > epoch);
        }
        if taken {
            longest = longest.max(begun.elapsed());
            within("the writes end", writes).await.unwrap();
            let last = book(&log, 1).await.position();
            let reached = log.wait_for("balances", last, Duration::from_secs(30)).await;
            assert_eq!(reached, Ok(true), "round {round}: the new owner goes on");
            zombie.signal("CONT").await;
            eventually("the zombie sees that it lost", async || {
                (zombie.says("taken it over") > told.0).then_some(())
            })
            .await;
            assert!(other.says("taken over by this instance") > told.1);
        } else {
            in_the_way += 1;
            zombie.signal("CONT").await;
            within("the writes end", writes).await.unwrap();
        }
        if is_whole {
            agree(&log).await;
        }
    }
    let last = book(&log, 1).await.position();
    within("they settle", app.settled(&log, last)).await.unwrap();
    balances_are_folded(&log, last).await;
    if is_whole {
        Audit::of(&log).await.agrees_with_read_models(&log).await;
    }
    println!(
        "{rounds} pauses: {in_the_way} in the middle of a transaction that nobody ends, \
         the others were taken over within {longest:?}"
    );
    assert!(in_the_way < rounds, "some are taken over");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_an_owner_that_was_paused_finds_its_work_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    pause_owners(&url, seed("owners_paused_on_sqlite"), 3 * LEASE, Paused::whole()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_an_owner_that_was_paused_finds_its_work_taken_over() {
    let database = postgres::database().await;
    let patience = Duration::from_secs(15) + 3 * LEASE;
    pause_owners(database.url(), seed("owners_paused_on_postgresql"), patience, Paused::whole())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_an_owner_of_partitions_that_was_paused_finds_them_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    pause_owners(&url, seed("parts_paused_on_sqlite"), 3 * LEASE, Paused::in_partitions()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_an_owner_of_partitions_that_was_paused_finds_them_taken_over() {
    let database = postgres::database().await;
    let patience = Duration::from_secs(15) + 3 * LEASE;
    pause_owners(
        database.url(),
        seed("parts_paused_on_postgresql"),
        patience,
        Paused::in_partitions(),
    )
    .await;
}

/// How many of the eight projections each instance that is there has, sorted.
async fn shares(log: &Log) -> Vec<usize> {
    let leases = log.store().leases().await.unwrap();
    let count = |id| {
        let own = |name: &&&str| leases.held(&Work::live(**name)).is_some_and(|l| l.owner == id);
        eight::NAMES.iter().filter(own).count()
    };
    let mut shares: Vec<_> = leases.instances.iter().map(|there| count(there.id)).collect();
    shares.sort_unstable();
    shares
}

/// Kills and starts four instances at random while events come in.
async fn come_and_go(url: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let log = connect(url).await.unwrap();
    let writer = tokio::spawn({
        let log = log.clone();
        async move {
            for n in 0.. {
                book(&log, n % 20).await;
                sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let mut instances: [Option<Instance>; 4] = [const { None }; 4];
    let begun = Instant::now();
    let mut kills = 0;
    while begun.elapsed() < Duration::from_secs(3) * scale() {
        let number = rng.random_range(0..4);
        match instances[number].take() {
            Some(running) => {
                running.kill().await;
                kills += 1;
            }
            None => instances[number] = Some(Instance::start(url, &format!("eight {number}"))),
        }
        sleep(Duration::from_millis(rng.random_range(0..600))).await;
    }
    for (number, instance) in instances.iter_mut().enumerate() {
        instance.get_or_insert_with(|| Instance::start(url, &format!("eight {number}")));
    }
    writer.abort();
    let quiet = Instant::now();
    eventually("they share", async || (shares(&log).await == [2; 4]).then_some(())).await;
    let shared = quiet.elapsed();
    assert!(shared < Duration::from_secs(15), "shared evenly after {shared:?}");
    let last = book(&log, 1).await.position();
    for name in eight::NAMES {
        let reached = log.wait_for(name, last, Duration::from_secs(30)).await;
        assert_eq!(reached, Ok(true), "{name} goes on");
        let sql = format!(
            "select (select cast(sum(events) as bigint) from {{{name}}}) as found, \
             (select count(*) from {{all_events}} where category = 'account') as expected"
        );
        let row = &log.query(&sql, &[]).await.unwrap()[0];
        assert_eq!(row.get::<i64>("found").unwrap(), row.get::<i64>("expected").unwrap(), "{name}");
    }
    println!("{kills} kills; shared evenly {shared:?} after the last start");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_on_sqlite_that_come_and_go_apply_each_event_once_and_share_evenly() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    come_and_go(&url, seed("instances_come_and_go_on_sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_on_postgresql_that_come_and_go_apply_each_event_once_and_share_evenly() {
    let database = postgres::database().await;
    come_and_go(database.url(), seed("instances_come_and_go_on_postgresql")).await;
}
