//! What an examination of a database finds: how bad it is, what it means, and what cures it.

use std::{fmt, time::Duration};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Note,
    /// It works, and will not for ever, or not under load.
    Warning,
    /// Something does not work, or what was acknowledged can be lost.
    Error,
}

impl Severity {
    /// The severity in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that an examination found. It holds no event's content, no statement and no password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The stable name of this kind of finding, such as `ceiling-held`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in a sentence with the facts.
    pub what: String,
    /// What it means for the log and its readers; empty where that is plain.
    pub meaning: String,
    /// What to do about it; empty where there is nothing to be done.
    pub cure: String,
}

impl Finding {
    /// A finding, without what it means and its cure.
    pub fn new(severity: Severity, code: &'static str, what: impl Into<String>) -> Self {
        Self { code, severity, what: what.into(), meaning: String::new(), cure: String::new() }
    }

    /// Something that does not work.
    pub fn error(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, what)
    }

    /// Something that will not work for ever.
    pub fn warning(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, what)
    }

    /// Something that is good to know.
    pub fn note(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, what)
    }

    /// Says what it means.
    #[must_use]
    pub fn means(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = meaning.into();
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = cure.into();
        self
    }
}

/// A length of time in words, such as `12 s`, `3 min` or `2 h`.
pub fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A number of bytes in words, such as `12 KiB` or `3 GiB`.
pub fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(bits, _)| bytes >> bits >= 1);
    unit.map_or(format!("{bytes} bytes"), |(bits, unit)| format!("{} {unit}", bytes >> bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_told_in_words() {
        for (seconds, words) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (200_000, "2 days")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
        for (bytes, words) in
            [(9, "9 bytes"), (2_047, "1 KiB"), (5 << 20, "5 MiB"), (1 << 40, "1024 GiB")]
        {
            assert_eq!(size(bytes), words);
        }
    }

    #[test]
    fn an_error_is_worse_than_a_warning() {
        assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Note);
    }
}
