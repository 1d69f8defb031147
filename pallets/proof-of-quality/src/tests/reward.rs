//! The reward: `clamp(alpha * q - beta * l)` of a share, and how latency is measured.

use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, traits::Hooks};
use proptest::prelude::*;
use sp_runtime::{FixedPointNumber, FixedU64, Permill};

fn reward(alpha_percent: u64, beta_percent: u64) -> Reward {
    let percent = |percent| FixedU64::from_rational(percent, 100);
    Reward { alpha: percent(alpha_percent.into()), beta: percent(beta_percent.into()) }
}

fn percent(percent: u32) -> Permill {
    Permill::from_percent(percent)
}

/// Gives a model other terms. On a chain they never change; here it spares every test operators of its own.
fn set_reward(model: ModelId, reward: Reward) {
    Models::<Test>::mutate(model, |model| model.as_mut().unwrap().reward = reward);
}

#[test]
fn the_edges_of_the_clamp() {
    let (zero, one) = (Permill::zero(), Permill::one());
    let plain = Reward::default();
    assert_eq!((plain.earned(zero, zero), plain.earned(one, zero)), (zero, one));
    assert_eq!(plain.earned(percent(37), one), percent(37), "latency costs nothing");
    // The upper end: from q = 1/2 on, all is earned.
    let generous = reward(200, 0);
    assert_eq!(generous.earned(percent(50), zero), one);
    assert_eq!(generous.earned(Permill::from_parts(499_999), zero), Permill::from_parts(999_998));
    assert_eq!(generous.earned(one, zero), one);
    // The lower end: nothing where latency outweighs quality.
    let strict = reward(100, 100);
    assert_eq!(strict.earned(percent(50), percent(50)), zero);
    assert_eq!(strict.earned(Permill::from_parts(500_001), percent(50)), Permill::from_parts(1));
    assert_eq!(strict.earned(percent(50), one), zero);
    assert_eq!(strict.earned(one, one), zero);
    // Both at once.
    assert_eq!(reward(200, 100).earned(one, one), one);
    assert_eq!(reward(150, 50).earned(percent(60), percent(40)), percent(70));
    // The greatest that a chain can allow.
    let most = Reward { alpha: FixedU64::from_u32(10), beta: FixedU64::from_u32(10) };
    assert_eq!((most.earned(one, zero), most.earned(one, one)), (one, zero));
    let least = Reward { alpha: FixedU64::from_inner(1), beta: FixedU64::from_inner(0) };
    assert_eq!(least.earned(one, zero), zero, "rounded down");
    let beyond = Reward { alpha: FixedU64::from_inner(u64::MAX), beta: FixedU64::from_inner(u64::MAX) };
    assert_eq!((beyond.earned(one, zero), beyond.earned(one, one)), (one, zero));
}

fn rewards() -> impl Strategy<Value = Reward> {
    let factor = || prop_oneof![0..=10 * FixedU64::DIV, Just(0), Just(FixedU64::DIV), any::<u64>()];
    (factor(), factor())
        .prop_map(|(a, b)| Reward { alpha: FixedU64::from_inner(a), beta: FixedU64::from_inner(b) })
}

fn part() -> impl Strategy<Value = Permill> {
    prop_oneof![0u32..=1_000_000, Just(0), Just(1_000_000)].prop_map(Permill::from_parts)
}

proptest! {
    #[test]
    fn it_rises_with_quality(reward in rewards(), latency in part(), a in part(), b in part()) {
        prop_assert!(reward.earned(a.min(b), latency) <= reward.earned(a.max(b), latency));
    }

    #[test]
    fn it_falls_with_latency(reward in rewards(), quality in part(), a in part(), b in part()) {
        prop_assert!(reward.earned(quality, a.min(b)) >= reward.earned(quality, a.max(b)));
    }

    #[test]
    fn it_is_a_part_of_the_share_and_what_the_formula_says(reward in rewards(), q in part(), l in part()) {
        let earned = reward.earned(q, l);
        prop_assert!(earned <= Permill::one());
        let exact = |factor: FixedU64, part: Permill| {
            factor.into_inner() as i128 * part.deconstruct() as i128 / FixedU64::DIV as i128
        };
        let formula = (exact(reward.alpha, q) - exact(reward.beta, l)).clamp(0, 1_000_000);
        prop_assert_eq!(earned.deconstruct() as i128, formula);
    }
}

