//! Versions and positions in headers.

use axum::http::{HeaderName, HeaderValue};
use headwater::Position;

/// The position in the log of what a request did, or up to which an answer holds.
pub const POSITION: HeaderName = HeaderName::from_static("headwater-position");

/// The header with a position.
pub(crate) fn at(position: Position) -> [(HeaderName, String); 1] {
    [(POSITION, position.to_string())]
}

/// A version as an entity tag.
pub(crate) fn of_version(version: u64) -> String {
    format!("\"{version}\"")
}

/// The version that a strong tag stands for.
pub(crate) fn version(tag: &str) -> Option<u64> {
    tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// Whether one of the tags of an If-None-Match is this one; a weak tag will do (RFC 9110).
pub(crate) fn has(given: &HeaderValue, tag: &str) -> bool {
    let Ok(given) = given.to_str() else { return false };
    given.trim() == "*" || given.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}
