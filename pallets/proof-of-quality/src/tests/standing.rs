//! Standing: what the chain makes of an operator's history, and what that does to draws and to the consensus.

use crate::{consensus::agreement, mock::*, *};
use poq_primitives::job::FailureReason;
use sp_runtime::Permill;

const RECOMMENDED: Parameters<Balance, u64> = Parameters::recommended(1_000, 100, 10, 1_000_000, 20, 10);

fn set(parameters: ParametersOf<Test>) {
    Poq::set_parameters(RuntimeOrigin::root(), parameters).unwrap();
}

fn standing(n: u64) -> Standing {
    Operators::<Test>::get(account(n)).unwrap().standing
}

fn set_standing(n: u64, change: impl Fn(&mut Standing)) {
    Operators::<Test>::mutate(account(n), |operator| change(&mut operator.as_mut().unwrap().standing));
    let operator = Operators::<Test>::get(account(n)).unwrap();
    for id in operator.models {
        let kind = Models::<Test>::get(id).unwrap().kind;
        rosters::refresh::<Test>(&id, &[operators::place_of::<Test>(&account(n), id, kind)]);
    }
}

fn listed_weight(model: ModelId, n: u64) -> u64 {
    let roster = Rosters::<Test>::get(model);
    roster.iter().find(|candidate| candidate.operator == account(n)).expect("listed").weight
}

fn parts(millionths: u32) -> Permill {
    Permill::from_parts(millionths)
}

/// Brings a request to settlement with these scores of each member, by its number.
fn score_with(id: RequestId, scores: impl Fn(u64) -> Vec<u32>) {
    for n in committee(id) {
        commit_scores(n, id, &scores(n)).unwrap();
    }
    next_block();
    for n in committee(id) {
        reveal_scores(n, id, &scores(n)).unwrap();
    }
    next_block();
    settled(id);
    System::reset_events();
}

// The published rule (arXiv 2601.21189), in floats as published: each round
// `w <- clip(w * (1 + lambda * (0.5 - d)), w_min, w_max)` with `d = |s - c| / 10`, scores of 0 to 10, and `c` the mean of all
// scores by weight, the scorer's own among them.

const LAMBDA: f64 = 0.1;
const LEAST: f64 = 0.1;
const MOST: f64 = 2.0;

/// Four honest and, last, an attacker: their weights after each round.
fn published(rounds: usize, honest: fn(usize) -> f64, attacker: fn(f64) -> f64) -> Vec<[f64; 5]> {
    let mut weights = [1.0; 5];
    let mut history = vec![];
    for round in 0..rounds {
        let score = honest(round);
        let scores = [score, score, score, score, attacker(score)];
        let sum: f64 = weights.iter().zip(&scores).map(|(weight, score)| weight * score).sum();
        let consensus = sum / weights.iter().sum::<f64>();
        for (weight, score) in weights.iter_mut().zip(&scores) {
            let distance = (score - consensus).abs() / 10.0;
            *weight = (*weight * (1.0 + LAMBDA * (0.5 - distance))).clamp(LEAST, MOST);
        }
        history.push(weights);
    }
    history
}

/// The same with this pallet's rule and its default aggregation: agreements after each round.
fn ours(rounds: usize, honest: fn(usize) -> f64, attacker: fn(f64) -> f64) -> Vec<[Permill; 5]> {
    let tolerance = parts(160_000);
    let score_of = |score: f64| parts((score * 100_000.0).round() as u32);
    let mut members = [RECOMMENDED.floor; 5];
    let mut history = vec![];
    for round in 0..rounds {
        let score = honest(round);
        let weighted: Vec<_> = members
            .iter()
            .zip([score, score, score, score, attacker(score)])
            .map(|(member, score)| {
                let trust = member.trust(&RECOMMENDED.floor);
                (score_of(score), u64::from(trust.deconstruct()))
            })
            .collect();
        let others = WeightedMedian::leave_one_out(&weighted);
        for ((member, (score, _)), others) in members.iter_mut().zip(&weighted).zip(others) {
            let agreed = agreement(&[*score], &[others], tolerance);
            member.learn(Experience::Scored(Some(agreed)), RECOMMENDED.rise, RECOMMENDED.fall);
        }
        history.push(members.map(|member| member.agreement));
    }
    history
}

