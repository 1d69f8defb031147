//! Settlement: paying, refunding, slashing and remembering, once per request.
//!
//! | work | earns | formula |
//! |---|---|---|
//! | an answer with consensus score `q` and latency `l` | of its model's price and the bonus | `clamp(alpha * q - beta * l)` ([`Reward`]) |
//! | an answer that nobody has scored | the same | with the quality that its operator is known for as `q` |
//! | any answer that was revealed | of its model's price | `base_pay` at least |
//! | scores with [`agreement`] `a` and latency `l` | of a share of the scoring budget | `clamp(alpha * a - beta * l)` |
//! | scores of a committee without a quorum | the same | `base_pay` |
//!
//! **Single scores stray**, by a standard deviation that is known of some evaluators ([`Noises`]). Their scores pay by
//! `q' = q + min((m - q) / 2, noise)` in the place of `q`, where `m` is the quality that the operator was known for before: half of the
//! pay comes from this answer, half from those before it. The variance of an honest operator's pay for an answer, as far as noise makes
//! it, falls to about a quarter. What pay by `q'` has less than pay by `q`, the operator forgoes ([`Forgone`](crate::Forgone)), and pay by
//! `q'` has more only up to what was forgone before: whatever the prices and evaluators, and whatever made `m`, no operator's pay over its
//! life is above that by single scores. What is forgone goes to `SlashHandler`; if it went back to requesters, an operator could forgo
//! for nothing by asking itself. The bar looks at `q` itself. (Ours; `tests/noise.rs` plays it.)
//!
//! An answer below the bar earns `base_pay`; what it would have earned above that goes to `SlashHandler`, so that a high bar makes nothing
//! cheaper. The bar is the requester's `min_quality`, but at most what the operator is known for less `tolerance_most`, so
//! that a bar that nobody can reach does not take honest work's pay either. The fee is owed once anybody was drawn or the requester cancels, and `waiting_fee` for each draw that was
//! put off for want of room. The rest goes back: `payments + fee + refund == budget`, to the unit. What silence costs an operator
//! goes to `SlashHandler`: nobody gains by keeping another from its work. (Formulas: ours, after the form of Cost-aware PoQ, arXiv
//! 2512.16317.)

use crate::{
    consensus::{agreement, deviation, lower_median, Aggregation},
    duties::{ClosedDuty, Outcome, RefundReason, RequestId, Role, Work},
    models, money, operators,
    phases::quorum,
    requests::{self, CommitteeOf, Member, Phase, Request, Response, ResponsesOf},
    rosters::{self, Place},
    standing::Experience,
    unexpected::{unexpected, UnexpectedKind},
    BalanceOf, Committees, Config, Event, Noises, Operators, Pallet, Responses, Spreads,
};
use alloc::vec::Vec;
use sp_runtime::{
    traits::{Saturating, Zero},
    Permill,
};

/// Fewest revealed scores that say something of how far apart quality validators usually are: with fewer, a requester could
/// make any spread look small by asking for small committees.
const LEAST_FOR_SPREAD: usize = 3;

/// Result of a committee's scores.
struct Verdict {
    /// For each response the consensus score, `None` if it was not revealed.
    qualities: Vec<Option<Permill>>,
    /// For each member its agreement with the others, `None` if it revealed nothing.
    agreements: Vec<Option<Permill>>,
    /// Index and consensus score of the best response.
    best: (usize, Permill),
    /// Median distance of a member from the consensus of the others; `None` if too few revealed to say.
    spread: Option<Permill>,
    /// Whether there was anybody to agree with.
    is_compared: bool,
}

/// Whether an account can be paid this sum.
pub(crate) type CanTake<'a, T> = &'a dyn Fn(&<T as frame_system::Config>::AccountId, BalanceOf<T>) -> bool;

/// Pay for a piece of work, with the reason.
struct Pay<Balance> {
    amount: Balance,
    outcome: Outcome,
    /// Part of the work's worth that `min_quality` withholds, or that leaning takes; goes to `SlashHandler`: a receiver of fees may be who
    /// asked, such as a block author that earns a part of them.
    withheld: Balance,
}

