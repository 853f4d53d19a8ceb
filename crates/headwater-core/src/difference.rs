//! Differences: where two generations of a read model hold other rows.

/// How a table differs between two generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The key of the first row that differs, in the order of its text; empty where the table has none.
    pub key: String,
    /// How many rows of the first generation the second one has not, or has otherwise.
    pub only_first: u64,
    /// How many rows of the second generation the first one has not, or has otherwise.
    pub only_second: u64,
}
