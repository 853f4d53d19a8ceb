//! Money, in minor units: `{"amount":2999,"currency":"USD"}` is 29.99 dollars.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An amount of money in the currency's minor unit. It may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// The amount, in cents or pence.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

/// A currency that the shop trades in; each has a hundred minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// Euro.
    Eur,
    /// Pound sterling.
    Gbp,
    /// United States dollar.
    Usd,
}

impl Money {
    /// An amount in minor units.
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Nothing, in this currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The price of so many. What no ledger could hold stops at the largest amount.
    #[must_use]
    pub fn times(self, quantity: u32) -> Self {
        Self::new(self.amount.saturating_mul(quantity.into()), self.currency)
    }

    /// The sum with an amount of the same currency, which the caller has checked.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        debug_assert_eq!(self.currency, other.currency);
        Self::new(self.amount.saturating_add(other.amount), self.currency)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.amount < 0 { "-" } else { "" };
        let amount = self.amount.unsigned_abs();
        write!(f, "{sign}{}.{:02} {}", amount / 100, amount % 100, self.currency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eur => "EUR",
            Self::Gbp => "GBP",
            Self::Usd => "USD",
        })
    }
}

/// Three letters that name no currency of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shop trades in EUR, GBP and USD")]
pub struct UnknownCurrency;

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        [Self::Eur, Self::Gbp, Self::Usd]
            .into_iter()
            .find(|currency| currency.to_string() == code)
            .ok_or(UnknownCurrency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_in_minor_units() {
        let money = Money::new(2999, Currency::Usd);
        let json = r#"{"amount":2999,"currency":"USD"}"#;
        assert_eq!(serde_json::to_string(&money).unwrap(), json);
        assert_eq!(serde_json::from_str::<Money>(json).unwrap(), money);
        assert!(serde_json::from_str::<Money>(r#"{"amount":1,"currency":"usd"}"#).is_err());
    }

    #[test]
    fn money_is_shown_with_its_sign() {
        assert_eq!(Money::new(-5, Currency::Gbp).to_string(), "-0.05 GBP");
        assert_eq!(Money::new(27295, Currency::Eur).times(2).to_string(), "545.90 EUR");
    }

    #[test]
    fn a_currency_reads_what_it_prints() {
        for currency in [Currency::Eur, Currency::Gbp, Currency::Usd] {
            assert_eq!(currency.to_string().parse(), Ok(currency));
        }
        assert_eq!("XAU".parse::<Currency>(), Err(UnknownCurrency));
    }
}