/// What settling a request comes to, before money moves and duties close.
pub(crate) struct Appraisal<T: Config> {
    /// Index and consensus score of the best response.
    pub(crate) best: (usize, Permill),
    /// Why each response earns what it does, in their order.
    pub(crate) answers: Vec<Outcome>,
    /// Why each member of the committee earns what it does, in their order.
    pub(crate) scores: Vec<Outcome>,
    /// Part of the work's worth that goes to `SlashHandler`.
    pub(crate) withheld: BalanceOf<T>,
    /// Median distance of a member from the consensus of the others; `None` if too few revealed to say.
    pub(crate) spread: Option<Permill>,
    /// Whether there was anybody to agree with. A sole scorer is paid, but its standing does not change.
    pub(crate) is_compared: bool,
}

/// Parts of a budget when all is over: they and the payments are the budget together.
pub(crate) struct Rest<Balance> {
    /// The chain's fee.
    pub(crate) fee: Balance,
    /// For `SlashHandler`.
    pub(crate) withheld: Balance,
    /// Back to the requester.
    pub(crate) refund: Balance,
}

/// Settles a request whose committee has a quorum. Returns the number of inference nodes that revealed nothing.
pub(crate) fn settle<T: Config>(id: RequestId, request: &mut Request<T>) -> u32 {
    let mut responses = Responses::<T>::get(id);
    let mut committee = Committees::<T>::get(id, request.round);
    let appraised = appraise::<T>(request, &mut responses, &mut committee, &money::can_receive::<T>);
    let Some(appraisal) = appraised else {
        // A quorum has at least one score of positive weight for each response.
        unexpected::<T>(UnexpectedKind::NoConsensus);
        refund::<T>(id, request, RefundReason::NoQuorum);
        return 0;
    };
    if let Some(spread) = appraisal.spread {
        models::learn_spread::<T>(&request.evaluator, spread);
    }
    let mut places = Vec::new();

    let is_refused = is_refused(responses.iter().map(|response| &response.work));
    for (response, outcome) in responses.iter().zip(&appraisal.answers) {
        let duty =
            ClosedDuty { request: id, role: Role::InferenceNode, paid: response.paid, outcome: *outcome };
        let learned = experience(Role::InferenceNode, &response.work, response.quality, is_refused);
        let weight = finish::<T>(request, &response.operator, &response.work, duty, learned);
        places.push(Place { model: response.model, operator: response.operator.clone(), weight });
    }
    let is_refused = is_refused_by(&committee);
    for (member, outcome) in committee.iter().zip(&appraisal.scores) {
        let duty =
            ClosedDuty { request: id, role: Role::QualityValidator, paid: member.paid, outcome: *outcome };
        let agreed = member.agreement.filter(|_| appraisal.is_compared);
        let learned = experience(Role::QualityValidator, &member.work, agreed, is_refused);
        let weight = finish::<T>(request, &member.operator, &member.work, duty, learned);
        places.push(Place { model: request.evaluator, operator: member.operator.clone(), weight });
    }

    let (paid, fee, refund) =
        pay_out::<T>(request, &responses, &committee, request.budget.fee, appraisal.withheld);
    rosters::refresh_all::<T>(request.models(), &places);

    let (best, quality) = (appraisal.best.0 as u32, appraisal.best.1);
    let silent = responses.iter().filter(|response| response.quality.is_none()).count();
    requests::put_responses::<T>(id, responses);
    requests::put_committee::<T>(id, request.round, committee);
    let at = frame_system::Pallet::<T>::block_number();
    requests::close::<T>(id, request, Phase::Settled { at, best });
    Pallet::<T>::deposit_event(Event::Settled { request: id, best, quality, paid, fee, refund });
    silent as u32
}

