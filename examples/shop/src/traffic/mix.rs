//! How many visitors of each kind there are.

use std::{fmt, str::FromStr};

use rand::{rngs::StdRng, seq::IndexedRandom as _};

/// What a visitor has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Looks, and goes.
    Browser,
    /// Orders.
    Buyer,
    /// Leaves a cart behind.
    Abandoner,
    /// Orders, and calls it off.
    Canceller,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Browser, "browser"),
    (Kind::Buyer, "buyer"),
    (Kind::Abandoner, "abandoner"),
    (Kind::Canceller, "canceller"),
];

/// The parts of each kind, in the order of [`KINDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mix([u32; 4]);

impl Mix {
    /// A kind by lot.
    pub(super) fn draw(&self, random: &mut StdRng) -> Kind {
        let kinds: Vec<_> = KINDS.iter().map(|(kind, _)| *kind).zip(self.0).collect();
        let drawn = kinds.choose_weighted(random, |(_, parts)| *parts);
        drawn.expect("a mix has one part at least").0
    }
}

/// One of five only looks; two thirds of the others buy.
impl Default for Mix {
    fn default() -> Self {
        Self([20, 51, 27, 2])
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, ((_, name), parts)) in KINDS.iter().zip(self.0).enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}={parts}")?;
        }
        Ok(())
    }
}

impl FromStr for Mix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a mix is such as browser=70,buyer=15,abandoner=12,canceller=3: kinds of visitors, each once, \
                             with up to 1000 parts, and one at least in all";
        let mut mix = [None; 4];
        for part in text.split(',') {
            let (name, parts) = part.split_once('=').ok_or(WRONG)?;
            let kind = KINDS.iter().position(|(_, known)| *known == name.trim()).ok_or(WRONG)?;
            let parts = parts.trim().parse().ok().filter(|parts| *parts <= 1_000);
            if mix[kind].replace(parts.ok_or(WRONG)?).is_some() {
                return Err(WRONG);
            }
        }
        let mix = mix.map(Option::unwrap_or_default);
        if mix.iter().all(|parts| *parts == 0) { Err(WRONG) } else { Ok(Self(mix)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_kinds_with_their_parts() {
        assert_eq!(
            "browser=70,buyer=15,abandoner=12,canceller=3".parse(),
            Ok(Mix([70, 15, 12, 3]))
        );
        assert_eq!("buyer=1".parse(), Ok(Mix([0, 1, 0, 0])));
        let usual = Mix::default();
        assert_eq!(usual.to_string().parse(), Ok(usual));
        for text in [
            "",
            "buyer",
            "buyer=",
            "buyer=-1",
            "buyer=1,buyer=2",
            "thief=1",
            "buyer=0",
            "buyer=1001",
        ] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }
}
