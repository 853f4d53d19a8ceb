//! `product_sales`: what each product has sold, and what came back.

use headwater::{Fold, ReadModel, Recorded};

use super::trade::{Trade, TradeEvent};
use crate::domain::ids::Sku;

/// The sales of a product. Amounts are in minor units of the one currency that the shop sells in.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "product_sales")]
pub struct ProductSales {
    /// The product.
    #[key]
    #[column(text)]
    pub sku: Sku,
    /// What it was last called.
    pub title: String,
    /// How many orders it was in.
    pub orders: i64,
    /// How many were sold.
    pub units_gross: i64,
    /// How many were sold and did not come back.
    pub units_net: i64,
    /// What was sold for how much.
    pub gross: i64,
    /// How much of it was given back.
    pub returned: i64,
}

impl Fold for ProductSales {
    type Event = TradeEvent;

    fn keys(event: &Recorded<TradeEvent>) -> Vec<Sku> {
        let Some(trade) = event.event.trade() else { return Vec::new() };
        let mut skus: Vec<_> = trade.goods().lines.iter().map(|line| &line.sku).collect();
        skus.sort_unstable();
        skus.dedup();
        skus.into_iter().cloned().collect()
    }

    fn fold(row: Option<Self>, sku: &Sku, event: &Recorded<TradeEvent>) -> Option<Self> {
        let Some(trade) = event.event.trade() else { return row };
        let mut sales = row.unwrap_or_else(|| Self::none(sku.clone()));
        sales.orders += i64::from(matches!(trade, Trade::Sold(_)));
        // The same product may stand on several lines.
        for line in trade.goods().lines.iter().filter(|line| line.sku == *sku) {
            let units = i64::from(line.quantity);
            match trade {
                Trade::Sold(_) => {
                    sales.title.clone_from(&line.title);
                    sales.units_gross += units;
                    sales.units_net += units;
                    sales.gross += line.total.amount;
                }
                Trade::Returned(_) => {
                    sales.units_net -= units;
                    sales.returned += line.total.amount;
                }
            }
        }
        Some(sales)
    }
}

impl ProductSales {
    fn none(sku: Sku) -> Self {
        let title = sku.to_string();
        Self { sku, title, orders: 0, units_gross: 0, units_net: 0, gross: 0, returned: 0 }
    }
}
