//! What the bench and the binary of the peers have in common, by `#[path]`: the job that a process is
//! given, the loop that drives callers, and what a subject must do. The peers are built with another
//! version of the driver, and so in a workspace of their own; the loop must be the same all the same.

pub mod job;
pub mod live;
pub mod pace;
pub mod run;
pub mod sale;
pub mod subject;
