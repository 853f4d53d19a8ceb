//! Amounts of money as data sets write them, without a detour over floating point.

/// An amount such as `2.55` in minor units. What is below one is rounded, a half away from zero.
pub(super) fn minor_units(amount: &str) -> Option<i64> {
    let (sign, digits) = amount.strip_prefix('-').map_or((1, amount), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let digit = |place| fraction.as_bytes().get(place).map_or(0, |byte| i64::from(byte - b'0'));
    let minor = digit(0) * 10 + digit(1) + i64::from(digit(2) >= 5);
    Some(sign * whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(minor)?)
}

#[cfg(test)]
mod tests {
    use super::minor_units;

    #[test]
    fn amounts_become_whole_minor_units() {
        for (text, minor) in [
            ("2.55", 255),
            ("3.4", 340),
            ("7", 700),
            ("0.001", 0),
            ("0.005", 1),
            ("1.999", 200),
            ("-11062.06", -1_106_206),
        ] {
            assert_eq!(minor_units(text), Some(minor), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-", ".5", "1,50", "1e3", "NaN", "1.2.3", "99999999999999999999"] {
            assert_eq!(minor_units(text), None, "{text:?} was taken");
        }
    }
}
