//! The receipt as a file.

use crate::Invalid;
use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use serde::{de::Error as _, Deserialize, Deserializer, Serialize, Serializer};

/// The form of receipts that this program reads and writes.
pub(crate) const FORM: u32 = 1;

/// Bytes, in JSON as `0x` and lower-case hex digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("hex digits begin with 0x"))?;
        hex::decode(digits).map(Self).map_err(D::Error::custom)
    }
}

/// A header with a part of the state of its block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The header, SCALE.
    pub header: Bytes,
    /// Nodes of the state's trie, from the root to the values.
    pub state: Vec<Bytes>,
}

/// A header with the proof that its block is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Final {
    /// The header, SCALE.
    pub header: Bytes,
    /// The GRANDPA justification, SCALE.
    pub justification: Bytes,
}

/// Proof of what became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Version of this form, 1.
    pub form: u32,
    /// Number of the request.
    pub request: u64,
    /// The block that the reader has to trust, with its GRANDPA voters.
    pub anchor: Known,
    /// The blocks after the anchor that changed the voters, in their order.
    pub changes: Vec<Final>,
    /// A block in whose state the request is settled or refunded.
    pub block: Final,
    /// Nodes of that block's trie: the request and what belongs to it.
    pub state: Vec<Bytes>,
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// [`Invalid::Form`], [`Invalid::UnknownForm`].
    pub fn parse(json: &str) -> Result<Self, Invalid> {
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        let read = |error: serde_json::Error| Invalid::Form(error.to_string());
        // The form first: another one may have other fields.
        let Form { form } = serde_json::from_str(json).map_err(read)?;
        if form != FORM {
            return Err(Invalid::UnknownForm(form));
        }
        serde_json::from_str(json).map_err(read)
    }
}
