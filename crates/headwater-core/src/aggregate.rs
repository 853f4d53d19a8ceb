//! Aggregates: the state that decisions are made on, folded from the events of one stream.

use std::{fmt, str::FromStr};

use crate::Event;

/// State that is folded from the events of one stream, and that decisions are made on.
///
/// A decision is a plain method of the aggregate: state in, events or a refusal out. It is free of
/// I/O and may run more than once, on newer state each time.
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// The category of its streams: the part of the stream's name before the hyphen.
    const CATEGORY: &'static str;

    /// What tells aggregates of this kind apart: the part of the stream's name behind the hyphen.
    type Id: fmt::Display + FromStr + Send + Sync;

    /// The events of its streams.
    type Event: Event;

    /// Takes an event in. It cannot fail: what happened, happened.
    fn apply(&mut self, event: &Self::Event);

    /// How many bytes the state takes in memory, about: it bounds the states that a
    /// [`Repository`](crate::Repository) keeps. Without it, all events that the state was folded from count,
    /// which is far too much for a small state of many events.
    fn size(&self) -> Option<usize> {
        None
    }
}
