//! `catalogue_views`: what can be bought now.

use chrono::{DateTime, Utc};
use headwater::{Fold, ReadModel, Recorded};

use crate::domain::{
    catalogue::{Offer, ProductEvent},
    ids::Sku,
    money::{Currency, Money},
};

/// A product that can be bought.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "catalogue_views")]
pub struct CatalogueView {
    /// The product.
    #[key]
    #[column(text)]
    pub sku: Sku,
    /// What it is called.
    pub title: String,
    /// The shelf it stands on.
    pub category: String,
    /// What one costs, in minor units.
    pub price: i64,
    /// The currency of the price.
    #[column(text)]
    pub currency: Currency,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Fold for CatalogueView {
    type Event = ProductEvent;

    fn keys(event: &Recorded<ProductEvent>) -> Vec<Sku> {
        super::stream_id(event)
    }

    fn fold(row: Option<Self>, key: &Sku, event: &Recorded<ProductEvent>) -> Option<Self> {
        let updated_at = event.occurred_at;
        match &event.event {
            ProductEvent::Listed(Offer { title, category, price, .. }) => Some(Self {
                sku: key.clone(),
                title: title.clone(),
                category: category.clone(),
                price: price.amount,
                currency: price.currency,
                updated_at,
            }),
            ProductEvent::PriceChanged { new, .. } => {
                Some(Self { price: new.amount, updated_at, ..row? })
            }
            ProductEvent::Delisted { .. } => None,
        }
    }
}

impl CatalogueView {
    /// The row as the catalogue says it.
    pub fn into_offer(self) -> Offer {
        let Self { sku, title, category, price, currency, .. } = self;
        Offer { sku, title, category, price: Money::new(price, currency) }
    }
}
