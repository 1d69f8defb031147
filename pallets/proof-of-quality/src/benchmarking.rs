//! Benchmarks of every call and of every step of the agenda, each at its worst and each with a look at what came of it.
//!
//! At its worst means: every roster is full, every record of an operator as long as it gets, every response made with
//! another model, so that each has a roster of its own to bring up to date, and of two things that may happen to an operator
//! the dearer one. What most requests are, of one generator, is measured beside that. State is written as it would be found; the way there does not count.
//!
//! A step is measured from the agenda's call on, so the request's own read and write are in it. Iterating reads no values
//! and is not counted by the benchmarks' database; where the agenda iterates, a read of the entry stands for it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has to stop"
)]

use crate::{
    asking,
    draws::{self, SPARE_LOOKS},
    duties, money, operators, phases, reports,
    steps::{self, When},
    *,
};
use alloc::{vec, vec::Vec};
use codec::Encode;
use frame_benchmarking::{account, v2::*};
use frame_support::{
    traits::{
        fungible::{Balanced, Inspect},
        tokens::Precision,
        EnsureOrigin, Get,
    },
    weights::WeightMeter,
    BoundedVec,
};
use frame_system::{offchain::AppCrypto, pallet_prelude::BlockNumberFor, RawOrigin};
use poq_primitives::{
    commitment::{self, worker_consent, Binding, Hash32, Salt},
    job::FailureReason,
};
use sp_runtime::{
    traits::{IdentifyAccount, One, Saturating, Zero},
    Permill, RuntimeAppPublic,
};

const ID: RequestId = 1;
const NOW: u32 = 1_000;
const SEED: Hash32 = [7; 32];
const SALT: Salt = [8; 32];
const COMMITTED: Work = Work::Committed([9; 32]);

/// Weights in a draw that settle who comes first: all of `FIRST`, then all of `SECOND`, then the rest of the roster.
const FIRST: u64 = 1 << 60;
const SECOND: u64 = 1 << 40;

type Accounts<T> = Vec<<T as frame_system::Config>::AccountId>;

fn now<T: Config>() -> BlockNumberFor<T> {
    NOW.into()
}

/// As many bytes as fit.
fn full<Most: Get<u32>>(byte: u8) -> BoundedVec<u8, Most> {
    BoundedVec::truncate_from(vec![byte; Most::get() as usize])
}

/// Id of the model of this kind and number.
pub fn model_id(kind: ModelKind, n: u32) -> ModelId {
    (kind, n).using_encoded(sp_io::hashing::blake2_256)
}

fn generators(count: u32) -> Vec<ModelId> {
    (0..count).map(|n| model_id(ModelKind::Generator, n)).collect()
}

fn evaluator() -> ModelId {
    model_id(ModelKind::Evaluator, 0)
}

/// Pay for a perfect duty. A slash is more, so that there is something left for everybody whom it can go to.
fn share<T: Config>() -> BalanceOf<T> {
    (EconomicParameters::<T>::get().absence_slash / 4u32.into()).max(10u32.into())
}

/// Stores a model with the longest windows and name.
pub fn store_model<T: Config>(id: ModelId, kind: ModelKind) {
    let longest = T::MaxWindow::get();
    let price = Price { base: share::<T>(), per_unit: Zero::zero() };
    let windows = Windows { commit: longest, reveal: longest };
    let context = match kind {
        ModelKind::Generator => T::MaxPromptLength::get() + T::MaxTokens::get(),
        ModelKind::Evaluator => 0,
    };
    let (name, reward) = (full(b'm'), Reward::default());
    Models::<T>::insert(id, Model { kind, name, price, windows, reward, context, retired: false });
}

/// Makes the roster of a model: first as many as it takes of those who are never drawn, then `named`, each with a weight.
fn store_roster<T: Config>(model: ModelId, size: u32, named: Vec<(T::AccountId, u64)>) {
    let salt = u32::from_le_bytes([model[0], model[1], model[2], model[3]]);
    let others = (0..size.saturating_sub(named.len() as u32)).map(|n| (account("other", n, salt), 1));
    let candidate = |(operator, weight)| Candidate { operator, weight, since: Zero::zero(), away: None };
    Rosters::<T>::insert(
        model,
        BoundedVec::truncate_from(others.chain(named).map(candidate).collect::<Vec<_>>()),
    );
}

/// Fills a model's roster: `named`, which weigh much, and others that weigh little and are no operators.
pub fn full_roster<T: Config>(model: ModelId, named: &[T::AccountId]) {
    let named = named.iter().map(|operator| (operator.clone(), SECOND)).collect();
    store_roster::<T>(model, T::MaxOperatorsPerModel::get(), named);
}

/// Gives an account this much above the existential deposit.
pub fn fund<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) {
    let amount = amount.saturating_add(T::Currency::minimum_balance());
    let _ = T::Currency::deposit(who, amount, Precision::Exact).unwrap();
}

/// Twice what an operator of the most models needs.
fn stake<T: Config>() -> BalanceOf<T> {
    EconomicParameters::<T>::get().min_stake.saturating_mul((2 * T::MaxModelsPerOperator::get()).into())
}

