//! Amounts of POQ: exact decimal numbers for people, units of 10^-12 POQ for programs and for the database.

/// Digits of a POQ after the point.
const DIGITS: usize = 12;

/// Parses `1.5` or `1.5 POQ` into units. The database holds up to 2^63 - 1 of them, about 9.2 million POQ.
pub fn parse(text: &str) -> Result<u128, String> {
    let number = text.trim();
    let number =
        number.strip_suffix("POQ").or_else(|| number.strip_suffix("poq")).unwrap_or(number).trim_end();
    let wrong = || {
        format!("`{text}` is no amount of POQ; write a number such as 2.5, with up to {DIGITS} digits behind the point")
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > DIGITS {
        return Err(wrong());
    }
    let units: u128 = format!("{whole}{part:0<DIGITS$}").parse().map_err(|_| wrong())?;
    match i64::try_from(units) {
        Ok(_) => Ok(units),
        Err(_) => Err(format!(
            "{text} POQ is more than the gateway counts with; name at most {}",
            show(i64::MAX as u128)
        )),
    }
}

/// Units as people read them: `1.5 POQ`.
pub fn show(units: u128) -> String {
    let text = format!("{units:0>width$}", width = DIGITS + 1);
    let (whole, part) = text.split_at(text.len().saturating_sub(DIGITS));
    match part.trim_end_matches('0') {
        "" => format!("{whole} POQ"),
        part => format!("{whole}.{part} POQ"),
    }
}

/// Units as the database holds them; what is beyond its numbers is as much as they hold.
pub fn stored(units: u128) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// Units from the database.
pub fn read(stored: i64) -> u128 {
    u128::try_from(stored).unwrap_or(0)
}

/// Money in JSON: a string of units, because other programs' numbers are too small for it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_as_it_is_shown() {
        for (text, units) in
            [("0", 0), ("1", 1_000_000_000_000), ("2.5 POQ", 2_500_000_000_000), ("0.000000000001", 1)]
        {
            assert_eq!(parse(text), Ok(units));
            assert_eq!(parse(&show(units)), Ok(units));
        }
        assert_eq!(show(1_153_250_551), "0.001153250551 POQ");
        for text in ["", ".", ".5", "-1", "1e3", "1.0000000000001", "1,5", "9300000"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
