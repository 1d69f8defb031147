//! Known-answer audits: what is true about a request, said after the fact by somebody who fixed it before.
//!
//! Every request carries 32 bytes: in an ordinary one they are random, in an audit they are a commitment to the answer
//! key. Nobody can tell which until the key is revealed, so every request has to be scored as if it were an audit. Whatever became of
//! the request, an audit looks at all that was revealed, and at what was committed to and not revealed.
//!
//! Auditors are a set of accounts of their own ([`Auditors`], [`EnsureAuditor`]): who reveals an audit need not be who asked, so an
//! revealed audit does not mark its requester. What all of them together can slash is bounded ([`Parameters::audit_allowance`]).

use crate::{
    consensus::{agreement, worst_error},
    duties::{self, RequestId, SlashReason, Work},
    models::{self, ModelKind},
    money, operators,
    parameters::ParametersOf,
    requests::{self, Audit, CommitteeOf, Member, Phase, Request, Response},
    rosters, settlement, Auditors, BalanceOf, Committees, Config, CreditOf, EconomicParameters, Error, Event,
    LatestAuditSlashes, Outputs, Pallet, Prompts, Requests, Responses,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::marker::PhantomData;
use frame_support::{
    ensure,
    traits::{EnsureOrigin, Imbalance, OriginTrait},
    BoundedBTreeSet, BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound,
};
use poq_primitives::commitment::{self, Salt};
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Get, Saturating, Zero},
    DispatchResult, PerThing, Permill,
};

/// The answer key of an audit.
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(MaxReference, MaxDecoys))]
#[codec(mel_bound())]
pub struct AnswerKey<MaxReference: Get<u32>, MaxDecoys: Get<u32>> {
    /// The reference answer, UTF-8: a response is right if it contains these words, whatever their case, and no decoy. Not empty.
    pub reference: BoundedVec<u8, MaxReference>,
    /// Wrong answers that one would name who names many: a response that contains one of them is wrong. None empty.
    pub decoys: BoundedVec<BoundedVec<u8, MaxReference>, MaxDecoys>,
    /// Quality that a right response deserves.
    pub right: Permill,
    /// Quality that a wrong response deserves.
    pub wrong: Permill,
}

/// [`AnswerKey`] with the pallet's bounds.
pub type AnswerKeyOf<T> = AnswerKey<<T as Config>::MaxReferenceLength, <T as Config>::MaxDecoys>;

/// The origin of an account in [`Auditors`]: for [`Config::AuditOrigin`].
pub struct EnsureAuditor<T>(PhantomData<T>);

impl<T: Config> EnsureOrigin<T::RuntimeOrigin> for EnsureAuditor<T> {
    type Success = T::AccountId;

    fn try_origin(origin: T::RuntimeOrigin) -> Result<Self::Success, T::RuntimeOrigin> {
        match origin.as_signer() {
            Some(who) if Auditors::<T>::get().contains(who) => Ok(who.clone()),
            _ => Err(origin),
        }
    }

    #[cfg(feature = "runtime-benchmarks")]
    fn try_successful_origin() -> Result<T::RuntimeOrigin, ()> {
        let auditor: T::AccountId = frame_benchmarking::account("auditor", 0, 0);
        Auditors::<T>::try_mutate(|auditors| auditors.try_insert(auditor.clone())).map_err(|_| ())?;
        Ok(frame_system::RawOrigin::Signed(auditor).into())
    }
}

/// Stake slashed by audits in a span of blocks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct AuditSlashes<Balance, BlockNumber> {
    /// First block of the span.
    pub since: BlockNumber,
    /// Stake taken since then.
    pub taken: Balance,
}

impl<MaxReference: Get<u32>, MaxDecoys: Get<u32>> AnswerKey<MaxReference, MaxDecoys> {
    /// Quality that a response deserves.
    pub fn truth(&self, output: &[u8]) -> Permill {
        let has_decoy = self.decoys.iter().any(|decoy| contains_words(output, decoy));
        if !has_decoy && contains_words(output, &self.reference) {
            self.right
        } else {
            self.wrong
        }
    }
}