/// An operator with the longest record there can be.
pub fn store_operator<T: Config>(role: &'static str, n: u32, models: &[ModelId]) -> T::AccountId {
    let (who, worker): (T::AccountId, T::AccountId) = (account(role, n, 0), account(role, n, 1));
    let parameters = EconomicParameters::<T>::get();
    let unit = parameters.min_stake;
    fund::<T>(&who, stake::<T>().saturating_mul(3u32.into()));
    money::hold_stake::<T>(&who, stake::<T>().saturating_add(unit)).unwrap();
    frame_system::Pallet::<T>::inc_sufficients(&worker);
    Workers::<T>::insert(&worker, &who);
    let others = (1..=T::MaxModelsPerOperator::get()).map(|n| model_id(ModelKind::Evaluator, n));
    let duty = ClosedDuty {
        request: 0,
        role: Role::QualityValidator,
        paid: unit,
        outcome: Outcome::Paid(Permill::one()),
    };
    // Room for one more.
    let elsewhere = (1..T::MaxDuties::get()).map(|n| RequestId::MAX - RequestId::from(n));
    Operators::<T>::insert(
        &who,
        Operator {
            capacity: Some(Workload { tokens: u32::MAX, pairs: u32::MAX }),
            duties: OpenDuties {
                answers: Default::default(),
                scores: BoundedVec::truncate_from(elsewhere.collect()),
            },
            stake: stake::<T>(),
            unbonding: Some(Unbonding { amount: unit, at: now::<T>() }),
            worker: Some(worker),
            models: BoundedVec::truncate_from(models.iter().copied().chain(others).collect()),
            standing: parameters.floor,
            recent: BoundedVec::truncate_from(vec![duty; T::RecentDuties::get() as usize]),
            ..Default::default()
        },
    );
    who
}

/// An operator that serves as many models as it may, all their rosters full, with it in each or others who weigh less.
pub fn store_busy_operator<T: Config>(in_rosters: bool) -> T::AccountId {
    let models: Vec<_> =
        (0..T::MaxModelsPerOperator::get()).map(|n| model_id(ModelKind::Generator, n)).collect();
    let who = store_operator::<T>("operator", 0, &models);
    for model in models {
        store_model::<T>(model, ModelKind::Generator);
        if in_rosters {
            full_roster::<T>(model, core::slice::from_ref(&who));
        } else {
            full_roster::<T>(model, &[]);
        }
    }
    who
}

fn places_of<T: Config>(who: &T::AccountId) -> u32 {
    Rosters::<T>::iter_values().filter(|roster| roster.iter().any(|c| c.operator == *who)).count() as u32
}

/// A request with those who work for it.
struct Scene<T: Config> {
    request: Request<T>,
    nodes: Accounts<T>,
    scorers: Accounts<T>,
}

impl<T: Config> Scene<T> {
    /// `n` inference nodes and `k` quality validators in full rosters, and a request of the most models.
    fn new(n: u32, k: u32) -> Self {
        Self::of_models(T::MaxModelsPerRequest::get(), n, k)
    }

    /// As [`Self::new`], of so many models.
    fn of_models(count: u32, n: u32, k: u32) -> Self {
        frame_system::Pallet::<T>::set_block_number(now::<T>());
        let models = generators(count);
        let nodes: Accounts<T> =
            (0..n).map(|i| store_operator::<T>("node", i, &[models[i as usize % models.len()]])).collect();
        let scorers: Accounts<T> = (0..k).map(|i| store_operator::<T>("scorer", i, &[evaluator()])).collect();
        for (place, model) in models.iter().enumerate() {
            store_model::<T>(*model, ModelKind::Generator);
            let named: Vec<_> = nodes.iter().skip(place).step_by(models.len()).cloned().collect();
            full_roster::<T>(*model, &named);
        }
        store_model::<T>(evaluator(), ModelKind::Evaluator);
        full_roster::<T>(evaluator(), &scorers);

        let parameters = EconomicParameters::<T>::get();
        let share = share::<T>();
        let budget = Budget {
            inference: share.saturating_mul(n.into()),
            scoring: share.saturating_mul(k.into()),
            fee: share,
        };
        let requester: T::AccountId = account("requester", 0, 0);
        fund::<T>(&requester, budget.total().saturating_mul(2u32.into()));
        money::hold_budget::<T>(&requester, budget.total()).unwrap();
        let longest = T::MaxWindow::get();
        // The next phase is due in another block than the one before it was, so that the request moves in the agenda.
        let windows = Windows { commit: longest, reveal: longest - One::one() };
        let before = now::<T>() - One::one();
        let request = Request {
            requester,
            generators: BoundedVec::truncate_from(models),
            evaluator: evaluator(),
            sampling: Sampling { max_tokens: 1, temperature_milli: 0, seed: 0 },
            responders: n,
            committee: k,
            min_quality: Permill::zero(),
            budget,
            bonus: Zero::zero(),
            answer_windows: windows,
            score_windows: windows,
            created: before,
            phase: Phase::Requested,
            since: before,
            fixed_at: before,
            due: now::<T>(),
            round: 0,
            tries: 0,
            audit: Audit::Sealed([0; 32]),
            parameters,
        };
        Self { request, nodes, scorers }
    }

    /// In a phase that closes now.
    fn due(self, phase: Phase<BlockNumberFor<T>>) -> Self {
        self.stored(phase, now::<T>())
    }

    /// In a phase that is open.
    fn open(self, phase: Phase<BlockNumberFor<T>>) -> Self {
        self.stored(phase, later::<T>() + One::one())
    }

    fn stored(mut self, phase: Phase<BlockNumberFor<T>>, due: BlockNumberFor<T>) -> Self {
        self.request.phase = phase;
        self.request.due = due;
        Requests::<T>::insert(ID, self.request.clone());
        Prompts::<T>::insert(ID, full::<T::MaxPromptLength>(b'p'));
        Agenda::<T>::insert(due, ID, ());
        AgendaCursor::<T>::put(now::<T>());
        NextRequest::<T>::put(ID + 1);
        OpenRequests::<T>::put(1);
        self
    }