/// Says what each response and each member of a committee with a quorum is worth and earns, and writes it into them. Counts what operators
/// forgo and regain by leaning; moves no money. `can_take` says whether an account can be paid a sum. `None` if there is no consensus.
pub(crate) fn appraise<T: Config>(
    request: &Request<T>,
    responses: &mut ResponsesOf<T>,
    committee: &mut CommitteeOf<T>,
    can_take: CanTake<T>,
) -> Option<Appraisal<T>> {
    let verdict = judge::<T>(responses, committee, tolerance::<T>(request))?;
    let noise = Noises::<T>::get(request.evaluator);
    let mut withheld = BalanceOf::<T>::zero();
    let (mut answers, mut scores) = (Vec::new(), Vec::new());
    for (response, quality) in responses.iter_mut().zip(&verdict.qualities) {
        response.quality = *quality;
        let pay = match quality {
            Some(quality) => answer_pay::<T>(request, response, *quality, noise, can_take),
            None => nothing(&response.work, Outcome::NotRevealed),
        };
        withheld = withheld.saturating_add(pay.withheld);
        response.paid = pay.amount;
        answers.push(pay.outcome);
    }
    let share = request.member_share();
    let reward = models::reward_of::<T>(&request.evaluator);
    for (member, agreed) in committee.iter_mut().zip(&verdict.agreements) {
        member.agreement = *agreed;
        let pay = match agreed {
            Some(agreed) if agreed.is_zero() => nothing(&member.work, Outcome::Disagreed),
            Some(agreed) => {
                let part = reward.earned(*agreed, member.latency);
                payable::<T>(&member.operator, part.mul_floor(share), earned(part, *agreed), can_take)
            }
            None => nothing(&member.work, Outcome::NotRevealed),
        };
        member.paid = pay.amount;
        scores.push(pay.outcome);
    }
    Some(Appraisal {
        best: verdict.best,
        answers,
        scores,
        withheld,
        spread: verdict.spread,
        is_compared: verdict.is_compared,
    })
}

/// Ends a request that came to nothing, and gives back what is not owed.
pub(crate) fn refund<T: Config>(id: RequestId, request: &mut Request<T>, reason: RefundReason) {
    let mut responses = Responses::<T>::get(id);
    let mut committee = Committees::<T>::get(id, request.round);
    let mut places = Vec::new();
    let mut withheld = BalanceOf::<T>::zero();

    let is_refused = is_refused(responses.iter().map(|response| &response.work));
    for response in responses.iter_mut() {
        let pay = match response.work {
            Work::Revealed => unscored_pay::<T>(request, response, reason),
            _ => nothing(&response.work, Outcome::Refunded(reason)),
        };
        withheld = withheld.saturating_add(pay.withheld);
        response.paid = pay.amount;
        let operator = response.operator.clone();
        let duty = closed(id, Role::InferenceNode, &pay);
        let learned = experience(Role::InferenceNode, &response.work, None, is_refused);
        let weight = finish::<T>(request, &operator, &response.work, duty, learned);
        places.push(Place { model: response.model, operator, weight });
    }
    close_committee::<T>(id, request, &mut committee, Outcome::Refunded(reason), &mut places);

    let is_owed = !responses.is_empty() || reason == RefundReason::Cancelled;
    let fee = if is_owed { request.budget.fee } else { Zero::zero() };
    let (paid, fee, refund) = pay_out::<T>(request, &responses, &committee, fee, withheld);
    rosters::refresh_all::<T>(request.models(), &places);

    requests::put_responses::<T>(id, responses);
    if !committee.is_empty() {
        requests::put_committee::<T>(id, request.round, committee);
    }
    let at = frame_system::Pallet::<T>::block_number();
    requests::close::<T>(id, request, Phase::Refunded { at, reason });
    Pallet::<T>::deposit_event(Event::Refunded { request: id, reason, paid, fee, refund });
}

/// Ends the duties of a committee of whom nobody has revealed anything.
pub(crate) fn dismiss_committee<T: Config>(id: RequestId, request: &Request<T>) {
    let mut committee = Committees::<T>::get(id, request.round);
    let mut places = Vec::new();
    close_committee::<T>(id, request, &mut committee, Outcome::Dismissed, &mut places);
    rosters::refresh::<T>(&request.evaluator, &places);
    requests::put_committee::<T>(id, request.round, committee);
}

