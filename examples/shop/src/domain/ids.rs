//! What tells carts, orders, returns and products apart.
//!
//! Ids are types of their own, so that the compiler sees where one is taken for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id (UUIDv7).
            #[allow(clippy::new_without_default, reason = "each one is another")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(id: &str) -> Result<Self, uuid::Error> {
                id.parse().map(Self)
            }
        }
    )+};
}

uuid_ids! {
    /// A cart.
    CartId,
    /// An order.
    OrderId,
    /// Goods that came back.
    ReturnId,
}

impl CartId {
    /// The order that this cart becomes where the buyer names no other one: derived (UUIDv5), so
    /// that a second checkout of the cart cannot make a second order.
    pub fn order(self) -> OrderId {
        OrderId(Uuid::new_v5(&self.0, b"order"))
    }
}

/// A product's number in the shop: any text without control characters that fits a stream's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(String);

/// Text that cannot be a [`Sku`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sku has between 1 and {} bytes, and no control characters", Sku::BYTES)]
pub struct InvalidSku;

impl Sku {
    /// The longest sku, in bytes: the name of a stream has at most 512 with its category.
    pub const BYTES: usize = 500;

    /// The sku as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sku {
    type Error = InvalidSku;

    fn try_from(text: String) -> Result<Self, InvalidSku> {
        let fits = (1..=Self::BYTES).contains(&text.len()) && !text.contains(char::is_control);
        if fits { Ok(Self(text)) } else { Err(InvalidSku) }
    }
}

impl FromStr for Sku {
    type Err = InvalidSku;

    fn from_str(text: &str) -> Result<Self, InvalidSku> {
        text.to_owned().try_into()
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use headwater::StreamName;

    use super::*;

    #[test]
    fn a_sku_is_any_text_that_fits_a_stream_name() {
        for text in ["bunum-wo-aa,-papua-new-guinea", "the-camper's-kit", "85123A", " ", "ü/?#%"] {
            let sku: Sku = text.parse().unwrap();
            assert_eq!(StreamName::new("product", &sku).unwrap().id(), text);
        }
        let longest: Sku = "x".repeat(Sku::BYTES).parse().unwrap();
        assert!(StreamName::new("product", &longest).is_ok());
    }

    #[test]
    fn other_text_is_no_sku() {
        for text in ["", "a\nb", "\u{7f}", &"x".repeat(Sku::BYTES + 1)] {
            assert_eq!(text.parse::<Sku>(), Err(InvalidSku), "{text:?} was taken");
        }
        assert!(serde_json::from_str::<Sku>(r#""a\u0000b""#).is_err());
    }
}
