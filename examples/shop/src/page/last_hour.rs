//! The last hour of the log, kept in memory by a live subscriber: what the page draws over time.
//!
//! It is a window and no read model: it may be lost at any time, and is filled from the log again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use headwater::{Aggregate as _, Decoder, Filter, Log, Position, Result, StoredEvent};
use serde_json::{Value, json};

use crate::domain::order::{Order, OrderEvent};

/// How far back the window reaches, in seconds.
const SECONDS: i64 = 3600;

/// How many events are listed.
const LISTED: usize = 30;

/// The last hour of a log.
pub(crate) struct LastHour {
    log: Log,
    orders: Decoder<OrderEvent>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Seconds since 1970, of those in which something was recorded or sold.
    seconds: BTreeMap<i64, Second>,
    /// The newest event first, as the page lists it.
    last: VecDeque<Value>,
    newest: Position,
    /// Whether it has read as far as the log went.
    filled: bool,
}

/// What happened in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Second {
    /// Events that were recorded in it.
    pub(super) events: u64,
    /// Orders that were placed in it.
    pub(super) orders: i64,
    /// What they cost, less what was called off, in minor units.
    pub(super) revenue: i64,
}

impl LastHour {
    /// An empty window over `log`.
    pub(crate) fn new(log: &Log) -> Result<Self> {
        Ok(Self { log: log.clone(), orders: Decoder::new()?, state: Mutex::default() })
    }

    /// Fills the window, and follows the log until it is dropped.
    pub(crate) async fn follow(&self) {
        while let Err(error) = self.follow_until_failure().await {
            tracing::warn!(%error, "the page's window begins anew");
            tokio::time::sleep(Duration::from_secs(1)).await;
            *self.lock() = State::default();
        }
    }

    async fn follow_until_failure(&self) -> Result<()> {
        // The newest events first: in a log that rests, they may be older than the window.
        let newest = self.log.read_backward(Filter::all(), Position::END).take(LISTED);
        let newest: Vec<_> = newest.try_collect().await?;
        {
            let mut state = self.lock();
            state.newest = newest.first().map_or(Position::START, |event| event.position);
            state.last = newest.iter().map(listed).collect();
        }
        let begin = self.log.position_at(Utc::now() - TimeDelta::seconds(SECONDS)).await?;
        let mut cursor = self.log.subscribe(Filter::all(), begin);
        loop {
            let batch = match cursor.available(1_000).await? {
                Some(batch) => batch,
                None => {
                    self.lock().filled = true;
                    cursor.next_batch(1_000).await?
                }
            };
            batch.events.into_iter().for_each(|event| self.take_in(event));
        }
    }

    fn take_in(&self, event: StoredEvent) {
        let mut state = self.lock();
        state.seconds.entry(event.recorded_at.timestamp()).or_default().events += 1;
        if state.newest < event.position {
            state.newest = event.position;
            state.last.push_front(listed(&event));
            state.last.truncate(LISTED);
        }
        if let Some((at, orders, revenue)) = self.sale(event) {
            let second = state.seconds.entry(at).or_default();
            second.orders += orders;
            second.revenue += revenue;
        }
        let begin = Utc::now().timestamp() - SECONDS;
        while state.seconds.first_key_value().is_some_and(|(second, _)| *second < begin) {
            state.seconds.pop_first();
        }
    }

    /// When something was sold or called off, how many orders and for how much. By the time at which
    /// it happened: an import of last year's trade is no revenue of this hour.
    fn sale(&self, event: StoredEvent) -> Option<(i64, i64, i64)> {
        if event.stream.category() != Order::CATEGORY {
            return None;
        }
        let event = self.orders.decode(event).ok()?;
        let (orders, revenue) = match event.event {
            OrderEvent::Placed(order) => (1, order.total.amount),
            OrderEvent::Cancelled { order, .. } | OrderEvent::Rejected { order, .. } => {
                (0, -order.total.amount)
            }
            OrderEvent::Confirmed | OrderEvent::Shipped => return None,
        };
        Some((event.occurred_at.timestamp(), orders, revenue))
    }

    /// The last so many seconds, oldest first, without the one that is running.
    pub(crate) fn seconds(&self, count: i64, now: DateTime<Utc>) -> Vec<Second> {
        let (state, now) = (self.lock(), now.timestamp());
        (now - count..now).map(|at| state.seconds.get(&at).copied().unwrap_or_default()).collect()
    }

    /// All that happened in the last hour; `None` until it has been read.
    pub(crate) fn hour(&self) -> Option<Second> {
        let add = |sum: Second, second: &Second| Second {
            events: sum.events + second.events,
            orders: sum.orders + second.orders,
            revenue: sum.revenue + second.revenue,
        };
        let state = self.lock();
        state.filled.then(|| state.seconds.values().fold(Second::default(), add))
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
        "at": event.recorded_at.timestamp_millis(),
    })
}