/// Pays what the parts say, and the chain's part (the fee, and what was withheld) as far as the budget goes, and releases the rest.
/// Returns the three sums, which are the budget together.
fn pay_out<T: Config>(
    request: &Request<T>,
    responses: &ResponsesOf<T>,
    committee: &CommitteeOf<T>,
    fee: BalanceOf<T>,
    withheld: BalanceOf<T>,
) -> (BalanceOf<T>, BalanceOf<T>, BalanceOf<T>) {
    let payments = responses.iter().map(|response| (&response.operator, response.paid));
    let payments = payments.chain(committee.iter().map(|member| (&member.operator, member.paid)));
    let paid = payments.clone().fold(BalanceOf::<T>::zero(), |sum, (_, paid)| sum.saturating_add(paid));
    let waited = request.parameters.waiting_fee.saturating_mul(request.tries.into());
    let Rest { fee, withheld, refund } = rest::<T>(request, paid, fee.saturating_add(waited), withheld);
    money::pay_from_budget::<T>(&request.requester, payments, fee, withheld);
    money::release_budget::<T>(&request.requester, refund);
    (paid, fee.saturating_add(withheld), refund)
}

/// What is left of a budget after the payments: the fee as far as it goes, then what is withheld, then the refund.
pub(crate) fn rest<T: Config>(
    request: &Request<T>,
    paid: BalanceOf<T>,
    fee: BalanceOf<T>,
    withheld: BalanceOf<T>,
) -> Rest<BalanceOf<T>> {
    let left = request.budget.total().saturating_sub(paid);
    let fee = fee.min(left);
    let left = left.saturating_sub(fee);
    let withheld = withheld.min(left);
    Rest { fee, withheld, refund: left.saturating_sub(withheld) }
}

/// Closes the duties of a committee whose scores came to nothing; adds the places in the roster that its members have now.
fn close_committee<T: Config>(
    id: RequestId,
    request: &Request<T>,
    committee: &mut CommitteeOf<T>,
    otherwise: Outcome,
    places: &mut Vec<Place<T>>,
) {
    let base = request.parameters.base_pay.mul_floor(request.member_share());
    let is_refused = is_refused_by(committee);
    for member in committee.iter_mut() {
        let pay = match member.work {
            Work::Revealed => payable::<T>(&member.operator, base, otherwise, &money::can_receive::<T>),
            _ => nothing(&member.work, otherwise),
        };
        member.paid = pay.amount;
        let operator = member.operator.clone();
        let duty = closed(id, Role::QualityValidator, &pay);
        let learned = experience(Role::QualityValidator, &member.work, None, is_refused);
        let weight = finish::<T>(request, &operator, &member.work, duty, learned);
        places.push(Place { model: request.evaluator, operator, weight });
    }
}

/// Distance from the consensus of the others at which a score for this request is worth nothing.
fn tolerance<T: Config>(request: &Request<T>) -> Permill {
    let rules = &request.parameters;
    Spreads::<T>::get(request.evaluator).map_or(rules.tolerance_most, |spread| rules.tolerance(spread))
}

