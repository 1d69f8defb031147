//! Weights of calls and of the steps of the hook: upper bounds, not measured yet. `scripts/weights.sh express` measures them, and writes this
//! file anew.
//!
//! The bounds are computed by what each code path reads, writes and verifies, from the SDK's measured weights of storage, signatures and
//! hashing, and from the measured weights of `pallet-proof-of-quality` where the lane calls it.

use crate::steps::FORGOTTEN_AT_ONCE;
use core::marker::PhantomData;
use frame_support::{
    traits::Get,
    weights::{
        constants::{RocksDbWeight, WEIGHT_REF_TIME_PER_MICROS},
        RuntimeDbWeight, Weight,
    },
};
use pallet_proof_of_quality::{Config as Lane, WeightInfo as LaneWeightInfo};

/// Weights of calls and of the steps of the hook. `n` is a number of responders, `k` of members, `b` of bytes, `c` of orders.
pub trait WeightInfo {
    /// Putting a model on the lane.
    fn open_model() -> Weight;
    /// Taking a model off the lane.
    fn close_model() -> Weight;
    /// Setting an endpoint whose former key is dropped.
    fn set_endpoint() -> Weight;
    /// Forgetting an endpoint with two keys.
    fn remove_endpoint() -> Weight;
    /// Opening a channel.
    fn open_channel() -> Weight;
    /// Adding to a channel's deposit.
    fn top_up() -> Weight;
    /// Closing a channel.
    fn close_channel() -> Weight;
    /// Releasing a channel that has forfeited a part.
    fn release_channel() -> Weight;
    /// The fixed part of a batch in which `c` orders were settled.
    fn close_batch(c: u32) -> Weight;
    /// One order of a batch, with `n` responders and `k` members.
    fn settle_order(n: u32, k: u32) -> Weight;
    /// Claiming earnings.
    fn claim() -> Weight;
    /// Punishing an operator for two reveals, with the longest proof.
    fn report_equivocation() -> Weight;
    /// Escalating an order with a prompt of `b` bytes and `n` responders.
    fn escalate(b: u32, n: u32) -> Weight;
    /// Showing an output of `b` bytes.
    fn show_output(b: u32) -> Weight;
    /// Challenging a VRF.
    fn challenge_vrf() -> Weight;
    /// Showing the proof of a VRF.
    fn answer_challenge() -> Weight;
    /// Punishing an operator that showed no proof.
    fn punish_unproven() -> Weight;
    /// Auditing an order with `n` responders and `k` members.
    fn audit_order(n: u32, k: u32) -> Weight;
    /// Looking at an epoch that is over, and beginning the next.
    fn look_and_begin() -> Weight;
    /// Looking at an epoch whose snapshots are frozen, and taking its seed.
    fn look_and_seed() -> Weight;
    /// Freezing a full roster.
    fn freeze() -> Weight;
    /// Having one standing learn.
    fn learn() -> Weight;
    /// Forgetting as many entries of an epoch as one step does.
    fn forget() -> Weight;
}

/// An sr25519 signature, in picoseconds of reference time: 41 µs by the SDK's benchmark of `sr25519_verification`, 52 µs by `poq-bench express`
/// on a slower machine, rounded up.
const SIGNATURE: u64 = 60 * WEIGHT_REF_TIME_PER_MICROS;

/// Signatures that the check of a VRF's proof takes as long as, in Wasm and not by the host.
const SIGNATURES_OF_A_VRF: u64 = 40;

/// Hashes, draws and arithmetic of an order, without its signatures.
const ORDER: u64 = 100 * WEIGHT_REF_TIME_PER_MICROS;

/// Hashes and arithmetic of a party.
const PARTY: u64 = 10 * WEIGHT_REF_TIME_PER_MICROS;

/// Bytes of a seat in a snapshot.
const SEAT: u64 = 80;

/// What the bounds depend on.
pub trait Basis {
    /// Weights of the database.
    type Db: Get<RuntimeDbWeight>;
    /// Weights of `pallet-proof-of-quality`.
    type Lane: LaneWeightInfo;
    /// Most operators in a roster.
    fn operators() -> u64;
    /// Most models of an operator.
    fn models() -> u64;
    /// Most responders and members of a request on the chain path.
    fn parties() -> (u32, u32);
}

/// The bounds, with the limits and the database weights of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: Lane> Basis for SubstrateWeight<T> {
    type Db = T::DbWeight;
    type Lane = <T as Lane>::WeightInfo;

    fn operators() -> u64 {
        T::MaxOperatorsPerModel::get().into()
    }

    fn models() -> u64 {
        T::MaxModelsPerOperator::get().into()
    }

    fn parties() -> (u32, u32) {
        (T::MaxResponders::get(), T::MaxCommittee::get())
    }
}

