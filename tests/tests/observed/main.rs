//! What a program shows of itself: metrics, their names in the documentation, whether it is ready, spans.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod appends;
mod documented;
mod projections;
mod readiness;
mod spans;
mod told;
