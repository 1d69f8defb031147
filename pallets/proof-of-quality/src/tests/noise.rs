//! Pay by noisy scores: what it leans on, whom that helps, and what playing it brings.

use crate::{mock::*, settlement::leaned, *};
use frame_support::{assert_noop, assert_ok};
use sp_runtime::{
    traits::{BadOrigin, Saturating},
    Permill,
};

fn parts(millionths: u32) -> Permill {
    Permill::from_parts(millionths)
}

fn percent(percent: u32) -> Permill {
    Permill::from_percent(percent)
}

fn set_noise(noise: Permill) {
    Poq::set_noise(RuntimeOrigin::root(), JUDGE, noise).unwrap();
}

fn set_forgone(n: u64, amount: u128) {
    Forgone::<Test>::set(account(n), amount);
}

fn set_quality(n: u64, quality: Permill) {
    Operators::<Test>::mutate(account(n), |operator| operator.as_mut().unwrap().standing.quality = quality);
}

#[test]
fn noise_is_said_of_evaluators_by_whom_the_registry_belongs_to() {
    build_and_execute(|| {
        let root = RuntimeOrigin::root;
        assert_noop!(Poq::set_noise(RuntimeOrigin::signed(account(1)), JUDGE, percent(1)), BadOrigin);
        assert_noop!(Poq::set_noise(root(), [99; 32], percent(1)), Error::<Test>::UnknownModel);
        assert_noop!(Poq::set_noise(root(), STRONG, percent(1)), Error::<Test>::WrongModelKind);
        let too_much = MOST_NOISE + parts(1);
        assert_noop!(Poq::set_noise(root(), JUDGE, too_much), Error::<Test>::InvalidNoise);
        for noise in [MOST_NOISE, percent(3), Permill::zero()] {
            assert_ok!(Poq::set_noise(root(), JUDGE, noise));
            System::assert_last_event(Event::NoiseSet { model: JUDGE, noise }.into());
            let shown = Poq::models(None, 64).into_iter().find(|model| model.id == JUDGE).unwrap();
            assert_eq!(shown.noise, noise);
        }
        assert_eq!(Noises::<Test>::iter().count(), 0, "none is not stored");
    });
}

#[test]
fn it_leans_half_of_the_way_and_upward_no_further_than_the_noise() {
    let noise = percent(10);
    let cases = [(50, 60, 55), (50, 70, 60), (50, 100, 60), (50, 40, 45), (100, 0, 50), (70, 70, 70)];
    for (score, usual, paid_by) in cases {
        assert_eq!(leaned(percent(score), percent(usual), noise), percent(paid_by), "{score} {usual}");
        assert_eq!(leaned(percent(score), percent(usual), Permill::zero()), percent(score));
    }
}

/// Price and bonus of an answer by [`terms`].
const WHOLE: u128 = 4_645;

#[test]
fn an_answer_is_paid_by_its_score_and_what_its_operator_is_known_for() {
    // The noise, what the operators are known for, the score of both answers, and what that is paid as.
    let cases = [(0, 90, 50, 50), (10, 90, 50, 60), (10, 60, 50, 55), (10, 40, 80, 60), (10, 80, 80, 80)];
    for (noise, known, score, paid_as) in cases {
        build_and_execute(|| {
            set_noise(percent(noise));
            for (n, _) in NODES {
                set_quality(n, percent(known));
                set_forgone(n, WHOLE);
            }
            let id = ask_and_draw(terms());
            answer_all(id);
            score_all(id, &[score, score]);
            let (.., quality, paid, fee, refund) = settled(id);
            assert_eq!(quality, percent(score), "the request's quality is the score itself");
            assert_eq!(paid + fee + refund, 10_000);
            let by = |percents| percent(percents).mul_floor(WHOLE);
            let taken = by(score).saturating_sub(by(paid_as));
            let usual = Requests::<Test>::get(id).unwrap().budget.fee;
            assert_eq!(fee, usual + 2 * taken, "it goes to the chain");
            assert_eq!(
                (Fees::get(), Slashed::get()),
                (usual, 2 * taken),
                "but to no receiver of fees, who may ask"
            );
            for response in Responses::<Test>::get(id) {
                assert_eq!(response.quality, Some(percent(score)));
                assert_eq!(response.paid, by(paid_as), "{noise} {known} {score}");
                assert_eq!(Forgone::<Test>::get(response.operator) + by(paid_as), WHOLE + by(score));
                let record = Operators::<Test>::get(response.operator).unwrap();
                assert_eq!(record.recent.last().unwrap().outcome, Outcome::Paid(percent(paid_as)));
            }
        });
    }
}

