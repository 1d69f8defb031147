//! Asking: what a request must be to be taken, what it costs, whether it could be drawn for, and how it is cancelled.

use crate::{
    congestion,
    duties::{RefundReason, RequestId},
    models::{self, cost, is_proper_list, Model, ModelId, ModelKind, Windows},
    money::{self, share_of},
    parameters::ParametersOf,
    phases,
    requests::{self, Audit, Budget, Phase, Request, Sampling, Terms},
    settlement, BalanceOf, Config, EconomicParameters, Error, Event, Models, Pallet, Requests, Rosters,
};
use alloc::vec::Vec;
use frame_support::{ensure, BoundedVec};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{
    traits::{CheckedAdd, CheckedMul, Get, Saturating},
    DispatchError, DispatchResult, PerThing, Permill,
};

/// Highest temperature, in thousandths.
const MAX_TEMPERATURE_MILLI: u32 = 2_000;

/// Takes a request and puts its budget on hold; returns its number.
pub(crate) fn request<T: Config>(
    requester: T::AccountId,
    prompt: Vec<u8>,
    terms: Terms<BalanceOf<T>, T::MaxModelsPerRequest>,
) -> Result<RequestId, DispatchError> {
    let prompt = check_prompt::<T>(prompt)?;
    let sampling = terms.sampling;
    let parameters = EconomicParameters::<T>::get();
    check_temperature::<T>(&sampling)?;
    let needs = needs::<T>(
        &terms.generators,
        &terms.evaluator,
        sampling.max_tokens,
        terms.responders,
        terms.committee,
    )?;
    check_context::<T>(&prompt, &terms.generators, sampling.max_tokens)?;
    check_eligible::<T>(&requester, &terms)?;
    ensure!(terms.budget >= needs.total(parameters.fee)?, Error::<T>::BudgetTooSmall);
    ensure!(money::can_hold_budget::<T>(&requester, terms.budget), Error::<T>::InsufficientBalance);
    money::hold_budget::<T>(&requester, terms.budget)?;

    let (who, budget) = (requester.clone(), terms.budget);
    let id = requests::add::<T>(prompt, new::<T>(requester, terms, needs, parameters))?;
    Pallet::<T>::deposit_event(Event::Requested { request: id, requester: who, budget });
    Ok(id)
}

/// A request on these terms, made in this block.
fn new<T: Config>(
    requester: T::AccountId,
    terms: Terms<BalanceOf<T>, T::MaxModelsPerRequest>,
    needs: Needs<T>,
    parameters: ParametersOf<T>,
) -> Request<T> {
    let now = frame_system::Pallet::<T>::block_number();
    let budget = needs.divide(terms.budget, parameters.fee);
    Request {
        requester,
        generators: terms.generators,
        evaluator: terms.evaluator,
        sampling: terms.sampling,
        responders: terms.responders,
        committee: terms.committee,
        min_quality: terms.min_quality,
        bonus: share_of(budget.inference.saturating_sub(needs.inference), terms.responders),
        budget,
        answer_windows: needs.answer_windows,
        score_windows: needs.score_windows,
        created: now,
        phase: Phase::Requested,
        since: now,
        fixed_at: now,
        due: phases::first_draw::<T>(now),
        round: 0,
        tries: 0,
        audit: Audit::Sealed(terms.audit),
        parameters,
    }
}

/// The request that an order made off chain comes to, under these parameters. It is not stored, nothing is put on hold for it, and models
/// that were retired since will do.
pub(crate) fn off_chain<T: Config>(
    requester: T::AccountId,
    terms: Terms<BalanceOf<T>, T::MaxModelsPerRequest>,
    parameters: ParametersOf<T>,
) -> Result<Request<T>, Error<T>> {
    check_temperature::<T>(&terms.sampling)?;
    let needs = needs_of::<T>(
        models::of_kind::<T>,
        &terms.generators,
        &terms.evaluator,
        terms.sampling.max_tokens,
        terms.responders,
        terms.committee,
        parameters.min_committee,
    )?;
    ensure!(terms.budget >= needs.total(parameters.fee)?, Error::<T>::BudgetTooSmall);
    Ok(new::<T>(requester, terms, needs, parameters))
}

