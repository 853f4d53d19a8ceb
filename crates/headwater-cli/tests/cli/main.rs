//! The compiled commands, run as an operator runs them, on SQLite files.

mod append;
mod events;
mod failures;
mod help;
mod migrate;
mod projections;
mod streams;
mod support;
