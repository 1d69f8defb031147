//! API keys: `sk-poq-ID-SECRET`. The secret has 256 random bits, and the gateway keeps only its SHA-256: at that size a slow hash protects
//! nothing. A key is looked up by its public id, and its hash is compared in constant time, also where there is no such key.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Beginning of every key.
const PREFIX: &str = "sk-poq-";

/// Bytes of an id.
const ID_BYTES: usize = 6;

/// Length of a key in characters: prefix, id, a dash, and the secret.
const LENGTH: usize = PREFIX.len() + 2 * ID_BYTES + 1 + 64;

/// A key as its owner has it. Never logged, never stored.
pub struct Secret {
    /// Public part.
    pub id: String,
    /// The whole key.
    pub text: String,
}

impl Secret {
    /// A new key.
    pub fn random() -> Result<Self, poq_client::Error> {
        let id: String = hex::encode(poq_client::random()?).chars().take(2 * ID_BYTES).collect();
        let text = format!("{PREFIX}{id}-{}", hex::encode(poq_client::random()?));
        Ok(Self { id, text })
    }

    /// SHA-256 of the key.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.text)
    }
}

/// SHA-256 of a key.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Id of an offered key; `None` if it does not look like a key of a gateway, however long it is.
pub fn id_of(offered: &str) -> Option<&str> {
    if offered.len() != LENGTH {
        return None;
    }
    let (id, _) = offered.strip_prefix(PREFIX)?.split_once('-')?;
    (id.len() == 2 * ID_BYTES).then_some(id)
}

/// Whether two hashes are the same, in a time that does not depend on where they differ.
pub fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// Limits of a key. `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most that it may spend within a day (UTC), in units.
    pub per_day: Option<u64>,
    /// Most requests within any 60 seconds.
    pub per_minute: Option<u32>,
    /// Models that it may ask, by name or id; empty for all.
    pub models: Vec<String>,
    /// Whether it reads metrics and nothing else.
    pub metrics: bool,
}

/// A key as the gateway knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Public part.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Limits.
    pub limits: Limits,
    /// Milliseconds since 1970 at which it was made.
    pub created: i64,
    /// Milliseconds since 1970 at which it was revoked.
    pub revoked: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_id_and_known_by_its_hash() {
        let (key, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_eq!(key.text.len(), LENGTH);
        assert_eq!(id_of(&key.text), Some(&*key.id));
        assert!(same(&key.hash(), &hash(&key.text)));
        assert!(!same(&key.hash(), &other.hash()));
    }

    #[test]
    fn what_is_no_key_is_not_hashed() {
        let long = "sk-poq-".repeat(100_000);
        for offered in ["", "sk-", "sk-poq-", "sk-poq-aa-bb", "Bearer", &long, &"é".repeat(LENGTH / 2)] {
            assert_eq!(id_of(offered), None);
        }
    }
}
