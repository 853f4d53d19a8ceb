//! What runs over a log: projections, kept up to date and rebuilt.
//!
//! This crate is an inner room of the house: only the API of the crate `headwater` is stable.
//!
//! An [`App`] holds a `Projector` for each projection. The runner and the rebuild both hand it
//! batches from a cursor, and each batch is one transaction: `batch.rs`.

mod app;
mod batch;
mod fold;
mod generation;
mod held_leases;
mod keeper;
mod operator;
mod parking;
mod patience;
mod process;
mod projector;
mod rebuild;
mod runner;
mod share;
mod shared_reading;
mod sql;
mod status;

pub use app::{App, RebuildOptions};
pub use operator::Operator;
pub use status::{Phase, Progress, ProjectionStatus, Rebuilt};
