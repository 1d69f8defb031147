//! Certificates of one order put together.

use crate::{
    crypto::Crypto,
    scene::Scene,
    wire::{Certificate, Reveal},
};
use poq_primitives::express::{Opening, ScorerPart, Scores};

/// `one` with the scores that only `other` has, if both are of one set; otherwise that of the two which has more scores.
///
/// A member is paid only if its scores are in the certificate that is settled. So settlers, and whoever brings a certificate, put together
/// those that they have.
pub fn merge(crypto: &impl Crypto, scene: &Scene, one: &Certificate, other: &Certificate) -> Certificate {
    let scores = |certificate: &Certificate| {
        let is_scored = |part: &&ScorerPart| matches!(part, ScorerPart::Revealed(_) | ScorerPart::Opened(_));
        certificate.members.iter().filter(is_scored).count()
    };
    let mut both = one.clone();
    for (part, new) in both.members.iter_mut().zip(&other.members) {
        if matches!((&part, new), (ScorerPart::Committed(_), ScorerPart::Revealed(_) | ScorerPart::Opened(_)))
        {
            *part = new.clone();
        }
    }
    let holds = both.members.len() == other.members.len() && both.check(&scene.context(), crypto).is_ok();
    match (holds, scores(other) > scores(one)) {
        (true, _) => both,
        (false, true) => other.clone(),
        (false, false) => one.clone(),
    }
}

/// The certificate with a member's own scores, if its commitment is in the certificate's set.
pub fn with_own(crypto: &impl Crypto, scene: &Scene, certificate: &Certificate, own: &Reveal) -> Certificate {
    let (scores, salt, signature) = (own.scores.clone(), own.salt, own.signature);
    let opened = ScorerPart::Opened(Opening { scores: scores.clone(), salt });
    let revealed = ScorerPart::Revealed(Scores { scores, salt, signature });
    let forms = [revealed, opened].into_iter().filter_map(|scored| {
        let mut form = certificate.clone();
        let part = form.members.get_mut(usize::from(own.place))?;
        if matches!(part, ScorerPart::Committed(_)) {
            *part = scored;
        }
        Some(form)
    });
    let mut forms = forms.filter(|form| form.check(&scene.context(), crypto).is_ok());
    forms.next().unwrap_or_else(|| certificate.clone())
}
