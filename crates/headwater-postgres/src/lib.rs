//! The log, checkpoints and read models in PostgreSQL 15 and later.
//!
//! This crate is an inner room of the house: only the API of the crate `headwater` is stable.
//!
//! An act is a file: `append.rs` beside `append.sql` holds the call, the statement, the mapping of
//! the result and of the error. [`PostgresStore`] hands each act a connection of its own pools.

mod append;
mod append_group;
mod append_held;
mod ceiling;
mod checkpoint;
mod compare;
mod connections;
mod errors;
mod examine;
mod faults;
mod hints;
mod leases;
mod migrate;
mod parked;
mod pooler;
mod read;
mod read_model;
mod snapshot;
mod sql;
mod store;
mod streams;
mod subscriptions;
mod transaction;
mod values;

pub use store::PostgresStore;