/// Settles a request of two responders of whom the second commits so many blocks after the draw; returns the latencies and
/// the outcomes of both.
fn answered_after(blocks: u64, quality: u32) -> [(Permill, Balance, Outcome); 2] {
    let id = ask_and_draw(terms());
    let (prompt, late) = (responders(id)[0], responders(id)[1]);
    commit_output(prompt, id, b"Lima").unwrap();
    run_to(System::block_number() + blocks);
    commit_output(late, id, b"Lima").unwrap();
    run_until(|| matches!(phase(id), Phase::RevealingAnswers { .. }));
    // How late it is revealed does not matter: it has been fixed.
    next_block();
    reveal_output(prompt, id, b"Lima").unwrap();
    reveal_output(late, id, b"Lima").unwrap();
    run_until(|| !committee(id).is_empty());
    score_all(id, &[quality, quality]);
    let (.., paid, fee, refund) = settled(id);
    assert_eq!(paid + fee + refund, 10_000);
    let responses = Responses::<Test>::get(id);
    [0, 1].map(|place| {
        let response = &responses[place];
        let record = Operators::<Test>::get(response.operator).unwrap();
        (response.latency, response.paid, record.recent.last().unwrap().outcome)
    })
}

#[test]
fn latency_of_an_answer_is_counted_in_blocks_from_the_draw_to_the_commitment() {
    for (blocks, latency, earned) in [(0, 0, 90), (1, 20, 80), (2, 40, 70), (4, 80, 50), (5, 100, 40)] {
        build_and_execute(|| {
            set_reward(STRONG, reward(100, 50));
            set_reward(WEAK, reward(100, 50));
            let [prompt, late] = answered_after(blocks, 90);
            assert_eq!(prompt, (Permill::zero(), 4_645 * 9 / 10, Outcome::Paid(percent(90))));
            assert_eq!(late, (percent(latency), percent(earned) * 4_645, Outcome::Paid(percent(earned))));
        });
    }
}

#[test]
fn latency_can_cost_all() {
    build_and_execute(|| {
        set_reward(STRONG, reward(100, 100));
        set_reward(WEAK, reward(100, 100));
        let [prompt, late] = answered_after(5, 90);
        assert_eq!(prompt.2, Outcome::Paid(percent(90)));
        assert_eq!(late, (Permill::one(), 0, Outcome::TooSlow(percent(90))));
    });
    build_and_execute(|| {
        set_reward(STRONG, reward(100, 100));
        set_reward(WEAK, reward(100, 100));
        let [_, late] = answered_after(5, 0);
        assert_eq!(
            late,
            (Permill::one(), 0, Outcome::Paid(Permill::zero())),
            "it was worth nothing at any speed"
        );
    });
}

#[test]
fn latency_of_a_sole_responder_is_counted_to_its_output_over_both_windows() {
    for (blocks, latency) in [(0, 0), (4, 500_000), (5, 625_000), (8, 1_000_000)] {
        build_and_execute(|| {
            set_reward(STRONG, reward(100, 50));
            set_reward(WEAK, reward(100, 50));
            let id = ask_and_draw(Terms { responders: 1, ..terms() });
            let n = responders(id)[0];
            run_to(System::block_number() + blocks);
            reveal_output(n, id, b"Lima").unwrap();
            run_until(|| !committee(id).is_empty());
            score_all(id, &[100]);
            let response = &Responses::<Test>::get(id)[0];
            assert_eq!(response.latency, Permill::from_parts(latency));
            let earned = Permill::from_parts(1_000_000 - latency / 2);
            assert_eq!(response.paid, earned.mul_floor(9_295u128));
        });
    }
}

