//! The compiled commands, run as an operator runs them, on SQLite files.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod append;
mod events;
mod failures;
mod help;
mod migrate;
mod projections;
mod race;
mod streams;
mod support;
