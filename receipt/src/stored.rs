//! What the chain stores of a request: the types of the pallet's storage, version [`VERSION`]. A test compares them with the runtime's.
//!
//! Balances are in units (10^-12 POQ on the demo chain), times in blocks. Variants and fields are documented there.

#![allow(missing_docs, reason = "documented in pallet_proof_of_quality")]

use alloc::{format, string::String, vec::Vec};
use codec::{Decode, Encode};
use core::fmt;
#[cfg(test)]
use scale_info::TypeInfo;
use sp_core::crypto::{AccountId32, Ss58Codec as _};

/// Version of the pallet's storage that these types are of.
pub const VERSION: u16 = 3;

/// Parts per million, 0 to 1,000,000.
pub type Parts = u32;

/// An account. It shows itself as its address of format 42.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub struct Account(pub [u8; 32]);

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&AccountId32::new(self.0).to_ss58check())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub struct Sampling {
    pub max_tokens: u32,
    pub temperature_milli: u32,
    pub seed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub struct Budget {
    pub inference: u128,
    pub scoring: u128,
    pub fee: u128,
}

impl Budget {
    /// The whole.
    pub fn total(&self) -> u128 {
        self.inference.saturating_add(self.scoring).saturating_add(self.fee)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub struct Windows {
    pub commit: u32,
    pub reveal: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub enum Phase {
    Requested,
    Answering { until: u32 },
    RevealingAnswers { until: u32 },
    Selecting,
    Scoring { until: u32 },
    RevealingScores { until: u32 },
    Settled { at: u32, best: u32 },
    Refunded { at: u32, reason: RefundReason },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub enum RefundReason {
    NoRandomness,
    NoInferenceNode,
    NoCommitment,
    NoOutput,
    NoCommittee,
    NoQuorum,
    Busy,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub enum FailureReason {
    ModelUnavailable,
    InvalidJob,
    EngineAborted,
    DeadlineExceeded,
    Internal,
    EmptyOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub enum Work {
    Pending,
    Committed([u8; 32]),
    Revealed,
    Failed(FailureReason),
    NotCommitted,
    NotRevealed,
}

impl Work {
    /// For people.
    pub fn meaning(&self) -> String {
        match self {
            Self::Pending => "pending".into(),
            Self::Committed(_) => "committed".into(),
            Self::Revealed => "revealed".into(),
            Self::Failed(reason) => format!("failed: {reason:?}"),
            Self::NotCommitted => "absent".into(),
            Self::NotRevealed => "not revealed".into(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub enum Audit {
    Sealed([u8; 32]),
    Revealed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub struct Standing {
    pub agreement: Parts,
    pub veracity: Parts,
    pub reliability: Parts,
    pub quality: Parts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub struct Parameters {
    pub min_stake: u128,
    pub stake_cap: u32,
    pub unbonding_period: u32,
    pub fee: Parts,
    pub base_pay: Parts,
    pub waiting_fee: u128,
    pub min_committee: u32,
    pub absence_slash: u128,
    pub audit_slash: Parts,
    pub audit_allowance: u128,
    pub gross_error: Parts,
    pub audit_window: u32,
    pub tolerance_spreads: u32,
    pub tolerance_least: Parts,
    pub tolerance_most: Parts,
    pub floor: Standing,
    pub rise: Parts,
    pub fall: Parts,
    pub audit_rise: Parts,
    pub audit_fall: Parts,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub struct Request {
    pub requester: Account,
    pub generators: Vec<[u8; 32]>,
    pub evaluator: [u8; 32],
    pub sampling: Sampling,
    pub responders: u32,
    pub committee: u32,
    pub min_quality: Parts,
    pub budget: Budget,
    pub bonus: u128,
    pub answer_windows: Windows,
    pub score_windows: Windows,
    pub created: u32,
    pub phase: Phase,
    pub since: u32,
    pub fixed_at: u32,
    pub due: u32,
    pub round: u8,
    pub tries: u32,
    pub audit: Audit,
    pub parameters: Parameters,
}

/// An inference node's part in a request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub struct Response {
    pub operator: Account,
    pub model: [u8; 32],
    pub work: Work,
    pub latency: Parts,
    pub quality: Option<Parts>,
    pub paid: u128,
}

/// A quality validator's part in a request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(TypeInfo))]
pub struct Member {
    pub operator: Account,
    pub weight: u64,
    pub work: Work,
    pub scores: Vec<Parts>,
    pub latency: Parts,
    pub agreement: Option<Parts>,
    pub paid: u128,
}

#[cfg(test)]
mod tests {
    use super::*;
    use frame_support::traits::GetStorageVersion as _;
    use pallet_proof_of_quality as pallet;
    use poq_runtime::Runtime;
    use scale_info::{form::PortableForm, Field, MetaType, PortableRegistry, Registry, TypeDef};

    /// What the encoding of a type is made of: names of fields and variants, indices of variants, widths.
    fn shape<Type: TypeInfo + 'static>() -> String {
        let mut registry = Registry::new();
        let id = registry.register_type(&MetaType::new::<Type>()).id;
        shape_of(&registry.into(), id)
    }

    fn shape_of(types: &PortableRegistry, id: u32) -> String {
        let fields = |fields: &[Field<PortableForm>]| {
            let each =
                fields.iter().map(|field| format!("{:?}: {}", field.name, shape_of(types, field.ty.id)));
            each.collect::<Vec<_>>().join(", ")
        };
        match &types.resolve(id).unwrap().type_def {
            // A type around one value is encoded as that value.
            TypeDef::Composite(one) if one.fields.len() == 1 => shape_of(types, one.fields[0].ty.id),
            TypeDef::Composite(composite) => format!("{{{}}}", fields(&composite.fields)),
            TypeDef::Variant(variant) => {
                let each = variant.variants.iter();
                each.map(|v| format!("{} {}({})", v.index, v.name, fields(&v.fields)))
                    .collect::<Vec<_>>()
                    .join(" | ")
            }
            TypeDef::Sequence(sequence) => format!("[{}]", shape_of(types, sequence.type_param.id)),
            TypeDef::Array(array) => format!("[{}; {}]", shape_of(types, array.type_param.id), array.len),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_types_are_the_pallets() {
        assert_eq!(shape::<Request>(), shape::<pallet::Request<Runtime>>());
        assert_eq!(shape::<Response>(), shape::<pallet::Response<Runtime>>());
        assert_eq!(shape::<Member>(), shape::<pallet::Member<Runtime>>());
        assert_eq!(pallet::Pallet::<Runtime>::in_code_storage_version(), VERSION);
    }

    #[test]
    fn an_account_shows_its_address() {
        let alice = sp_keyring::Sr25519Keyring::Alice;
        assert_eq!(Account(alice.to_account_id().into()).to_string(), alice.to_account_id().to_string());
    }
}
