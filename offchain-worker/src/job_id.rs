//! The name of a job.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Id of a job: 32 bytes, written as 64 lower-case hex digits.
///
/// One job has one spelling: upper-case digits are refused, so that an id is also a safe and unique file
/// name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId([u8; 32]);

/// The text is not a job id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job id is 64 lower-case hex digits")]
pub struct InvalidJobId;

impl From<[u8; 32]> for JobId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidJobId);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidJobId)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for JobId {
    type Error = InvalidJobId;

    fn try_from(text: String) -> Result<Self, InvalidJobId> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_id_reads_back(bytes: [u8; 32]) {
            let id = JobId::from(bytes);
            prop_assert_eq!(id.to_string().parse::<JobId>(), Ok(id));
        }

        #[test]
        fn nothing_else_is_an_id(text in ".{0,80}") {
            if let Ok(id) = text.parse::<JobId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!("AB".repeat(32).parse::<JobId>(), Err(InvalidJobId));
        assert_eq!("ab".repeat(31).parse::<JobId>(), Err(InvalidJobId));
        assert_eq!("../../../../etc/passwd".parse::<JobId>(), Err(InvalidJobId));
        assert!("ab".repeat(32).parse::<JobId>().is_ok());
    }
}
