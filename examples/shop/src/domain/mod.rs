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
pub mod session;

/// The longest name, title or shelf, in bytes.
pub const NAME_BYTES: usize = 200;

/// Whether a text can stand in a list, and be a key in every database.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}
