//! Keeps passwords out of everything that is printed.

/// The text with the credentials of every URL in it replaced by `***`.
///
/// A second wall: nothing should put a URL into a message in the first place, but drivers and
/// argument parsers quote what they were given.
///
/// ```
/// let shown = headwater_cli::redact("cannot reach postgres://app:s3cret@db/shop?password=s3cret");
/// assert_eq!(shown, "cannot reach postgres://***@db/shop?password=***");
/// ```
pub fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let (url, behind) = after.split_at(url_end(after));
        // The last @, since a password that was not encoded may hold one.
        match url.rsplit_once('@') {
            Some((_, place)) => {
                clean.push_str("***@");
                clean.push_str(&without_password_parameter(place));
            }
            None => clean.push_str(&without_password_parameter(url)),
        }
        rest = behind;
    }
    clean.push_str(rest);
    clean
}

fn url_end(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`')).unwrap_or(text.len())
}

fn without_password_parameter(url: &str) -> String {
    let Some((before, after)) = url.split_once("password=") else { return url.into() };
    match after.split_once('&') {
        Some((_, others)) => format!("{before}password=***&{others}"),
        None => format!("{before}password=***"),
    }
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn only_the_credentials_are_lost() {
        for (text, clean) in [
            ("no url at all: a@b", "no url at all: a@b"),
            ("sqlite://shop.db is locked", "sqlite://shop.db is locked"),
            ("'postgres://u:p@h/d' and x@y", "'postgres://***@h/d' and x@y"),
            ("postgres://u:p@ss/w@h/d", "postgres://***@h/d"),
            ("a://u:p@h b://u:p@h", "a://***@h b://***@h"),
            (
                "postgres://h/d?password=p&sslmode=require",
                "postgres://h/d?password=***&sslmode=require",
            ),
        ] {
            assert_eq!(redact(text), clean);
        }
    }
}