/// Ends a request of `who` for which no inference nodes were drawn.
pub(crate) fn cancel<T: Config>(who: &T::AccountId, id: RequestId) -> DispatchResult {
    let mut request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
    ensure!(request.requester == *who, Error::<T>::NotRequester);
    ensure!(request.phase == Phase::Requested, Error::<T>::NotWaiting);
    settlement::refund::<T>(id, &mut request, RefundReason::Cancelled);
    requests::put::<T>(id, request);
    Ok(())
}

/// The budget with which a request goes before those that wait.
pub(crate) fn estimate<T: Config>(
    generators: &[ModelId],
    evaluator: &ModelId,
    max_tokens: u32,
    responders: u32,
    committee: u32,
) -> Result<Budget<BalanceOf<T>>, DispatchError> {
    let needs = needs::<T>(generators, evaluator, max_tokens, responders, committee)?;
    let models = generators.iter().chain([evaluator]);
    let surcharge = models.map(congestion::surcharge::<T>).max().unwrap_or_default();
    let fee = EconomicParameters::<T>::get().fee;
    let total = needs.with(surcharge)?.total(fee)?;
    Ok(needs.divide(total, fee))
}

pub(crate) fn check_prompt<T: Config>(
    prompt: Vec<u8>,
) -> Result<BoundedVec<u8, T::MaxPromptLength>, Error<T>> {
    let text = core::str::from_utf8(&prompt).map_err(|_| Error::<T>::NotUtf8)?;
    ensure!(!text.trim().is_empty(), Error::<T>::EmptyPrompt);
    BoundedVec::try_from(prompt).map_err(|_| Error::<T>::PromptTooLong)
}

fn check_temperature<T: Config>(sampling: &Sampling) -> Result<(), Error<T>> {
    ensure!(sampling.temperature_milli <= MAX_TEMPERATURE_MILLI, Error::<T>::InvalidSampling);
    Ok(())
}

/// Whether prompt and answer fit into the context of each generator, however the prompt falls into tokens: none is shorter
/// than a byte. An operator that is drawn for what it cannot do would lose by it.
pub(crate) fn check_context<T: Config>(
    prompt: &[u8],
    generators: &[ModelId],
    max_tokens: u32,
) -> Result<(), Error<T>> {
    let tokens = (prompt.len() as u32).saturating_add(max_tokens);
    for id in generators {
        let context = Models::<T>::get(id).map_or(0, |model| model.context);
        ensure!(tokens <= context, Error::<T>::ContextTooSmall);
    }
    Ok(())
}

fn needs<T: Config>(
    generators: &[ModelId],
    evaluator: &ModelId,
    max_tokens: u32,
    responders: u32,
    committee: u32,
) -> Result<Needs<T>, Error<T>> {
    let min_committee = EconomicParameters::<T>::get().min_committee;
    let find = models::live_of_kind::<T>;
    needs_of::<T>(find, generators, evaluator, max_tokens, responders, committee, min_committee)
}

