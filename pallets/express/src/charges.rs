//! What a batch, an audit and a look at the epoch are charged, by what they bring. The figures come from [`crate::WeightInfo`].

use crate::{CertificateOf, Config, WeightInfo};
use frame_support::weights::Weight;
use poq_primitives::express::certificate::LEAST_COMMITTEE;

/// [`crate::Pallet::settle_batch`]: the fixed part, and each order. Snapshots are read once in a batch, and charged for each order.
pub(crate) fn settle_batch<T: Config>(certificates: &[CertificateOf<T>]) -> Weight {
    let fixed = <T as Config>::WeightInfo::close_batch(certificates.len() as u32);
    let order = |certificate: &CertificateOf<T>| {
        let (n, k) = parties(certificate);
        <T as Config>::WeightInfo::settle_order(n, k)
    };
    certificates.iter().map(order).fold(fixed, |sum, order| sum.saturating_add(order))
}

/// [`crate::Pallet::audit_order`].
pub(crate) fn audit_order<T: Config>(certificate: &CertificateOf<T>) -> Weight {
    let (n, k) = parties(certificate);
    <T as Config>::WeightInfo::audit_order(n, k)
}

/// To look whether there is anything to do. A look that begins an epoch does not find a seed for it.
pub(crate) fn look<T: Config>() -> Weight {
    <T as Config>::WeightInfo::look_and_begin().max(<T as Config>::WeightInfo::look_and_seed())
}

/// Parts of responders and of members. Who is busy counts as if it had worked: it weighs less.
fn parties<Balance>(certificate: &poq_primitives::express::Certificate<Balance>) -> (u32, u32) {
    let (n, k) = (certificate.responders.len() as u32, certificate.members.len() as u32);
    (n.max(1), k.max(LEAST_COMMITTEE.into()))
}
