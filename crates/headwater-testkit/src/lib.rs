//! The conformance suite that every Headwater store passes, the model of the log, and PostgreSQL
//! for tests.
//!
//! Whoever writes a store implements [`conformance::Harness`] for it and calls
//! [`conformance!`] with one line; whoever writes a service takes [`postgres::database`] for a
//! fresh database that needs no setting up. This crate is for tests: its functions panic, with a
//! sentence that says what to do.

#![allow(clippy::missing_panics_doc)]

pub mod account;
pub mod conformance;
pub mod eight;
pub mod fixtures;
pub mod gate;
pub mod hanging;
pub mod model;
pub mod postgres;
mod steps;
mod wait;

pub use wait::{dropped_at, eventually, scale, seed, within};
