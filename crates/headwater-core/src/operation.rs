//! Operations: what an operator did to a projection or a subscription, kept for ever beside it.

use uuid::Uuid;

use crate::Position;

/// What an operator did to a projection or a subscription, or asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its own id.
    pub id: Uuid,
    /// What was done, such as `pause`.
    pub action: &'static str,
    /// The projection, or the subscription.
    pub projection: String,
    /// The generation, where it concerns one.
    pub generation: Option<u32>,
    /// What exactly, in words; never an event's content.
    pub detail: Option<String>,
    /// Who did it, in words.
    pub by: String,
}

impl Operation {
    /// The detail of an act that moves a projection or a subscription.
    pub fn moved(from: Position, to: Position) -> String {
        format!("from position {from} to {to}")
    }

    /// The detail of an act that leaves an event out.
    pub fn left_out(event: Uuid) -> String {
        format!("event {event}")
    }

    /// The event that an act with this detail has left out.
    pub fn event_left_out(detail: &str) -> Option<Uuid> {
        detail.strip_prefix("event ")?.parse().ok()
    }
}
