//! Lengths of time, as people write them: `60s`, `5m`, `24h`, `7d`.

use std::{str::FromStr, time::Duration};

/// A length of time, between a second and 400 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    seconds: u32,
}

/// The longest.
const LONGEST: u32 = 400 * 86_400;

/// A text that names no length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a length of time is a number of seconds, minutes, hours or days, such as 60s, 5m, 24h or 7d, and 400d at most"
)]
pub struct NoLength;

impl FromStr for Length {
    type Err = NoLength;

    fn from_str(text: &str) -> Result<Self, NoLength> {
        let unit = text.chars().last().ok_or(NoLength)?;
        let number = text.strip_suffix(unit).and_then(|number| number.parse::<u32>().ok());
        let each = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(NoLength),
        };
        let seconds = number.and_then(|number| number.checked_mul(each)).ok_or(NoLength)?;
        if (1..=LONGEST).contains(&seconds) { Ok(Self { seconds }) } else { Err(NoLength) }
    }
}

impl Length {
    /// It in seconds.
    pub fn seconds(self) -> i64 {
        self.seconds.into()
    }
}

impl From<Length> for Duration {
    fn from(length: Length) -> Self {
        Self::from_secs(length.seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_and_a_unit() {
        for (text, seconds) in
            [("1s", 1), ("60s", 60), ("5m", 300), ("24h", 86_400), ("400d", LONGEST)]
        {
            assert_eq!(text.parse(), Ok(Length { seconds }));
        }
        for text in ["", "5", "m", "0s", "-1s", "401d", "1.5h", "5 m", "5µ", "99999999999s"] {
            assert_eq!(text.parse::<Length>(), Err(NoLength), "{text}");
        }
    }
}
