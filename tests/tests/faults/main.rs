//! What goes wrong outside: processes and servers that are killed, databases that go away, callers
//! that lose patience. What was acknowledged is there, nothing is torn, and services go on by
//! themselves.
//!
//! Where lots are drawn the seed is printed; `HEADWATER_TEST_SEED` draws the same ones again, though
//! a kill never meets the same instruction twice.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod audit;
mod child;
mod follower;
mod load;
mod watcher;

mod answer_lost;
mod broken_reading;
mod cancellation;
mod database_away;
mod deploy;
mod fight;
mod four_processes;
mod full_queue;
mod inline;
mod long_reader;
mod network;
mod ownership;
mod prepared;
mod process_killed;
mod rebuild_killed;
mod rebuild_stalled;
mod rebuild_under_load;
mod refused;
mod restored;
mod server_killed;