#[test]
fn leaning_gives_back_no_more_than_it_took() {
    // By the name, both answers would be paid as 60%: what was forgone, and what is regained.
    let most = percent(60).mul_floor(WHOLE) - percent(50).mul_floor(WHOLE);
    for (forgone, regained) in [(0, 0), (1, 1), (most - 1, most - 1), (most, most), (most + 1, most)] {
        build_and_execute(|| {
            set_noise(percent(10));
            for (n, _) in NODES {
                set_quality(n, percent(90));
                set_forgone(n, forgone);
            }
            if forgone == 0 {
                Forgone::<Test>::drain().for_each(drop);
            }
            let id = ask_and_draw(terms());
            answer_all(id);
            score_all(id, &[50, 50]);
            for response in Responses::<Test>::get(id) {
                assert_eq!(response.paid, percent(50).mul_floor(WHOLE) + regained);
                assert_eq!(Forgone::<Test>::get(response.operator), forgone - regained);
                assert_eq!(Forgone::<Test>::contains_key(response.operator), forgone > regained);
                let record = Operators::<Test>::get(response.operator).unwrap();
                let part = percent(50) + Permill::from_rational(regained, WHOLE);
                let part = if regained == most { percent(60) } else { part };
                assert_eq!(record.recent.last().unwrap().outcome, Outcome::Paid(part));
            }
        });
    }
}

#[test]
fn a_good_name_carries_no_answer_over_the_bar() {
    // The bar makes the answers no cheaper to who asked: what the name would have regained goes to the chain.
    let cost = |min_quality| {
        let mut cost = 0;
        build_and_execute(|| {
            set_noise(MOST_NOISE);
            for (n, _) in NODES {
                set_quality(n, percent(90));
                set_forgone(n, 1_000);
            }
            let id = ask_and_draw(Terms { min_quality, ..terms() });
            answer_all(id);
            score_all(id, &[50, 50]);
            for response in Responses::<Test>::get(id) {
                let record = Operators::<Test>::get(response.operator).unwrap();
                let below = record.recent.last().unwrap().outcome == Outcome::BelowMinQuality(percent(50));
                assert_eq!(below, !min_quality.is_zero());
                assert_eq!(Forgone::<Test>::get(response.operator) == 1_000, below, "nothing is regained");
            }
            let (.., paid, fee, _) = settled(id);
            cost = paid + fee;
        });
        cost
    };
    assert_eq!(cost(percent(60)), cost(Permill::zero()));
}

#[test]
fn what_was_forgone_is_forgotten_with_the_operator() {
    build_and_execute(|| {
        set_forgone(1, 1_000);
        let stake = Operators::<Test>::get(account(1)).unwrap().stake;
        assert_ok!(Poq::unbond(RuntimeOrigin::signed(account(1)), stake));
        let at = Operators::<Test>::get(account(1)).unwrap().unbonding.unwrap().at;
        run_to(at);
        assert_ok!(Poq::withdraw(RuntimeOrigin::signed(account(1))));
        assert!(!Forgone::<Test>::contains_key(account(1)));
    });
}

