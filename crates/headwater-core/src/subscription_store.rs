//! What a store must be able to do for subscribers whose place it keeps.

use async_trait::async_trait;
use uuid::Uuid;

use crate::{Operation, Position, Result, SubscriptionCheckpoint};

/// The places of subscribers beside a log, each under its name.
///
/// Every method may be dropped before it ends; no connection is left in a strange state.
#[async_trait]
pub trait SubscriptionStore: Send + Sync + 'static {
    /// Every subscription, sorted by name, or the one of this name.
    async fn subscriptions(&self, name: Option<&str>) -> Result<Vec<SubscriptionCheckpoint>>;

    /// Makes one behind `start`, unless there is one of this name.
    async fn make_subscription(&self, name: &str, start: Position) -> Result<()>;

    /// Moves one on to a position, and yields where it stands then. `None` where it is gone, is another one, stands
    /// before what is known of it or behind `to`; where it is not of this log, or the log does not hold the event
    /// that was seen last, or ends before `to`.
    async fn acknowledge(
        &self,
        at: &SubscriptionCheckpoint,
        to: Position,
        seen: Option<(Position, Uuid)>,
    ) -> Result<Option<SubscriptionCheckpoint>>;

    /// Does what an operator wants: moves the subscription to this position under another id, or removes it where none
    /// is given. Records it, with a detail of the store's own, which says from which position to which. `false` where
    /// there is none of this name.
    async fn change_subscription(
        &self,
        to: Option<Position>,
        operation: &Operation,
    ) -> Result<bool>;
}
