//! Random operators, requesters, adversaries, auditors, governors and block gaps: whatever they do, the invariants hold after
//! each transition, every request closes, and the money adds up to the unit.
//!
//! A transition is a call that was accepted, or a block. Calls that are refused change nothing and do not count. The full run
//! takes [`FULL`] of them; `POQ_QUICK=1` takes [`QUICK`]. The walks are the same each time; `POQ_SEED` (a number) takes
//! others. A walk that fails is shrunk to the shortest that does.

use crate::{mock::*, *};
use frame_support::{
    storage::with_storage_layer,
    traits::Hooks,
    weights::{Weight, WeightMeter},
};
use poq_primitives::{commitment, commitment::Binding, job::FailureReason};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner},
};
use sp_runtime::{DispatchError, DispatchResult, FixedU64, Permill};
use std::collections::BTreeMap;

const FULL: u64 = 100_000;
const QUICK: u64 = 5_000;

/// Threads that walk, each on its own chain and with its own seed.
const SHARDS: u64 = 4;

/// Who may become an operator: those of the genesis block, and one more.
const OPERATORS: [u64; 14] = [1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 52];

/// Who asks: two requesters, an inference node and a quality validator.
const ASKERS: [u64; 4] = [50, 51, 1, 11];

const PROMPT: &[u8] = b"capital of Peru?";