    /// The last round, the committee of the first having been silent.
    fn last_round(mut self) -> Self {
        self.request.round = 1;
        let silent = (0..T::MaxCommittee::get())
            .map(|n| self.member(account("silent", n, 0), Work::NotCommitted, 0))
            .collect::<Vec<_>>();
        Committees::<T>::insert(ID, 0, BoundedVec::truncate_from(silent));
        self
    }

    /// The inference nodes have come this far.
    fn answered(self, work: impl Fn(u32) -> Work) -> Self {
        let responses = self.nodes.iter().zip(0u32..).map(|(operator, n)| Response {
            operator: operator.clone(),
            model: self.request.generators[n as usize % self.request.generators.len()],
            work: work(n),
            latency: Permill::zero(),
            quality: None,
            paid: Zero::zero(),
        });
        Responses::<T>::insert(ID, BoundedVec::truncate_from(responses.collect::<Vec<_>>()));
        self.nodes.iter().for_each(|node| open_duty::<T>(node, &self.request, Role::InferenceNode));
        self
    }

    /// Their outputs are stored, the longest there can be.
    fn with_outputs(self) -> Self {
        for index in 0..self.nodes.len() as u32 {
            Outputs::<T>::insert(ID, index, full::<T::MaxOutputLength>(b'a'));
        }
        self
    }

    /// The committee has come this far.
    fn scored(self, work: impl Fn(u32) -> Work) -> Self {
        let members = self.scorers.iter().zip(0u32..);
        let members = members.map(|(operator, n)| self.member(operator.clone(), work(n), n));
        Committees::<T>::insert(
            ID,
            self.request.round,
            BoundedVec::truncate_from(members.collect::<Vec<_>>()),
        );
        self.scorers.iter().for_each(|scorer| open_duty::<T>(scorer, &self.request, Role::QualityValidator));
        self
    }

    /// Scores differ a little, and come in descending order.
    fn member(&self, operator: T::AccountId, work: Work, n: u32) -> Member<T> {
        let revealed = Responses::<T>::get(ID).iter().filter(|r| r.work == Work::Revealed).count();
        let scores = match work {
            Work::Revealed => vec![Permill::from_parts(900_000 - n); revealed],
            _ => vec![],
        };
        Member {
            operator,
            weight: SECOND,
            work,
            scores: BoundedVec::truncate_from(scores),
            latency: Permill::zero(),
            agreement: None,
            paid: Zero::zero(),
        }
    }
}

fn open_duty<T: Config>(who: &T::AccountId, request: &Request<T>, role: Role) {
    operators::open_duty::<T>(who, Operators::<T>::get(who).unwrap(), ID, role, request.workload(role));
}

/// Last block of an open phase.
fn later<T: Config>() -> BlockNumberFor<T> {
    now::<T>() + T::MaxWindow::get()
}

/// `fit` operators that can be drawn, and some whose stake is gone or who have no room, in the order in which they stand in
/// rosters. Who cannot be drawn comes up first.
fn store_drawable<T: Config>(fit: u32, poor: u32, busy: u32) -> Vec<(T::AccountId, u64)> {
    let store = |role, n, weight, change: fn(&mut Operator<T>)| {
        let who = store_operator::<T>(role, n, &[evaluator()]);
        Operators::<T>::mutate(&who, |operator| change(operator.as_mut().unwrap()));
        (who, weight)
    };
    let poor = (0..poor).map(|n| store("poor", n, FIRST, |operator| operator.stake = Zero::zero()));
    let full = |operator: &mut Operator<T>| operator.capacity = Some(Workload::default());
    let busy = (0..busy).map(|n| store("busy", n, FIRST, full));
    let fit = (0..fit).map(|n| store("fit", n, SECOND, |_| ()));
    poor.chain(busy).chain(fit).collect()
}

/// A request, in the round that `rounds` makes, for which `k` out of `c` candidates are to be drawn. `l` cannot be and come up
/// first; returns the number of those without stake.
fn before_a_committee<T: Config>(rounds: fn(Scene<T>) -> Scene<T>, c: u32, k: u32, l: u32) -> u32 {
    let mut scene = rounds(Scene::new(T::MaxResponders::get(), 0).answered(|_| Work::Revealed));
    scene.request.committee = k;
    scene.request.parameters.min_committee = 1;
    let poor = (k - 1).min(l / 2);
    store_roster::<T>(evaluator(), c, store_drawable::<T>(k, poor, l - poor));
    scene.due(Phase::Selecting);
    poor
}

fn draw_members<T: Config>() {
    let mut request = Requests::<T>::get(ID).unwrap();
    let seed = draws::seed_or_wait::<T>(ID, &mut request, b"", Zero::zero(), now::<T>());
    let seed = seed.map_or(SEED, |_| SEED);
    draws::draw_committee_with::<T>(seed, ID, &mut request, now::<T>());
    Requests::<T>::insert(ID, request);
}

fn after_a_committee<T: Config>(round: u8, c: u32, k: u32, poor: u32) {
    let drawn = Committees::<T>::get(ID, round);
    assert_eq!(drawn.len(), k as usize);
    assert!(drawn.iter().all(|member| operators::duty_in::<T>(&member.operator, ID).is_some()));
    assert_eq!(Rosters::<T>::get(evaluator()).len() as u32, c - poor);
}

/// A request of `models` generators in which everybody has revealed its work.
fn before_settling<T: Config>(models: u32, n: u32, k: u32) -> Scene<T> {
    Scene::of_models(models, n, k)
        .due(Phase::RevealingScores { until: now::<T>() })
        .answered(|_| Work::Revealed)
        .scored(|_| Work::Revealed)
}

