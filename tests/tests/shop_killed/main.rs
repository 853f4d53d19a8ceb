//! The shop's own binary is killed by SIGKILL in the middle of its work, as a service under load and
//! while it rebuilds its read models; and so is the database under it. It is
//! also asked to end, as an orchestrator does, and its disk runs full.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

#[path = "../support/mod.rs"]
mod support;

mod clicks;
mod customer;
mod database;
mod full_disk;
mod rebuild;
mod service;
mod stopped;
mod views;
mod web;
