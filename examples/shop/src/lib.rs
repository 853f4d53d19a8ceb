//! A shop on Headwater: the service to copy on day one.
//!
//! Read it in the way an event goes: [`domain`] decides and emits events, [`views`] folds them into
//! tables, [`http`] takes commands in and gives both out.

pub mod domain;
pub mod views;

pub use views::app;