#[test]
fn latency_of_scores_is_counted_to_their_commitment() {
    for (blocks, latency) in [(0, 0), (3, 60), (5, 100)] {
        build_and_execute(|| {
            set_reward(JUDGE, reward(100, 50));
            let id = ask_and_draw(terms());
            answer_all(id);
            let members = committee(id);
            let (prompt, late) = (members[0], members[1]);
            for n in members.iter().filter(|n| **n != late) {
                commit_scores(*n, id, &[80, 80]).unwrap();
            }
            run_to(System::block_number() + blocks);
            commit_scores(late, id, &[80, 80]).unwrap();
            run_until(|| matches!(phase(id), Phase::RevealingScores { .. }));
            next_block();
            for n in &members {
                reveal_scores(*n, id, &[80, 80]).unwrap();
            }
            next_block();
            let (.., paid, fee, refund) = settled(id);
            assert_eq!(paid + fee + refund, 10_000);
            let member = |n: u64| {
                let committee = Committees::<Test>::get(id, 0);
                let member = committee.iter().find(|member| member.operator == account(n)).unwrap();
                (member.latency, member.agreement, member.paid)
            };
            assert_eq!(member(prompt), (Permill::zero(), Some(Permill::one()), 102));
            assert_eq!(
                member(late),
                (percent(latency), Some(Permill::one()), 102 * (200 - latency as u128) / 200)
            );
        });
    }
}

#[test]
fn quality_above_what_alpha_asks_for_earns_the_whole_share() {
    build_and_execute(|| {
        set_reward(STRONG, reward(125, 0));
        set_reward(WEAK, reward(125, 0));
        let [prompt, _] = answered_after(0, 80);
        assert_eq!(prompt, (Permill::zero(), 4_645, Outcome::Paid(Permill::one())));
    });
}

#[test]
fn terms_of_a_model_are_bounded_at_its_registration() {
    build_and_execute(|| {
        let mut next = 100u8;
        let mut register = |alpha: u64, beta: u64| {
            next += 1;
            let reward = Reward { alpha: FixedU64::from_inner(alpha), beta: FixedU64::from_inner(beta) };
            Poq::register_model(
                RuntimeOrigin::root(),
                [next; 32],
                ModelKind::Generator,
                b"x".to_vec(),
                Price::default(),
                Windows { commit: 1, reveal: 1 },
                reward,
                1,
            )
        };
        let one = FixedU64::DIV;
        assert_noop!(register(0, 0), Error::<Test>::InvalidReward);
        assert_ok!(register(1, 0));
        assert_ok!(register(1, 1));
        assert_noop!(register(1, 2), Error::<Test>::InvalidReward);
        assert_ok!(register(2 * one, 0));
        assert_noop!(register(2 * one + 1, 0), Error::<Test>::InvalidReward);
        assert_ok!(register(2 * one, one));
        assert_noop!(register(2 * one, one + 1), Error::<Test>::InvalidReward);
        assert_ok!(register(one, one));
        assert_noop!(register(one - 1, one), Error::<Test>::InvalidReward);
        assert_eq!(Models::<Test>::get([102; 32]).unwrap().reward.alpha, FixedU64::from_inner(1));
    });
}

#[test]
fn the_bounds_themselves_are_checked_at_the_start() {
    build_and_execute(|| {
        let holds = |alpha: u64, beta: u64| {
            MaxAlpha::set(FixedU64::from_inner(alpha));
            MaxBeta::set(FixedU64::from_inner(beta));
            let held = invariants::check_config::<Test>();
            assert_eq!(std::panic::catch_unwind(Poq::integrity_test).is_ok(), held.is_ok());
            held
        };
        let one = FixedU64::DIV;
        assert_eq!(holds(one, 0), Ok(()));
        assert_eq!(holds(one - 1, 0), Err("MaxAlpha must be 1 to 10"));
        assert_eq!(holds(10 * one, 0), Ok(()));
        assert_eq!(holds(10 * one + 1, 0), Err("MaxAlpha must be 1 to 10"));
        assert_eq!(holds(2 * one, 2 * one), Ok(()));
        assert_eq!(holds(2 * one, 2 * one + 1), Err("MaxBeta must not be above MaxAlpha"));
    });
}