/// For tests: the bounds with the limits of `SolochainDefaultConfig`, on a database like RocksDB.
impl Basis for () {
    type Db = RocksDbWeight;
    type Lane = ();

    fn operators() -> u64 {
        256
    }

    fn models() -> u64 {
        16
    }

    fn parties() -> (u32, u32) {
        (8, 15)
    }
}

/// A call that reads and writes a few values.
fn call<B: Basis>() -> Weight {
    B::Db::get().reads_writes(8, 8).saturating_add(Weight::from_parts(ORDER, 4_096))
}

/// A call that also checks signatures.
fn signed_call<B: Basis>(signatures: u64) -> Weight {
    call::<B>().saturating_add(Weight::from_parts(SIGNATURE.saturating_mul(signatures), 0))
}

/// Looking at an epoch.
fn look<B: Basis>() -> Weight {
    B::Db::get().reads_writes(8, 5)
}

/// Bytes of a full roster or snapshot.
fn roster<B: Basis>() -> u64 {
    B::operators().saturating_mul(SEAT)
}

impl<B: Basis> WeightInfo for B {
    fn open_model() -> Weight {
        call::<B>()
    }

    fn close_model() -> Weight {
        call::<B>()
    }

    fn set_endpoint() -> Weight {
        signed_call::<B>(1)
    }

    fn remove_endpoint() -> Weight {
        call::<B>()
    }

    fn open_channel() -> Weight {
        call::<B>()
    }

    fn top_up() -> Weight {
        call::<B>()
    }

    fn close_channel() -> Weight {
        call::<B>()
    }

    fn release_channel() -> Weight {
        call::<B>()
    }

    fn close_batch(c: u32) -> Weight {
        call::<B>().saturating_add(Weight::from_parts(PARTY.saturating_mul(c.into()), 0))
    }

    /// Of each party: tally and earnings, of a responder its record, its model and what it has forgone. Of the order: channel, names of
    /// two epochs, epoch, two snapshots, two models, noise, spread.
    fn settle_order(n: u32, k: u32) -> Weight {
        let parties = u64::from(n).saturating_add(k.into());
        let db = B::Db::get().reads_writes(
            parties.saturating_mul(4).saturating_add(10),
            parties.saturating_mul(3).saturating_add(3),
        );
        let time = SIGNATURE
            .saturating_mul(parties.saturating_add(1))
            .saturating_add(PARTY.saturating_mul(parties))
            .saturating_add(ORDER);
        db.saturating_add(Weight::from_parts(time, 2_048u64.saturating_add(parties.saturating_mul(512))))
    }

    fn claim() -> Weight {
        call::<B>()
    }

    fn report_equivocation() -> Weight {
        signed_call::<B>(2)
    }

    /// A request, a draw and a report of each responder.
    fn escalate(b: u32, n: u32) -> Weight {
        let request = B::Lane::request_inference(b, 1);
        let report = B::Lane::report_output_commitment().saturating_mul(n.into());
        let own = signed_call::<B>(u64::from(n).saturating_add(1));
        let own = own.saturating_add(Weight::from_parts(0, roster::<B>()));
        request.saturating_add(report).saturating_add(own)
    }

    fn show_output(b: u32) -> Weight {
        B::Lane::report_output(b).saturating_add(call::<B>())
    }

    fn challenge_vrf() -> Weight {
        signed_call::<B>(1)
    }

    fn answer_challenge() -> Weight {
        signed_call::<B>(SIGNATURES_OF_A_VRF)
    }

    fn punish_unproven() -> Weight {
        call::<B>()
    }

    /// The check of a certificate, and a reveal of an audit as large as one can be.
    fn audit_order(n: u32, k: u32) -> Weight {
        let (responders, committee) = B::parties();
        let reveal = B::Lane::reveal_audit(responders, committee);
        Self::settle_order(n, k).saturating_add(call::<B>()).saturating_add(reveal)
    }

    fn look_and_begin() -> Weight {
        look::<B>()
    }

    fn look_and_seed() -> Weight {
        look::<B>()
    }

    fn freeze() -> Weight {
        let most = B::operators();
        let db = B::Db::get().reads_writes(most.saturating_mul(2).saturating_add(4), 3);
        db.saturating_add(Weight::from_parts(PARTY.saturating_mul(most), roster::<B>().saturating_mul(16)))
    }

    fn learn() -> Weight {
        let models = B::models();
        let reads = models.saturating_mul(4).saturating_add(6);
        let db = B::Db::get().reads_writes(reads, models.saturating_add(4));
        db.saturating_add(Weight::from_parts(ORDER, models.saturating_mul(roster::<B>())))
    }

    fn forget() -> Weight {
        let most = u64::from(FORGOTTEN_AT_ONCE).saturating_mul(5);
        let db = B::Db::get().reads_writes(most, most);
        db.saturating_add(Weight::from_parts(ORDER, most.saturating_mul(512)))
    }
}
