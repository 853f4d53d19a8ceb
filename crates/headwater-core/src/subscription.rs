//! A subscription whose place the log keeps under a name, for subscribers that have no database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::{Batch, Cursor, Error, Filter, Log, Position, Result, limits, task};

/// How far a subscriber has come, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionCheckpoint {
    /// The name.
    pub subscription: String,
    /// Everything at or below this position was acknowledged.
    pub position: Position,
    /// Another one after an operator has moved it, or it was made anew: what was opened before is refused then.
    pub id: Uuid,
    /// Whether it was made in this log and not in another one.
    pub of_this_log: bool,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
}

/// A [`Cursor`] whose place the log keeps under a name: it goes on behind what was acknowledged, also in
/// another process.
///
/// Each event comes at least once: after a crash those come again that were handled and not yet acknowledged,
/// so handle them such that a second time changes nothing. Where effect and place must change together, and the
/// effect is in this database, use a projection. Two that are open under one name get all events each; what
/// either acknowledges counts for both.
///
/// ```no_run
/// # async fn example(log: headwater_core::Log) -> headwater_core::Result<()> {
/// # use headwater_core::{Filter, Position};
/// let orders = Filter::all().category("order");
/// let mut mailer = log.subscription("mailer", orders, Position::START).await?;
/// loop {
///     let batch = mailer.next_batch(100).await?;
///     // ... send a letter for each of batch.events ...
///     mailer.acknowledge(batch.position).await?;
/// }
/// # }
/// ```
pub struct Subscription {
    cursor: Cursor,
    log: Log,
    at: SubscriptionCheckpoint,
    /// The last event that was delivered.
    seen: Option<(Position, Uuid)>,
    /// When the place was last looked at or moved.
    looked: Instant,
}

/// How often a subscription that has nothing to do looks whether an operator has moved it, and how often one to whom
/// its filter lets nothing through moves on.
const QUIET: Duration = Duration::from_secs(1);

impl Subscription {
    /// What was acknowledged, as far as this one knows.
    pub fn checkpoint(&self) -> &SubscriptionCheckpoint {
        &self.at
    }

    /// The next events, as [`Cursor::next_batch`] yields them; waits for them, and may be dropped.
    ///
    /// # Errors
    ///
    /// As for [`Cursor::next_batch`]; [`Error::SubscriptionMoved`] and [`Error::UnknownSubscription`] where an
    /// operator has moved or removed it while it waited.
    pub async fn next_batch(&mut self, limit: usize) -> Result<Batch> {
        loop {
            let due = self.looked + QUIET;
            match timeout_at(due, self.cursor.next_batch(limit)).await {
                Ok(batch) => return Ok(self.delivered(batch?)),
                Err(_) => {
                    self.looked = Instant::now();
                    let now = self.log.subscription_checkpoint(&self.at.subscription).await?;
                    if now.id != self.at.id {
                        return Err(moved(&now.subscription));
                    }
                }
            }
        }
    }

    /// The next events that are there now, as [`Cursor::available`] yields them; `None` where it is caught up.
    ///
    /// # Errors
    ///
    /// As for [`Cursor::available`].
    pub async fn available(&mut self, limit: usize) -> Result<Option<Batch>> {
        let batch = self.cursor.available(limit).await?;
        Ok(batch.map(|batch| self.delivered(batch)))
    }

    fn delivered(&mut self, batch: Batch) -> Batch {
        if let Some(last) = batch.events.last() {
            self.seen = Some((last.position, last.id));
        }
        batch
    }

    /// Says that everything up to `position` is done: [`Batch::position`], or the position of an event. What
    /// was acknowledged before stays so. Dropped, it is done or not. Where no event was delivered since the last
    /// one, it is kept back for a second.
    ///
    /// # Errors
    ///
    /// As for [`Log::acknowledge`]; [`Error::InvalidInput`] also for what was not delivered yet.
    pub async fn acknowledge(&mut self, position: Position) -> Result<()> {
        if position > self.cursor.position() {
            return Err(Error::InvalidInput(format!(
                "position {position} was not delivered yet: {} was",
                self.cursor.position()
            )));
        }
        let owes = self.seen.is_some_and(|(last, _)| last > self.at.position);
        if !owes && self.looked.elapsed() < QUIET {
            return Ok(());
        }
        self.at = self.log.acknowledged(&self.at, position, self.seen).await?;
        self.looked = Instant::now();
        Ok(())
    }
}

