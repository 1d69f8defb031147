//! Exact decimal numbers: money, qualities, temperatures. No floats.

use std::{fmt, str::FromStr};

/// Digits of a POQ after the point.
const POQ_DIGITS: u32 = 12;

/// Digits of a quality, which the chain counts in parts per million.
const PART_DIGITS: u32 = 6;

/// Digits of a temperature, which the chain counts in thousandths.
const MILLI_DIGITS: u32 = 3;

/// Digits of a factor, which the chain counts in units of 10^-9.
const FACTOR_DIGITS: u32 = 9;

/// An amount of POQ, in units of 10^-12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub u128);

impl fmt::Display for Amount {
    /// As few digits as say it exactly: `1.234 POQ`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} POQ", Fixed { value: self.0, digits: POQ_DIGITS }))
    }
}

impl FromStr for Amount {
    type Err = String;

    /// Takes `1.234` and `1.234 POQ`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim();
        let number = number.strip_suffix("POQ").or_else(|| number.strip_suffix("poq")).unwrap_or(number);
        parse_fixed(number.trim_end(), POQ_DIGITS).map(Self)
    }
}

/// Parses a quality of 0 to 1 into parts per million.
pub fn parse_part(text: &str) -> Result<u32, String> {
    match parse_fixed(text, PART_DIGITS)? {
        parts @ 0..=1_000_000 => Ok(parts as u32),
        _ => Err("a quality is a number from 0 to 1".into()),
    }
}

/// Parses a temperature into thousandths.
pub fn parse_milli(text: &str) -> Result<u32, String> {
    u32::try_from(parse_fixed(text, MILLI_DIGITS)?).map_err(|_| "the number is too large".into())
}

/// A part of the probability, in thousandths, 1 to 1,000.
pub fn parse_top_p(text: &str) -> Result<u16, String> {
    let milli = u16::try_from(parse_milli(text)?).ok().filter(|milli| (1..=1_000).contains(milli));
    milli.ok_or_else(|| "it has to be from 0.001 to 1".into())
}

/// A quality given in parts per million, with three digits: people compare them.
pub fn part(parts: u32) -> String {
    let milli = (u64::from(parts) + 500) / 1_000;
    format!("{}.{:03}", milli / 1_000, milli % 1_000)
}

/// Parts per million in percent, with one digit: people compare them.
pub fn percent(parts: u32) -> String {
    let tenths = (u64::from(parts) + 500) / 1_000;
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// Parts per million in percent, with as few digits as say it exactly.
pub fn exact_percent(parts: u32) -> String {
    format!("{}%", Fixed { value: parts.into(), digits: PART_DIGITS - 2 })
}

/// A factor given in units of 10^-9, exactly.
pub fn factor(units: u64) -> String {
    Fixed { value: units.into(), digits: FACTOR_DIGITS }.to_string()
}

/// Parts per million in JSON: a number from 0 to 1.
pub mod parts {
    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    /// Writes it.
    pub fn serialize<S: Serializer>(parts: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(f64::from(*parts) / 1e6)
    }

    /// Reads it, exactly or not at all.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        let number = f64::deserialize(from)?;
        let parts = (number * 1e6).round();
        if !(0.0..=1e6).contains(&parts) || (number * 1e6 - parts).abs() > 1e-6 {
            return Err(D::Error::custom(format!("{number} is not 0 to 1 with up to six digits")));
        }
        Ok(parts as u32)
    }
}

/// Money in JSON: a string of units of 10^-12 POQ, because other programs' numbers are too small for it.
pub mod units {
    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    /// Writes it.
    pub fn serialize<S: Serializer>(units: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&units.to_string())
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| D::Error::custom(format!("\"{text}\" is no number of units of 10^-12 POQ")))
    }
}

struct Fixed {
    value: u128,
    digits: u32,
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10u128.pow(self.digits);
        let (whole, rest) = (self.value / unit, self.value % unit);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let rest = format!("{rest:0width$}", width = self.digits as usize);
        write!(f, "{whole}.{}", rest.trim_end_matches('0'))
    }
}

fn parse_fixed(text: &str, digits: u32) -> Result<u128, String> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && rest.is_empty()) || !are_digits(whole) || !are_digits(rest) {
        return Err(format!("`{text}` is not a number like 1 or 1.25"));
    }
    let rest = rest.trim_end_matches('0');
    let missing = (digits as usize)
        .checked_sub(rest.len())
        .ok_or_else(|| format!("`{text}` has more than {digits} digits after the point"))?;
    let all = format!("{whole}{rest}{}", "0".repeat(missing));
    all.parse().map_err(|_| format!("`{text}` is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_look_as_people_write_them() {
        assert_eq!(Amount(1_234_000_000_000).to_string(), "1.234 POQ");
        assert_eq!(Amount(1).to_string(), "0.000000000001 POQ");
        assert_eq!(Amount(0).to_string(), "0 POQ");
        assert_eq!(Amount(10_000_000_000_000).to_string(), "10 POQ");
        assert_eq!(Amount(u128::MAX).to_string(), "340282366920938463463374607.431768211455 POQ");
    }

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        assert_eq!("1.5".parse(), Ok(Amount(1_500_000_000_000)));
        assert_eq!("1.5 POQ".parse(), Ok(Amount(1_500_000_000_000)));
        assert_eq!(".5".parse(), Ok(Amount(500_000_000_000)));
        assert_eq!("7.".parse(), Ok(Amount(7_000_000_000_000)));
        assert_eq!("0.0000000000010".parse(), Ok(Amount(1)));
        for bad in ["", ".", "POQ", "-1", "+1", "1e3", "1,5", "1.2.3", "0.0000000000001", "١", "1 000"] {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
        assert!("340282366920938463463374607.431768211456".parse::<Amount>().is_err());
    }

    #[test]
    fn qualities_and_temperatures_have_their_ranges() {
        assert_eq!(parse_part("1"), Ok(1_000_000));
        assert_eq!(parse_part("0.123456"), Ok(123_456));
        assert!(parse_part("1.000001").is_err());
        assert_eq!(parse_milli("0.7"), Ok(700));
        assert!(parse_milli("99999999").is_err());
        assert_eq!((parse_top_p("1"), parse_top_p("0.001")), (Ok(1_000), Ok(1)));
        assert!(["0", "1.001", "70"].iter().all(|wrong| parse_top_p(wrong).is_err()));
        assert_eq!(part(1_000_000), "1.000");
        assert_eq!(part(999_499), "0.999");
        assert_eq!(part(1_500), "0.002");
        assert_eq!(percent(538_400), "53.8%");
        assert_eq!(percent(1_000_000), "100.0%");
        assert_eq!(exact_percent(31_250), "3.125%");
        assert_eq!(exact_percent(20_000), "2%");
        assert_eq!(factor(1_500_000_000), "1.5");
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_read(units: u128) {
            prop_assert_eq!(Amount(units).to_string().parse(), Ok(Amount(units)));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = text.parse::<Amount>();
            let _ = parse_part(&text);
        }
    }
}
