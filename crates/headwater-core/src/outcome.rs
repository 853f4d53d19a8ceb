//! What comes of a command, and how often it is decided anew.

use std::{convert::Infallible, fmt, time::Duration};

use crate::{Error, Position};

/// A command that was carried out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Done<E> {
    /// The stream's version after the command.
    pub version: u64,
    /// The position of the stream's last event after the command.
    pub position: Position,
    /// What the decision yielded; empty where it saw nothing to do.
    pub events: Vec<E>,
    /// The metadata that the events were recorded with.
    pub metadata: Option<String>,
    /// Whether the command had been carried out before, and this is its first result.
    pub repeated: bool,
}

/// Why a command was not carried out: `R` is the domain's own refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError<R> {
    /// The domain refuses; nothing was written.
    Refused(R),
    /// The log could not take it.
    Log(Error),
}

impl<R> From<Error> for CommandError<R> {
    fn from(error: Error) -> Self {
        Self::Log(error)
    }
}

impl<R: fmt::Display> fmt::Display for CommandError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => reason.fmt(f),
            Self::Log(error) => error.fmt(f),
        }
    }
}

impl<R: fmt::Display + fmt::Debug> std::error::Error for CommandError<R> {}

impl CommandError<Infallible> {
    /// The error of a command whose decision never refuses.
    pub fn into_error(self) -> Error {
        match self {
            Self::Refused(never) => match never {},
            Self::Log(error) => error,
        }
    }
}

/// How often a decision is made anew after a conflict, and how long it pauses before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often at most; 10 by default.
    pub retries: u32,
    /// The longest pause before the first retry; 2 ms by default. It doubles with each further
    /// one, and the pause taken is a random part of it, so that rivals do not meet again.
    pub pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries: 10, pause: Duration::from_millis(2) }
    }
}

impl RetryPolicy {
    pub(crate) async fn pause(&self, attempt: u32) {
        let longest = self.pause.saturating_mul(1 << attempt.min(6));
        tokio::time::sleep(longest.mul_f64(rand::random())).await;
    }
}
