//! Governance: who sets the parameters, which hold together, and that open requests keep theirs.

use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok};
use sp_runtime::{DispatchError, Permill};

type TestParameters = ParametersOf<Test>;

fn set(parameters: TestParameters) {
    Poq::set_parameters(RuntimeOrigin::root(), parameters).unwrap();
}

fn operator(n: u64) -> Operator<Test> {
    Operators::<Test>::get(account(n)).unwrap()
}

#[test]
fn only_the_parameter_origin_sets_them() {
    build_and_execute(|| {
        let parameters = Parameters { absence_slash: 7, ..PARAMETERS };
        for origin in [RuntimeOrigin::signed(requester()), RuntimeOrigin::none()] {
            assert_noop!(Poq::set_parameters(origin, parameters), DispatchError::BadOrigin);
        }
        assert_eq!(EconomicParameters::<Test>::get(), PARAMETERS, "the default, until others are set");
        assert_ok!(Poq::set_parameters(RuntimeOrigin::root(), parameters));
        assert_eq!(EconomicParameters::<Test>::get(), parameters);
        assert_eq!(events(), vec![Event::ParametersSet { parameters }]);
    });
}

/// A change and whether, or with what words, it is to be refused.
type Edge = (fn(&mut TestParameters), Option<&'static str>);

const ONE_PART: Permill = Permill::from_parts(1);
const ZERO: Permill = Permill::from_parts(0);

const EDGES: &[Edge] = &[
    (|p| p.min_stake = 0, Some("min_stake must not be zero")),
    (|p| p.min_stake = 1, None),
    (|p| p.stake_cap = 0, Some("stake_cap must be 1 to 1,000,000")),
    (|p| p.stake_cap = 1, None),
    (|p| p.stake_cap = 1_000_000, None),
    (|p| p.stake_cap = 1_000_001, Some("stake_cap must be 1 to 1,000,000")),
    (|p| p.fee = ZERO, None),
    (|p| p.fee = Permill::from_percent(50), None),
    (|p| p.fee = Permill::from_parts(500_001), Some("fee must be at most a half")),
    (|p| p.absence_slash = 0, None),
    (|p| p.absence_slash = Balance::MAX, None),
    (|p| p.audit_slash = ZERO, None),
    (|p| p.audit_slash = Permill::from_percent(100), None),
    (|p| p.gross_error = ZERO, Some("gross_error must not be zero")),
    (|p| p.gross_error = ONE_PART, None),
    (|p| p.audit_window = 0, Some("audit_window must be at least 1")),
    (|p| p.audit_window = 1, None),
    (|p| (p.audit_window, p.unbonding_period) = (30, 31), None),
    (
        |p| (p.audit_window, p.unbonding_period) = (31, 32),
        Some("audit_window must be at least 1 and at most Retention"),
    ),
    (|p| p.unbonding_period = 10, Some("unbonding_period must be more than audit_window")),
    (|p| p.unbonding_period = 11, None),
    (|p| p.tolerance_spreads = 0, Some("tolerance_spreads must be at least 1")),
    (|p| p.tolerance_spreads = 1, None),
    (|p| p.tolerance_least = ZERO, Some("tolerance_least must not be zero")),
    (|p| p.tolerance_least = ONE_PART, None),
    (
        |p| p.tolerance_most = Permill::from_parts(249_999),
        Some("tolerance_least must not be above tolerance_most"),
    ),
    (|p| p.tolerance_most = Permill::from_percent(25), None),
    (|p| p.tolerance_most = Permill::from_percent(100), None),
    (|p| p.floor.agreement = ZERO, Some("no part of floor must be zero")),
    (|p| p.floor.veracity = ZERO, Some("no part of floor must be zero")),
    (|p| p.floor.reliability = ZERO, Some("no part of floor must be zero")),
    (|p| p.floor.quality = ZERO, Some("no part of floor must be zero")),
    (|p| p.floor.veracity = ONE_PART, None),
    (|p| p.base_pay = ZERO, None),
    (|p| p.base_pay = Permill::from_percent(100), None),
    (|p| p.min_committee = 0, Some("min_committee must be at least 1")),
    (|p| p.min_committee = 3, None),
    (|p| p.waiting_fee = Balance::MAX, None),
    (|p| p.audit_allowance = 0, None),
    (|p| p.rise = ZERO, Some("rise must be above zero and at most fall")),
    (|p| p.rise = ONE_PART, None),
    (|p| p.rise = Permill::from_percent(25), None),
    (|p| p.rise = Permill::from_parts(250_001), Some("rise must be above zero and at most fall")),
    (|p| p.audit_rise = ZERO, Some("audit_rise must be above zero and at most audit_fall")),
    (|p| p.audit_rise = ONE_PART, None),
    (|p| p.audit_rise = Permill::from_percent(50), None),
    (
        |p| p.audit_rise = Permill::from_parts(500_001),
        Some("audit_rise must be above zero and at most audit_fall"),
    ),
];

#[test]
fn every_rule_has_two_sides() {
    build_and_execute(|| {
        for (place, (change, refused)) in EDGES.iter().enumerate() {
            let mut parameters = PARAMETERS;
            change(&mut parameters);
            let set = || Poq::set_parameters(RuntimeOrigin::root(), parameters);
            let said = Poq::check_parameters(parameters);
            DefaultParameters::set(parameters);
            let config = invariants::check_config::<Test>();
            DefaultParameters::set(PARAMETERS);
            match refused {
                Some(why) => {
                    let said = said.unwrap_err();
                    assert!(said.starts_with(why), "{place}: {said}");
                    assert_eq!(config, Err(said.as_str()), "neither does a runtime begin with them");
                    assert_noop!(set(), Error::<Test>::InvalidParameters);
                }
                None => {
                    assert_eq!(said, Ok(()), "{place}");
                    assert_eq!(config, Ok(()), "{place}");
                    assert_ok!(set());
                    assert_eq!(EconomicParameters::<Test>::get(), parameters);
                }
            }
        }
    });
}

#[test]
fn the_recommended_ones_hold_together() {
    assert_eq!(Parameters::<Balance, u64>::recommended(1, 0, 0, 0, 2, 1).check(1), Ok(()));
    assert!(Parameters::<Balance, u64>::recommended(1, 0, 0, 0, 1, 1).check(1).is_err());
}

#[test]
fn tolerance_follows_the_spread_between_its_bounds() {
    let parameters = Parameters {
        tolerance_spreads: 4,
        tolerance_least: Permill::from_percent(5),
        tolerance_most: Permill::from_percent(20),
        ..PARAMETERS
    };
    let tolerance = |parts| parameters.tolerance(Permill::from_parts(parts)).deconstruct();
    assert_eq!((tolerance(0), tolerance(12_499), tolerance(12_500)), (50_000, 50_000, 50_000));
    assert_eq!((tolerance(12_501), tolerance(30_000), tolerance(49_999)), (50_004, 120_000, 199_996));
    assert_eq!((tolerance(50_000), tolerance(50_001), tolerance(1_000_000)), (200_000, 200_000, 200_000));
    let widest = Parameters { tolerance_spreads: u32::MAX, tolerance_most: Permill::one(), ..parameters };
    assert_eq!(widest.tolerance(Permill::one()), Permill::one(), "no overflow");
}

/// Everything that can be changed at once, as far from [`PARAMETERS`] as it goes.
const OTHERS: TestParameters = Parameters {
    min_stake: 50_000,
    stake_cap: 1,
    unbonding_period: 100,
    fee: Permill::from_percent(50),
    absence_slash: 2_000,
    audit_slash: Permill::from_percent(100),
    gross_error: Permill::from_percent(1),
    audit_window: 1,
    tolerance_spreads: 1,
    tolerance_least: Permill::from_parts(1),
    tolerance_most: Permill::from_parts(1),
    base_pay: Permill::from_percent(100),
    waiting_fee: 1_000,
    min_committee: 7,
    audit_allowance: 0,
    floor: FULL_STANDING,
    rise: Permill::from_percent(100),
    fall: Permill::from_percent(100),
    audit_rise: Permill::from_percent(100),
    audit_fall: Permill::from_percent(100),
};

/// A request in which one inference node and one quality validator are silent and another is ten points off. `change` is
/// called in the block of the request. Returns the whole state that it leads to: balances, stakes, standings, events.
fn played(change: fn()) -> impl PartialEq + core::fmt::Debug {
    let mut result = None;
    build_and_execute(|| {
        let id = ask(terms());
        change();
        System::reset_events();
        run_until(|| !responders(id).is_empty());
        let nodes = responders(id);
        commit_output(nodes[1], id, b"Lima").unwrap();
        run_until(|| matches!(phase(id), Phase::RevealingAnswers { .. }));
        reveal_output(nodes[1], id, b"Lima").unwrap();
        run_until(|| !committee(id).is_empty());
        let members = committee(id);
        let scores = |n: u64| if n == members[1] { [70] } else { [80] };
        for n in &members[1..] {
            commit_scores(*n, id, &scores(*n)).unwrap();
        }
        run_until(|| matches!(phase(id), Phase::RevealingScores { .. }));
        for n in &members[1..] {
            reveal_scores(*n, id, &scores(*n)).unwrap();
        }
        next_block();
        settled(id);
        let accounts = [1, 2, 3, 50].into_iter().chain(SCORERS);
        let money: Vec<_> = accounts.map(|n| (balance(n), held(n))).collect();
        let operators: Vec<_> = [1, 2, 3].into_iter().chain(SCORERS).map(operator).collect();
        let weights: Vec<_> = Committees::<Test>::get(id, 0).iter().map(|member| member.weight).collect();
        let (tenth_off, agreed) = (operator(members[1]).earned, operator(members[2]).earned);
        assert!(tenth_off > 0 && agreed > tenth_off);
        result = Some((money, operators, weights, events(), Fees::get(), Slashed::get()));
    });
    result.unwrap()
}

#[test]
fn a_change_does_not_reach_open_requests() {
    assert_eq!(played(|| set(OTHERS)), played(|| ()));
}

#[test]
fn a_change_reaches_requests_that_come_after_it() {
    build_and_execute(|| {
        set(Parameters { fee: Permill::from_percent(10), absence_slash: 1, ..PARAMETERS });
        let id = ask_and_draw(terms());
        assert_eq!(Requests::<Test>::get(id).unwrap().budget.fee, 1_000);
        let estimate = Poq::estimate_budget(vec![STRONG, WEAK], JUDGE, 10, 2, 5).unwrap();
        // 2530 of work is nine tenths of it.
        assert_eq!(estimate.total(), 2_812);
        let nodes = responders(id);
        run_until(|| phase(id).is_closed());
        assert!(nodes.into_iter().all(|n| operator(n).slashed == 1));
    });
}

#[test]
fn a_higher_minimum_passes_over_who_is_below_it_for_new_requests_only() {
    build_and_execute(|| {
        let old = ask(terms());
        set(Parameters { min_stake: 2_001, ..PARAMETERS });
        assert!(rosters::is_enlisted::<Test>(&STRONG, &account(1)), "nobody is struck out at once");
        run_until(|| !responders(old).is_empty());
        assert_eq!(responders(old).len(), 2);
        let new = ask(terms());
        run_until(|| phase(new).is_closed());
        assert!(matches!(phase(new), Phase::Refunded { reason: RefundReason::NoInferenceNode, .. }));
        assert_noop!(register(1, worker(1), &[STRONG]), Error::<Test>::StakeTooSmall);
        Poq::bond(RuntimeOrigin::signed(account(1)), 1).unwrap();
        assert!(rosters::is_enlisted::<Test>(&STRONG, &account(1)));
    });
}

#[test]
fn a_new_unbonding_period_holds_for_what_is_unbonded_from_then_on() {
    build_and_execute(|| {
        Poq::unbond(RuntimeOrigin::signed(account(1)), 2_000).unwrap();
        set(Parameters { unbonding_period: 11, ..PARAMETERS });
        Poq::unbond(RuntimeOrigin::signed(account(2)), 2_000).unwrap();
        assert_eq!(operator(1).unbonding.unwrap().at, 21);
        assert_eq!(operator(2).unbonding.unwrap().at, 12);
    });
}
