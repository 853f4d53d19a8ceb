//! What runs over a log: projections, kept up to date and rebuilt.
//!
//! This crate is an inner room of the house: only the API of the crate `headwater` is stable.

mod app;
mod status;

pub use app::App;
pub use status::{Phase, Progress, ProjectionStatus, Rebuilt};
