//! Which events a request wants, and from where on: the same words on every route that reads.

use chrono::{DateTime, Utc};
use headwater::{Filter, Log, Position, StoredEvent, StreamName};

use crate::problem::{MALFORMED_REQUEST, Problem};

/// Which events are wanted: those of one of the streams, and of one of the types; an empty list means all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    streams: Vec<Pattern>,
    types: Vec<Pattern>,
}

/// A name, or what a name begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(String),
    Prefix(String),
}

impl Pattern {
    fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.into()),
            None => Self::Name(text.into()),
        }
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Prefix(prefix) => name.starts_with(&**prefix),
        }
    }

    /// The category whose streams these are, where it is `category-*`.
    fn category(&self) -> Option<&str> {
        let Self::Prefix(prefix) = self else { return None };
        prefix.strip_suffix('-').filter(|category| !category.contains('-'))
    }
}

impl Wanted {
    /// Reads patterns with commas between them: `order-*,cart-7`, `order.*,cart.opened`.
    ///
    /// # Errors
    ///
    /// A problem where a name could be none, or a star stands elsewhere than at the end.
    pub(crate) fn new(streams: Option<&str>, types: Option<&str>) -> Result<Self, Problem> {
        let wanted = Self { streams: patterns(streams)?, types: patterns(types)? };
        for stream in &wanted.streams {
            if let Pattern::Name(name) = stream {
                StreamName::parse(name)?;
            }
        }
        Ok(wanted)
    }

    /// What the database can leave out; the rest is for [`Wanted::fits`].
    pub(crate) fn filter(&self) -> Filter {
        let mut filter = Filter::all();
        let categories: Option<Vec<_>> = self.streams.iter().map(Pattern::category).collect();
        let names: Option<Vec<_>> = self.streams.iter().map(Pattern::name).collect();
        match (categories, names) {
            (Some(categories), _) => {
                filter.categories = categories.into_iter().map(str::to_owned).collect();
            }
            (None, Some(names)) => {
                let streams = names.into_iter().map(StreamName::parse);
                filter.streams = streams.collect::<Result<_, _>>().unwrap_or_default();
            }
            // Names beside categories, or parts of ids.
            (None, None) => {}
        }
        if let Some(types) = self.types.iter().map(Pattern::name).collect::<Option<Vec<_>>>() {
            filter.types = types.into_iter().map(str::to_owned).collect();
        }
        filter
    }

    /// Whether an event is wanted.
    pub(crate) fn fits(&self, event: &StoredEvent) -> bool {
        let fits = |patterns: &[Pattern], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(name))
        };
        fits(&self.streams, event.stream.as_str()) && fits(&self.types, &event.event.event_type)
    }
}

impl Pattern {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Prefix(_) => None,
        }
    }
}

fn patterns(text: Option<&str>) -> Result<Vec<Pattern>, Problem> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let wrong = "names are separated by commas, hold no control characters, and a star stands at the end alone: \
                 order-*,cart-7";
    let pattern = |text: &str| {
        let text = text.trim();
        let star = text.find('*').is_some_and(|place| place + 1 < text.len());
        // No name holds one, and no database is to be asked for it.
        let control = text.contains(char::is_control);
        if text.is_empty() || star || control {
            return Err(Problem::new(MALFORMED_REQUEST, wrong));
        }
        Ok(Pattern::parse(text))
    };
    text.split(',').map(pattern).collect()
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Behind a position; 0 is the beginning of the log.
    Position(Position),
    /// At the first event recorded at this time or later.
    Time(DateTime<Utc>),
    /// With what comes.
    Now,
}

impl Start {
    /// Reads `beginning`, `now`, a position, or a time as RFC 3339 has it.
    ///
    /// # Errors
    ///
    /// A problem that names the parameter.
    pub(crate) fn parse(parameter: &str, text: &str) -> Result<Self, Problem> {
        let time = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
        let position = || text.parse().ok().map(Position);
        match text {
            "beginning" | "start" => Ok(Self::Position(Position::START)),
            "now" | "end" => Ok(Self::Now),
            _ => position().map(Self::Position).or_else(|| time().map(Self::Time)).ok_or_else(|| {
                let detail = format!(
                    "{parameter} should be `beginning`, `now`, a position, or a time such as 2026-11-23T08:15:30Z"
                );
                Problem::new(MALFORMED_REQUEST, detail)
            }),
        }
    }

    /// The position behind which that is.
    pub(crate) async fn position(self, log: &Log) -> headwater::Result<Position> {
        match self {
            Self::Position(position) => Ok(position),
            Self::Time(time) => log.position_at(time).await,
            Self::Now => Ok(log.ceiling().await?.position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(streams: &str, types: &str) -> Filter {
        Wanted::new(Some(streams), Some(types)).expect("they are patterns").filter()
    }

    #[test]
    fn the_database_leaves_out_what_it_can() {
        let exact = filter("cart-7,cart-8", "cart.opened");
        assert_eq!((exact.streams.len(), exact.types.len(), exact.categories.len()), (2, 1, 0));
        let categories = filter("cart-*,order-*", "cart.*,order.placed");
        assert_eq!(categories.categories, ["cart", "order"]);
        assert!(categories.types.is_empty() && categories.streams.is_empty());
        for mixed in ["cart-*,order-7", "cart-7*", "c*", "cart-7-*"] {
            let filter = filter(mixed, "a");
            assert!(filter.categories.is_empty() && filter.streams.is_empty(), "{mixed}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", ",", "a-1,", "ca*rt-1", "*-1"] {
            assert!(Wanted::new(Some(wrong), None).is_err(), "{wrong}");
        }
        assert!(Wanted::new(Some("cart"), None).is_err(), "it is no stream");
        assert!(Wanted::new(Some("*"), Some("*")).is_ok());
    }

    #[test]
    fn a_place_to_begin_at_is_a_word_a_position_or_a_time() {
        assert_eq!(Start::parse("from", "0").ok(), Some(Start::Position(Position::START)));
        assert_eq!(Start::parse("from", "now").ok(), Some(Start::Now));
        assert!(matches!(Start::parse("from", "2026-11-23T08:15:30Z"), Ok(Start::Time(_))));
        for wrong in ["", "-1", "1.5", "yesterday", "18446744073709551616"] {
            assert!(Start::parse("from", wrong).is_err(), "{wrong}");
        }
    }
}
