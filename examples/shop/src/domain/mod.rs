//! What the shop knows and decides: plain, synchronous code without I/O.
//!
//! A file holds one aggregate: its events, its state, its refusals, and its decisions as methods.
//! Everything here is tested with given, when, then, and needs no store.

pub mod cart;
pub mod catalogue;
pub mod ids;
pub mod line;
pub mod money;
pub mod order;
pub mod returns;
