//! The players: operators with their accounts and worker keys.

use crate::adversaries::chain::{AccountId, Balance, Balances, Chain};
use codec::Encode;
use frame_support::traits::fungible::Inspect;
use pallet_proof_of_quality::{Operator, Operators};
use sp_core::{sr25519, Pair};
use sp_io::hashing::blake2_256;

/// An operator, by its kind and its place among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Player {
    Node(usize),
    Validator(usize),
}

/// Places from here on are of operators that join in the course of a game, with real worker keys: they have to consent.
pub const FRESH_FROM: usize = 10_000;

const NODES_FROM: u64 = 1_000_000;
const VALIDATORS_FROM: u64 = 2_000_000;
const WORKERS_FROM: u64 = 3_000_000;

/// The account of this number.
pub fn account(number: u64) -> AccountId {
    let mut bytes = [0u8; 32];
    for (to, from) in bytes.iter_mut().zip(number.to_le_bytes()) {
        *to = from;
    }
    sr25519::Public::from_raw(bytes)
}

impl Player {
    pub fn number(self) -> u64 {
        match self {
            Self::Node(place) => NODES_FROM + place as u64,
            Self::Validator(place) => VALIDATORS_FROM + place as u64,
        }
    }

    pub fn account(self) -> AccountId {
        account(self.number())
    }

    /// The worker key. Only that of a fresh player can sign.
    pub fn worker(self) -> AccountId {
        let (Self::Node(place) | Self::Validator(place)) = self;
        if place >= FRESH_FROM {
            self.key().public()
        } else {
            account(WORKERS_FROM + self.number())
        }
    }

    /// The key pair of a fresh player's worker.
    pub fn key(self) -> sr25519::Pair {
        sr25519::Pair::from_seed(&("worker", self.number()).using_encoded(blake2_256))
    }

    /// The player with this account; `None` for requesters.
    pub fn of(account: &AccountId) -> Option<Self> {
        let number = account.0.iter().take(8).rev().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
        match number {
            NODES_FROM..VALIDATORS_FROM => Some(Self::Node((number - NODES_FROM) as usize)),
            VALIDATORS_FROM..WORKERS_FROM => Some(Self::Validator((number - VALIDATORS_FROM) as usize)),
            _ => None,
        }
    }

    /// The operator's record; `None` once all its stake is gone.
    pub fn record(self) -> Option<Operator<Chain>> {
        Operators::<Chain>::get(self.account())
    }

    /// The balance of its account, stake included.
    pub fn wealth(self) -> Balance {
        Balances::total_balance(&self.account())
    }
}
