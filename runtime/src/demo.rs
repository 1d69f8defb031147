//! The accounts and models of the chains that come with the runtime.
//!
//! Everybody knows the private keys of these accounts: they are derived from the development phrase of every Substrate
//! tool. They are for chains on which nothing is worth anything.

use crate::{
    currency::{MILLI_POQ, POQ},
    time::MINUTE,
    AccountId, Balance, BlockNumber, Runtime,
};
use alloc::{string::String, vec::Vec};
use pallet_proof_of_quality::{
    GenesisConfig, GenesisModel, GenesisOperator, ModelId, ModelKind, Price, Reward, Windows,
};
use serde::Deserialize;
use sp_core::hex2array;
use sp_keyring::Sr25519Keyring;
use sp_runtime::{FixedU64, Permill};

/// The demo models' names, kinds and hashes, written by the scripts that train them.
const MANIFEST: &str = include_str!("../../models/manifest.json");

/// Stake of each demo operator.
const STAKE: Balance = 10_000 * POQ;

/// A minute to generate or score, twenty seconds to show the result.
const WINDOWS: Windows<BlockNumber> = Windows { commit: 30, reveal: 10 };

/// Tokens of the demo generators' context: what they were trained with.
const CONTEXT: u32 = 512;

/// Epochs of the lane: nobody wants to wait ten minutes for the first order of a test chain.
const LANE_EPOCH: BlockNumber = 2 * MINUTE;

/// The accounts that reveal audits, also known to everybody.
const AUDITORS: [Sr25519Keyring; 2] = [Sr25519Keyring::Alice, Sr25519Keyring::Bob];

/// An operator that uses its whole window loses a tenth of its share.
const REWARD: Reward = Reward { alpha: FixedU64::from_u32(1), beta: FixedU64::from_rational(1, 10) };

/// An operator of the demo: an account with stake, and the worker key that signs for it.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// Name in logs and documents.
    pub name: &'static str,
    /// The part it plays.
    pub role: Role,
    /// Its account, `//PoQ//operator//N`.
    pub account: [u8; 32],
    /// Its worker key, `//PoQ//worker//N` (sr25519).
    pub worker: [u8; 32],
}

/// The part that an operator plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves the generator that is mostly right.
    StrongInference,
    /// Serves the generator that is often wrong.
    WeakInference,
    /// Serves the evaluator.
    QualityValidator,
}

impl Role {
    /// Name of the model that it takes.
    const fn model(self) -> &'static str {
        match self {
            Self::StrongInference => "poq-demo-strong",
            Self::WeakInference => "poq-demo-weak",
            Self::QualityValidator => "poq-demo-evaluator",
        }
    }
}

impl Operator {
    /// Its account as the chain knows it.
    pub fn account_id(&self) -> AccountId {
        self.account.into()
    }

    /// The secret URI of operator `index`'s worker key, below the development phrase.
    #[cfg(feature = "std")]
    pub fn worker_uri(index: usize) -> String {
        alloc::format!("//PoQ//worker//{index}")
    }

    /// The secret URI of operator `index`'s account, below the development phrase.
    #[cfg(feature = "std")]
    pub fn account_uri(index: usize) -> String {
        alloc::format!("//PoQ//operator//{index}")
    }
}

/// The operators of the demo. Their number in this list is the `N` of their derivation.
pub const OPERATORS: [Operator; 7] = [
    Operator {
        name: "strong inference node",
        role: Role::StrongInference,
        account: hex2array!("e61e038238c7d5eb612ecdc38534c526e4b1bff8d283a939c5d1e06b5b74854c"),
        worker: hex2array!("5c06dcefcc3b670e71e077a33acbe8b3e67b3f6758316f3c1fce6a587bae4a42"),
    },
    Operator {
        name: "weak inference node",
        role: Role::WeakInference,
        account: hex2array!("3030824746cffd1dd343b67ffe4d219781c250c25cf060e5f383ffd56731b771"),
        worker: hex2array!("f035650572a832be66c98998dab44ae074f2ea50de60ba071af8c27f36b23f26"),
    },
    Operator {
        name: "quality validator 1",
        role: Role::QualityValidator,
        account: hex2array!("583e2eb451a5fd669208dd7ecbfd354af11e353e14494ec61901e983ee6a4756"),
        worker: hex2array!("be24c92513b72c9d43e4ea3ece5cc34a1c0da58dbafdac37ea141a9f341eb43e"),
    },
    Operator {
        name: "quality validator 2",
        role: Role::QualityValidator,
        account: hex2array!("a66e1e86e28daedeb67faca3e48125dd3efee11e6858b9d0428b76e8218d664f"),
        worker: hex2array!("88a9cbc5093e196ce0feaf628886881793931f04e81eb251874f8a4577246d43"),
    },
    Operator {
        name: "quality validator 3",
        role: Role::QualityValidator,
        account: hex2array!("1ee232879248febea6c8bdefeb125074adfe984053edec8405a070df0229b462"),
        worker: hex2array!("0cea1decb913d1c7650d3fe649de011a2881cfbf85634570f937ca3768630f46"),
    },
    Operator {
        name: "quality validator 4",
        role: Role::QualityValidator,
        account: hex2array!("c4906e951d3110e75ff11bada1b0fe3882460ca0e85db4684c1217422aa9c64e"),
        worker: hex2array!("f641b896445db732c1bd38be75615ececf2b322669ecb324529859c9c2cfd819"),
    },
    Operator {
        name: "quality validator 5",
        role: Role::QualityValidator,
        account: hex2array!("487f5df240cbd4f8a55a9e4b18f697ec2a749a3a6090177e73cb2b046c0e8f5e"),
        worker: hex2array!("e0da65531ea41c45ee7c8efe6cb5f45e10a42bc9e6863a1e659d8d08939b3111"),
    },
];