const MIXED: [f64; 8] = [8.0, 2.0, 9.0, 5.0, 7.0, 3.0, 8.0, 6.0];

/// What the honest say in each round, what the attacker makes of it, the round in which the published rule gives the
/// attacker the highest weight, and our agreement of the attacker after ten rounds, in ten-thousandths.
type Play = (fn(usize) -> f64, fn(f64) -> f64, usize, u32);

const PLAYS: [Play; 4] = [
    (|_| 9.0, |_| 5.0, 42, 282),
    (|round| MIXED[round % 8], |_| 5.0, 23, 608),
    (|round| MIXED[round % 8], |score| (score + 3.0).min(10.0), 24, 379),
    (|round| MIXED[round % 8], |score| (score - 3.0).max(0.0), 27, 282),
];

#[test]
fn the_published_update_saturates() {
    for (honest, attacker, round, _) in PLAYS {
        let history = published(200, honest, attacker);
        let reached = history.iter().position(|weights| weights[4] >= MOST).unwrap() + 1;
        assert_eq!(reached, round);
        assert_eq!(history[199], [MOST; 5], "a plain mean, attacker and all");
    }
}

#[test]
fn our_update_does_not_saturate_on_the_same_scores() {
    let tenths =
        PLAYS.map(|(honest, attacker, ..)| (ours(10, honest, attacker)[9][4].deconstruct() + 50) / 100);
    assert_eq!(tenths, PLAYS.map(|(.., tenth)| tenth));
    for (honest, attacker, ..) in PLAYS {
        let history = ours(200, honest, attacker);
        for (round, agreements) in history.iter().enumerate() {
            assert!(agreements[..4].iter().all(|honest| *honest > agreements[4]), "round {round}");
        }
        let [first, .., attacker] = history[199];
        assert!(first > parts(990_000), "the honest reach the top");
        assert!(attacker < parts(200_000), "the attacker is below where it began: {attacker:?}");
    }
}

#[test]
fn trust_begins_low_rises_slowly_and_falls_fast() {
    let mut member = RECOMMENDED.floor;
    assert_eq!(member.trust(&RECOMMENDED.floor), parts(180_000), "0.5 * 0.6^2");
    let learn = |member: &mut Standing, agreed| {
        member.learn(Experience::Scored(Some(agreed)), RECOMMENDED.rise, RECOMMENDED.fall);
    };
    let mut rounds = 0;
    while member.agreement < parts(900_000) {
        learn(&mut member, Permill::one());
        rounds += 1;
    }
    assert!(rounds > 50, "{rounds}");
    let before = member.agreement;
    for _ in 0..3 {
        learn(&mut member, Permill::zero());
    }
    assert!(member.agreement < parts(400_000), "three bad ones undo most of it");
    let mut again = 0;
    while member.agreement < before {
        learn(&mut member, Permill::one());
        again += 1;
    }
    assert!(again > 30, "{again}");
}

#[test]
fn truth_counts_twice_and_floors_hold() {
    let floor = RECOMMENDED.floor;
    let one = Permill::one();
    let full = Standing { agreement: one, veracity: one, reliability: one, quality: one };
    assert_eq!((full.trust(&floor), full.promise(&floor)), (one, one));
    let half = Permill::from_percent(50);
    assert_eq!(Standing { agreement: half, ..full }.trust(&floor), half);
    let most = Permill::from_percent(80);
    assert_eq!(Standing { veracity: most, ..full }.trust(&floor), Permill::from_percent(64));
    assert_eq!(Standing { reliability: half, ..full }.promise(&floor), half);
    assert_eq!(Standing { quality: half, ..full }.promise(&floor), half);
    let nothing = Standing::default();
    // 0.5 * 0.6^2 and 0.2 * 0.15.
    assert_eq!((nothing.trust(&floor), nothing.promise(&floor)), (parts(180_000), parts(30_000)));
    // What an operator is in one role does not count in the other.
    let scorer = Standing { agreement: one, veracity: one, ..nothing };
    assert_eq!(scorer.promise(&floor), parts(30_000));
    assert_eq!(scorer.trust(&floor), one);
}

