//! Orders and their outcomes: what the gateway keeps of a request.

use crate::amount::units;
use poq_client::types::{self, Sampling};
use serde::{de::Error as _, Deserialize, Deserializer, Serialize, Serializer};

/// 32 bytes, in JSON as hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = hex::decode(&text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| D::Error::custom("no 32 bytes in hex"))
    }
}

/// Terms of a request as the gateway keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Any of these generators may answer.
    pub generators: Vec<Hash>,
    /// The evaluator.
    pub evaluator: Hash,
    /// Most tokens in the answer.
    pub max_tokens: u32,
    /// Temperature in thousandths.
    pub temperature_milli: u32,
    /// Seed of the sampler.
    pub seed: u32,
    /// Inference nodes.
    pub responders: u32,
    /// Quality validators.
    pub committee: u32,
    /// In parts per million.
    pub min_quality: u32,
    /// The most that the request costs without the fee of its transaction, in units.
    #[serde(with = "units")]
    pub budget: u128,
    /// 32 random bytes, by which the request is known on the chain.
    pub mark: Hash,
}

impl Terms {
    /// The terms in the chain's types.
    pub fn of_chain(&self) -> types::Terms {
        types::Terms {
            generators: self.generators.iter().map(|id| id.0).collect(),
            evaluator: self.evaluator.0,
            sampling: Sampling {
                max_tokens: self.max_tokens,
                temperature_milli: self.temperature_milli,
                seed: self.seed,
            },
            responders: self.responders,
            committee: self.committee,
            min_quality: self.min_quality,
            budget: self.budget,
            audit: self.mark.0,
        }
    }
}

/// Form in which the caller wants the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
}

/// An order: everything that the network has to know, and the form of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Form of the answer.
    pub form: Form,
    /// The prompt, as it goes to the chain.
    pub prompt: String,
    /// The terms.
    pub terms: Terms,
    /// The model that the caller named.
    pub model: String,
}

/// Sums of a request that is over, in units. `paid + chain + refund` is the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Sum that was on hold.
    #[serde(with = "units")]
    pub budget: u128,
    /// Pay of the operators.
    #[serde(with = "units")]
    pub paid: u128,
    /// The chain's part.
    #[serde(with = "units")]
    pub chain: u128,
    /// Sum returned.
    #[serde(with = "units")]
    pub refund: u128,
    /// Fee of the transaction.
    #[serde(with = "units")]
    pub transaction_fee: u128,
}

impl Bill {
    /// Cost of the request in all: the budget less the refund, and the transaction's fee.
    pub fn cost(&self) -> u128 {
        self.budget.saturating_sub(self.refund).saturating_add(self.transaction_fee)
    }
}

/// An inference node's part in a request that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Responder {
    /// The operator's address.
    pub operator: String,
    /// Name of its model.
    pub model: String,
    /// Consensus score, 0 to 1; null if it got none.
    pub quality: Option<f64>,
    /// State of its work, such as `revealed`.
    pub work: String,
    /// Pay, in units.
    #[serde(with = "units")]
    pub paid: u128,
}

/// End of an order.
// Without a tag inside: where a crate of the build makes numbers of JSON exact, serde reads none through such tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered and paid.
    Settled {
        /// Number of the request on the chain.
        request: u64,
        /// Block of the end.
        block: u64,
        /// The best answer.
        answer: String,
        /// Place of the best answer among the responders.
        best: u32,
        /// All who were drawn to answer.
        responders: Vec<Responder>,
        /// Quality validators that scored.
        scorers: u32,
        /// Sums.
        bill: Bill,
    },
    /// Not answered. The budget came back but for what work and the chain had earned.
    Refunded {
        /// Number of the request on the chain.
        request: u64,
        /// Block of the end.
        block: u64,
        /// Reason, as the chain calls it.
        reason: String,
        /// Reason for people.
        meaning: String,
        /// All who were drawn to answer.
        responders: Vec<Responder>,
        /// Sums.
        bill: Bill,
    },
    /// The chain did not take the request.
    Refused {
        /// Name of the chain's error.
        name: String,
        /// Its meaning.
        meaning: String,
        /// Fee of a transaction that failed in its block, in units; otherwise 0.
        #[serde(with = "units")]
        transaction_fee: u128,
    },
    /// The chain took the request, and had forgotten it when the gateway looked again.
    Forgotten {
        /// Number of the request on the chain, if it is known.
        request: Option<u64>,
    },
}

impl Outcome {
    /// Cost in units; `None` if it cannot be known any more, and then all that was reserved counts as spent.
    pub fn cost(&self) -> Option<u128> {
        match self {
            Self::Settled { bill, .. } | Self::Refunded { bill, .. } => Some(bill.cost()),
            Self::Refused { transaction_fee, .. } => Some(*transaction_fee),
            Self::Forgotten { .. } => None,
        }
    }

    /// Name of the end, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Settled { .. } => "settled",
            Self::Refunded { .. } => "refunded",
            Self::Refused { .. } => "refused",
            Self::Forgotten { .. } => "forgotten",
        }
    }
}

/// A transaction that may be on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The signed transaction.
    pub transaction: Vec<u8>,
    /// Its nonce.
    pub nonce: u64,
    /// Block at which it was signed.
    pub born: u64,
}

/// Number and place of a request on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the request.
    pub request: u64,
    /// Number of the block with the transaction.
    pub block: u64,
    /// Fee of the transaction, in units.
    pub fee: u128,
}

/// An order with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id, as callers know it.
    pub id: String,
    /// Id of the key that ordered it.
    pub key: String,
    /// Milliseconds since 1970 at which it was taken.
    pub accepted: i64,
    /// The order.
    pub order: Order,
    /// Sum counted against limits: budget and the most that the transaction may cost while it is open, then the cost; in units.
    pub counted: u128,
    /// The transaction, once it is signed.
    pub sent: Option<Sent>,
    /// The place on the chain, once it is in a block.
    pub place: Option<Place>,
    /// The end.
    pub outcome: Option<Outcome>,
    /// Whether the end stands in a finalized block.
    pub is_final: bool,
}

/// News of an order that is waited for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Number on the chain.
    pub request: Option<u64>,
    /// Phase on the chain, such as `scoring`.
    pub phase: Option<&'static str>,
    /// The end.
    pub outcome: Option<std::sync::Arc<Outcome>>,
}