#[derive(Deserialize)]
struct Manifest {
    models: Vec<Model>,
}

/// A model of the demo.
#[derive(Deserialize)]
struct Model {
    name: String,
    kind: Kind,
    /// 64 hex digits.
    sha256: String,
    /// Of an evaluator: standard deviation of its scores of single answers, in millionths.
    #[serde(default)]
    noise: Permill,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Generator,
    Evaluator,
}

impl Model {
    fn id(&self) -> Option<ModelId> {
        hex::decode(&self.sha256).ok()?.try_into().ok()
    }

    fn genesis(&self) -> Option<GenesisModel<Runtime>> {
        let (kind, price) = match self.kind {
            Kind::Generator => (ModelKind::Generator, Price { base: 50 * MILLI_POQ, per_unit: MILLI_POQ }),
            Kind::Evaluator => {
                (ModelKind::Evaluator, Price { base: 10 * MILLI_POQ, per_unit: 10 * MILLI_POQ })
            }
        };
        Some(GenesisModel {
            id: self.id()?,
            kind,
            name: self.name.clone(),
            price,
            windows: WINDOWS,
            reward: REWARD,
            context: match self.kind {
                Kind::Generator => CONTEXT,
                Kind::Evaluator => 0,
            },
            noise: self.noise,
        })
    }
}

/// The models and operators of the demo as the pallet takes them at genesis; `None` if the manifest does not hold what the
/// operators serve.
pub fn genesis() -> Option<GenesisConfig<Runtime>> {
    let Manifest { models } = serde_json::from_str(MANIFEST).ok()?;
    let operators = OPERATORS
        .iter()
        .map(|operator| {
            let model = models.iter().find(|model| model.name == operator.role.model())?;
            Some(GenesisOperator {
                operator: operator.account_id(),
                stake: STAKE,
                worker: operator.worker.into(),
                models: alloc::vec![model.id()?],
                capacity: None,
            })
        })
        .collect::<Option<_>>()?;
    let auditors = AUDITORS.iter().map(|auditor| auditor.to_account_id()).collect();
    Some(GenesisConfig {
        models: models.iter().map(Model::genesis).collect::<Option<_>>()?,
        operators,
        auditors,
    })
}

/// The express lane of the demo: all models, short epochs; `None` as above. Operators say themselves where they take orders.
pub fn lane() -> Option<pallet_proof_of_quality_express::GenesisConfig<Runtime>> {
    let Manifest { models } = serde_json::from_str(MANIFEST).ok()?;
    Some(pallet_proof_of_quality_express::GenesisConfig {
        models: models.iter().map(Model::id).collect::<Option<_>>()?,
        epoch_blocks: Some(LANE_EPOCH),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_core::{crypto::DEV_PHRASE, sr25519, Pair};

    fn public(uri: &str) -> [u8; 32] {
        sr25519::Pair::from_string(&format!("{DEV_PHRASE}{uri}"), None).expect("is a secret URI").public().0
    }

    #[test]
    fn the_keys_are_the_derivations() {
        for (index, operator) in OPERATORS.iter().enumerate() {
            assert_eq!(operator.account, public(&Operator::account_uri(index)), "account {index}");
            assert_eq!(operator.worker, public(&Operator::worker_uri(index)), "worker {index}");
        }
    }

    #[test]
    fn the_manifest_holds_what_the_operators_serve() {
        let GenesisConfig { models, operators, .. } = genesis().expect("the manifest is complete");
        assert_eq!((models.len(), operators.len()), (4, 7));
    }
}
