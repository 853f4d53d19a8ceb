//! How a log is opened.

use crate::Limits;

/// How a log is opened; the defaults suit a service with a database of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The schema that holds the log in PostgreSQL, `headwater` by default: one schema, one log.
    /// SQLite has no schemas, and takes only the default.
    pub schema: String,
    /// Whether opening the log brings its schema up to date; true by default. Set it to false
    /// where the service's role may not change tables, and run `headwater migrate` beforehand.
    pub migrate: bool,
    /// How large an append may be.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self { schema: "headwater".into(), migrate: true, limits: Limits::default() }
    }
}
