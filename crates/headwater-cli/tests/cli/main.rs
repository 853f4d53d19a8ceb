//! The compiled commands, run as an operator runs them, on SQLite files and in PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod append;
mod doctor;
mod events;
mod export;
mod failures;
mod help;
mod import;
mod migrate;
mod projections;
mod race;
mod serve;
mod streams;
mod subscriptions;
mod support;
mod verify;
