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
                clean.push_str(place);
            }
            None => clean.push_str(url),
        }
        rest = behind;
    }
    clean.push_str(rest);
    without_password_parameters(&clean)
}

/// A quote ends a URL only where no more of a word follows: a password may hold one.
fn url_end(text: &str) -> usize {
    let ends = |(at, c): &(usize, char)| {
        let next = text[at + c.len_utf8()..].chars().next();
        let word_goes_on = next.is_some_and(|next| next.is_alphanumeric() || next == '@');
        c.is_whitespace() || matches!(c, '\'' | '"' | '`') && !word_goes_on
    };
    text.char_indices().find(ends).map_or(text.len(), |(at, _)| at)
}

/// Also in what is no URL, such as `host=db password=s3cret`.
fn without_password_parameters(text: &str) -> String {
    const NAME: &str = "password=";
    let (mut clean, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.to_ascii_lowercase().find(NAME) {
        let (before, value) = rest.split_at(at + NAME.len());
        clean.push_str(before);
        clean.push_str("***");
        let end = |c: char| c.is_whitespace() || matches!(c, '&' | ';' | '\'' | '"' | '`');
        rest = &value[value.find(end).unwrap_or(value.len())..];
    }
    clean.push_str(rest);
    clean
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
            ("'a://u:p'q@h/d' is", "'a://***@h/d' is"),
            ("host=db Password=p user=u", "host=db Password=*** user=u"),
            ("Server=db;password=p;User=u", "Server=db;password=***;User=u"),
            (
                "postgres://h/d?password=p&sslmode=require",
                "postgres://h/d?password=***&sslmode=require",
            ),
        ] {
            assert_eq!(redact(text), clean);
        }
    }
}
