//! An inner crate of Headwater, semver exempt: only the API of the crate `headwater` is stable.
//!
//! The log, checkpoints and read models in SQLite, one file beside the program and no server. An
//! event's way in is [`append`](SqliteStore), its way out `read`; `connections` says who may use
//! which connection and for how long, on which the rest relies.

mod append;
mod append_plan;
mod checkpoint;
mod compare;
mod connect;
mod connections;
mod errors;
mod examine;
mod faults;
mod leases;
mod migrate;
mod operation;
mod page;
mod parked;
mod read;
mod read_model;
mod rows;
mod savepoint;
mod snapshot;
mod store;
mod streams;
mod subscriptions;
mod transaction;
mod values;

pub use store::SqliteStore;
