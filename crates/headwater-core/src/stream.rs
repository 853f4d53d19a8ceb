//! Names of streams: `category-id`, checked once and then trusted.

use std::{fmt, sync::Arc};

use crate::{Error, Result, limits};

/// The name of a stream, `category-id`: the events of one aggregate.
///
/// The category ends at the first hyphen, so the id may hold further ones. Names are byte-exact
/// (no Unicode normalisation), at most 512 bytes long and free of control characters. Cloning is
/// cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName {
    name: Arc<str>,
    category: usize,
}

impl StreamName {
    /// Builds the name of the stream `id` in `category`.
    ///
    /// ```
    /// let stream = headwater_core::StreamName::new("cart", 7)?;
    /// assert_eq!(stream.as_str(), "cart-7");
    /// assert_eq!((stream.category(), stream.id()), ("cart", "7"));
    /// # Ok::<_, headwater_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] where the category is empty or holds a hyphen, the id is empty, the
    /// whole is longer than 512 bytes, or there is a control character: give another name.
    pub fn new(category: &str, id: impl fmt::Display) -> Result<Self> {
        if category.contains('-') {
            return Err(Error::invalid_name(
                "category",
                category,
                "a category holds no hyphen: the first one ends it",
            ));
        }
        Self::parse(&format!("{category}-{id}"))
    }

    /// Reads a whole name such as `cart-7`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], as for [`StreamName::new`].
    pub fn parse(name: &str) -> Result<Self> {
        limits::check_name("stream", name)?;
        match name.find('-') {
            Some(category) if category > 0 && category + 1 < name.len() => {
                Ok(Self { name: name.into(), category })
            }
            _ => Err(Error::invalid_name("stream", name, "a stream is named category-id")),
        }
    }

    /// Takes a name that was checked when it was stored.
    pub fn from_store(name: &str) -> Self {
        Self { category: name.find('-').unwrap_or(name.len()), name: name.into() }
    }

    /// Two names between which, in the order of bytes, all those of a category lie, or all that there
    /// can be: for stores that list streams. No name lies between those of a category with a hyphen.
    pub fn bounds(category: Option<&str>) -> (String, String) {
        match category {
            Some(category) if category.contains('-') => (String::new(), String::new()),
            // The dot follows the hyphen.
            Some(category) => (format!("{category}-"), format!("{category}.")),
            None => (String::new(), char::MAX.to_string().repeat(limits::NAME_BYTES)),
        }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The part before the first hyphen.
    pub fn category(&self) -> &str {
        &self.name[..self.category]
    }

    /// The part behind the first hyphen.
    pub fn id(&self) -> &str {
        self.name.get(self.category + 1..).unwrap_or_default()
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.name, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_category_and_id() {
        let stream = StreamName::parse("cart-0190-7b1e").unwrap();
        assert_eq!((stream.category(), stream.id()), ("cart", "0190-7b1e"));
    }

    #[test]
    fn the_streams_of_a_category_lie_between_its_bounds() {
        let between = |name: &str, category| {
            let (first, last) = StreamName::bounds(category);
            StreamName::parse(name).unwrap();
            *name > *first && *name < *last
        };
        for name in ["cart-0", "cart- ", "cart--", "cart-\u{10ffff}"] {
            assert!(between(name, Some("cart")) && between(name, None), "{name}");
        }
        for name in ["car-t", "carts-1", "cart.-1", "cart -1", "Cart-1", "\u{10ffff}-\u{10ffff}"] {
            assert!(!between(name, Some("cart")) && between(name, None), "{name}");
        }
        assert!(!between("my-cart-1", Some("my-cart")), "its category is `my`");
    }

    #[test]
    fn what_is_not_category_and_id_is_refused() {
        for name in ["", "cart", "-7", "cart-", "cart-\n", "cart-\u{7f}", &"x-".repeat(300)] {
            assert!(
                matches!(StreamName::parse(name), Err(Error::InvalidName { .. })),
                "{name:?} was taken"
            );
        }
        assert!(StreamName::new("my-cart", 1).is_err());
    }
}
