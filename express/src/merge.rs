//! Certificates of one order put together.

use crate::{crypto::Crypto, scene::Scene, wire::Certificate};
use poq_primitives::express::ScorerPart;

/// `one` with the reveals that only `other` has, if both are of one set; otherwise `one`, or `other` if that has more reveals.
///
/// A member is paid only if its reveal is in the certificate that is settled. So settlers, and whoever brings a certificate, put together
/// those that they have.
pub fn merge(crypto: &impl Crypto, scene: &Scene, one: &Certificate, other: &Certificate) -> Certificate {
    let reveals = |certificate: &Certificate| {
        certificate.members.iter().filter(|part| matches!(part, ScorerPart::Revealed(_))).count()
    };
    let mut both = one.clone();
    for (part, new) in both.members.iter_mut().zip(&other.members) {
        if let (ScorerPart::Committed(_), ScorerPart::Revealed(_)) = (&part, new) {
            *part = new.clone();
        }
    }
    let holds = both.members.len() == other.members.len() && both.check(&scene.context(), crypto).is_ok();
    match (holds, reveals(other) > reveals(one)) {
        (true, _) => both,
        (false, true) => other.clone(),
        (false, false) => one.clone(),
    }
}
