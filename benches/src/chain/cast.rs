//! Who takes part: as many operators and requesters as a measurement wants, with keys made of a number.

use codec::Encode as _;
use pallet_proof_of_quality::Workload;
use poq_runtime::AccountId;
use sp_core::{sr25519, Pair as _};
use sp_io::hashing::blake2_256;

/// Open work that an operator here takes at a time, whatever comes: it is the chain that is measured, and not what its operators
/// can do.
pub const CAPACITY: Workload = Workload { tokens: u32::MAX, pairs: u32::MAX };

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Asks and pays.
    Requester,
    /// Has stake and answers.
    InferenceNode,
    /// Has stake and scores.
    QualityValidator,
    /// Signs the work of an inference node.
    InferenceWorker,
    /// Signs the work of a quality validator.
    ScoringWorker,
}

/// How many there are of each.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// Accounts that ask.
    pub requesters: usize,
    /// Operators that answer.
    pub nodes: usize,
    /// Operators that score.
    pub validators: usize,
}

/// An operator: its account, its worker key, and what it does.
pub struct Operator {
    /// The account with the stake.
    pub account: AccountId,
    /// The hot key.
    pub worker: sr25519::Pair,
    /// Whether it scores; otherwise it answers.
    pub scores: bool,
}

impl Cast {
    /// Its operators: inference nodes first.
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

    /// The keys of those who ask.
    pub fn requesters(&self) -> Vec<sr25519::Pair> {
        (0..self.requesters).map(|number| pair(Part::Requester, number)).collect()
    }
}

/// The seed of a key. Nothing on these chains is worth anything.
pub fn seed(part: Part, number: usize) -> [u8; 32] {
    ("poq/bench", part as u8, number as u64).using_encoded(blake2_256)
}

/// A key.
pub fn pair(part: Part, number: usize) -> sr25519::Pair {
    sr25519::Pair::from_seed(&seed(part, number))
}

/// An account.
pub fn account(part: Part, number: usize) -> AccountId {
    pair(part, number).public().into()
}