/// Whether `text` contains `words` not as a part of longer words. Case of ASCII letters does not matter.
///
/// In one pass over both, by the algorithm of Knuth, Morris and Pratt: compared place by place, a long answer of one letter would
/// take a tenth of a block.
fn contains_words(text: &[u8], words: &[u8]) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80);
    let borders = borders(words);
    let mut matched = 0;
    for (at, byte) in text.iter().enumerate() {
        matched = extend(words, &borders, matched, byte);
        if matched < words.len() || matched == 0 {
            continue;
        }
        let end = at.saturating_add(1);
        let before = end.checked_sub(matched).and_then(|start| start.checked_sub(1));
        let starts_in_word = before.is_some_and(|before| is_word(text.get(before)));
        let ends_in_word = is_word(text.get(end));
        let is_a_part = is_word(words.first()) && starts_in_word || is_word(words.last()) && ends_in_word;
        if !is_a_part {
            return true;
        }
    }
    false
}

/// For each beginning of `words`, by its length less one: the length of the longest shorter beginning that it ends with.
fn borders(words: &[u8]) -> Vec<usize> {
    let mut borders = Vec::with_capacity(words.len());
    for (at, byte) in words.iter().enumerate() {
        let border = match at.checked_sub(1).and_then(|before| borders.get(before)) {
            Some(before) => extend(words, &borders, *before, byte),
            None => 0,
        };
        borders.push(border);
    }
    borders
}

/// Length of the longest beginning of `words` that a text ends with, after `byte`, if before it was `matched`.
fn extend(words: &[u8], borders: &[usize], mut matched: usize, byte: &u8) -> usize {
    loop {
        if words.get(matched).is_some_and(|next| next.eq_ignore_ascii_case(byte)) {
            return matched.saturating_add(1);
        }
        let Some(shorter) = matched.checked_sub(1).and_then(|last| borders.get(last)) else { return 0 };
        matched = *shorter;
    }
}

/// Whether a key can say what is right at all.
pub(crate) fn check_key<T: Config>(key: &AnswerKeyOf<T>) -> Result<(), Error<T>> {
    let is_empty = key.reference.is_empty() || key.decoys.iter().any(|decoy| decoy.is_empty());
    ensure!(!is_empty, Error::<T>::EmptyReference);
    Ok(())
}

/// Reveals the answer key of a request.
pub(crate) fn reveal<T: Config>(id: RequestId, key: AnswerKeyOf<T>, salt: Salt) -> DispatchResult {
    check_key::<T>(&key)?;
    let mut request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
    let (Phase::Settled { at, .. } | Phase::Refunded { at, .. }) = request.phase else {
        return Err(Error::<T>::NotSettled.into());
    };
    let Audit::Sealed(commitment) = request.audit else {
        return Err(Error::<T>::AlreadyAudited.into());
    };
    let last = at.saturating_add(request.parameters.audit_window);
    ensure!(frame_system::Pallet::<T>::block_number() <= last, Error::<T>::AuditTooLate);
    let genesis = duties::genesis_hash::<T>();
    let prompt = Prompts::<T>::get(id);
    let expected = commitment::answer_key(&genesis, &request.requester, &prompt, &key, &salt);
    ensure!(commitment == expected, Error::<T>::AuditMismatch);

    request.audit = Audit::Revealed;
    let revealed = Responses::<T>::get(id).into_iter().zip(0u32..).filter(|(r, _)| r.work == Work::Revealed);
    let truths: Vec<(Response<T>, Permill)> =
        revealed.map(|(response, index)| (response, key.truth(&Outputs::<T>::get(id, index)))).collect();
    Pallet::<T>::deposit_event(Event::AuditRevealed {
        request: id,
        reference: key.reference,
        truth: BoundedVec::truncate_from(truths.iter().map(|(_, truth)| *truth).collect()),
    });
    audit_members::<T>(id, &request, &truths);
    requests::put::<T>(id, request);
    Ok(())
}