#[derive(Clone, Debug)]
enum Move {
    Ask {
        by: usize,
        responders: u32,
        committee: u32,
        extra: Balance,
        min_quality: u32,
        mask: u8,
        judge: usize,
        audit: bool,
    },
    /// Everybody but those `away` does all that is due of it, in batches.
    Shift {
        away: u16,
    },
    /// The operator of an open duty does something with it.
    Work {
        pick: usize,
        how: How,
    },
    Bond {
        who: usize,
        amount: Balance,
    },
    Unbond {
        who: usize,
        amount: Balance,
    },
    UnbondAll {
        who: usize,
    },
    Withdraw {
        who: usize,
    },
    Chill {
        who: usize,
    },
    Capacity {
        who: usize,
        /// Of 10 tokens, and as many pairs.
        answers: u32,
    },
    /// All of one kind chill at once.
    Exodus {
        scorers: bool,
    },
    /// Bonds what is missing, registers if it has to, resumes if it can.
    Return {
        who: usize,
    },
    Register {
        who: usize,
        mask: u8,
        key: u64,
    },
    NewModel {
        kind: bool,
        commit: u64,
        reveal: u64,
        alpha: u32,
        beta: u32,
    },
    Retire {
        pick: usize,
    },
    Noise {
        percent: u32,
    },
    Parameters(Box<ParametersOf<Test>>),
    Cancel {
        by: usize,
        pick: usize,
    },
    RevealAudit {
        pick: usize,
        how: u8,
    },
    Advance {
        pick: usize,
    },
    Seeds {
        kind: u8,
    },
    Blocks {
        count: u64,
        room: u64,
    },
    /// Blocks of which the pallet sees only the last.
    Gap {
        blocks: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Honestly,
    Fails,
    /// Shows what it has not committed to.
    WrongReveal,
    /// Commits to what somebody else has committed to.
    Copies,
    /// Reports the same thing in two calls, or in one batch.
    Twice,
    /// Reports on a request in which it, or another, has no part, or has none any more.
    Foreign,
    /// Does the work of the other role.
    OtherRole,
    /// Commits to one score too many, and shows them.
    TooManyScores,
}

fn parameters() -> impl Strategy<Value = Move> {
    let money = (
        prop_oneof![Just(500u128), Just(1_000), Just(1_500)],
        1u32..=10,
        prop_oneof![Just(0u128), Just(100), Just(700), Just(3_000)],
    );
    let times = (1u64..=30, 1u64..=20);
    let parts = (0u32..=50, 0u32..=100, 1u32..=100, 1u32..=30, 0u32..=50, 1u32..=25, 0u32..=50);
    (money, times, parts, 1u32..8, any::<bool>()).prop_map(|(money, times, parts, spreads, low)| {
        let percent = Permill::from_percent;
        let recommended = Parameters::recommended(1_000, 100, 10, 1_000, 20, 10);
        Move::Parameters(Box::new(Parameters {
            min_stake: money.0,
            stake_cap: money.1,
            absence_slash: money.2,
            audit_window: times.0,
            unbonding_period: times.0 + times.1,
            fee: percent(parts.0),
            audit_slash: percent(parts.1),
            gross_error: percent(parts.2),
            tolerance_spreads: spreads,
            tolerance_least: percent(parts.3),
            tolerance_most: percent(parts.3 + parts.4),
            rise: percent(parts.5),
            fall: percent(parts.5 + parts.6),
            audit_rise: percent(parts.5),
            audit_fall: percent(parts.5 + parts.6),
            base_pay: percent(parts.3),
            waiting_fee: 10 * Balance::from(parts.3),
            min_committee: 1 + u32::from(low),
            audit_allowance: if low { 1_000 } else { 1_000_000 },
            floor: recommended.floor,
        }))
    })
}

fn steps() -> impl Strategy<Value = Vec<Move>> {
    let who = 0..OPERATORS.len();
    let pick = 0usize..1_000;
    let how = prop_oneof![
        4 => Just(How::Honestly),
        2 => Just(How::Fails),
        4 => Just(How::WrongReveal),
        3 => Just(How::Copies),
        1 => Just(How::Twice),
        1 => Just(How::Foreign),
        1 => Just(How::OtherRole),
        2 => Just(How::TooManyScores),
    ];
    let ask = (
        (0..ASKERS.len(), prop_oneof![3 => 1u32..=2, 1 => 1u32..=4], 1u32..=7, -500i64..8_000),
        (prop_oneof![Just(0u32), 1u32..60], any::<u8>(), pick.clone(), any::<bool>()),
    );
    let step = prop_oneof![
        12 => ask.prop_map(|((by, responders, committee, extra), (min_quality, mask, judge, audit))| {
            let extra = extra as Balance;
            Move::Ask { by, responders, committee, extra, min_quality, mask, judge, audit }
        }),
        // Mostly nobody or few are away, at times nearly all.
        24 => prop_oneof![2 => Just(0u16), 4 => (0u32..14, 0u32..14).prop_map(|(a, b)| 1 << a | 1 << b), 1 => any::<u16>()]
            .prop_map(|away| Move::Shift { away }),
        18 => (pick.clone(), how).prop_map(|(pick, how)| Move::Work { pick, how }),
        2 => (who.clone(), 0u128..2_000).prop_map(|(who, amount)| Move::Bond { who, amount }),
        2 => (who.clone(), 0u128..2_000).prop_map(|(who, amount)| Move::Unbond { who, amount }),
        1 => who.clone().prop_map(|who| Move::UnbondAll { who }),
        2 => who.clone().prop_map(|who| Move::Withdraw { who }),
        1 => who.clone().prop_map(|who| Move::Chill { who }),
        2 => (who.clone(), prop_oneof![0u32..4, Just(100)]).prop_map(|(who, answers)| Move::Capacity { who, answers }),
        12 => who.clone().prop_map(|who| Move::Return { who }),
        1 => any::<bool>().prop_map(|scorers| Move::Exodus { scorers }),
        2 => (who, any::<u8>(), 0u64..3).prop_map(|(who, mask, key)| Move::Register { who, mask, key }),
        1 => (any::<bool>(), 1u64..=4, 1u64..=3, 50u32..=200, 0u32..=100)
            .prop_map(|(kind, commit, reveal, alpha, beta)| Move::NewModel { kind, commit, reveal, alpha, beta }),
        1 => pick.clone().prop_map(|pick| Move::Retire { pick }),
        1 => (0u32..=25).prop_map(|percent| Move::Noise { percent }),
        1 => (0..ASKERS.len(), pick.clone()).prop_map(|(by, pick)| Move::Cancel { by, pick }),
        2 => parameters(),
        6 => (pick.clone(), prop_oneof![4 => Just(0u8), 1 => Just(1), 1 => Just(2)])
            .prop_map(|(pick, how)| Move::RevealAudit { pick, how }),
        3 => pick.prop_map(|pick| Move::Advance { pick }),
        2 => prop_oneof![3 => Just(0u8), 1 => Just(1), 1 => Just(2)].prop_map(|kind| Move::Seeds { kind }),
        14 => (1u64..4, prop_oneof![6 => Just(u64::MAX), 1 => 0u64..1_000])
            .prop_map(|(count, room)| Move::Blocks { count, room }),
        1 => (2u64..40).prop_map(|blocks| Move::Gap { blocks }),
    ];
    prop::collection::vec(step, 200..400)
}

/// What the walks came past, so that they cannot quietly become trivial.
const SIGHTS: &[&str] = &[
    // Phases.
    "Answering",
    "RevealingAnswers",
    "Selecting",
    "Scoring",
    "RevealingScores",
    "Settled",
    // Refunds.
    "NoRandomness",
    "NoInferenceNode",
    "NoCommitment",
    "NoOutput",
    "NoCommittee",
    "NoQuorum",
    // Slashes.
    "slashed: NotCommitted",
    "slashed: NotRevealed",
    "slashed: GrossError",
    // Outcomes.
    "Paid",
    "BelowMinQuality",
    "Disagreed",
    "Failed",
    "Refunded",
    "Dismissed",
    // Other events.
    "forgone",
    "second committee",
    "stale round",
    "compensated",
    "audited",
    "pruned",
    "withdrawn",
    "parameters",
    "model",
    "retired",
    "batch",
    "advanced",
    "full stakes gone",
    // Refusals.
    "AlreadyCommitted",
    "AlreadyDone",
    "AuditMismatch",
    "AuditTooLate",
    "NotDue",
    "NotEnoughInferenceNodes",
    "NotEnoughQualityValidators",
    "NotRequester",
    "NotSettled",
    "NotWaiting",
    "NotYourDuty",
    "NothingToWithdraw",
    "RemainderTooSmall",
    "RevealMismatch",
    "StakeTooSmall",
    "TooEarly",
    "TooLate",
];

/// What takes longer walks to come past: for the full run only.
const RARE_SIGHTS: &[&str] = &[
    "AlreadyAudited",
    "BudgetTooSmall",
    "Busy",
    "Cancelled",
    "NotEnoughStake",
    "OpenDuties",
    "TooSlow",
    "UnorderedReports",
    "WrongNumberOfScores",
];

/// The first word of how something prints: its variant.
fn name(thing: impl core::fmt::Debug) -> String {
    let text = format!("{thing:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().into()
}

fn lima() -> AnswerKeyOf<Test> {
    let reference = b"Lima".to_vec().try_into().unwrap();
    AnswerKey {
        reference,
        decoys: Default::default(),
        right: Permill::from_percent(95),
        wrong: Permill::from_percent(5),
    }
}

/// What a walk came past, and how often.
type Sights = BTreeMap<String, u64>;

/// One chain and what the walk knows of it.
#[derive(Default)]
struct Walk {
    issued: Balance,
    transitions: u64,
    sights: Sights,
    /// Budgets of the requests that are open.
    open: BTreeMap<RequestId, Balance>,
    /// Requests that carry the key of [`lima`].
    audits: Vec<RequestId>,
    models: u8,
}

impl Walk {
    /// What must hold after each transition.
    fn check(&mut self) {
        self.transitions += 1;
        invariants::check::<Test>().unwrap();
        let issued = pallet_balances::TotalIssuance::<Test>::get();
        assert_eq!(self.issued, issued + Slashed::get() + Fees::get(), "money came or went");
        assert_eq!(OpenRequests::<Test>::get() as usize, self.open.len());
    }

    fn see(&mut self, sight: impl Into<String>) {
        *self.sights.entry(sight.into()).or_default() += 1;
    }

    /// A call as a transaction makes it: all or nothing.
    fn call(&mut self, call: impl FnOnce() -> DispatchResult) -> DispatchResult {
        let result = with_storage_layer(call);
        match result {
            Ok(()) => {
                self.watch();
                self.check();
            }
            Err(DispatchError::Module(error)) => self.see(error.message.unwrap_or_default()),
            Err(other) => self.see(name(other)),
        }
        result
    }

    /// Looks at the events since the last look and forgets them, so that a walk does not slow down as they pile up.
    fn watch(&mut self) {
        for event in events() {
            match event {
                Event::Requested { request, budget, .. } => {
                    assert_eq!(self.open.insert(request, budget), None);
                }
                Event::PhaseEntered { phase, .. } => self.see(name(phase)),
                Event::CommitteeDrawn { round: 1, .. } => self.see("second committee"),
                Event::Settled { request, best, quality, paid, fee, refund } => {
                    assert_eq!(self.open.remove(&request), Some(paid + fee + refund), "request {request}");
                    let stored = Requests::<Test>::get(request).unwrap();
                    let responses = Responses::<Test>::get(request);
                    let members = Committees::<Test>::get(request, stored.round);
                    let parts = responses.iter().map(|r| r.paid).chain(members.iter().map(|m| m.paid));
                    assert_eq!(parts.sum::<Balance>(), paid, "request {request}");
                    assert_eq!(responses[best as usize].quality, Some(quality));
                    let most = |r: &Response<Test>| stored.price_of(&r.model) + stored.bonus;
                    assert!(responses.iter().all(|r| r.paid <= most(r)));
                    assert!(members.iter().all(|m| m.paid <= stored.member_share()));
                    if Forgone::<Test>::iter_keys().next().is_some() {
                        self.see("forgone");
                    }
                }
                Event::Refunded { request, reason, paid, fee, refund } => {
                    assert_eq!(self.open.remove(&request), Some(paid + fee + refund), "request {request}");
                    self.see(name(reason));
                }
                Event::Slashed { operator, reason, .. } => {
                    self.see(format!("slashed: {}", name(reason)));
                    if held(operator_number(&operator)) == 0 {
                        self.see("full stakes gone");
                    }
                }
                Event::Compensated { who, .. } => {
                    assert!(OPERATORS.contains(&account_index(&who)), "a requester gains by no slash");
                    self.see("compensated");
                }
                Event::Displaced { .. } => self.see("displaced"),
                Event::DutyClosed { duty, .. } => self.see(name(duty.outcome)),
                Event::AuditRevealed { .. } => self.see("audited"),
                Event::Pruned { .. } => self.see("pruned"),
                Event::Withdrawn { .. } => self.see("withdrawn"),
                Event::ParametersSet { .. } => self.see("parameters"),
                Event::ModelRegistered { .. } => self.see("model"),
                Event::ModelRetired { .. } => self.see("retired"),
                Event::Unexpected { kind } => panic!("unexpected: {kind:?}"),
                _ => {}
            }
        }
        System::reset_events();
    }

    fn block(&mut self, by: u64, room: u64) {
        let now = System::block_number();
        let room = Weight::from_parts(room, 0);
        Poq::on_idle(now, room);
        self.watch();
        self.check();
        System::set_block_number(now + by);
        Poq::on_poll(now + by, &mut WeightMeter::with_limit(room));
        self.watch();
        self.check();
    }

    /// Reports as the operator's worker key signs them. Free exactly when they are accepted.
    fn report(&mut self, n: u64, reports: Vec<ReportOf<Test>>) -> DispatchResult {
        let worker = Operators::<Test>::get(account(n)).and_then(|operator| operator.worker);
        let origin = RuntimeOrigin::signed(worker.unwrap_or(worker_of_nobody()));
        let reports: ReportsOf<Test> = reports.try_into().unwrap();
        let free = reports::is_due_and_valid::<Test>(&origin, &reports);
        let result =
            self.call(|| Poq::report_work(origin, reports).map(|_| ()).map_err(|refused| refused.error));
        assert_eq!(free, result.is_ok());
        result
    }

    fn ask(&mut self, ask: &Move) {
        let Move::Ask { by, responders, committee, extra, min_quality, mask, judge, audit } = ask.clone()
        else {
            return;
        };
        let live = |kind| {
            let mut live: Vec<_> =
                Models::<Test>::iter().filter(|(_, m)| m.kind == kind && !m.retired).collect();
            live.sort_by_key(|(id, _)| *id);
            live.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        let mut generators = live(ModelKind::Generator);
        let all = generators.clone();
        let mut place = 0;
        generators.retain(|_| {
            place += 1;
            mask >> (place % 8) & 1 == 0
        });
        if generators.is_empty() {
            generators = all;
        }
        generators.truncate(3);
        let judges = live(ModelKind::Evaluator);
        // The first, which everybody knows, more often than not.
        let evaluator = judges[(judge % (2 * judges.len())).saturating_sub(judges.len())];
        let estimate = Poq::estimate_budget(generators.clone(), evaluator, 10, responders, committee);
        let budget = estimate.map_or(0, |estimate| estimate.total()).wrapping_add(extra);
        let key = lima();
        let who = account(ASKERS[by]);
        let audit = if audit {
            commitment::answer_key(&duties::genesis_hash::<Test>(), &who, PROMPT, &key, &salt(1))
        } else {
            [ASKERS[by] as u8; 32]
        };
        let terms = Terms {
            generators: generators.try_into().unwrap(),
            evaluator,
            responders,
            committee,
            min_quality: Permill::from_percent(min_quality),
            budget,
            audit,
            ..terms()
        };
        let id = NextRequest::<Test>::get();
        let origin = RuntimeOrigin::signed(who);
        if self.call(|| Poq::request_inference(origin, PROMPT.to_vec(), terms)).is_ok()
            && audit[0] != audit[1]
        {
            self.audits.push(id);
        }
    }

    fn shift(&mut self, away: u16) {
        for (place, n) in OPERATORS.into_iter().enumerate() {
            if away >> place & 1 == 1 {
                continue;
            }
            let mut duties: Vec<_> = duties_of(n);
            duties.sort_by_key(|(id, _)| *id);
            let due: Vec<_> = duties.into_iter().filter_map(|(id, role)| due_report(n, id, role)).collect();
            // What was committed to by copying cannot be revealed, and would spoil the batch.
            let (mut good, bad): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|report| reports::check::<Test>(&account(n), report).is_ok());
            for report in bad {
                assert!(self.report(n, vec![report]).is_err());
            }
            good.truncate(4);
            if good.is_empty() {
                continue;
            }
            if good.len() > 1 {
                self.see("batch");
            }
            assert_eq!(self.report(n, good), Ok(()));
        }
    }

    fn work(&mut self, pick: usize, how: How) {
        let mut duties: Vec<_> = OPERATORS
            .into_iter()
            .flat_map(|n| duties_of(n).into_iter().map(move |(id, role)| (n, id, role)))
            .collect();
        if duties.is_empty() {
            return;
        }
        duties.sort_by_key(|(n, id, _)| (*id, *n));
        let (n, id, role) = duties[pick % duties.len()];
        let committed = matches!(requests::work_of::<Test>(&account(n), id, role), Some(Work::Committed(_)));
        let one = |kind| vec![Report { request: id, kind }];
        match how {
            How::Honestly => {
                if let Some(report) = due_report(n, id, role) {
                    let _ = self.report(n, vec![report]);
                }
            }
            How::Fails => {
                let _ = self.report(n, one(ReportKind::Fail { reason: FailureReason::Internal }));
            }
            How::WrongReveal => {
                let kind = match role {
                    Role::InferenceNode => reveal_of_output(b"something else".to_vec(), n),
                    Role::QualityValidator => {
                        let other = scores_of(n, id)
                            .into_iter()
                            .map(|s| Permill::from_parts(1_000_000 - s.deconstruct()) / 3u32);
                        let mut other: Vec<_> = other.collect();
                        // Other scores, or too many.
                        if pick % 2 == 1 && other.len() < 4 {
                            other.push(Permill::one());
                        }
                        reveal_of_scores(other, n)
                    }
                };
                let result = self.report(n, one(kind));
                assert!(!committed || result.is_err(), "what is revealed matches what was fixed, or nothing");
            }
            How::Copies => {
                let other = match role {
                    Role::InferenceNode => Responses::<Test>::get(id)
                        .iter()
                        .map(|r| r.work)
                        .find(|w| matches!(w, Work::Committed(_))),
                    Role::QualityValidator => {
                        let round = Requests::<Test>::get(id).unwrap().round;
                        let committee = Committees::<Test>::get(id, round);
                        let work = committee.iter().map(|m| m.work).find(|w| matches!(w, Work::Committed(_)));
                        work
                    }
                };
                let Some(Work::Committed(commitment)) = other else { return };
                let kind = match role {
                    Role::InferenceNode => ReportKind::CommitOutput { commitment },
                    Role::QualityValidator => ReportKind::CommitScores { commitment },
                };
                let _ = self.report(n, one(kind));
            }
            How::Twice => {
                let Some(report) = due_report(n, id, role) else { return };
                let batch = self.report(n, vec![report.clone(), report.clone()]);
                assert!(batch.is_err());
                if self.report(n, vec![report.clone()]).is_ok() {
                    assert!(self.report(n, vec![report]).is_err(), "once is once");
                }
            }
            How::Foreign => {
                // Best by who was in a committee that has been dismissed since.
                let stale =
                    Requests::<Test>::iter().filter(|(_, request)| request.round == 1).find_map(|(id, _)| {
                        let dismissed =
                            Committees::<Test>::get(id, 0).into_iter().map(|member| member.operator);
                        let mut dismissed =
                            dismissed.filter(|who| operators::duty_in::<Test>(who, id).is_none());
                        Some((operator_number(&dismissed.next()?), id))
                    });
                let (n, other, role) = if let Some((n, id)) = stale {
                    self.see("stale round");
                    (n, id, Role::QualityValidator)
                } else {
                    let foreign = |id: &RequestId| operators::duty_in::<Test>(&account(n), *id).is_none();
                    let Some(id) = Requests::<Test>::iter_keys().filter(foreign).min() else { return };
                    (n, id, role)
                };
                let kind = match role {
                    Role::InferenceNode => reveal_of_output(output_of(n, other), n),
                    Role::QualityValidator => reveal_of_scores(scores_of(n, other), n),
                };
                assert!(self.report(n, vec![Report { request: other, kind }]).is_err(), "no duty, no report");
            }
            How::OtherRole => {
                let kind = match role {
                    Role::InferenceNode => ReportKind::CommitScores { commitment: [1; 32] },
                    Role::QualityValidator => ReportKind::CommitOutput { commitment: [1; 32] },
                };
                assert!(self.report(n, one(kind)).is_err(), "not its part");
            }
            How::TooManyScores => {
                let mut scores = scores_of(n, id);
                if role != Role::QualityValidator || scores.len() >= 4 {
                    return;
                }
                scores.push(Permill::one());
                let genesis = duties::genesis_hash::<Test>();
                let binding = Binding { genesis: &genesis, request: id, operator: &account(n) };
                let commitment = binding.scores(&scores, &salt(n));
                let kind = if committed {
                    reveal_of_scores(scores, n)
                } else {
                    ReportKind::CommitScores { commitment }
                };
                let result = self.report(n, one(kind));
                assert!(!committed || result.is_err());
            }
        }
    }

    fn return_to_work(&mut self, n: u64) {
        let least = EconomicParameters::<Test>::get().min_stake;
        let origin = || RuntimeOrigin::signed(account(n));
        let stake = Operators::<Test>::get(account(n)).map_or(0, |operator| operator.stake);
        if stake < least {
            let _ = self.call(|| Poq::bond(origin(), 2 * least - stake));
        }
        let Some(operator) = Operators::<Test>::get(account(n)) else { return };
        if operator.worker.is_none() {
            let model = if SCORERS.contains(&n) { JUDGE } else { STRONG };
            let _ = self.call(|| register(n, worker(n), &[model]));
        } else if operator.chilled {
            let _ = self.call(|| Poq::resume(origin()));
        }
    }

    fn reveal_audit(&mut self, pick: usize, how: u8) {
        // Mostly one that could be opened.
        let ripe = |id: &&RequestId| {
            let ripe = |request: Request<Test>| request.phase.is_closed() && request.audit != Audit::Revealed;
            pick.is_multiple_of(4) || Requests::<Test>::get(id).is_some_and(ripe)
        };
        let known: Vec<_> = self.audits.iter().filter(ripe).copied().collect();
        if known.is_empty() {
            return;
        }
        let id = known[(pick / 4) % known.len()];
        let mut key = lima();
        if how == 1 {
            key.right = Permill::one();
        }
        let expected = Requests::<Test>::get(id).is_some_and(|request| {
            let now = System::block_number();
            let (Phase::Settled { at, .. } | Phase::Refunded { at, .. }) = request.phase else {
                return false;
            };
            how == 0 && request.audit != Audit::Revealed && now <= at + request.parameters.audit_window
        });
        let salt = if how == 2 { [0; 32] } else { salt(1) };
        let result = self.call(|| Poq::reveal_audit(as_auditor(), id, key, salt));
        assert_eq!(result.is_ok(), expected, "{result:?}");
    }

    fn play(&mut self, step: Move) {
        let signed = |who: usize| RuntimeOrigin::signed(account(OPERATORS[who]));
        let _ = match step {
            Move::Ask { .. } => return self.ask(&step),
            Move::Shift { away } => return self.shift(away),
            Move::Work { pick, how } => return self.work(pick, how),
            Move::Return { who } => return self.return_to_work(OPERATORS[who]),
            Move::RevealAudit { pick, how } => return self.reveal_audit(pick, how),
            Move::Exodus { scorers } => {
                for n in OPERATORS.into_iter().filter(|n| SCORERS.contains(n) == scorers) {
                    let _ = self.call(|| Poq::chill(RuntimeOrigin::signed(account(n))));
                }
                return;
            }
            Move::Blocks { count, room } => return (0..count).for_each(|_| self.block(1, room)),
            Move::Gap { blocks } => return self.block(blocks, u64::MAX),
            Move::Seeds { kind } => {
                FreshSeeds::set(kind == 0);
                return Seed::set((kind == 2).then(|| (1, System::block_number().saturating_sub(3))));
            }
            Move::Bond { who, amount } => self.call(|| Poq::bond(signed(who), amount)),
            Move::Unbond { who, amount } => self.call(|| Poq::unbond(signed(who), amount)),
            Move::UnbondAll { who } => {
                let stake = Operators::<Test>::get(account(OPERATORS[who])).map_or(0, |o| o.stake);
                self.call(|| Poq::unbond(signed(who), stake))
            }
            Move::Withdraw { who } => self.call(|| Poq::withdraw(signed(who))),
            Move::Chill { who } => self.call(|| Poq::chill(signed(who))),
            Move::Capacity { who, answers } => {
                let capacity = Workload { tokens: 10 * answers, pairs: answers };
                self.call(|| Poq::set_capacity(signed(who), capacity))
            }
            Move::Register { who, mask, key } => {
                let mut all: Vec<_> = Models::<Test>::iter_keys().collect();
                all.sort_unstable();
                let mut models: Vec<_> = all
                    .into_iter()
                    .enumerate()
                    .filter(|(i, _)| mask >> (i % 8) & 1 == 1)
                    .map(|(_, id)| id)
                    .collect();
                models.truncate(3);
                // At times somebody else's key.
                let worker = worker(OPERATORS[who] + 100 * key % 200 + key / 2);
                self.call(|| register(OPERATORS[who], worker, &models))
            }
            Move::NewModel { kind, commit, reveal, alpha, beta } => {
                if self.models >= 4 {
                    return;
                }
                self.models += 1;
                let id = [100 + self.models; 32];
                let kind = if kind { ModelKind::Generator } else { ModelKind::Evaluator };
                let price = Price { base: 100, per_unit: 1 };
                let factor = |percent: u32| FixedU64::from_rational(percent.into(), 100);
                let reward = Reward { alpha: factor(alpha), beta: factor(beta) };
                self.call(|| {
                    let windows = Windows { commit, reveal };
                    Poq::register_model(
                        RuntimeOrigin::root(),
                        id,
                        kind,
                        b"new".to_vec(),
                        price,
                        windows,
                        reward,
                        if kind == ModelKind::Generator { 100 } else { 0 },
                    )
                })
            }
            Move::Retire { pick } => {
                // The first generator and evaluator stay, or there would be nothing to ask for.
                let mut rest: Vec<_> =
                    Models::<Test>::iter_keys().filter(|id| ![STRONG, JUDGE].contains(id)).collect();
                rest.sort_unstable();
                self.call(|| Poq::retire_model(RuntimeOrigin::root(), rest[pick % rest.len()]))
            }
            Move::Noise { percent } => {
                let noise = Permill::from_percent(percent);
                self.call(|| Poq::set_noise(RuntimeOrigin::root(), JUDGE, noise))
            }
            // Mostly the newest, for which perhaps nobody was drawn yet.
            Move::Cancel { by, pick } => {
                let id = NextRequest::<Test>::get().saturating_sub(1 + pick as u64 % 2);
                self.call(|| Poq::cancel_request(RuntimeOrigin::signed(account(ASKERS[by])), id))
            }
            Move::Parameters(parameters) => {
                let result = self.call(|| Poq::set_parameters(RuntimeOrigin::root(), *parameters));
                assert_eq!(result, Ok(()));
                result
            }
            Move::Advance { pick } => {
                let mut stored: Vec<_> = Requests::<Test>::iter_keys().collect();
                stored.sort_unstable();
                if stored.is_empty() {
                    return;
                }
                let id = stored[pick % stored.len()];
                let result = self.call(|| {
                    Poq::advance(RuntimeOrigin::signed(account(51)), id).map(|_| ()).map_err(|e| e.error)
                });
                if result.is_ok() {
                    self.see("advanced");
                }
                result
            }
        };
    }

    /// Nobody does anything any more: all that is open ends by itself, is forgotten, and every stake can leave.
    fn end(&mut self) {
        // With or without seeds.
        if FreshSeeds::get() {
            Seed::set(None);
        }
        for _ in 0..150 {
            if self.open.is_empty() {
                break;
            }
            self.block(1, u64::MAX);
        }
        assert!(self.open.is_empty(), "{:?}", self.open);
        self.block(31, u64::MAX);
        assert_eq!(Requests::<Test>::iter().count() + Agenda::<Test>::iter().count(), 0);
        assert_eq!(Outputs::<Test>::iter().count() + Committees::<Test>::iter().count(), 0);
        assert_eq!(Prompts::<Test>::iter().count() + Responses::<Test>::iter().count(), 0);
        assert!(OPERATORS.into_iter().all(|n| duties_of(n).is_empty()));
        for n in OPERATORS {
            let origin = RuntimeOrigin::signed(account(n));
            let stake = Operators::<Test>::get(account(n)).map_or(0, |operator| operator.stake);
            if stake > 0 {
                assert_eq!(self.call(|| Poq::unbond(origin, stake)), Ok(()));
            }
        }
        self.block(100, u64::MAX);
        for n in OPERATORS {
            if Operators::<Test>::contains_key(account(n)) {
                assert_eq!(self.call(|| Poq::withdraw(RuntimeOrigin::signed(account(n)))), Ok(()));
            }
        }
        assert_eq!(Operators::<Test>::iter().count() + Workers::<Test>::iter().count(), 0);
        assert_eq!(Rosters::<Test>::iter().count(), 0);
        assert!((0..60).all(|n| held(n) == 0), "nothing stays on hold");
    }
}

fn worker_of_nobody() -> AccountId {
    account(9_999)
}

/// Right two times out of three.
fn output_of(n: u64, id: RequestId) -> Vec<u8> {
    let city = if (n + id).is_multiple_of(3) { "Quito" } else { "Lima" };
    format!("It is {city}, says {n}").into_bytes()
}

/// What an operator says of the outputs that are revealed: most look at them, some never, some lie.
fn scores_of(n: u64, id: RequestId) -> Vec<Permill> {
    let revealed =
        Responses::<Test>::get(id).into_iter().zip(0u32..).filter(|(r, _)| r.work == Work::Revealed);
    let noise = n as u32 % 7;
    revealed
        .map(|(_, index)| {
            let right = Outputs::<Test>::get(id, index).windows(4).any(|window| window == b"Lima");
            Permill::from_percent(match ((n + 3 * id) % 8, right) {
                (0, _) => 50,
                (1, true) | (2.., false) => 3 + noise,
                (1, false) | (2.., true) => 90 + noise,
            })
        })
        .collect()
}

fn reveal_of_output(output: Vec<u8>, n: u64) -> ReportKindOf<Test> {
    ReportKind::RevealOutput { output: output.try_into().unwrap(), salt: salt(n) }
}

fn reveal_of_scores(scores: Vec<Permill>, n: u64) -> ReportKindOf<Test> {
    ReportKind::RevealScores { scores: scores.try_into().unwrap(), salt: salt(n) }
}

/// What an honest operator would report now, if anything.
fn due_report(n: u64, id: RequestId, role: Role) -> Option<ReportOf<Test>> {
    let genesis = duties::genesis_hash::<Test>();
    let who = account(n);
    let binding = Binding { genesis: &genesis, request: id, operator: &who };
    let request = Requests::<Test>::get(id)?;
    let kind = match (request.phase, requests::work_of::<Test>(&who, id, role)?) {
        (Phase::Answering { .. }, Work::Pending) => {
            ReportKind::CommitOutput { commitment: binding.output(&output_of(n, id), &salt(n)) }
        }
        (Phase::RevealingAnswers { .. }, Work::Pending | Work::Committed(_)) => {
            reveal_of_output(output_of(n, id), n)
        }
        (Phase::Scoring { .. }, Work::Pending) => {
            ReportKind::CommitScores { commitment: binding.scores(&scores_of(n, id), &salt(n)) }
        }
        (Phase::RevealingScores { .. }, Work::Committed(_)) => reveal_of_scores(scores_of(n, id), n),
        _ => return None,
    };
    Some(Report { request: id, kind })
}

/// One walk from the genesis block to where nothing is left.
fn walk(steps: Vec<Move>) -> (u64, Sights) {
    let mut walk = Walk::default();
    build_and_execute(|| {
        walk.issued = pallet_balances::TotalIssuance::<Test>::get();
        // With one of the models speed is worth as much as quality.
        let hasty = Reward { alpha: FixedU64::from_u32(1), beta: FixedU64::from_u32(1) };
        Models::<Test>::mutate(WEAK, |model| model.as_mut().unwrap().reward = hasty);
        for step in steps {
            walk.play(step);
        }
        walk.end();
    });
    (walk.transitions, walk.sights)
}

fn add(sights: &mut Sights, more: Sights) {
    for (sight, times) in more {
        *sights.entry(sight).or_default() += times;
    }
}

/// Walks until there have been as many transitions as wanted; shrinks a walk that fails.
fn walk_far(seed: u64, wanted: u64) -> (u64, Sights) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = RunnerConfig {
        failure_persistence: None,
        max_shrink_iters: 5_000,
        // Milliseconds: a walk takes a while to replay.
        max_shrink_time: 60_000,
        ..RunnerConfig::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let strategy = steps();
    let seen = std::cell::RefCell::new((0, Sights::new()));
    while seen.borrow().0 < wanted {
        let tree = strategy.new_tree(&mut runner).expect("a walk");
        debug_assert!(!tree.current().is_empty());
        let result = runner.run_one(tree, |steps| {
            let (transitions, sights) = walk(steps);
            let mut seen = seen.borrow_mut();
            seen.0 += transitions;
            add(&mut seen.1, sights);
            Ok(())
        });
        if let Err(failure) = result {
            panic!("seed {seed}: {failure}");
        }
    }
    seen.into_inner()
}

#[test]
fn whatever_they_do_the_invariants_hold() {
    let variable = |name| std::env::var(name).ok();
    let wanted = if variable("POQ_QUICK").is_some_and(|quick| quick != "0") { QUICK } else { FULL };
    let seed: u64 = variable("POQ_SEED").and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let shards: Vec<_> = (0..SHARDS)
        .map(|shard| std::thread::spawn(move || walk_far(seed * SHARDS + shard, wanted / SHARDS)))
        .collect();
    let mut transitions = 0;
    let mut sights = Sights::new();
    for shard in shards {
        let (more, seen) = shard.join().expect("a walk failed; see above");
        transitions += more;
        add(&mut sights, seen);
    }
    println!("{transitions} transitions past {sights:?}");
    assert!(transitions >= wanted);
    let rare = if wanted == FULL { RARE_SIGHTS } else { &[] };
    let missed: Vec<_> = SIGHTS.iter().chain(rare).filter(|sight| !sights.contains_key(**sight)).collect();
    assert!(
        missed.is_empty(),
        "the walks have become too tame, they never came past {missed:?} of {sights:?}"
    );
}
