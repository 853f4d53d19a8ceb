//! Optimistic concurrency: what a writer believes of a stream, and the one rule that checks it.

use std::fmt;

/// What a writer believes a stream's version to be at the moment of its append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// No belief: append behind whatever is there.
    #[default]
    Any,
    /// The stream must not exist yet.
    None,
    /// The stream's last event has exactly this version.
    Exact(u64),
}

impl ExpectedVersion {
    /// Whether a stream at version `actual` (0: no such stream) is what the writer believed.
    ///
    /// ```
    /// use headwater_core::ExpectedVersion;
    /// assert!(ExpectedVersion::Exact(3).holds_at(3));
    /// assert!(!ExpectedVersion::None.holds_at(3));
    /// ```
    pub fn holds_at(self, actual: u64) -> bool {
        match self {
            Self::Any => true,
            Self::None => actual == 0,
            Self::Exact(version) => version == actual,
        }
    }

    /// Whether a stream that has come to version `actual` can never be again what the writer
    /// believed: versions only grow.
    pub(crate) fn is_passed_at(self, actual: u64) -> bool {
        match self {
            Self::Any => false,
            Self::None => actual > 0,
            Self::Exact(version) => actual > version,
        }
    }

    /// The belief as one integer, for SQL: -1 any, 0 none, otherwise the exact version.
    pub fn to_i64(self) -> i64 {
        match self {
            Self::Any => -1,
            Self::None => 0,
            Self::Exact(version) => i64::try_from(version).unwrap_or(i64::MAX),
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::None => f.write_str("no stream"),
            Self::Exact(version) => write!(f, "version {version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExpectedVersion::{Any, Exact, None};

    #[test]
    fn every_case_of_the_rule() {
        for (expected, actual, holds) in [
            (Any, 0, true),
            (Any, 7, true),
            (None, 0, true),
            (None, 1, false),
            (Exact(0), 0, true),
            (Exact(1), 0, false),
            (Exact(7), 7, true),
            (Exact(6), 7, false),
            (Exact(8), 7, false),
        ] {
            assert_eq!(expected.holds_at(actual), holds, "{expected:?} at {actual}");
            let passed = !holds && expected != Exact(actual + 1);
            assert_eq!(expected.is_passed_at(actual), passed, "{expected:?} at {actual}");
        }
    }
}