#[test]
fn new_operators_begin_where_the_parameters_say_and_again_when_they_come_back() {
    build_and_execute(|| {
        set(RECOMMENDED);
        let join = || {
            Poq::bond(RuntimeOrigin::signed(account(51)), 1_000).unwrap();
            register(51, worker(51), &[JUDGE]).unwrap();
        };
        join();
        assert_eq!(standing(51), RECOMMENDED.floor);
        assert_eq!(listed_weight(JUDGE, 51), 180_000, "of a stake that counts a million");
        // A bad name is not kept by who leaves, and is worth as much as a new one (see `Parameters::floor`).
        set_standing(51, |standing| standing.agreement = Permill::zero());
        let bad = listed_weight(JUDGE, 51);
        Poq::unbond(RuntimeOrigin::signed(account(51)), 1_000).unwrap();
        run_to(21);
        Poq::withdraw(RuntimeOrigin::signed(account(51))).unwrap();
        join();
        assert_eq!(standing(51), RECOMMENDED.floor);
        assert_eq!(listed_weight(JUDGE, 51), bad);
        // More stake is no better name.
        Poq::bond(RuntimeOrigin::signed(account(51)), 1_000).unwrap();
        assert_eq!(standing(51), RECOMMENDED.floor);
        assert_eq!(listed_weight(JUDGE, 51), 360_000);
    });
}

#[test]
fn a_failure_costs_an_inference_node_as_much_standing_as_silence() {
    build_and_execute(|| {
        let id = ask_and_draw(Terms { responders: 3, ..terms() });
        report(1, id, ReportKind::Fail { reason: FailureReason::Internal }).unwrap();
        commit_output(3, id, b"Lima").unwrap();
        // The second is silent.
        run_until(|| matches!(phase(id), Phase::RevealingAnswers { .. }));
        reveal_output(3, id, b"Lima").unwrap();
        run_until(|| !committee(id).is_empty());
        score_with(id, |_| vec![80]);
        let three_quarters = Permill::from_percent(75);
        assert_eq!(standing(1).reliability, three_quarters);
        assert_eq!(standing(2).reliability, three_quarters);
        assert_eq!(standing(3).reliability, Permill::one());
        for n in [1, 2] {
            assert_eq!(standing(n).quality, Permill::one(), "no answer says nothing of quality");
            assert_eq!(listed_weight(STRONG, n), if n == 1 { 1_500_000 } else { 1_425_000 });
        }
        // A sixteenth of the way from 1 to the consensus score.
        assert_eq!(standing(3).quality, parts(987_500));
        assert_eq!(listed_weight(WEAK, 3), 1_975_000);
    });
}

#[test]
fn a_failure_costs_a_quality_validator_as_much_standing_as_silence() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        answer_all(id);
        let members = committee(id);
        report(members[0], id, ReportKind::Fail { reason: FailureReason::Internal }).unwrap();
        for n in &members[2..] {
            commit_scores(*n, id, &[80, 80]).unwrap();
        }
        run_until(|| matches!(phase(id), Phase::RevealingScores { .. }));
        for n in &members[2..] {
            reveal_scores(*n, id, &[80, 80]).unwrap();
        }
        next_block();
        settled(id);
        assert_eq!(standing(members[0]).agreement, Permill::from_percent(75));
        assert_eq!(standing(members[1]).agreement, Permill::from_percent(75));
        assert_eq!(standing(members[2]).agreement, Permill::one());
    });
}

#[test]
fn work_that_came_to_nothing_through_others_leaves_agreement_alone() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        answer_all(id);
        let members = committee(id);
        for n in &members {
            set_standing(*n, |standing| standing.agreement = Permill::from_percent(40));
        }
        for n in &members {
            commit_scores(*n, id, &[80, 80]).unwrap();
        }
        next_block();
        reveal_scores(members[0], id, &[80, 80]).unwrap();
        run_until(|| phase(id).is_closed());
        assert_eq!(standing(members[0]).agreement, Permill::from_percent(40));
        assert_eq!(standing(members[1]).agreement, Permill::from_percent(30));
    });
}