impl Log {
    /// Follows the log under a name, behind what was acknowledged under it; the first time behind `start`.
    ///
    /// The place is one in the whole log: the filter is not kept with it. Opened with another one, it passes over
    /// what that would have wanted before; give such a subscriber a name of its own.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::InvalidInput`] for a start above the ceiling;
    /// [`Error::SubscriptionDiverged`] (an operator must look), [`Error::Unavailable`] (try again) or
    /// [`Error::Database`].
    ///
    /// # Panics
    ///
    /// As for [`Log::subscribe`].
    pub async fn subscription(
        &self,
        name: &str,
        filter: Filter,
        start: Position,
    ) -> Result<Subscription> {
        task::refuse_in_batch()?;
        limits::check_name("subscription", name)?;
        let at = loop {
            if let Some(found) = self.store().subscriptions(Some(name)).await?.pop() {
                break found;
            }
            self.refuse_above_ceiling(start).await?;
            self.store().make_subscription(name, start).await?;
        };
        if !at.of_this_log {
            return Err(diverged(&at));
        }
        let (cursor, log) = (self.subscribe(filter, at.position), self.clone());
        Ok(Subscription { cursor, log, at, seen: None, looked: Instant::now() })
    }

    /// Where the subscriber of this name stands.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSubscription`] (give another name), [`Error::Unavailable`] (try again) or
    /// [`Error::Database`].
    pub async fn subscription_checkpoint(&self, name: &str) -> Result<SubscriptionCheckpoint> {
        limits::check_name("subscription", name)?;
        match self.store().subscriptions(Some(name)).await?.pop() {
            Some(found) => Ok(found),
            None => Err(self.unknown_subscription(name).await?),
        }
    }

    /// Every subscription under a name, sorted by it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn subscriptions(&self) -> Result<Vec<SubscriptionCheckpoint>> {
        self.store().subscriptions(None).await
    }

    /// Says that a subscriber has done everything up to `position`, and yields where it stands then: for one
    /// that reads by other ways than [`Log::subscription`]. A position that it has passed changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a position above the ceiling; [`Error::SubscriptionMoved`] where an operator has
    /// moved it (open it again); [`Error::UnknownSubscription`] where it was removed;
    /// [`Error::SubscriptionDiverged`] (an operator must look); [`Error::Unavailable`] (try again) or
    /// [`Error::Database`].
    pub async fn acknowledge(
        &self,
        at: &SubscriptionCheckpoint,
        position: Position,
    ) -> Result<SubscriptionCheckpoint> {
        task::refuse_in_batch()?;
        self.refuse_above_ceiling(position).await?;
        self.acknowledged(at, position, None).await
    }

    /// The same for a position that was read, by one who has seen this event.
    async fn acknowledged(
        &self,
        at: &SubscriptionCheckpoint,
        position: Position,
        seen: Option<(Position, Uuid)>,
    ) -> Result<SubscriptionCheckpoint> {
        task::refuse_in_batch()?;
        if let Some(now) = self.store().acknowledge(at, position, seen).await? {
            return Ok(now);
        }
        let now = self.subscription_checkpoint(&at.subscription).await?;
        if now.id != at.id {
            return Err(moved(&at.subscription));
        }
        // A place only rises while it has this id: one below what is known of it has gone back, with its log.
        let gone_back = now.position < at.position || now.position < position;
        if !now.of_this_log || gone_back { Err(diverged(&now)) } else { Ok(now) }
    }

    /// Refuses a place that is no place of this log yet.
    #[doc(hidden)]
    pub async fn refuse_above_ceiling(&self, position: Position) -> Result<()> {
        let ceiling = self.ceiling().await?.position;
        if position <= ceiling {
            return Ok(());
        }
        let beyond =
            format!("position {position} lies behind the end of the log, which is {ceiling}");
        Err(Error::InvalidInput(beyond))
    }

    /// The error for a name that no subscription has.
    #[doc(hidden)]
    pub async fn unknown_subscription(&self, name: &str) -> Result<Error> {
        let all = self.subscriptions().await?;
        let known: Vec<_> = all.iter().map(|known| known.subscription.as_str()).collect();
        Ok(Error::unknown_subscription(name, &known))
    }
}

fn moved(name: &str) -> Error {
    Error::SubscriptionMoved { subscription: name.into() }
}

fn diverged(at: &SubscriptionCheckpoint) -> Error {
    let SubscriptionCheckpoint { subscription, position, .. } = at.clone();
    Error::SubscriptionDiverged { subscription, position }
}