/// Moves standing to where the truth says, slashes gross errors, and pays those whom they cost something.
fn audit_members<T: Config>(id: RequestId, request: &Request<T>, truths: &[(Response<T>, Permill)]) {
    let rules = &request.parameters;
    let truth: Vec<Permill> = truths.iter().map(|(_, truth)| *truth).collect();
    let committees: Vec<CommitteeOf<T>> =
        (0..=request.round).map(|round| Committees::<T>::get(id, round)).collect();
    let mut pool = CreditOf::<T>::default();
    for member in committees.iter().flatten() {
        let error = match member.work {
            // As if it had said the contrary: or a score that turns out to be a bad guess could be folded.
            Work::NotRevealed => Permill::one(),
            Work::Revealed => worst_error(&member.scores, &truth),
            _ => continue,
        };
        if !learn_error::<T>(&member.operator, error, rules) {
            continue;
        }
        Pallet::<T>::deposit_event(Event::Audited { request: id, operator: member.operator.clone(), error });
        if error >= rules.gross_error {
            let reason = SlashReason::GrossError { error };
            pool.subsume(within_allowance::<T>(|most| {
                operators::slash_part::<T>(&member.operator, id, rules.audit_slash, most, reason)
            }));
        }
    }
    let committee = committees.last().cloned().unwrap_or_default();
    make_good::<T>(id, request, truths, &truth, &committee, &mut pool);
    money::pay_slash_handler::<T>(pool);
    for (response, truth) in truths {
        operators::learn_quality::<T>(&response.operator, *truth);
    }
    let nodes = truths.iter().map(|(response, _)| {
        operators::place_of::<T>(&response.operator, response.model, ModelKind::Generator)
    });
    let members = committees
        .iter()
        .flatten()
        .map(|member| operators::place_of::<T>(&member.operator, request.evaluator, ModelKind::Evaluator));
    rosters::refresh_all::<T>(request.models(), &nodes.chain(members).collect::<Vec<_>>());
}

/// Has the standing of who scored learn how far from the truth its scores were; `false` if it is gone.
pub(crate) fn learn_error<T: Config>(who: &T::AccountId, error: Permill, rules: &ParametersOf<T>) -> bool {
    operators::learn_truth::<T>(who, closeness(error, rules.gross_error), rules)
}

/// Lets `take` slash for a gross error up to what audits may still slash, and counts it.
pub(crate) fn within_allowance<T: Config>(take: impl FnOnce(BalanceOf<T>) -> CreditOf<T>) -> CreditOf<T> {
    let slashed = take(allowance_left::<T>());
    LatestAuditSlashes::<T>::mutate(|span| span.taken = span.taken.saturating_add(slashed.peek()));
    slashed
}

/// Stake that audits may still slash in this span of `audit_window` blocks; begins a new span when the last is over. By the parameters in
/// force, not those of the request.
fn allowance_left<T: Config>() -> BalanceOf<T> {
    let parameters = EconomicParameters::<T>::get();
    let now = frame_system::Pallet::<T>::block_number();
    LatestAuditSlashes::<T>::mutate(|span| {
        if now.saturating_sub(span.since) >= parameters.audit_window {
            *span = AuditSlashes { since: now, taken: Zero::zero() };
        }
        parameters.audit_allowance.saturating_sub(span.taken)
    })
}

/// Sets who may reveal audits.
pub(crate) fn set_auditors<T: Config>(auditors: BoundedVec<T::AccountId, T::MaxAuditors>) -> DispatchResult {
    let mut set = BoundedBTreeSet::new();
    for auditor in &auditors {
        // As many as the list holds fit.
        let _ = set.try_insert(auditor.clone());
    }
    Auditors::<T>::put(set);
    Pallet::<T>::deposit_event(Event::AuditorsSet { auditors });
    Ok(())
}

/// Pays, out of what gross errors cost, what inference nodes and quality validators would have earned by the truth.
fn make_good<T: Config>(
    id: RequestId,
    request: &Request<T>,
    truths: &[(Response<T>, Permill)],
    truth: &[Permill],
    committee: &CommitteeOf<T>,
    pool: &mut CreditOf<T>,
) {
    if pool.peek().is_zero() {
        return;
    }
    let is_owed = |(response, truth): &&(Response<T>, Permill)| {
        *truth >= settlement::bar::<T>(request, &response.operator)
    };
    for (response, truth) in truths.iter().filter(is_owed) {
        let pay_by = |quality| settlement::pay_by_score::<T>(request, response, quality);
        let single = response.quality.map_or(response.paid, pay_by);
        // What leaning gave back was the operator's own, so it is owed beside that.
        let owed = pay_by(*truth).saturating_sub(response.paid.min(single));
        let compensated = compensate_operator::<T>(pool, id, &response.operator, owed);
        // What leaning took from this answer is made good with the rest, so it must not be regained. Where it was the bar that took it, nobody
        // can tell any more: the operator then loses an older claim of the same size.
        let taken = single.saturating_sub(response.paid);
        operators::regain::<T>(&response.operator, compensated.min(taken));
    }
    let share = request.member_share();
    let reward = models::reward_of::<T>(&request.evaluator);
    // Not to those who made the fault, however close they were on another response.
    let harmed = |member: &&Member<T>| {
        member.work == Work::Revealed && worst_error(&member.scores, truth) < request.parameters.gross_error
    };
    let known: Vec<Option<Permill>> = truth.iter().copied().map(Some).collect();
    for member in committee.iter().filter(harmed) {
        let agreed = agreement(&member.scores, &known, request.parameters.tolerance_most);
        let deserved = reward.earned(agreed, member.latency).mul_floor(share);
        let owed = deserved.saturating_sub(member.paid);
        compensate_operator::<T>(pool, id, &member.operator, owed);
    }
}