fn after_settling<T: Config>(scene: &Scene<T>) {
    assert!(matches!(phase::<T>(), Phase::Settled { .. }));
    duties_are_over::<T>(&scene.nodes, scene.nodes.len(), 0);
    duties_are_over::<T>(&scene.scorers, scene.scorers.len(), 0);
}

/// A request of `models` generators whose `c` candidates stand in all their rosters in turn. `n` are to be drawn, `l` cannot be
/// and come up first; returns the number of those without stake.
fn before_a_draw<T: Config>(models: u32, c: u32, n: u32, l: u32) -> u32 {
    let mut scene = Scene::<T>::of_models(models, 0, 0);
    scene.request.responders = n;
    let poor = (n - 1).min(l / 2);
    let named = store_drawable::<T>(n, poor, l - poor);
    for (place, model) in scene.request.generators.iter().enumerate() {
        let in_turn = |count: usize| (place..count).step_by(models as usize);
        let named = in_turn(named.len()).map(|index| named[index].clone()).collect();
        store_roster::<T>(*model, in_turn(c as usize).count() as u32, named);
    }
    scene.due(Phase::Requested);
    poor
}

fn draw<T: Config>() {
    let mut request = Requests::<T>::get(ID).unwrap();
    let seed = draws::seed_or_wait::<T>(ID, &mut request, b"", Zero::zero(), now::<T>());
    let seed = seed.map_or(SEED, |_| SEED);
    draws::draw_inference_nodes_with::<T>(seed, ID, &mut request, now::<T>());
    Requests::<T>::insert(ID, request);
}

fn after_a_draw<T: Config>(c: u32, n: u32, poor: u32) {
    let drawn: Vec<_> = Responses::<T>::get(ID).into_iter().map(|response| response.operator).collect();
    assert_eq!(drawn.len(), n as usize);
    assert!(drawn.iter().all(|who| operators::duty_in::<T>(who, ID).is_some()));
    let models = Requests::<T>::get(ID).unwrap().generators;
    let left: usize = models.iter().map(|model| Rosters::<T>::get(model).len()).sum();
    assert_eq!(left as u32, c - poor, "who cannot be drawn is struck out");
}

/// The commitment and the report of it, in a request where everybody else has acted.
fn report<T: Config>(kind: ReportKindOf<T>) -> ReportsOf<T> {
    BoundedVec::truncate_from(vec![Report { request: ID, kind }])
}

fn binding<T: Config, R>(operator: &T::AccountId, make: impl Fn(Binding<T::AccountId>) -> R) -> R {
    let genesis = duties::genesis_hash::<T>();
    make(Binding { genesis: &genesis, request: ID, operator })
}

fn worker_of<T: Config>(operator: &T::AccountId) -> T::AccountId {
    Operators::<T>::get(operator).unwrap().worker.unwrap()
}

/// Work of a block for one report: the check whether it is free, and the call.
fn check_and_report<T: Config>(worker: &T::AccountId, reports: ReportsOf<T>) {
    let origin: <T as frame_system::Config>::RuntimeOrigin = RawOrigin::Signed(worker.clone()).into();
    assert!(reports::is_due_and_valid::<T>(&origin, &reports));
    Pallet::<T>::report_work(origin, reports).unwrap();
}

/// The work of the last node or, with `scorer`, of the last quality validator, and whether the phase has ended or will today.
fn outcome<T: Config>(scorer: bool) -> (Work, bool) {
    let request = Requests::<T>::get(ID).unwrap();
    let work = match scorer {
        true => Committees::<T>::get(ID, request.round).last().unwrap().work,
        false => Responses::<T>::get(ID).last().unwrap().work,
    };
    (work, request.since == now::<T>() || request.due == now::<T>())
}

fn step<T: Config>() {
    steps::step::<T>(ID, now::<T>(), now::<T>());
}

fn phase<T: Config>() -> Phase<BlockNumberFor<T>> {
    Requests::<T>::get(ID).unwrap().phase
}

fn happened<T: Config>(event: Event<T>) {
    frame_system::Pallet::<T>::assert_has_event(event.into());
}

/// All but the last are `others`.
fn last_of(count: u32, last: Work, others: Work) -> impl Fn(u32) -> Work {
    move |n| if n + 1 == count { last } else { others }
}

