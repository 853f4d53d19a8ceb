//! Names: what a category, an event type, a table and a column may be called.
//!
//! The rules are those that the log applies when it runs; checked here, a bad name never ships.

use syn::{Error, LitStr, Result};

/// How long a category's or an event type's name may be, in bytes.
const NAME_BYTES: usize = 512;
/// How long a table's or a column's name may be, so that a generation's number fits behind it.
const IDENTIFIER_BYTES: usize = 51;

/// Checks a category, which ends at the first hyphen of a stream's name.
pub(crate) fn check_category(category: &LitStr) -> Result<()> {
    check_name("a category", category)?;
    if category.value().contains('-') {
        return refuse(
            category,
            "a category holds no hyphen, since the first hyphen of a stream's name ends it: use `_`",
        );
    }
    Ok(())
}

/// Checks the name of a type of event.
pub(crate) fn check_event_type(name: &LitStr) -> Result<()> {
    check_name("the name of an event", name)
}

fn check_name(what: &str, name: &LitStr) -> Result<()> {
    let value = name.value();
    if value.is_empty() {
        return refuse(name, &format!("{what} must not be empty"));
    }
    if value.len() > NAME_BYTES {
        return refuse(name, &format!("{what} has at most {NAME_BYTES} bytes"));
    }
    if value.chars().any(char::is_control) {
        return refuse(name, &format!("{what} holds no control characters"));
    }
    Ok(())
}

/// Why `name` cannot be the name of a table or a column, where it cannot.
pub(crate) fn misnamed(what: &str, name: &str) -> Option<String> {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let valid = name.len() <= IDENTIFIER_BYTES
        && name.starts_with(first)
        && name.chars().all(|c| first(c) || c.is_ascii_digit());
    (!valid).then(|| {
        format!(
            "`{name}` cannot be the name of a {what}: it must match ^[a-z_][a-z0-9_]{{0,50}}$, so \
             lower-case letters, digits and `_`, at most {IDENTIFIER_BYTES} of them"
        )
    })
}

/// `ItemAdded` as `item_added`, for the names that error messages propose.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

fn refuse(name: &LitStr, reason: &str) -> Result<()> {
    Err(Error::new(name.span(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_lower_case_words() {
        assert_eq!(misnamed("table", "cart_summaries_2"), None);
        assert_eq!(misnamed("table", &"a".repeat(51)), None);
        for name in ["", "7up", "Carts", "a-b", "a\"b", "\u{e9}t\u{e9}", &"a".repeat(52)] {
            assert!(misnamed("table", name).is_some(), "{name:?} was taken");
        }
    }

    #[test]
    fn proposed_names_are_in_snake_case() {
        assert_eq!(snake_case("ItemAdded"), "item_added");
    }
}
