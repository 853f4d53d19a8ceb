//! The catalogue: a product and its price, `product-<sku>`.

use headwater::{Aggregate, Event};
use serde::{Deserialize, Serialize};

use super::{
    NAME_BYTES,
    ids::Sku,
    is_name,
    money::{Currency, Money},
};

/// What happens to a product.
#[derive(Clone, Debug, PartialEq, Event)]
#[event(category = "product")]
pub enum ProductEvent {
    /// It can be bought from now on.
    #[event(name = "product.listed")]
    Listed(Offer),
    /// It costs another price from now on; carts keep the price they were given.
    #[event(name = "product.price_changed")]
    PriceChanged {
        /// The price before.
        old: Money,
        /// The price from now on.
        new: Money,
        /// Why.
        reason: Option<String>,
    },
    /// It can no longer be bought.
    #[event(name = "product.delisted")]
    Delisted {
        /// Why.
        reason: Option<String>,
    },
}

/// A product.
#[derive(Clone, Debug, Default)]
pub enum Product {
    /// It was never listed.
    #[default]
    Unknown,
    /// It can be bought.
    Listed(Offer),
    /// It could be bought once.
    Delisted(Offer),
}

/// What the catalogue says of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The product.
    pub sku: Sku,
    /// What it is called.
    pub title: String,
    /// The shelf it stands on.
    pub category: String,
    /// What one costs.
    pub price: Money,
}

/// Why the catalogue refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// There is no such product.
    #[error("there is no such product")]
    Unknown,
    /// It was taken out of the catalogue.
    #[error("the product is no longer sold")]
    Delisted,
    /// It is in the catalogue, or was.
    #[error("the product is or was in the catalogue: a sku is given once")]
    AlreadyListed,
    /// A title is needed.
    #[error("the title must have between 1 and {NAME_BYTES} bytes, and no control characters")]
    Title,
    /// A shelf is needed.
    #[error("the category must have between 1 and {NAME_BYTES} bytes, and no control characters")]
    Category,
    /// A price above zero is needed.
    #[error("the price must be between 1 and {} minor units", Offer::HIGHEST_PRICE)]
    Price,
    /// A product keeps its currency.
    #[error("the product is priced in {0}")]
    Currency(Currency),
}

impl Aggregate for Product {
    const CATEGORY: &'static str = "product";
    type Id = Sku;
    type Event = ProductEvent;

    fn apply(&mut self, event: &ProductEvent) {
        match event {
            ProductEvent::Listed(offer) => *self = Self::Listed(offer.clone()),
            ProductEvent::PriceChanged { new, .. } => {
                if let Self::Listed(offer) = self {
                    offer.price = *new;
                }
            }
            ProductEvent::Delisted { .. } => {
                if let Self::Listed(offer) = self {
                    *self = Self::Delisted(offer.clone());
                }
            }
        }
    }
}

impl Product {
    /// What it is sold for now.
    ///
    /// # Errors
    ///
    /// [`CatalogueError::Unknown`] and [`CatalogueError::Delisted`].
    pub fn offer(&self) -> Result<&Offer, CatalogueError> {
        match self {
            Self::Unknown => Err(CatalogueError::Unknown),
            Self::Listed(offer) => Ok(offer),
            Self::Delisted(_) => Err(CatalogueError::Delisted),
        }
    }

    /// Takes it into the catalogue.
    ///
    /// # Errors
    ///
    /// [`CatalogueError::AlreadyListed`], [`CatalogueError::Title`], [`CatalogueError::Category`],
    /// [`CatalogueError::Price`].
    pub fn list(&self, offer: Offer) -> Result<Vec<ProductEvent>, CatalogueError> {
        if !matches!(self, Self::Unknown) {
            return Err(CatalogueError::AlreadyListed);
        }
        if !is_name(&offer.title) {
            return Err(CatalogueError::Title);
        }
        if !is_name(&offer.category) {
            return Err(CatalogueError::Category);
        }
        check_price(offer.price)?;
        Ok(vec![ProductEvent::Listed(offer)])
    }

    /// Asks another price from now on; the price that it has already changes nothing.
    ///
    /// # Errors
    ///
    /// [`CatalogueError::Unknown`], [`CatalogueError::Delisted`], [`CatalogueError::Price`],
    /// [`CatalogueError::Currency`].
    pub fn change_price(
        &self,
        new: Money,
        reason: Option<String>,
    ) -> Result<Vec<ProductEvent>, CatalogueError> {
        let old = self.offer()?.price;
        check_price(new)?;
        if new.currency != old.currency {
            return Err(CatalogueError::Currency(old.currency));
        }
        if new == old {
            return Ok(Vec::new());
        }
        Ok(vec![ProductEvent::PriceChanged { old, new, reason }])
    }

    /// Takes it out of the catalogue.
    ///
    /// # Errors
    ///
    /// [`CatalogueError::Unknown`], [`CatalogueError::Delisted`].
    pub fn delist(&self, reason: Option<String>) -> Result<Vec<ProductEvent>, CatalogueError> {
        self.offer()?;
        Ok(vec![ProductEvent::Delisted { reason }])
    }
}

fn check_price(price: Money) -> Result<(), CatalogueError> {
    let fits = (1..=Offer::HIGHEST_PRICE).contains(&price.amount);
    if fits { Ok(()) } else { Err(CatalogueError::Price) }
}

impl Offer {
    /// The highest price, in minor units: far below what a cart could not add up.
    pub const HIGHEST_PRICE: i64 = 1_000_000_000;
}

/// The coffee shop's products: sku, title, shelf, price in cents of a dollar.
pub const COFFEE_SHOP: [(&str, &str, &str, i64); 9] = [
    ("areopress-coffee-maker", "AeroPress Coffee Maker", "products", 2999),
    ("msr-reactor-2.5l-stove-system", "MSR Reactor 2.5L Stove System", "products", 15999),
    ("bunum-wo-aa,-papua-new-guinea", "Bunum Wo AA, Papua New Guinea", "products", 2199),
    ("chemex-classic-6-cup-coffee-maker", "Chemex Classic 6-Cup Coffee Maker", "products", 3999),
    ("the-chemex-kit", "The Chemex Kit", "kits", 39696),
    ("the-pour-over-kit", "The Pour Over Kit", "kits", 17196),
    ("the-camper's-kit", "The Camper's Kit", "kits", 27295),
    ("the-french-press-kit", "The French Press Kit", "kits", 21994),
    ("the-cold-brew-kit", "The Cold Brew Kit", "kits", 13396),
];

/// The coffee shop's products as offers.
pub fn coffee_shop() -> impl Iterator<Item = Offer> {
    COFFEE_SHOP.iter().filter_map(|(sku, title, category, cents)| {
        Some(Offer {
            sku: sku.parse().ok()?,
            title: (*title).into(),
            category: (*category).into(),
            price: Money::new(*cents, Currency::Usd),
        })
    })
}
