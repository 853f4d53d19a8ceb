//! The auditor: compares a log with itself, with what its writers were told, and with the read
//! models that were made of it.

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt as _;
use headwater::{
    App, Checkpoint, Decoder, Fold as _, GenerationState, Log, Position, Recorded, StoredEvent,
};
use headwater_testkit::{
    account::{AccountEvent, Balance, Owners},
    eventually, fixtures,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::load::{Ledger, Outcome, Placed};

/// The projections of these tests: a fold and one in SQL.
pub fn app() -> App {
    App::new().projection::<Balance>().sql_projection(Owners)
}

/// Everything that a log holds.
pub struct Audit {
    pub events: Vec<StoredEvent>,
    places: HashMap<Uuid, usize>,
    /// The events of each append of a load.
    appends: HashMap<Uuid, usize>,
}

#[derive(Deserialize)]
struct Mark {
    append: Uuid,
    of: usize,
}

impl Audit {
    /// Reads a log, and checks that it is sound in itself: positions rise, versions have no holes,
    /// ids come once, no append is torn.
    pub async fn of(log: &Log) -> Self {
        // What a killed process had sent may be committed only now.
        let events = eventually("the ceiling hides no event", async || {
            let events = fixtures::all(log).await;
            let count = log.query("select count(*) as n from {all_events}", &[]).await.unwrap();
            let count: i64 = count[0].get("n").unwrap();
            (usize::try_from(count) == Ok(events.len())).then_some(events)
        })
        .await;
        assert!(events.is_sorted_by(|a, b| a.position < b.position));
        let places: HashMap<_, _> = events.iter().enumerate().map(|(n, e)| (e.id, n)).collect();
        assert_eq!(places.len(), events.len(), "no event is there twice");
        check_versions(log, &events).await;
        let mut appends = HashMap::new();
        let mut counts = HashMap::new();
        for event in &events {
            let Some(metadata) = &event.metadata else { continue };
            let mark: Mark = serde_json::from_str(metadata).unwrap();
            *appends.entry(mark.append).or_insert(0) += 1;
            counts.insert(mark.append, mark.of);
        }
        for (append, found) in &appends {
            assert_eq!(*found, counts[append], "append {append} is torn");
        }
        Self { events, places, appends }
    }

    /// Whether the append of this id is there; it is there as a whole then.
    pub fn holds(&self, append: Uuid) -> bool {
        self.appends.contains_key(&append)
    }

    /// Checks that each writer was told the truth.
    pub fn agrees_with(&self, ledger: &Ledger) {
        let (mut acknowledged, mut found, mut missing, mut refused) = (0, 0, 0, 0);
        for (id, outcome) in &ledger.outcomes {
            match outcome {
                Outcome::Acknowledged(placed) => {
                    assert!(self.holds(*id), "append {id} was acknowledged and is not there");
                    placed.iter().for_each(|placed| self.is_placed(placed));
                    acknowledged += 1;
                }
                Outcome::Unknown if self.holds(*id) => found += 1,
                Outcome::Unknown => missing += 1,
                Outcome::NotApplied => {
                    assert!(!self.holds(*id), "append {id} was said not to be applied");
                    refused += 1;
                }
            }
        }
        println!(
            "appends: {acknowledged} acknowledged, {refused} not applied, \
             {found} + {missing} of unknown outcome (there + not there)"
        );
        for (fault, count) in &ledger.faults {
            println!("{count} faults on the way: {fault}");
        }
    }

    fn is_placed(&self, Placed { appends, appended }: &Placed) {
        for (append, placed) in appends.iter().zip(&appended.streams) {
            assert_eq!(append.events.len(), placed.positions.len());
            for (event, position) in append.events.iter().zip(&placed.positions) {
                let found = &self.events[self.places[&event.id]];
                assert_eq!((&found.stream, found.position), (&append.stream, *position));
                assert_eq!(found.event.data, event.data);
            }
            let last = &self.events[self.places[&append.events.last().unwrap().id]];
            assert_eq!(last.version, placed.version);
        }
    }

    /// Checks that the read models hold what a fold of this log makes, and nothing has failed.
    pub async fn agrees_with_read_models(&self, log: &Log) {
        let status = app().status(log).await.unwrap();
        let in_service = status.iter().filter(|status| status.state == GenerationState::Live);
        for status in in_service {
            assert_eq!(status.failure, None, "{status:?}");
            assert_eq!(status.lag(), 0, "{status:?}");
        }
        let decoder = Decoder::<AccountEvent>::new().unwrap();
        let (mut balances, mut owners) = (BTreeMap::<String, Balance>::new(), BTreeMap::new());
        for stored in self.events.iter().filter(|event| event.stream.category() == "account") {
            let event: Recorded<AccountEvent> = decoder.decode(stored.clone()).unwrap();
            for key in Balance::keys(&event) {
                let row = Balance::fold(balances.remove(&key), &key, &event);
                balances.extend(row.map(|row| (key, row)));
            }
            if let AccountEvent::Opened { owner } = event.event {
                *owners.entry(owner).or_insert(0_i64) += 1;
            }
        }
        let found: Vec<Balance> = log.find("order by account", &[]).await.unwrap();
        assert_eq!(found, balances.into_values().collect::<Vec<_>>());
        let found = log.query("select owner, accounts from {owners} order by owner", &[]).await;
        let found: Vec<(String, i64)> = found
            .unwrap()
            .iter()
            .map(|row| (row.get("owner").unwrap(), row.get("accounts").unwrap()))
            .collect();
        assert_eq!(found, owners.into_iter().collect::<Vec<_>>());
    }
}

/// Checks versions 1, 2, 3 ... in the order of positions, and the list of streams.
async fn check_versions(log: &Log, events: &[StoredEvent]) {
    let mut versions = BTreeMap::new();
    for event in events {
        let version = versions.entry(event.stream.clone()).or_insert(0);
        *version += 1;
        assert_eq!(event.version, *version, "a hole in {}", event.stream);
    }
    let streams: Vec<_> = log.streams(None).try_collect().await.unwrap();
    let streams: Vec<_> = streams.into_iter().map(|info| (info.stream, info.version)).collect();
    assert_eq!(streams, versions.into_iter().collect::<Vec<_>>());
}

/// Waits until a projection has this generation in service.
pub async fn in_service(log: &Log, projection: &str, generation: u32) {
    eventually(&format!("generation {generation} of {projection} is in service"), async || {
        let all = log.checkpoints().await.unwrap();
        let live = |c: &&Checkpoint| c.projection == projection && c.state == GenerationState::Live;
        let live = all.iter().find(live);
        live.is_some_and(|live| live.generation == generation).then_some(())
    })
    .await;
}

/// Checks that the balances are what a fold of the log makes, which ends at this position.
pub async fn balances_are_folded(log: &Log, end: Position) {
    let folded = log.fold_at::<Balance>(end).await.unwrap();
    let rows: Vec<Balance> = log.find("order by account", &[]).await.unwrap();
    assert_eq!(rows, BTreeMap::from_iter(folded).into_values().collect::<Vec<_>>());
}

/// Waits until every projection, running by itself, has come to the log's end.
pub async fn caught_up(log: &Log) {
    eventually("the projections have come to the log's end", async || {
        let status = app().status(log).await.ok()?;
        let mut in_service =
            status.iter().filter(|status| status.state != GenerationState::Building);
        (in_service.clone().count() == 2 && in_service.all(|status| status.lag() == 0))
            .then_some(())
    })
    .await;
}