/// Everybody's duty is over, whoever was slashed and whoever was paid.
fn duties_are_over<T: Config>(operators: &[T::AccountId], paid: usize, slashed: usize) {
    let records: Vec<_> = operators.iter().map(|who| Operators::<T>::get(who).unwrap()).collect();
    assert!(records.iter().all(|operator| operator.duties.role_in(ID).is_none()));
    assert_eq!(records.iter().filter(|operator| !operator.earned.is_zero()).count(), paid);
    assert_eq!(records.iter().filter(|operator| !operator.slashed.is_zero()).count(), slashed);
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn register_model() -> Result<(), BenchmarkError> {
        let origin = T::ModelOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        let name = vec![b'm'; T::MaxNameLength::get() as usize];
        let longest = T::MaxWindow::get();
        let windows = Windows { commit: longest, reveal: longest };
        #[extrinsic_call]
        _(
            origin as T::RuntimeOrigin,
            evaluator(),
            ModelKind::Evaluator,
            name,
            Price::default(),
            windows,
            Reward::default(),
            0,
        );
        assert!(Models::<T>::contains_key(evaluator()));
        Ok(())
    }

    #[benchmark]
    fn retire_model() -> Result<(), BenchmarkError> {
        let origin = T::ModelOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        store_model::<T>(evaluator(), ModelKind::Evaluator);
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, evaluator());
        assert!(Models::<T>::get(evaluator()).unwrap().retired);
        Ok(())
    }

    #[benchmark]
    fn bond() {
        let who = store_busy_operator::<T>(true);
        let amount = EconomicParameters::<T>::get().min_stake;
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), amount);
        happened::<T>(Event::Bonded { operator: who.clone(), amount });
        assert_eq!(places_of::<T>(&who), T::MaxModelsPerOperator::get());
    }

    /// All models and the worker key change, and in all rosters somebody makes room.
    #[benchmark]
    fn register() {
        let who = store_busy_operator::<T>(true);
        let key =
            <T::WorkerCrypto as AppCrypto<T::Public, T::Signature>>::RuntimeAppPublic::generate_pair(None);
        let key: <T::WorkerCrypto as AppCrypto<T::Public, T::Signature>>::GenericPublic = key.into();
        let key: T::Public = key.into();
        let worker = key.clone().into_account();
        let agreed = worker_consent(&duties::genesis_hash::<T>(), &who);
        let consent = T::WorkerCrypto::sign(&agreed, key);
        assert!(consent.is_some());
        let models: Vec<_> =
            (0..T::MaxModelsPerOperator::get()).map(|n| model_id(ModelKind::Evaluator, n)).collect();
        for model in &models {
            store_model::<T>(*model, ModelKind::Evaluator);
            full_roster::<T>(*model, &[]);
        }
        let models = BoundedVec::truncate_from(models);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), worker.clone(), models.clone(), consent);
        assert_eq!(Workers::<T>::get(&worker), Some(who.clone()));
        assert_eq!(Operators::<T>::get(&who).unwrap().models, models);
        assert_eq!(places_of::<T>(&who), T::MaxModelsPerOperator::get());
    }

    #[benchmark]
    fn chill() {
        let who = store_busy_operator::<T>(true);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert!(Operators::<T>::get(&who).unwrap().chilled);
        let away = Rosters::<T>::iter_values().filter(|roster| roster.iter().any(|c| c.away.is_some()));
        assert_eq!(away.count() as u32, T::MaxModelsPerOperator::get());
    }

    #[benchmark]
    fn resume() {
        let who = store_busy_operator::<T>(false);
        Operators::<T>::mutate(&who, |operator| operator.as_mut().unwrap().chilled = true);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert!(!Operators::<T>::get(&who).unwrap().chilled);
        assert_eq!(places_of::<T>(&who), T::MaxModelsPerOperator::get());
    }

    #[benchmark]
    fn set_capacity() {
        let who = store_operator::<T>("operator", 0, &[evaluator()]);
        let capacity = Workload { tokens: 7, pairs: 8 };
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), capacity);
        assert_eq!(Operators::<T>::get(&who).unwrap().capacity, Some(capacity));
    }

    #[benchmark]
    fn unbond() {
        let who = store_busy_operator::<T>(true);
        let amount = EconomicParameters::<T>::get().min_stake;
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()), amount);
        let operator = Operators::<T>::get(&who).unwrap();
        assert_eq!(operator.stake, stake::<T>().saturating_sub(amount));
        assert_eq!(operator.unbonding.unwrap().amount, amount.saturating_mul(2u32.into()));
        assert_eq!(places_of::<T>(&who), T::MaxModelsPerOperator::get());
    }

    /// All of it, so that the operator is forgotten.
    #[benchmark]
    fn withdraw() {
        frame_system::Pallet::<T>::set_block_number(now::<T>());
        let who = store_busy_operator::<T>(false);
        let worker = worker_of::<T>(&who);
        let all = EconomicParameters::<T>::get().min_stake.saturating_add(stake::<T>());
        Operators::<T>::mutate(&who, |operator| {
            let operator = operator.as_mut().unwrap();
            operator.stake = Zero::zero();
            operator.unbonding = Some(Unbonding { amount: all, at: now::<T>() });
            operator.duties = Default::default();
        });
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert!(!Operators::<T>::contains_key(&who));
        assert!(!Workers::<T>::contains_key(&worker));
    }

    #[benchmark]
    fn request_inference(
        b: Linear<1, { T::MaxPromptLength::get() }>,
        g: Linear<1, { T::MaxModelsPerRequest::get() }>,
    ) -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::of_models(g, 0, 0);
        let (responders, committee) = (T::MaxResponders::get(), T::MaxCommittee::get());
        let needs = asking::estimate::<T>(&scene.request.generators, &evaluator(), 1, responders, committee)?;
        let terms = Terms {
            generators: scene.request.generators.clone(),
            evaluator: evaluator(),
            sampling: scene.request.sampling,
            responders,
            committee,
            min_quality: Permill::zero(),
            budget: needs.total(),
            audit: [0; 32],
        };
        let requester = scene.request.requester;
        fund::<T>(&requester, needs.total().saturating_mul(2u32.into()));
        let prompt = vec![b'p'; b as usize];
        #[extrinsic_call]
        _(RawOrigin::Signed(requester.clone()), prompt, terms);
        assert_eq!(Prompts::<T>::get(0).len(), b as usize);
        assert!(Agenda::<T>::contains_key(phases::first_draw::<T>(now::<T>()), 0));
        happened::<T>(Event::Requested { request: 0, requester, budget: needs.total() });
        Ok(())
    }

    #[benchmark]
    fn report_output_commitment() {
        let n = T::MaxResponders::get();
        let scene = Scene::<T>::new(n, 1).open(Phase::Answering { until: later::<T>() }).answered(last_of(
            n,
            Work::Pending,
            COMMITTED,
        ));
        let worker = worker_of::<T>(scene.nodes.last().unwrap());
        let reports = report::<T>(ReportKind::CommitOutput { commitment: [9; 32] });
        #[block]
        {
            check_and_report::<T>(&worker, reports);
        }
        assert_eq!(outcome::<T>(false), (COMMITTED, true));
    }

    #[benchmark]
    fn report_output(b: Linear<1, { T::MaxOutputLength::get() }>) {
        let n = T::MaxResponders::get();
        let scene = Scene::<T>::new(n, 1).open(Phase::RevealingAnswers { until: later::<T>() });
        let node = scene.nodes.last().unwrap().clone();
        let output = BoundedVec::truncate_from(vec![b'a'; b as usize]);
        let commitment = binding::<T, _>(&node, |binding| binding.output(&output, &SALT));
        scene.answered(last_of(n, Work::Committed(commitment), Work::Revealed));
        let reports = report::<T>(ReportKind::RevealOutput { output, salt: SALT });
        let worker = worker_of::<T>(&node);
        #[block]
        {
            check_and_report::<T>(&worker, reports);
        }
        assert_eq!(outcome::<T>(false), (Work::Revealed, true));
        assert_eq!(Outputs::<T>::get(ID, n - 1).len(), b as usize);
    }

    #[benchmark]
    fn report_scores_commitment(k: Linear<1, { T::MaxCommittee::get() }>) {
        let n = T::MaxResponders::get();
        let scene = Scene::<T>::new(n, k)
            .open(Phase::Scoring { until: later::<T>() })
            .answered(|_| Work::Revealed)
            .scored(last_of(k, Work::Pending, COMMITTED));
        let worker = worker_of::<T>(scene.scorers.last().unwrap());
        let reports = report::<T>(ReportKind::CommitScores { commitment: [9; 32] });
        #[block]
        {
            check_and_report::<T>(&worker, reports);
        }
        assert_eq!(outcome::<T>(true), (COMMITTED, true));
    }

    #[benchmark]
    fn report_scores(k: Linear<1, { T::MaxCommittee::get() }>) {
        let n = T::MaxResponders::get();
        let scene = Scene::<T>::new(n, k)
            .open(Phase::RevealingScores { until: later::<T>() })
            .answered(|_| Work::Revealed);
        let scorer = scene.scorers.last().unwrap().clone();
        let scores = BoundedVec::truncate_from(vec![Permill::one(); n as usize]);
        let commitment = binding::<T, _>(&scorer, |binding| binding.scores(&scores, &SALT));
        scene.scored(last_of(k, Work::Committed(commitment), Work::Revealed));
        let reports = report::<T>(ReportKind::RevealScores { scores: scores.clone(), salt: SALT });
        let worker = worker_of::<T>(&scorer);
        #[block]
        {
            check_and_report::<T>(&worker, reports);
        }
        assert_eq!(outcome::<T>(true), (Work::Revealed, true));
        assert_eq!(Committees::<T>::get(ID, 0).last().unwrap().scores, scores);
    }

    /// By a quality validator when all others have committed: no other part of a request is larger.
    #[benchmark]
    fn report_failure() {
        let (n, k) = (T::MaxResponders::get(), T::MaxCommittee::get());
        let scene = Scene::<T>::new(n, k)
            .open(Phase::Scoring { until: later::<T>() })
            .answered(|_| Work::Revealed)
            .scored(last_of(k, Work::Pending, COMMITTED));
        let worker = worker_of::<T>(scene.scorers.last().unwrap());
        let reason = FailureReason::Internal;
        let reports = report::<T>(ReportKind::Fail { reason });
        #[block]
        {
            check_and_report::<T>(&worker, reports);
        }
        assert_eq!(outcome::<T>(true), (Work::Failed(reason), true));
    }

    #[benchmark]
    fn set_parameters() -> Result<(), BenchmarkError> {
        let origin = T::ParameterOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        let mut parameters = T::DefaultParameters::get();
        parameters.fee = Permill::from_percent(7);
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, parameters);
        assert_eq!(EconomicParameters::<T>::get(), parameters);
        Ok(())
    }

    /// All `k` of two committees were grossly wrong, because a slash costs more than a compensation, and pay the inference nodes
    /// what they were not paid. The reference answer and the decoys are such that take long not to be found.
    #[benchmark]
    fn reveal_audit(
        n: Linear<1, { T::MaxResponders::get() }>,
        k: Linear<1, { 2 * T::MaxCommittee::get() }>,
    ) -> Result<(), BenchmarkError> {
        let origin = T::AuditOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        EconomicParameters::<T>::mutate(|parameters| {
            parameters.audit_allowance = parameters.min_stake.saturating_mul(u32::MAX.into());
        });
        let mut reference = full::<T::MaxReferenceLength>(b'a');
        *reference.last_mut().unwrap() = b'b';
        let decoys = BoundedVec::truncate_from(vec![reference.clone(); T::MaxDecoys::get() as usize]);
        let (right, wrong) = (Permill::one(), Permill::one());
        let key: AnswerKeyOf<T> = AnswerKey { reference, decoys, right, wrong };
        let mut scene = Scene::<T>::new(n, k);
        let prompt = full::<T::MaxPromptLength>(b'p');
        let genesis = duties::genesis_hash::<T>();
        let sealed = commitment::answer_key(&genesis, &scene.request.requester, &prompt, &key, &SALT);
        scene.request.audit = Audit::Sealed(sealed);
        scene.request.round = 1;
        let scene = scene
            .open(Phase::Settled { at: now::<T>(), best: 0 })
            .answered(|_| Work::Revealed)
            .with_outputs()
            .scored(|_| Work::Revealed);
        let first = scene.scorers.iter().skip(T::MaxCommittee::get() as usize);
        let first = first.map(|who| scene.member(who.clone(), Work::NotRevealed, 0)).collect::<Vec<_>>();
        Committees::<T>::insert(ID, 0, BoundedVec::truncate_from(first));
        Committees::<T>::mutate(ID, 1, |committee| {
            for member in committee.iter_mut() {
                member.scores.iter_mut().for_each(|score| *score = Permill::zero());
            }
        });
        let before: Vec<_> = scene.nodes.iter().map(T::Currency::balance).collect();
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, ID, key, SALT);
        assert_eq!(Requests::<T>::get(ID).unwrap().audit, Audit::Revealed);
        let record = |who| Operators::<T>::get(who).unwrap();
        assert!(scene.scorers.iter().all(|who| !record(who).slashed.is_zero()));
        assert!(scene.nodes.iter().zip(before).all(|(who, before)| T::Currency::balance(who) > before));
        Ok(())
    }

    #[benchmark]
    fn agenda_block() {
        AgendaCursor::<T>::put(now::<T>());
        let mut meter = WeightMeter::new();
        #[block]
        {
            assert!(!Agenda::<T>::contains_key(now::<T>(), ID));
            steps::service::<T>(now::<T>(), When::BeforeTransactions, &mut meter);
        }
        assert_eq!(AgendaCursor::<T>::get(), Some(now::<T>()));
    }

    /// A request for whose step there is no room.
    #[benchmark]
    fn agenda_item() {
        let n = T::MaxResponders::get();
        Scene::<T>::new(n, T::MaxCommittee::get()).due(Phase::RevealingScores { until: now::<T>() });
        let mut meter = WeightMeter::with_limit(T::WeightInfo::agenda_item());
        #[block]
        {
            assert!(Agenda::<T>::contains_key(now::<T>(), ID));
            let when = When::BeforeTransactions;
            assert!(!steps::service_block::<T>(now::<T>(), now::<T>(), when, &mut meter));
        }
        // The second look for an item was measured, too, and is not charged: the next item is charged with it.
        assert_eq!(meter.remaining(), T::DbWeight::get().reads(1));
        assert!(matches!(phase::<T>(), Phase::RevealingScores { .. }));
    }

    /// `l` whose stake is gone or who are busy come up first. A draw is cut short when as many are poor as are wanted, so `n` is at
    /// least so large that this does not depend on it.
    #[benchmark]
    fn draw_inference_nodes(
        c: Linear<
            { T::MaxResponders::get() + SPARE_LOOKS },
            { T::MaxOperatorsPerModel::get() * T::MaxModelsPerRequest::get() },
        >,
        n: Linear<{ T::MaxResponders::get().min(SPARE_LOOKS / 2 + 1) }, { T::MaxResponders::get() }>,
        l: Linear<0, { SPARE_LOOKS }>,
    ) {
        let poor = before_a_draw::<T>(T::MaxModelsPerRequest::get(), c, n, l);
        #[block]
        {
            draw::<T>();
        }
        after_a_draw::<T>(c, n, poor);
    }

    /// As before, all with the same model.
    #[benchmark]
    fn draw_inference_nodes_of_one_model(
        c: Linear<{ T::MaxResponders::get() + SPARE_LOOKS }, { T::MaxOperatorsPerModel::get() }>,
        n: Linear<1, { T::MaxResponders::get() }>,
        l: Linear<0, { SPARE_LOOKS }>,
    ) {
        let poor = before_a_draw::<T>(1, c, n, l);
        #[block]
        {
            draw::<T>();
        }
        after_a_draw::<T>(c, n, poor);
    }

    #[benchmark]
    fn close_answering(n: Linear<1, { T::MaxResponders::get() }>) {
        Scene::<T>::new(n, 0).due(Phase::Answering { until: now::<T>() }).answered(last_of(
            n,
            COMMITTED,
            Work::Pending,
        ));
        #[block]
        {
            step::<T>();
        }
        assert!(matches!(phase::<T>(), Phase::RevealingAnswers { .. }));
    }

    #[benchmark]
    fn close_revealing_answers(n: Linear<1, { T::MaxResponders::get() }>) {
        Scene::<T>::new(n, 0).due(Phase::RevealingAnswers { until: now::<T>() }).answered(last_of(
            n,
            Work::Revealed,
            COMMITTED,
        ));
        #[block]
        {
            step::<T>();
        }
        assert_eq!(phase::<T>(), Phase::Selecting);
    }

    /// `l` whose stake is gone or who are busy come up first.
    #[benchmark]
    fn draw_committee(
        c: Linear<
            { (T::MaxCommittee::get() + SPARE_LOOKS).min(T::MaxOperatorsPerModel::get()) },
            { T::MaxOperatorsPerModel::get() },
        >,
        k: Linear<1, { T::MaxCommittee::get() }>,
        l: Linear<0, { SPARE_LOOKS }>,
    ) {
        let poor = before_a_committee(|scene: Scene<T>| scene, c, k, l);
        #[block]
        {
            draw_members::<T>();
        }
        after_a_committee::<T>(0, c, k, poor);
    }

    /// The second committee: everybody in the first, the largest there can be, was silent.
    #[benchmark]
    fn draw_committee_again(
        c: Linear<
            { (T::MaxCommittee::get() + SPARE_LOOKS).min(T::MaxOperatorsPerModel::get()) },
            { T::MaxOperatorsPerModel::get() },
        >,
        k: Linear<1, { T::MaxCommittee::get() }>,
        l: Linear<0, { SPARE_LOOKS }>,
    ) {
        let poor = before_a_committee(Scene::<T>::last_round, c, k, l);
        #[block]
        {
            draw_members::<T>();
        }
        after_a_committee::<T>(1, c, k, poor);
    }

    #[benchmark]
    fn close_scoring(k: Linear<1, { T::MaxCommittee::get() }>) {
        let absent = k - phases::quorum(k) as u32;
        Scene::<T>::new(1, k)
            .due(Phase::Scoring { until: now::<T>() })
            .answered(|_| Work::Revealed)
            .scored(|n| if n < absent { Work::Pending } else { COMMITTED });
        #[block]
        {
            step::<T>();
        }
        assert!(matches!(phase::<T>(), Phase::RevealingScores { .. }));
    }

    #[benchmark]
    fn settle(n: Linear<1, { T::MaxResponders::get() }>, k: Linear<1, { T::MaxCommittee::get() }>) {
        let scene = before_settling::<T>(T::MaxModelsPerRequest::get(), n, k);
        #[block]
        {
            step::<T>();
        }
        after_settling(&scene);
    }

    #[benchmark]
    fn settle_of_one_model(
        n: Linear<1, { T::MaxResponders::get() }>,
        k: Linear<1, { T::MaxCommittee::get() }>,
    ) {
        let scene = before_settling::<T>(1, n, k);
        #[block]
        {
            step::<T>();
        }
        after_settling(&scene);
    }

    /// As many are absent as leave a response and a quorum.
    #[benchmark]
    fn settle_with_absentees(
        n: Linear<1, { T::MaxResponders::get() }>,
        k: Linear<1, { T::MaxCommittee::get() }>,
    ) {
        let quorum = phases::quorum(k);
        let scene = Scene::<T>::new(n, k)
            .due(Phase::RevealingScores { until: now::<T>() })
            .answered(last_of(n, Work::Revealed, Work::NotRevealed))
            .scored(|n| if (n as usize) < quorum { Work::Revealed } else { COMMITTED });
        #[block]
        {
            step::<T>();
        }
        assert!(matches!(phase::<T>(), Phase::Settled { .. }));
        duties_are_over::<T>(&scene.nodes, 1, n as usize - 1);
        duties_are_over::<T>(&scene.scorers, quorum, k as usize - quorum);
    }

    #[benchmark]
    fn dismiss_committee(k: Linear<1, { T::MaxCommittee::get() }>) {
        let scene = Scene::<T>::new(T::MaxResponders::get(), k)
            .due(Phase::RevealingScores { until: now::<T>() })
            .answered(|_| Work::Revealed)
            .scored(|_| COMMITTED);
        #[block]
        {
            step::<T>();
        }
        assert_eq!(phase::<T>(), Phase::Selecting);
        duties_are_over::<T>(&scene.scorers, 0, k as usize);
    }

    /// The last committee is silent, or (`k` of 0) there was none because no output was revealed. All others are absent too:
    /// a slash costs more than a payment.
    #[benchmark]
    fn refund(n: Linear<1, { T::MaxResponders::get() }>, k: Linear<0, { T::MaxCommittee::get() }>) {
        let last = if k == 0 { Work::NotRevealed } else { Work::Revealed };
        let scene = Scene::<T>::new(n, k)
            .last_round()
            .due(Phase::RevealingScores { until: now::<T>() })
            .answered(last_of(n, last, Work::NotRevealed))
            .scored(|_| COMMITTED);
        #[block]
        {
            step::<T>();
        }
        assert!(matches!(phase::<T>(), Phase::Refunded { .. }));
        let revealed = usize::from(k > 0);
        duties_are_over::<T>(&scene.nodes, revealed, n as usize - revealed);
        duties_are_over::<T>(&scene.scorers, 0, k as usize);
    }

    #[benchmark]
    fn prune(n: Linear<1, { T::MaxResponders::get() }>) {
        Scene::<T>::new(n, T::MaxCommittee::get())
            .last_round()
            .due(Phase::Settled { at: now::<T>(), best: 0 })
            .answered(|_| Work::Revealed)
            .with_outputs()
            .scored(|_| Work::Revealed);
        #[block]
        {
            step::<T>();
        }
        assert!(!Requests::<T>::contains_key(ID));
        assert!(!Prompts::<T>::contains_key(ID));
        assert_eq!(Outputs::<T>::iter_prefix(ID).count(), 0);
        assert_eq!(Committees::<T>::iter_prefix(ID).count(), 0);
        assert!(!Agenda::<T>::contains_key(now::<T>(), ID));
    }

    /// Not a step of its own: the same settlement among `o` other open requests, to show that it costs the same.
    #[benchmark]
    fn settle_among_open(o: Linear<0, 1_000>) {
        let (n, k) = (T::MaxResponders::get(), T::MaxCommittee::get());
        let scene = before_settling::<T>(T::MaxModelsPerRequest::get(), n, k);
        for other in (0..).map(|n| ID + 1 + n).take(o as usize) {
            Requests::<T>::insert(other, scene.request.clone());
            Agenda::<T>::insert(now::<T>(), other, ());
        }
        OpenRequests::<T>::put(o + 1);
        #[block]
        {
            step::<T>();
        }
        after_settling(&scene);
        assert_eq!(OpenRequests::<T>::get(), o);
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::storage_with_keys(), crate::mock::Test);
}