fn judge<T: Config>(
    responses: &ResponsesOf<T>,
    committee: &CommitteeOf<T>,
    tolerance: Permill,
) -> Option<Verdict> {
    let revealed: Vec<&Member<T>> = committee.iter().filter(|m| m.work == Work::Revealed).collect();
    debug_assert!(revealed.len() >= quorum(committee.len() as u32));
    let mut index = 0usize;
    let mut qualities = Vec::new();
    // For each revealed member, the consensus of the others on each revealed response.
    let mut others: Vec<Vec<Option<Permill>>> = alloc::vec![Vec::new(); revealed.len()];
    for response in responses {
        if response.work != Work::Revealed {
            qualities.push(None);
            continue;
        }
        let scores: Vec<_> =
            revealed.iter().filter_map(|m| m.scores.get(index).map(|s| (*s, m.weight))).collect();
        qualities.push(Some(T::Aggregation::consensus(&scores)?));
        for (list, consensus) in others.iter_mut().zip(T::Aggregation::leave_one_out(&scores)) {
            list.push(consensus);
        }
        index = index.saturating_add(1);
    }
    let distances = revealed.iter().zip(&others).map(|(member, others)| deviation(&member.scores, others));
    let distances: Vec<Permill> = distances.collect();
    let (is_compared, is_telling) = (distances.len() > 1, distances.len() >= LEAST_FOR_SPREAD);
    let spread = if is_telling { lower_median(distances) } else { None };
    let mut others = others.into_iter();
    let agreements = committee
        .iter()
        .map(|member| match member.work {
            Work::Revealed => others.next().map(|others| agreement(&member.scores, &others, tolerance)),
            _ => None,
        })
        .collect();
    // The first of equals, so that the result does not depend on how a maximum is searched.
    let best = qualities
        .iter()
        .enumerate()
        .filter_map(|(index, quality)| quality.map(|quality| (index, quality)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    Some(Verdict { qualities, agreements, best, spread, is_compared })
}

/// Pay for an answer of this quality, by scores with this noise; counts what its operator forgoes and regains by it.
fn answer_pay<T: Config>(
    request: &Request<T>,
    response: &Response<T>,
    quality: Permill,
    noise: Permill,
    can_take: CanTake<T>,
) -> Pay<BalanceOf<T>> {
    let who = &response.operator;
    let base = base_pay::<T>(request, response);
    let (single_part, single) = earned_by_score::<T>(request, response, quality);
    let (leaned_part, leaned) =
        earned_by_score::<T>(request, response, leaned(quality, usual_quality::<T>(who), noise));
    let forgone = single.saturating_sub(leaned);
    let most = leaned.saturating_sub(single);
    let regained = if most.is_zero() { most } else { most.min(operators::forgone::<T>(who)) };
    // What the answer costs, whoever gets it.
    let worth = single.saturating_add(regained);
    if quality < bar::<T>(request, who) {
        let pay = payable::<T>(who, base, Outcome::BelowMinQuality(quality), can_take);
        return Pay { withheld: worth.saturating_sub(base), ..pay };
    }
    let part = if regained == most {
        leaned_part
    } else {
        single_part.saturating_add(Permill::from_rational(regained, whole_pay::<T>(request, response)))
    };
    operators::forgo::<T>(who, forgone);
    operators::regain::<T>(who, regained);
    let pay = payable::<T>(who, worth.saturating_sub(forgone), earned(part, quality), can_take);
    Pay { withheld: forgone, ..pay }
}

/// Most that an answer can earn.
pub(crate) fn whole_pay<T: Config>(request: &Request<T>, response: &Response<T>) -> BalanceOf<T> {
    request.price_of(&response.model).saturating_add(request.bonus)
}

/// What an answer earns however bad it is.
fn base_pay<T: Config>(request: &Request<T>, response: &Response<T>) -> BalanceOf<T> {
    request.parameters.base_pay.mul_floor(request.price_of(&response.model))
}

/// Pay for an answer of this quality by the score alone, as a part of [`whole_pay`] and as a sum, which is [`base_pay`] at least.
fn earned_by_score<T: Config>(
    request: &Request<T>,
    response: &Response<T>,
    quality: Permill,
) -> (Permill, BalanceOf<T>) {
    let part = models::reward_of::<T>(&response.model).earned(quality, response.latency);
    (part, part.mul_floor(whole_pay(request, response)).max(base_pay(request, response)))
}

/// The sum of [`earned_by_score`].
pub(crate) fn pay_by_score<T: Config>(
    request: &Request<T>,
    response: &Response<T>,
    quality: Permill,
) -> BalanceOf<T> {
    earned_by_score(request, response, quality).1
}

/// Quality below which an answer earns the base only: what the requester asks for, but not much more than what its operator is
/// known for. A requester can refuse work that is worse than usual, not what nobody could reach.
pub(crate) fn bar<T: Config>(request: &Request<T>, operator: &T::AccountId) -> Permill {
    let usual = known_quality::<T>(request, operator).saturating_sub(request.parameters.tolerance_most);
    request.min_quality.min(usual)
}

/// Usual quality of an operator's answers, by its standing, at least the floor.
fn known_quality<T: Config>(request: &Request<T>, operator: &T::AccountId) -> Permill {
    usual_quality::<T>(operator).max(request.parameters.floor.quality)
}

/// Usual quality of an operator's answers, by its standing.
fn usual_quality<T: Config>(operator: &T::AccountId) -> Permill {
    Operators::<T>::get(operator).map_or(Permill::zero(), |record| record.standing.quality)
}

/// A score, moved half of the way to what is usual; upward `noise` at most. Without noise, the score.
///
/// Downward there is no such limit. With one, who answers badly and now and then very well would gain: a limit cuts the rare large
/// steps and not the many small ones.
pub(crate) fn leaned(score: Permill, usual: Permill, noise: Permill) -> Permill {
    let half = |distance: Permill| Permill::from_parts(distance.deconstruct() >> 1);
    if noise.is_zero() {
        score
    } else if usual > score {
        score.saturating_add(half(usual.saturating_sub(score)).min(noise))
    } else {
        score.saturating_sub(half(score.saturating_sub(usual)))
    }
}

/// Pay for an answer that was revealed but not scored: as for the usual quality of its operator's answers.
fn unscored_pay<T: Config>(
    request: &Request<T>,
    response: &Response<T>,
    reason: RefundReason,
) -> Pay<BalanceOf<T>> {
    let known = known_quality::<T>(request, &response.operator);
    let pay = answer_pay::<T>(request, response, known, Permill::zero(), &money::can_receive::<T>);
    match pay.outcome {
        Outcome::NotPayable => pay,
        _ => Pay { outcome: Outcome::Refunded(reason), ..pay },
    }
}

/// This amount, or none if the account cannot take it.
fn payable<T: Config>(
    operator: &T::AccountId,
    amount: BalanceOf<T>,
    outcome: Outcome,
    can_take: CanTake<T>,
) -> Pay<BalanceOf<T>> {
    if amount.is_zero() || can_take(operator, amount) {
        Pay { amount, outcome, withheld: Zero::zero() }
    } else {
        Pay { amount: Zero::zero(), outcome: Outcome::NotPayable, withheld: Zero::zero() }
    }
}

/// Slashes absence and closes the duty. Returns what the operator weighs in rosters from now on.
fn finish<T: Config>(
    request: &Request<T>,
    operator: &T::AccountId,
    work: &Work,
    duty: ClosedDuty<BalanceOf<T>>,
    learned: Experience,
) -> u64 {
    if let Some(reason) = work.absence() {
        let absence = request.parameters.absence_slash;
        money::pay_slash_handler::<T>(operators::slash::<T>(operator, duty.request, absence, reason));
    }
    operators::close_duty::<T>(operator, &request.parameters, request.workload(duty.role), duty, learned)
}

/// Why work of this quality earns this part.
fn earned(part: Permill, quality: Permill) -> Outcome {
    if part.is_zero() && !quality.is_zero() {
        Outcome::TooSlow(quality)
    } else {
        Outcome::Paid(part)
    }
}

/// No pay: for a fault, or because of `otherwise`.
fn nothing<Balance: Zero>(work: &Work, otherwise: Outcome) -> Pay<Balance> {
    let outcome = work.fault().unwrap_or(otherwise);
    Pay { amount: Zero::zero(), outcome, withheld: Zero::zero() }
}

fn closed<Balance: Copy>(request: RequestId, role: Role, pay: &Pay<Balance>) -> ClosedDuty<Balance> {
    ClosedDuty { request, role, paid: pay.amount, outcome: pay.outcome }
}

/// Whether more than half of those who were drawn refused the work as one that nobody could do. Then who refused is not the worse
/// known for it: anyone can ask for what cannot be done.
fn is_refused<'a>(work: impl Iterator<Item = &'a Work> + Clone) -> bool {
    let refused = work.clone().filter(|work| refusal(work)).count();
    refused.saturating_mul(2) > work.count()
}

fn is_refused_by<T: Config>(committee: &CommitteeOf<T>) -> bool {
    is_refused(committee.iter().map(|member| &member.work))
}

fn refusal(work: &Work) -> bool {
    matches!(work, Work::Failed(reason) if reason.is_refusal())
}

/// Effect of a closed duty on its operator's standing; `worth` is its quality or agreement, if it came to that.
fn experience(role: Role, work: &Work, worth: Option<Permill>, is_refused: bool) -> Experience {
    match (role, work.fault().is_some()) {
        _ if is_refused && refusal(work) => Experience::Refused,
        (Role::InferenceNode, false) => Experience::Answered(worth),
        (Role::InferenceNode, true) => Experience::NotAnswered,
        (Role::QualityValidator, false) => Experience::Scored(worth),
        (Role::QualityValidator, true) => Experience::NotScored,
    }
}
