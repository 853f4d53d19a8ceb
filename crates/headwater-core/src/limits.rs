//! The limits of an append, checked before any SQL, so that bad input never reaches the store.

use std::collections::HashSet;

use crate::{Append, Error, ExpectedVersion, NewEvent, Result};

/// How long a stream's, a category's or an event type's name may be, in bytes.
pub const NAME_BYTES: usize = 512;

/// How large an append may be. A store refuses what is larger with [`Error::TooLarge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The data of one event, in bytes: 1 MiB by default, at most 64 MiB.
    pub event_data: usize,
    /// The metadata of one event, in bytes: 64 KiB by default.
    pub metadata: usize,
    /// The events of one append: 1,000 by default.
    pub events: usize,
    /// The data and metadata of one append together, in bytes: 16 MiB by default.
    pub append: usize,
    /// How deep arrays and objects may be nested in data and metadata: 64 by default.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { event_data: 1 << 20, metadata: 64 << 10, events: 1_000, append: 16 << 20, depth: 64 }
    }
}

impl Limits {
    /// Checks everything that one append, to one or many streams, would write.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::InvalidName`] or [`Error::InvalidInput`]: give other input.
    pub fn check(&self, appends: &[Append]) -> Result<()> {
        let events = || appends.iter().flat_map(|append| &append.events);
        if appends.iter().any(|append| append.events.is_empty()) || appends.is_empty() {
            return Err(Error::InvalidInput("an append needs at least one event".into()));
        }
        at_most("the append, in events,", events().count(), self.events)?;
        let mut begun = HashSet::with_capacity(appends.len());
        // Expected versions are all compared with the streams as they are before the append.
        for Append { stream, expected, .. } in appends {
            if !begun.insert(stream) && *expected != ExpectedVersion::Any {
                return Err(Error::InvalidInput(format!(
                    "stream {stream} is named twice in one append: only its first part can expect a version"
                )));
            }
        }
        let mut ids: Vec<_> = events().map(|event| event.id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::InvalidInput(format!(
                "event id {} is used twice in one append",
                twice[0]
            )));
        }
        let mut bytes = 0;
        for event in events() {
            self.check_event(event)?;
            bytes += event.size();
        }
        at_most("the append, in bytes,", bytes, self.append)
    }

    fn check_event(&self, event: &NewEvent) -> Result<()> {
        check_name("event type", &event.event_type)?;
        if event.schema_version == 0 || i32::try_from(event.schema_version).is_err() {
            return Err(Error::InvalidInput(format!(
                "the schema version of {} must be between 1 and {}",
                event.event_type,
                i32::MAX
            )));
        }
        if event.occurred_at.is_some_and(|at| !(1..=9999).contains(&chrono::Datelike::year(&at))) {
            return Err(Error::InvalidInput("occurred_at must lie in the years 1 to 9999".into()));
        }
        at_most("the data of an event, in bytes,", event.data.len(), self.event_data)?;
        self.check_json("the data of an event", &event.data)?;
        if let Some(metadata) = &event.metadata {
            at_most("the metadata of an event, in bytes,", metadata.len(), self.metadata)?;
            self.check_json("the metadata of an event", metadata)?;
            if !metadata.trim_start().starts_with('{') {
                return Err(Error::InvalidInput(
                    "the metadata of an event must be a JSON object".into(),
                ));
            }
        }
        Ok(())
    }

    // The depth first: the parser's own recursion limit would report it as a syntax error.
    fn check_json(&self, what: &'static str, json: &str) -> Result<()> {
        let depth = depth(json);
        if depth > self.depth {
            return Err(Error::InvalidInput(format!(
                "{what} is nested {depth} deep, and the limit is {}",
                self.depth
            )));
        }
        serde_json::from_str::<serde::de::IgnoredAny>(json).map(drop).map_err(|error| {
            Error::InvalidInput(format!(
                "{what} is not JSON at line {} column {}",
                error.line(),
                error.column()
            ))
        })
    }
}

fn at_most(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size <= limit { Ok(()) } else { Err(Error::TooLarge { what, size, limit }) }
}

/// Checks a name of a stream, a category or an event type.
///
/// # Errors
///
/// [`Error::InvalidName`] where it is empty, longer than 512 bytes, or holds a control character.
pub fn check_name(what: &'static str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid_name(what, name, "it is empty"));
    }
    if name.len() > NAME_BYTES {
        return Err(Error::invalid_name(what, name, "it is longer than 512 bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid_name(what, name, "it holds a control character"));
    }
    Ok(())
}

/// Checks the name of a schema, a table or a column, which becomes part of SQL text.
///
/// # Errors
///
/// [`Error::InvalidName`] where it does not match `^[a-z_][a-z0-9_]{0,50}$`.
pub fn check_identifier(what: &'static str, name: &str) -> Result<()> {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let valid = name.len() <= 51
        && name.starts_with(first)
        && name.chars().all(|c| first(c) || c.is_ascii_digit());
    if valid {
        Ok(())
    } else {
        Err(Error::invalid_name(what, name, "it must match ^[a-z_][a-z0-9_]{0,50}$"))
    }
}

/// How deep arrays and objects are nested, whether or not the rest is JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_nesting_outside_strings() {
        assert_eq!(depth("1"), 0);
        assert_eq!(depth(r#"{"a":[1,{"b":"[[[\"{"}]}"#), 3);
    }

    #[test]
    fn identifiers_are_lower_case_words() {
        assert!(check_identifier("schema", "tenant_7").is_ok());
        for name in ["", "7up", "Shop", "a-b", "a\"b", &"a".repeat(52)] {
            assert!(check_identifier("schema", name).is_err(), "{name:?} was taken");
        }
    }
}
