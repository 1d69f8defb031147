//! Random operators, requesters and block gaps: whatever they do, the invariants hold, every request closes, and the money
//! adds up to the unit.

use crate::{mock::*, *};
use frame_support::{
    traits::Hooks,
    weights::{Weight, WeightMeter},
};
use poq_primitives::job::FailureReason;
use proptest::prelude::*;
use sp_runtime::Permill;

#[derive(Clone, Debug)]
enum Move {
    Ask {
        responders: u32,
        committee: u32,
        budget: Balance,
        min_quality: u32,
        by: u64,
    },
    /// Operator `who` does what its first open duty calls for, or, if not `honest`, something else.
    Work {
        who: usize,
        honest: bool,
        score: u32,
    },
    Bond {
        who: usize,
        amount: Balance,
    },
    Unbond {
        who: usize,
        amount: Balance,
    },
    Withdraw {
        who: usize,
    },
    Chill {
        who: usize,
    },
    Resume {
        who: usize,
    },
    Blocks {
        count: u64,
        room: u64,
    },
    Advance {
        id: u64,
    },
    Seeds {
        fresh: bool,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let who = 0usize..13;
    let step = prop_oneof![
        3 => (1u32..5, 1u32..8, 1_000u128..20_000, 0u32..100, prop_oneof![Just(50u64), Just(51), Just(1)]).prop_map(
            |(responders, committee, budget, min_quality, by)| Move::Ask { responders, committee, budget, min_quality, by }
        ),
        30 => (who.clone(), prop::bool::weighted(0.9), 0u32..=100)
            .prop_map(|(who, honest, score)| Move::Work { who, honest, score }),
        1 => (who.clone(), 0u128..2_000).prop_map(|(who, amount)| Move::Bond { who, amount }),
        1 => (who.clone(), 0u128..2_000).prop_map(|(who, amount)| Move::Unbond { who, amount }),
        1 => who.clone().prop_map(|who| Move::Withdraw { who }),
        1 => who.clone().prop_map(|who| Move::Chill { who }),
        2 => who.prop_map(|who| Move::Resume { who }),
        8 => (1u64..6, prop_oneof![4 => Just(u64::MAX), 1 => 0u64..1_000])
            .prop_map(|(count, room)| Move::Blocks { count, room }),
        1 => (0u64..20).prop_map(|id| Move::Advance { id }),
        1 => prop::bool::weighted(0.8).prop_map(|fresh| Move::Seeds { fresh }),
    ];
    prop::collection::vec(step, 1..150)
}

fn number(who: usize) -> u64 {
    NODES.iter().map(|(n, _)| *n).chain(SCORERS).nth(who).unwrap()
}

fn work(n: u64, honest: bool, score: u32) {
    let Some((id, role)) = Duties::<Test>::iter_prefix(account(n)).next() else { return };
    let output = format!("answer of {n}");
    let shown = Responses::<Test>::get(id).iter().filter(|r| r.work == Work::Shown).count();
    let scores = vec![score; shown];
    let result = if !honest {
        match score % 3 {
            0 => report(n, id, ReportKind::Fail { reason: FailureReason::Internal }),
            1 => reveal_output(n, id, b"something else"),
            _ => reveal_scores(n, id, &[1, 2, 3, 4]),
        }
    } else {
        match (role, phase(id)) {
            (Role::InferenceNode, Phase::Answering { .. }) => commit_output(n, id, output.as_bytes()),
            (Role::InferenceNode, _) => reveal_output(n, id, output.as_bytes()),
            // A score that the reveal can repeat: by operator and request.
            (Role::QualityValidator, Phase::Scoring { .. }) => {
                commit_scores(n, id, &vec![(n as u32 * 7 + id as u32) % 101; shown])
            }
            (Role::QualityValidator, _) => {
                let scores = vec![(n as u32 * 7 + id as u32) % 101; scores.len()];
                reveal_scores(n, id, &scores)
            }
        }
    };
    let _ = result;
}

fn play(moves: Vec<Move>) {
    let mut open: std::collections::BTreeMap<RequestId, Balance> = Default::default();
    for step in moves {
        match step {
            Move::Ask { responders, committee, budget, min_quality, by } => {
                let id = NextRequest::<Test>::get();
                let terms = Terms {
                    responders,
                    committee,
                    budget,
                    min_quality: Permill::from_percent(min_quality),
                    ..terms()
                };
                let origin = RuntimeOrigin::signed(account(by));
                if Poq::request_inference(origin, b"question".to_vec(), terms).is_ok() {
                    open.insert(id, budget);
                }
            }
            Move::Work { who, honest, score } => work(number(who), honest, score),
            Move::Bond { who, amount } => {
                let _ = Poq::bond(RuntimeOrigin::signed(account(number(who))), amount);
            }
            Move::Unbond { who, amount } => {
                let _ = Poq::unbond(RuntimeOrigin::signed(account(number(who))), amount);
            }
            Move::Withdraw { who } => {
                let _ = Poq::withdraw(RuntimeOrigin::signed(account(number(who))));
            }
            Move::Chill { who } => {
                let _ = Poq::chill(RuntimeOrigin::signed(account(number(who))));
            }
            Move::Resume { who } => {
                let _ = Poq::resume(RuntimeOrigin::signed(account(number(who))));
            }
            Move::Blocks { count, room } => {
                for _ in 0..count {
                    let now = System::block_number();
                    Poq::on_idle(now, Weight::from_parts(room, 0));
                    System::set_block_number(now + 1);
                    Poq::on_poll(now + 1, &mut WeightMeter::with_limit(Weight::from_parts(room, 0)));
                }
            }
            Move::Advance { id } => {
                let _ = frame_support::storage::with_storage_layer(|| {
                    Poq::advance(RuntimeOrigin::signed(account(52)), id).map_err(|e| e.error)
                });
            }
            Move::Seeds { fresh } => FreshSeeds::set(fresh),
        }
        Poq::do_try_state().unwrap();
    }
    // Everything that is open ends by itself, and each budget is accounted for to the unit.
    FreshSeeds::set(true);
    for _ in 0..120 {
        next_block();
    }
    assert!(Requests::<Test>::iter_values().all(|request| request.phase.is_closed()));
    for (id, budget) in open {
        let spent = System::events().into_iter().find_map(|record| match record.event {
            RuntimeEvent::Poq(Event::Settled { request, paid, fee, refund, .. }) if request == id => {
                Some(paid + fee + refund)
            }
            RuntimeEvent::Poq(Event::Refunded { request, refund, .. }) if request == id => Some(refund),
            _ => None,
        });
        assert_eq!(spent, Some(budget), "request {id}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_they_do_the_invariants_hold(moves in moves()) {
        build_and_execute(|| play(moves));
    }
}