/// Pays an operator what it would have earned, and counts it as earned; returns what was paid.
fn compensate_operator<T: Config>(
    pool: &mut CreditOf<T>,
    id: RequestId,
    who: &T::AccountId,
    owed: BalanceOf<T>,
) -> BalanceOf<T> {
    let amount = compensate::<T>(pool, id, who, owed);
    if !amount.is_zero() {
        operators::add_earned::<T>(who, amount);
    }
    amount
}

/// Pays up to `owed` out of slashed stake to somebody whom the fault harmed; returns what was paid.
pub(crate) fn compensate<T: Config>(
    pool: &mut CreditOf<T>,
    request: RequestId,
    who: &T::AccountId,
    owed: BalanceOf<T>,
) -> BalanceOf<T> {
    if owed.is_zero() || pool.peek().is_zero() {
        return Zero::zero();
    }
    let amount = money::pay_from_pool::<T>(pool, who, owed);
    if !amount.is_zero() {
        Pallet::<T>::deposit_event(Event::Compensated { who: who.clone(), request, amount });
    }
    amount
}

/// Closeness to the truth of scores with this error: 1 without an error, 0 from `gross` on.
fn closeness(error: Permill, gross: Permill) -> Permill {
    if error >= gross {
        Permill::zero()
    } else {
        Permill::from_rational(error.deconstruct(), gross.deconstruct()).left_from_one()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole_and_whatever_their_case() {
        let contains = |text: &str, words: &str| contains_words(text.as_bytes(), words.as_bytes());
        assert!(contains("The capital of Peru is Lima.", "Lima"));
        assert!(contains("LIMA", "lima"));
        assert!(contains("in Buenos Aires, of course", "buenos aires"));
        assert!(!contains("Limassol", "Lima"));
        assert!(!contains("Klima", "Lima"));
        assert!(!contains("Lim", "Lima"));
        assert!(!contains("", "Lima"));
        assert!(!contains("Lima", ""));
        assert!(contains("It is 42!", "42!"));
        assert!(!contains("Limaé", "Lima"), "letters beyond ASCII are letters");
    }

    /// The same, place by place.
    fn contains_words_by_trying(text: &[u8], words: &[u8]) -> bool {
        let is_word = |at: Option<usize>| {
            at.and_then(|at| text.get(at)).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80)
        };
        !words.is_empty()
            && (0..text.len()).any(|start| {
                let end = start + words.len();
                text.get(start..end).is_some_and(|found| found.eq_ignore_ascii_case(words))
                    && !(is_word(Some(start)) && is_word(start.checked_sub(1)))
                    && !(is_word(Some(end - 1)) && is_word(Some(end)))
            })
    }

    #[test]
    fn one_pass_finds_what_trying_every_place_finds() {
        // Few letters, so that beginnings repeat and matches overlap; `n` in this base is a text.
        let letters = b"aA b";
        let text = |mut n: usize| {
            let mut text = Vec::new();
            while n > 0 {
                text.push(letters[n % letters.len()]);
                n /= letters.len();
            }
            text
        };
        let mut found = 0;
        for words in (0..200).map(text) {
            for text in (0..20_000).step_by(7).map(text) {
                let expected = contains_words_by_trying(&text, &words);
                assert_eq!(contains_words(&text, &words), expected, "{words:?} in {text:?}");
                found += usize::from(expected);
            }
        }
        assert!(found > 10_000, "{found}");
        assert!(contains_words(&[&[b'a'; 500][..], b" ", &[b'a'; 255], b" "].concat(), &[b'a'; 255]));
    }

    #[test]
    fn closeness_ends_where_an_error_is_gross() {
        let gross = Permill::from_percent(50);
        assert_eq!(closeness(Permill::zero(), gross), Permill::one());
        assert_eq!(closeness(Permill::from_percent(25), gross), Permill::from_percent(50));
        assert_eq!(closeness(gross, gross), Permill::zero());
        assert_eq!(closeness(Permill::one(), gross), Permill::zero());
    }
}