/// Whoever asks itself, at whatever price, by whatever evaluator, answers as well as it likes and is in league with the committee
/// of its own questions has no more from them and from strangers together than pay by single scores brings from strangers.
#[test]
fn who_asks_itself_gains_nothing() {
    for seed in 0..8 {
        build_and_execute(|| {
            let mut dice = numbers(seed);
            let mut roll = |sides: u64| dice.next().unwrap() % sides;
            let (mut by_leaning, mut by_scores) = (0i128, 0i128);
            let mut regained = 0;
            for _ in 0..40 {
                set_noise(percent([0, 5, 25][roll(3) as usize]));
                let is_own = roll(2) == 0;
                // Well where it costs itself nothing, badly where others pay.
                let score = if is_own { 60 + roll(41) } else { roll(41) } as u32;
                let budget = [10_000, 12_000, 20_000][roll(3) as usize];
                let before = Forgone::<Test>::get(account(1));
                let id = ask_and_draw(Terms { responders: 3, budget, ..terms() });
                answer_all(id);
                score_all(id, &[score, score, score]);
                let request = Requests::<Test>::get(id).unwrap();
                let responses = Responses::<Test>::get(id);
                let response = responses.iter().find(|response| response.operator == account(1)).unwrap();
                let whole = request.price_of(&response.model) + request.bonus;
                let part = Reward::default().earned(percent(score), response.latency);
                let base = request.parameters.base_pay.mul_floor(request.price_of(&response.model));
                let single = part.mul_floor(whole).max(base);
                let left = Forgone::<Test>::get(account(1));
                assert_eq!(response.paid + left, single + before, "to the unit");
                regained += before.saturating_sub(left);
                if is_own {
                    // What it pays itself is nothing; what it forgoes is gone.
                    by_leaning -= left.saturating_sub(before) as i128;
                } else {
                    by_leaning += response.paid as i128;
                    by_scores += single as i128;
                }
                assert!(by_leaning <= by_scores, "{by_leaning} > {by_scores}");
            }
            assert!(regained > 0, "it was tried");
        });
    }
}

/// Parts of one price that an honest operator earns, answer by answer.
#[derive(Default)]
struct Life {
    standing: Standing,
    forgone: u32,
}

impl Life {
    fn answers(&mut self, score: Permill, noise: Permill) -> Permill {
        let leaned = leaned(score, self.standing.quality, noise);
        let regained = leaned.saturating_sub(score).min(parts(self.forgone));
        self.forgone = self.forgone + score.saturating_sub(leaned).deconstruct() - regained.deconstruct();
        self.standing.learn_quality(score);
        leaned.min(score + regained)
    }
}

/// Numbers from a seed (splitmix64).
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(mixed ^ (mixed >> 31))
    })
}

/// Numbers from a seed, evenly from -1 to 1.
fn noises(seed: u64) -> impl Iterator<Item = f64> {
    numbers(seed).map(|number| (number >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
}

/// The variance of what an honest operator earns for an answer, as far as it comes from the noise of scores, falls by half at least;
/// and it earns what its answers are worth.
#[test]
fn an_honest_operators_pay_strays_half_as_much() {
    let (worth, deviation) = (0.6, 0.1);
    let noise = Permill::from_float(deviation);
    let mut life = Life::default();
    let mut scored = vec![];
    let mut paid = vec![];
    for stray in noises(7).take(10_000) {
        // Even noise of this deviation.
        let score = Permill::from_float(worth + stray * deviation * 3f64.sqrt());
        scored.push(score.deconstruct() as f64 / 1e6);
        paid.push(life.answers(score, noise).deconstruct() as f64 / 1e6);
    }
    // The first answers make the name.
    let late = |all: &[f64]| all[200..].to_vec();
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let variance =
        |all: &[f64]| all.iter().map(|one| (one - mean(all)).powi(2)).sum::<f64>() / all.len() as f64;
    let (scored, paid) = (late(&scored), late(&paid));
    let ratio = variance(&paid) / variance(&scored);
    assert!((0.2..0.3).contains(&ratio), "{ratio}");
    assert!((mean(&paid) - mean(&scored)).abs() < 0.001, "{} {}", mean(&paid), mean(&scored));
}
