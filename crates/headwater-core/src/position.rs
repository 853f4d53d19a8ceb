//! Places in the whole log, and the ceiling below which nothing can still appear.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The place of an event in the whole log: strictly increasing, holes allowed.
///
/// The first event has a position of at least 1; [`Position::START`] (0) lies before it. A hole is
/// left by an append that was rolled back, so positions order events and do not count them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The place before the first event: reading after it yields everything.
    pub const START: Self = Self(0);

    /// The place behind every event that can ever be stored.
    pub const END: Self = Self(i64::MAX as u64);

    /// The position as both databases store it.
    ///
    /// Values above `i64::MAX` cannot be stored and become [`Position::END`].
    pub fn to_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// The position from a database's integer; a negative one becomes [`Position::START`].
    pub fn from_i64(stored: i64) -> Self {
        Self(u64::try_from(stored).unwrap_or(0))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The highest position below which nothing can still appear; no reader passes it.
///
/// Transactions commit in another order than they draw their positions. A reader that simply asks
/// for everything behind the last position it has seen skips, for ever, an event that drew a lower
/// position and commits later. See `docs/ordering.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Everything at or below this position is committed and visible, or will never exist.
    pub position: Position,
    /// Whether writers are under way, so that the ceiling may rise without a further append.
    pub unsettled: bool,
}
