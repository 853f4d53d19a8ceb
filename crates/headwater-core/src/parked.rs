//! Parked events: those that a projection could not apply and has set aside, for an operator to decide.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Position, StreamName};

/// An event that a projection has set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Where it lies in the log.
    pub position: Position,
    /// Its id.
    pub event_id: Uuid,
    /// The stream that it belongs to.
    pub stream: StreamName,
    /// The name of its type.
    pub event_type: String,
    /// How many bytes its data has.
    pub bytes: u64,
    /// How often it was tried; 0 for one that waits behind another event of its stream.
    pub attempts: u32,
    /// The [code](crate::Error::code) of what went wrong; `waits` for one that waits behind another.
    pub code: String,
    /// What went wrong, or behind what it waits; without its content.
    pub error: String,
    /// Whether an operator wants it to be tried again.
    pub retry: bool,
    /// When it was set aside, or tried last.
    pub parked_at: DateTime<Utc>,
}

/// What becomes of an event that a projection cannot apply: that it cannot decode, at which its code
/// fails, or that the database refuses. A store that is away is waited for whatever is declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailurePolicy {
    /// How often it is tried again, with pauses from a tenth of a second on, each twice as long as the
    /// one before and half a minute at most. What cannot be decoded is not tried again.
    pub retries: u32,
    /// What is done then.
    pub then: OnFailure,
}

/// What a projection does about an event that it cannot apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It stands still, until an operator says what to do. Nothing is missing in its rows meanwhile.
    #[default]
    Stop,
    /// It sets the event aside and goes on; later events of the same stream are set aside as well, so that
    /// they can be applied in their order.
    Park,
    /// It sets the event aside and goes on, also with later events of the same stream.
    ParkAlone,
}

impl FailurePolicy {
    /// Stand still at once.
    pub const STOP: Self = Self { retries: 0, then: OnFailure::Stop };

    /// Set the event and all later ones of its stream aside.
    pub const PARK: Self = Self { retries: 0, then: OnFailure::Park };

    /// Set the event alone aside.
    pub const PARK_ALONE: Self = Self { retries: 0, then: OnFailure::ParkAlone };

    /// Try again so many times before.
    #[must_use]
    pub const fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }
}
