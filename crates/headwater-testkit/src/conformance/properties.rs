//! Random steps on a store and on the model of the log: after each step both hold the same.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use futures_util::TryStreamExt as _;
use headwater::{
    Append, Appended, Direction, Error, ExpectedVersion::Any, Filter, Log, NewEvent, Position,
    StoredEvent, StreamInfo,
};
use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

use super::Harness;
use crate::{
    fixtures::{collect, stream},
    model::{Kept, Model, Outcome},
    scale, seed,
    steps::{self, Names, Read, Step, Tried},
};

/// Appends to one and many streams, retries with the same and with other content, versions that
/// hold and do not hold, bad input, readings in both directions and through filters.
pub async fn the_store_behaves_like_the_model(harness: &dyn Harness) {
    let log = harness.log();
    let cases = AtomicU32::new(0);
    for_each("the_store_behaves_like_the_model", 24, &steps::steps(), |steps| {
        // All cases share one log; each has categories of its own.
        let names = Names::new(cases.fetch_add(1, Ordering::Relaxed));
        tokio::runtime::Handle::current().block_on(run(log, names, steps))
    });
}

/// Whatever is JSON.
pub async fn any_json_reads_back_exactly(harness: &dyn Harness) {
    let log = harness.log();
    let cases = AtomicU32::new(0);
    let documents = proptest::collection::vec(steps::json(), 1..20);
    for_each("any_json_reads_back_exactly", 16, &documents, |documents| {
        let name = format!("json-{}", cases.fetch_add(1, Ordering::Relaxed));
        let check = async {
            let events: Vec<_> = documents
                .iter()
                .map(|json| {
                    NewEvent::from_json("a.b", 1, json).metadata(format!("{{\"a\":{json}}}"))
                })
                .collect();
            let append = Append::new(stream(&name), Any, events.clone());
            log.append_all([append.clone()]).await.map_err(fail)?;
            let read = collect(log.read_stream(&stream(&name), 1)).await;
            for (read, written) in read.iter().zip(&events) {
                same("data", &read.event.data, &written.data)?;
                same("metadata", &read.metadata, &written.metadata)?;
            }
            same("count", read.len(), events.len())?;
            same("repeated", log.append_all([append]).await.map_err(fail)?.repeated, true)
        };
        tokio::runtime::Handle::current().block_on(check)
    });
}

/// Runs a property over random values from a printed seed, and shrinks what fails.
fn for_each<S: Strategy>(
    name: &str,
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = Config {
        cases: cases * scale(),
        max_shrink_iters: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed(name).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    match tokio::task::block_in_place(|| runner.run(strategy, test)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, value)) => panic!("{name}: {reason}\nfor {value:#?}"),
        Err(TestError::Abort(reason)) => panic!("{name}: {reason}"),
    }
}

fn fail(error: Error) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: T,
    expected: T,
) -> Result<(), TestCaseError> {
    if found == expected {
        return Ok(());
    }
    Err(TestCaseError::fail(format!("{what}: the store {found:?}, the model {expected:?}")))
}

/// A store and its model.
struct Pair<'a> {
    log: &'a Log,
    names: Names,
    model: Model,
    /// The position of each event of the model.
    positions: Vec<Position>,
    /// Every append that was tried, and those that were applied, for retries.
    tried: Tried,
}

async fn run(log: &Log, names: Names, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (model, positions, tried) = (Model::default(), Vec::new(), Tried::default());
    let mut pair = Pair { log, names, model, positions, tried };
    for step in steps {
        match step.appends(&pair.names, &pair.model, &pair.tried) {
            Some(appends) => pair.append(appends).await?,
            None => pair.read(&step.read(&pair.names)).await?,
        }
        pair.compare().await?;
    }
    Ok(())
}

impl Pair<'_> {
    async fn append(&mut self, appends: Vec<Append>) -> Result<(), TestCaseError> {
        let expected = self.model.append(&appends);
        let found = self.log.append_all(appends.clone()).await;
        if expected.as_ref().is_ok_and(|outcome| !outcome.repeated) {
            self.tried.applied.push(appends.clone());
        }
        self.tried.all.push(appends);
        match (found, expected) {
            (Ok(found), Ok(expected)) => self.applied(&found, &expected),
            (found, expected) => same("outcome", found.map(drop), expected.map(drop)),
        }
    }

    fn applied(&mut self, found: &Appended, expected: &Outcome) -> Result<(), TestCaseError> {
        same("repeated", found.repeated, expected.repeated)?;
        let of_store = found.streams.iter().map(|s| (s.version, s.positions.clone()));
        if !expected.repeated {
            let new: Vec<_> = of_store.clone().flat_map(|(_, positions)| positions).collect();
            let rises = self.positions.iter().chain(&new).is_sorted_by(|a, b| a < b);
            same("positions rise", rises, true)?;
            self.positions.extend(new);
        }
        let place = |place: &usize| self.positions.get(*place).copied().unwrap_or(Position::END);
        let of_model = expected
            .streams
            .iter()
            .map(|(version, places)| (*version, places.iter().map(place).collect::<Vec<_>>()));
        same("result", of_store.collect::<Vec<_>>(), of_model.collect())
    }

    async fn read(&self, read: &Read) -> Result<(), TestCaseError> {
        match read {
            Read::Stream { stream, from, direction } => {
                let events = match direction {
                    Direction::Forward => self.log.read_stream(stream, *from),
                    Direction::Backward => self.log.read_stream_backward(stream, *from),
                };
                let expected = self.model.read_stream(stream, *from, *direction);
                self.equal(&collect(events).await, &expected)
            }
            Read::Log { filter, after } => {
                let after = after.and_then(|n| self.positions.get(n).copied());
                self.equal_log(filter.clone(), after.unwrap_or_default()).await
            }
        }
    }

    /// The log behind a position, forward, and up to it, backward.
    async fn equal_log(&self, filter: Filter, after: Position) -> Result<(), TestCaseError> {
        let all = self.model.read(&filter);
        let (mut before, behind): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|kept| self.position(kept) <= after);
        before.reverse();
        self.equal(&collect(self.log.read(filter.clone(), after)).await, &behind)?;
        self.equal(&collect(self.log.read_backward(filter, after)).await, &before)
    }

    fn position(&self, kept: &Kept) -> Position {
        let place = self.model.events().iter().position(|other| std::ptr::eq(other, kept));
        place.and_then(|place| self.positions.get(place)).copied().unwrap_or(Position::END)
    }

    fn equal(&self, read: &[StoredEvent], expected: &[&Kept]) -> Result<(), TestCaseError> {
        let places = |events: &[StoredEvent]| -> Vec<_> {
            events.iter().map(|e| (e.stream.clone(), e.version, e.position)).collect()
        };
        let expected_places: Vec<_> =
            expected.iter().map(|k| (k.stream.clone(), k.version, self.position(k))).collect();
        same("events", places(read), expected_places)?;
        let exact = read.iter().zip(expected).all(|(read, kept)| kept.is(read));
        same("content", exact, true)
    }

    /// The whole of it, and the list of its streams.
    async fn compare(&self) -> Result<(), TestCaseError> {
        self.equal_log(self.names.filter(), Position::START).await?;
        let mut found = BTreeMap::new();
        for category in self.names.categories() {
            let infos: Vec<StreamInfo> =
                self.log.streams(Some(category)).try_collect().await.map_err(fail)?;
            found.extend(infos.into_iter().map(|info| (info.stream, info.version)));
        }
        same("streams", found, self.model.streams())
    }
}
