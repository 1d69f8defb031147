//! Pay by noisy scores: what it leans on, whom that helps, and what playing it brings.

use crate::{mock::*, settlement::leaned, *};
use frame_support::{assert_noop, assert_ok};
use proptest::prelude::*;
use sp_runtime::{traits::BadOrigin, Permill};

fn parts(millionths: u32) -> Permill {
    Permill::from_parts(millionths)
}

fn percent(percent: u32) -> Permill {
    Permill::from_percent(percent)
}

fn set_noise(noise: Permill) {
    Poq::set_noise(RuntimeOrigin::root(), JUDGE, noise).unwrap();
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

#[test]
fn an_answer_is_paid_by_its_score_and_what_its_operator_is_known_for() {
    // The noise, what the operators are known for, the score of both answers, and what that is paid as.
    let cases = [(0, 90, 50, 50), (10, 90, 50, 60), (10, 60, 50, 55), (10, 40, 80, 60), (10, 80, 80, 80)];
    for (noise, known, score, paid_as) in cases {
        build_and_execute(|| {
            set_noise(percent(noise));
            for (n, _) in NODES {
                set_quality(n, percent(known));
            }
            let id = ask_and_draw(terms());
            answer_all(id);
            score_all(id, &[score, score]);
            let (.., quality, paid, fee, refund) = settled(id);
            assert_eq!(quality, percent(score), "the request's quality is the score itself");
            assert_eq!(paid + fee + refund, 10_000);
            for response in Responses::<Test>::get(id) {
                assert_eq!(response.quality, Some(percent(score)));
                assert_eq!(response.paid, percent(paid_as).mul_floor(4_645), "{noise} {known} {score}");
                let record = Operators::<Test>::get(response.operator).unwrap();
                assert_eq!(record.recent.last().unwrap().outcome, Outcome::Paid(percent(paid_as)));
            }
        });
    }
}

#[test]
fn a_good_name_carries_no_answer_over_the_bar() {
    build_and_execute(|| {
        set_noise(MOST_NOISE);
        for (n, _) in NODES {
            set_quality(n, percent(90));
        }
        let id = ask_and_draw(Terms { min_quality: percent(60), ..terms() });
        answer_all(id);
        score_all(id, &[50, 50]);
        for response in Responses::<Test>::get(id) {
            let record = Operators::<Test>::get(response.operator).unwrap();
            assert_eq!(record.recent.last().unwrap().outcome, Outcome::BelowMinQuality(percent(50)));
        }
    });
}

/// An operator's name and the parts that it earns, answer by answer.
#[derive(Default)]
struct Life {
    standing: Standing,
}

impl Life {
    fn answers(&mut self, score: Permill, noise: Permill) -> Permill {
        let paid_by = leaned(score, self.standing.quality, noise);
        self.standing.learn_quality(score);
        paid_by
    }
}

fn sum(values: impl Iterator<Item = Permill>) -> u64 {
    values.map(|value| u64::from(value.deconstruct())).sum()
}

proptest! {
    /// Whoever answers well and badly in whatever order earns no more than its scores, whatever the noise.
    #[test]
    fn no_order_of_good_and_bad_answers_gains(
        scores in prop::collection::vec(
            prop_oneof![Just(0u32), Just(1_000_000), 0u32..=1_000_000],
            1..400,
        ),
        noise in 1u32..=250_000,
    ) {
        let mut life = Life::default();
        let paid = sum(scores.iter().map(|score| life.answers(parts(*score), parts(noise))));
        let scored: u64 = scores.iter().map(|score| u64::from(*score)).sum();
        let name = u64::from(life.standing.quality.deconstruct());
        // A millionth an answer in halving, and 16 / 2 of one in the average.
        let rounding = 9 * scores.len() as u64;
        prop_assert!(paid + 8 * name <= scored + rounding, "{paid} + 8 * {name} > {scored}");
    }

    /// Who gathers a good name with cheap answers, or by evaluators without noise, sells bad ones for no more than the noise above their
    /// worth.
    #[test]
    fn a_bad_answer_at_a_high_price_gains_the_noise_at_most(
        cheap in 0usize..200,
        score in 0u32..=1_000_000,
        noise in 1u32..=250_000,
    ) {
        let mut life = Life::default();
        for _ in 0..cheap {
            life.answers(Permill::one(), parts(noise));
        }
        prop_assert!(life.answers(parts(score), parts(noise)) <= parts(score) + parts(noise));
    }
}

/// Numbers from a seed, evenly from -1 to 1 (splitmix64).
fn noises(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    })
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