/// Otherwise whoever asks for committees of one would make good names, and narrow the spread, for the price of the fee.
#[test]
fn who_is_compared_with_nobody_is_paid_but_shows_nothing() {
    build_and_execute(|| {
        for n in SCORERS {
            set_standing(n, |standing| standing.agreement = Permill::from_percent(40));
        }
        Spreads::<Test>::insert(JUDGE, Permill::from_percent(10));
        let id = ask_and_draw(Terms { committee: 1, ..terms() });
        answer_all(id);
        let sole = committee(id)[0];
        score_with(id, |_| vec![13, 77]);
        let record = Operators::<Test>::get(account(sole)).unwrap();
        assert_eq!(record.recent[0].outcome, Outcome::Paid(Permill::one()));
        assert_eq!((record.earned, record.completed), (102, 1));
        assert_eq!(standing(sole).agreement, Permill::from_percent(40));
        assert_eq!(Spreads::<Test>::get(JUDGE), Some(Permill::from_percent(10)));
    });
}

/// How often each of the three inference nodes is drawn for `rounds` requests of one responder.
fn drawn_as_responders(rounds: u64) -> [u64; 3] {
    let ids: Vec<_> = (0..rounds).map(|_| ask(Terms { responders: 1, budget: 2_000, ..terms() })).collect();
    run_until(|| ids.iter().all(|id| !responders(*id).is_empty()));
    let mut times = [0; 3];
    for id in ids {
        times[responders(id)[0] as usize - 1] += 1;
    }
    times
}

/// Whether `times` out of `all` is within four standard deviations of what a chance of `weight` in `total` gives. The seeds
/// are fixed, so this cannot flake.
fn is_fair(times: u64, all: u64, weight: u64, total: u64) -> bool {
    let (all, chance) = (all as f64, weight as f64 / total as f64);
    (times as f64 - all * chance).abs() < 4.0 * (all * chance * (1.0 - chance)).sqrt()
}

#[test]
fn an_inference_node_with_a_poor_history_is_drawn_less() {
    build_and_execute(|| {
        set(Parameters { absence_slash: 0, ..PARAMETERS });
        let before = drawn_as_responders(300);
        assert!(before.iter().all(|times| is_fair(*times, 300, 1, 3)), "{before:?}");
        run_to(60);
        // All were silent in all of these; the second and the third make good for it.
        for n in [2, 3] {
            set_standing(n, |standing| standing.reliability = Permill::one());
        }
        let weights = [(STRONG, 1), (STRONG, 2), (WEAK, 3)].map(|(model, n)| listed_weight(model, n));
        assert_eq!(weights, [100_000, 2_000_000, 2_000_000], "reliability down to its floor");
        let after = drawn_as_responders(300);
        let total = weights.iter().sum();
        for (times, weight) in after.iter().zip(weights) {
            assert!(is_fair(*times, 300, weight, total), "{after:?}");
        }
        assert!(after[0] < 20 && after[0] > 0, "less, but not never: {after:?}");
    });
}

#[test]
fn an_inference_node_with_poor_answers_is_drawn_less() {
    build_and_execute(|| {
        for _ in 0..40 {
            let id = ask_and_draw(Terms { responders: 3, ..terms() });
            let poor = responders(id).iter().position(|n| *n == 3).unwrap();
            answer_all(id);
            score_with(id, |_| (0..3).map(|place| if place == poor { 10 } else { 90 }).collect());
        }
        let (good, poor) = (listed_weight(STRONG, 1), listed_weight(WEAK, 3));
        assert!(good > 1_800_000 && poor < 400_000, "{good} {poor}");
        let times = drawn_as_responders(300);
        assert!(is_fair(times[2], 300, poor, 2 * good + poor), "{times:?}");
    });
}

