//! Weights. Computed from the SDK's measured weights of signatures, storage and hashing, not measured for this pallet yet: each is an upper
//! bound by what its code reads and writes.

use crate::{steps::FORGOTTEN_AT_ONCE, CertificateOf, Config};
use frame_support::weights::{constants::WEIGHT_REF_TIME_PER_MICROS, Weight};
use pallet_proof_of_quality::{Config as Lane, WeightInfo};
use poq_primitives::express::certificate::LEAST_COMMITTEE;
use sp_runtime::traits::Get;

/// An sr25519 signature, in picoseconds of reference time: 41 µs by the SDK's benchmark of `sr25519_verification`, 52 µs by `poq-bench express`
/// on a slower machine, rounded up.
const SIGNATURE: u64 = 60 * WEIGHT_REF_TIME_PER_MICROS;

/// Hashes, draws and arithmetic of an item, without its signatures.
const ITEM: u64 = 100 * WEIGHT_REF_TIME_PER_MICROS;

/// Hashes and arithmetic of a party.
const PARTY: u64 = 10 * WEIGHT_REF_TIME_PER_MICROS;

/// Bytes of a seat in a snapshot.
const SEAT: u64 = 80;

/// A call that reads and writes a few values.
pub(crate) fn call<T: Config>() -> Weight {
    T::DbWeight::get().reads_writes(8, 8).saturating_add(Weight::from_parts(ITEM, 4_096))
}

/// A call that also checks signatures.
pub(crate) fn signed_call<T: Config>(signatures: u64) -> Weight {
    call::<T>().saturating_add(Weight::from_parts(SIGNATURE.saturating_mul(signatures), 0))
}

/// Signatures that the check of a VRF's proof takes as long as, in Wasm and not by the host.
pub(crate) const SIGNATURES_OF_A_VRF: u64 = 40;

/// [`crate::Pallet::escalate`]: a request, a draw and a report of each responder.
pub(crate) fn escalate<T: Config>(prompt: u32, responders: u64) -> Weight {
    let request = <T as Lane>::WeightInfo::request_inference(prompt, 1);
    let report = <T as Lane>::WeightInfo::report_output_commitment().saturating_mul(responders);
    let roster = u64::from(<T as Lane>::MaxOperatorsPerModel::get()).saturating_mul(SEAT);
    let own = signed_call::<T>(responders.saturating_add(1)).saturating_add(Weight::from_parts(0, roster));
    request.saturating_add(report).saturating_add(own)
}

/// [`crate::Pallet::show_output`].
pub(crate) fn show_output<T: Config>(output: u32) -> Weight {
    <T as Lane>::WeightInfo::report_output(output).saturating_add(call::<T>())
}

/// [`crate::Pallet::settle_batch`].
pub(crate) fn settle_batch<T: Config>(certificates: &[CertificateOf<T>]) -> Weight {
    certificates.iter().map(item::<T>).fold(call::<T>(), |sum, item| sum.saturating_add(item))
}

/// One order of a batch. Its snapshots are read once in a batch, and charged for each order.
fn item<T: Config>(certificate: &CertificateOf<T>) -> Weight {
    let parties =
        certificate.responders.len().saturating_add(certificate.members.len()).max(LEAST_COMMITTEE.into());
    let (parties, signatures) = (parties as u64, certificate.signatures() as u64);
    // Of each party: tally and earnings, of a responder its record, its model and what it has forgone. Of the order: channel, names, epoch,
    // two snapshots, two models, noise, spread.
    let db = T::DbWeight::get().reads_writes(
        parties.saturating_mul(4).saturating_add(9),
        parties.saturating_mul(3).saturating_add(3),
    );
    let time = SIGNATURE
        .saturating_mul(signatures)
        .saturating_add(PARTY.saturating_mul(parties))
        .saturating_add(ITEM);
    db.saturating_add(Weight::from_parts(time, 2_048u64.saturating_add(parties.saturating_mul(512))))
}

/// [`crate::Pallet::audit_order`]: the check of a certificate, and a reveal of an audit as large as one can be.
pub(crate) fn audit_order<T: Config>(certificate: &CertificateOf<T>) -> Weight {
    let (responders, committee) = (<T as Lane>::MaxResponders::get(), <T as Lane>::MaxCommittee::get());
    let reveal = <T as Lane>::WeightInfo::reveal_audit(responders, committee);
    item::<T>(certificate).saturating_add(call::<T>()).saturating_add(reveal)
}

/// To look whether there is anything to do.
pub(crate) fn look<T: Config>() -> Weight {
    T::DbWeight::get().reads_writes(8, 5)
}

/// To freeze the roster of one model.
pub(crate) fn freeze<T: Config>() -> Weight {
    let most = u64::from(<T as Lane>::MaxOperatorsPerModel::get());
    let db = T::DbWeight::get().reads_writes(most.saturating_mul(2).saturating_add(4), 3);
    db.saturating_add(Weight::from_parts(
        PARTY.saturating_mul(most),
        most.saturating_mul(SEAT.saturating_mul(16)),
    ))
}

/// To have one standing learn.
pub(crate) fn learn<T: Config>() -> Weight {
    let models = u64::from(<T as Lane>::MaxModelsPerOperator::get());
    let roster = u64::from(<T as Lane>::MaxOperatorsPerModel::get()).saturating_mul(SEAT);
    let db =
        T::DbWeight::get().reads_writes(models.saturating_mul(4).saturating_add(6), models.saturating_add(4));
    db.saturating_add(Weight::from_parts(ITEM, models.saturating_mul(roster)))
}

/// To forget some of an epoch.
pub(crate) fn forget<T: Config>() -> Weight {
    let most = u64::from(FORGOTTEN_AT_ONCE).saturating_mul(5);
    T::DbWeight::get()
        .reads_writes(most, most)
        .saturating_add(Weight::from_parts(ITEM, most.saturating_mul(512)))
}
