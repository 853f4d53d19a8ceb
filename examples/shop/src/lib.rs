//! A shop on Headwater: the service to copy on day one.
//!
//! Read it in the way an event goes: [`domain`] decides and emits events, [`Shop`] carries decisions
//! into the log, [`views`] folds the log into tables, [`http`] takes commands in and gives both out.

pub mod audit;
mod checkout;
pub mod demo;
pub mod domain;
mod explain;
pub mod http;
pub mod import;
mod length;
mod page;
pub mod report;
mod shop;
pub mod statistics;
pub mod traffic;
pub mod views;
pub mod web;

pub use checkout::CheckedOut;
pub use shop::{CommandOptions, Refusal, Shop};
pub use views::app;