#[test]
fn a_lazy_quality_validator_is_drawn_less_and_counts_less() {
    build_and_execute(|| {
        // 11 and 12 always say the same; the others look at the answers.
        let is_lazy = |n: u64| n <= 12;
        for round in 0..30u32 {
            let id = ask_and_draw(Terms { committee: 7, ..terms() });
            answer_all(id);
            let good = 80 + round % 10;
            score_with(id, |n| {
                if is_lazy(n) {
                    vec![50, 50]
                } else {
                    vec![good + n as u32 % 3, 10 + n as u32 % 3]
                }
            });
        }
        let honest = listed_weight(JUDGE, 15);
        assert!(honest > 1_500_000, "{honest}");
        for n in [11, 12] {
            assert!(listed_weight(JUDGE, n) <= honest / 3, "{} of {honest}", listed_weight(JUDGE, n));
        }
        // In the draw, as first pick of committees of one.
        let ids: Vec<_> = (0..200).map(|_| ask(Terms { committee: 1, budget: 2_500, ..terms() })).collect();
        run_until(|| ids.iter().all(|id| responders(*id).len() == 2));
        for id in &ids {
            for n in responders(*id) {
                report(n, *id, ReportKind::CommitOutput { commitment: commitment_to_output(*id, n, b"x") })
                    .unwrap();
            }
        }
        next_block();
        for id in &ids {
            for n in responders(*id) {
                reveal_output(n, *id, b"x").unwrap();
            }
        }
        run_until(|| ids.iter().all(|id| !committee(*id).is_empty()));
        let lazy = ids.iter().filter(|id| is_lazy(committee(**id)[0])).count() as u64;
        let total: u64 = SCORERS.map(|n| listed_weight(JUDGE, n)).sum();
        let weight = listed_weight(JUDGE, 11) + listed_weight(JUDGE, 12);
        assert!(is_fair(lazy, 200, weight, total), "{lazy}");
        // In the consensus: the member's weight is that of the draw, without the stake of two minimums.
        for id in &ids {
            let member = Committees::<Test>::get(id, 0)[0].clone();
            let listed = listed_weight(JUDGE, operator_number(&member.operator));
            assert_eq!(member.weight, listed / 2);
        }
    });
}

#[test]
fn a_trusted_minority_outweighs_a_majority_of_little_trust() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        for n in 13..=20 {
            set_standing(n, |standing| standing.agreement = Permill::zero());
        }
        for n in 11..=12 {
            Poq::bond(RuntimeOrigin::signed(account(n)), 1).unwrap();
        }
        // Who grew after the request is not drawn for it; a new one sees them.
        run_until(|| phase(id).is_closed());
        let (id, members) = loop {
            let id = ask_and_draw(terms());
            answer_all(id);
            let members = committee(id);
            if members.contains(&11) && members.contains(&12) {
                break (id, members);
            }
            score_with(id, |_| vec![50, 50]);
        };
        assert_eq!(members.len(), 5);
        score_with(id, |n| if n <= 12 { vec![90, 20] } else { vec![0, 100] });
        let qualities: Vec<_> = Responses::<Test>::get(id).iter().map(|r| r.quality.unwrap()).collect();
        assert_eq!(qualities, percents(&[90, 20]));
    });
}

#[test]
fn deviation_is_judged_by_the_spread_of_the_population() {
    let after = |spread: u32| {
        let mut learned = None;
        build_and_execute(|| {
            set(Parameters {
                tolerance_least: Permill::from_percent(1),
                tolerance_most: Permill::from_percent(60),
                ..PARAMETERS
            });
            // The population is `spread` or nothing apart for a while; then one is five points off.
            for round in 0..60u32 {
                let id = ask_and_draw(terms());
                answer_all(id);
                score_with(id, |n| {
                    vec![50 + spread * (n as u32 % 2), 50 + spread * ((n as u32 + round) % 2)]
                });
            }
            let known = Spreads::<Test>::get(JUDGE).unwrap();
            let tolerance = Parameters { tolerance_most: Permill::from_percent(60), ..PARAMETERS };
            let tolerance =
                Parameters { tolerance_least: Permill::from_percent(1), ..tolerance }.tolerance(known);
            for n in SCORERS {
                set_standing(n, |standing| standing.agreement = Permill::from_percent(50));
            }
            let id = ask_and_draw(terms());
            answer_all(id);
            let odd = committee(id)[0];
            score_with(id, |n| if n == odd { vec![55, 55] } else { vec![50, 50] });
            learned = Some((known, tolerance, standing(odd).agreement));
        });
        learned.unwrap()
    };
    let (narrow, tight, fell) = after(0);
    let (wide, loose, rose) = after(12);
    assert!(narrow < parts(1_000) && wide > parts(20_000), "{narrow:?} {wide:?}");
    assert!(tight == Permill::from_percent(1) && loose > Permill::from_percent(12), "{tight:?} {loose:?}");
    assert_eq!(fell, parts(375_000), "five points are far from people who always agree");
    assert!(rose >= Permill::from_percent(50), "and near among people who are twelve apart: {rose:?}");
}
