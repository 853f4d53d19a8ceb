//! What was recorded lately, kept in memory by a live subscriber: what the dashboard shows of the log itself.
//!
//! It is a window and no read model: it may be lost at any time, and is filled from the log again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use headwater::{Filter, Log, Position, Result, StoredEvent};
use serde_json::{Value, json};

/// How far back the window reaches, in seconds.
const SECONDS: i64 = 120;

/// How many events are listed.
const LISTED: usize = 30;

/// The last two minutes of a log.
pub(crate) struct Recent {
    log: Log,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many events were recorded in each second since 1970 of which there are any.
    seconds: BTreeMap<i64, u64>,
    /// The newest event first, as the page lists it.
    last: VecDeque<Value>,
    newest: Position,
    /// When the newest event happened.
    happened: Option<DateTime<Utc>>,
}

impl Recent {
    /// An empty window over `log`.
    pub(crate) fn new(log: &Log) -> Self {
        Self { log: log.clone(), state: Mutex::default() }
    }

    /// Fills the window, and follows the log until it is dropped.
    pub(crate) async fn follow(&self) {
        while let Err(error) = self.follow_until_failure().await {
            tracing::warn!(%error, "the page's window begins anew");
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut state = self.lock();
            *state = State { happened: state.happened, ..State::default() };
        }
    }

    async fn follow_until_failure(&self) -> Result<()> {
        // The newest events first: in a log that rests, they may be older than the window.
        let newest = self.log.read_backward(Filter::all(), Position::END).take(LISTED);
        let newest: Vec<_> = newest.try_collect().await?;
        {
            let mut state = self.lock();
            state.newest = newest.first().map_or(Position::START, |event| event.position);
            state.happened = newest.first().map(|event| event.occurred_at);
            state.last = newest.iter().map(listed).collect();
        }
        let begin = self.log.position_at(Utc::now() - TimeDelta::seconds(SECONDS)).await?;
        let mut cursor = self.log.subscribe(Filter::all(), begin);
        loop {
            let batch = cursor.next_batch(1_000).await?;
            batch.events.iter().for_each(|event| self.take_in(event));
        }
    }

    fn take_in(&self, event: &StoredEvent) {
        let mut state = self.lock();
        *state.seconds.entry(event.recorded_at.timestamp()).or_default() += 1;
        if state.newest < event.position {
            (state.newest, state.happened) = (event.position, Some(event.occurred_at));
            state.last.push_front(listed(event));
            state.last.truncate(LISTED);
        }
        let begin = Utc::now().timestamp() - SECONDS;
        while state.seconds.first_key_value().is_some_and(|(second, _)| *second < begin) {
            state.seconds.pop_first();
        }
    }

    /// How many events were recorded in each second of the window, oldest first, without the one that is running.
    pub(crate) fn seconds(&self, now: DateTime<Utc>) -> Vec<u64> {
        let (state, now) = (self.lock(), now.timestamp());
        (now - SECONDS..now).map(|at| state.seconds.get(&at).copied().unwrap_or_default()).collect()
    }

    /// When the newest event happened; `None` in an empty log, or before it is read.
    pub(crate) fn happened(&self) -> Option<DateTime<Utc>> {
        self.lock().happened
    }

    /// The last events, newest first.
    pub(crate) fn last(&self) -> Vec<Value> {
        self.lock().last.iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst a number that is behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as the page lists it: its place and type, and never its content.
fn listed(event: &StoredEvent) -> Value {
    json!({
        "position": event.position,
        "stream": event.stream.as_str(),
        "version": event.version,
        "type": event.event.event_type,
        "recorded_at": event.recorded_at,
    })
}
