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
