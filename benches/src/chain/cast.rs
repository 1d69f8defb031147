//! Requesters and operators of a measurement, with keys derived from numbers.

use codec::Encode as _;
use pallet_proof_of_quality::Workload;
use poq_runtime::AccountId;
use sp_core::{sr25519, Pair as _};
use sp_io::hashing::blake2_256;

/// Capacity of every operator: unlimited, because the chain is measured and not its operators.
pub const CAPACITY: Workload = Workload { tokens: u32::MAX, pairs: u32::MAX };

/// Owner of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A requester.
    Requester,
    /// The account of an inference node.
    InferenceNode,
    /// The account of a quality validator.
    QualityValidator,
    /// The worker of an inference node.
    InferenceWorker,
    /// The worker of a quality validator.
    ScoringWorker,
}

/// Number of requesters and operators.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// Requesters.
    pub requesters: usize,
    /// Inference nodes.
    pub nodes: usize,
    /// Quality validators.
    pub validators: usize,
}

/// An operator: its account, its worker key and its role.
pub struct Operator {
    /// The account with the stake.
    pub account: AccountId,
    /// The worker key.
    pub worker: sr25519::Pair,
    /// Whether it scores; otherwise it answers.
    pub scores: bool,
}

impl Cast {
    /// The operators, inference nodes first.
    pub fn operators(&self) -> Vec<Operator> {
        let nodes = (0..self.nodes).map(|number| Operator {
            account: account(Part::InferenceNode, number),
            worker: pair(Part::InferenceWorker, number),
            scores: false,
        });
        let validators = (0..self.validators).map(|number| Operator {
            account: account(Part::QualityValidator, number),
            worker: pair(Part::ScoringWorker, number),
            scores: true,
        });
        nodes.chain(validators).collect()
    }

    /// The keys of the requesters.
    pub fn requesters(&self) -> Vec<sr25519::Pair> {
        (0..self.requesters).map(|number| pair(Part::Requester, number)).collect()
    }
}

/// The seed of a key. It is no secret: nothing on these chains has a value.
pub fn seed(part: Part, number: usize) -> [u8; 32] {
    ("poq/bench", part as u8, number as u64).using_encoded(blake2_256)
}

pub fn pair(part: Part, number: usize) -> sr25519::Pair {
    sr25519::Pair::from_seed(&seed(part, number))
}

pub fn account(part: Part, number: usize) -> AccountId {
    pair(part, number).public().into()
}
