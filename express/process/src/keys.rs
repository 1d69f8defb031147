//! Keys of the lane, each with the secret that its salts are made from: the same key makes the same salts after a restart.

use poq_express::crypto::Sr25519;
use sp_core::{sr25519, Pair as _};

/// Domain of the secret that salts are made from, derived from the key's.
const SALTS: &[u8] = b"poq/express/salts/1";

/// The key of an operator's seed.
pub fn of_seed(seed: &[u8; 32]) -> Sr25519 {
    with_salts(sr25519::Pair::from_seed(seed), seed)
}

/// The key of a secret URI, such as a phrase: what a channel's owner keeps. `None` if the text is none.
pub fn of_uri(uri: &str) -> Option<Sr25519> {
    let pair = sr25519::Pair::from_string(uri, None).ok()?;
    let secret = pair.to_raw_vec();
    Some(with_salts(pair, &secret))
}

fn with_salts(pair: sr25519::Pair, secret: &[u8]) -> Sr25519 {
    Sr25519::new(pair, sp_crypto_hashing::blake2_256(&[SALTS, secret].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use poq_express::crypto::Crypto as _;

    #[test]
    fn a_key_makes_the_same_salts_again_and_another_makes_others() {
        let [one, again, other] = ["//One", "//One", "//Other"].map(|uri| of_uri(uri).unwrap());
        assert_eq!((one.key(), one.salt(b"text")), (again.key(), again.salt(b"text")));
        assert_ne!(one.salt(b"text"), other.salt(b"text"));
        assert_ne!(of_seed(&[1; 32]).salt(b"text"), of_seed(&[2; 32]).salt(b"text"));
        assert!(of_uri("no phrase of twelve words").is_none());
    }
}
