//! What runs over a log: projections, kept up to date and rebuilt.
//!
//! This crate is an inner room of the house: only the API of the crate `headwater` is stable.
//!
//! An [`App`] holds a `Projector` for each projection. The keeper of each instance decides by leases what
//! it works on (`keeper.rs`, `share.rs`); the runner and the rebuild hand the projector batches from a
//! cursor, and each batch is one transaction (`batch.rs`); what cannot be applied goes to `parking.rs`, and
//! an [`Operator`] changes checkpoints from outside.

mod app;
mod batch;
mod builds;
mod fold;
mod gauges;
mod generation;
mod held_leases;
mod inline;
mod keeper;
mod operator;
mod parking;
mod patience;
mod process;
mod projector;
mod pulse;
mod readiness;
mod rebuild;
mod row_changes;
mod runner;
mod share;
mod shared_reading;
mod sql;
mod status;
mod units;

pub use app::App;
pub use builds::{Builds, RebuildOptions};
pub use operator::Operator;
pub use readiness::Readiness;
pub use row_changes::{RowChange, RowChanges};
pub use status::{Phase, Progress, ProjectionStatus, Rebuilt};