/// The same for models that `find` finds and a least size of committees.
fn needs_of<T: Config>(
    find: impl Fn(&ModelId, ModelKind) -> Result<Model<T>, Error<T>>,
    generators: &[ModelId],
    evaluator: &ModelId,
    max_tokens: u32,
    responders: u32,
    committee: u32,
    min_committee: u32,
) -> Result<Needs<T>, Error<T>> {
    ensure!((1..=T::MaxTokens::get()).contains(&max_tokens), Error::<T>::InvalidSampling);
    ensure!((1..=T::MaxResponders::get()).contains(&responders), Error::<T>::InvalidResponders);
    ensure!((min_committee..=T::MaxCommittee::get()).contains(&committee), Error::<T>::InvalidCommittee);
    ensure!(is_proper_list(generators), Error::<T>::InvalidModelList);

    let evaluator = find(evaluator, ModelKind::Evaluator)?;
    let mut response = BalanceOf::<T>::default();
    let mut answer_windows = Windows::<BlockNumberFor<T>>::default();
    for id in generators {
        let model = find(id, ModelKind::Generator)?;
        response = response.max(cost(&model.price, max_tokens).ok_or(Error::<T>::Overflow)?);
        answer_windows.commit = answer_windows.commit.max(model.windows.commit);
        answer_windows.reveal = answer_windows.reveal.max(model.windows.reveal);
    }
    let scores = cost(&evaluator.price, responders).ok_or(Error::<T>::Overflow)?;
    let times =
        |price: BalanceOf<T>, count: u32| price.checked_mul(&count.into()).ok_or(Error::<T>::Overflow);
    Ok(Needs {
        inference: times(response, responders)?,
        scoring: times(scores, committee)?,
        answer_windows,
        score_windows: evaluator.windows,
    })
}

/// Whether as many operators as the terms ask for could be drawn now, whoever of them is drawn first.
fn check_eligible<T: Config>(
    requester: &T::AccountId,
    terms: &Terms<BalanceOf<T>, T::MaxModelsPerRequest>,
) -> Result<(), Error<T>> {
    let serving = |id: &ModelId| {
        let candidates = Rosters::<T>::get(id).into_iter().filter(|candidate| candidate.away.is_none());
        let operators = candidates.map(|candidate| candidate.operator);
        operators.filter(|operator| operator != requester).collect::<Vec<_>>()
    };
    let mut nodes: Vec<_> = terms.generators.iter().flat_map(serving).collect();
    nodes.sort_unstable();
    nodes.dedup();
    ensure!(nodes.len() >= terms.responders as usize, Error::<T>::NotEnoughInferenceNodes);
    let scorers = serving(&terms.evaluator);
    // Operators that serve both may be drawn as inference nodes first and are then missing in the committee.
    let both = scorers.iter().filter(|scorer| nodes.binary_search(scorer).is_ok()).count();
    let both = both.min(terms.responders as usize);
    ensure!(
        scorers.len().saturating_sub(both) >= terms.committee as usize,
        Error::<T>::NotEnoughQualityValidators
    );
    Ok(())
}

/// The least budget of a request, in parts, and its windows.
struct Needs<T: Config> {
    inference: BalanceOf<T>,
    scoring: BalanceOf<T>,
    answer_windows: Windows<BlockNumberFor<T>>,
    score_windows: Windows<BlockNumberFor<T>>,
}

impl<T: Config> Needs<T> {
    /// The least budget: the work, and on top the fee, which is a part of the whole.
    fn total(&self, fee: Permill) -> Result<BalanceOf<T>, Error<T>> {
        let work = self.inference.checked_add(&self.scoring).ok_or(Error::<T>::Overflow)?;
        let total = fee.left_from_one().saturating_reciprocal_mul_ceil(work);
        ensure!(total >= work, Error::<T>::Overflow);
        Ok(total)
    }

    /// The same with a part of the price on top for the inference nodes.
    fn with(&self, surcharge: Permill) -> Result<Self, Error<T>> {
        let more = surcharge.mul_ceil(self.inference);
        let inference = self.inference.checked_add(&more).ok_or(Error::<T>::Overflow)?;
        Ok(Self { inference, ..*self })
    }

    /// Divides `total`, at least [`Self::total`]. What is more than needed is for the inference nodes.
    fn divide(&self, total: BalanceOf<T>, fee: Permill) -> Budget<BalanceOf<T>> {
        let fee = fee.mul_floor(total);
        Budget {
            inference: total.saturating_sub(fee).saturating_sub(self.scoring),
            scoring: self.scoring,
            fee,
        }
    }
}
