//! Who may be drawn: never for one's own request, never twice for one, and no whale more than the cap allows.

use crate::{mock::*, *};
use std::collections::BTreeSet;

#[test]
fn a_whale_is_drawn_as_often_as_the_cap_allows_and_no_oftener() {
    build_and_execute(|| {
        Poq::bond(RuntimeOrigin::signed(account(1)), 500_000).unwrap();
        let all = 400;
        let ids: Vec<_> = (0..all).map(|_| ask(Terms { responders: 1, budget: 2_000, ..terms() })).collect();
        run_until(|| ids.iter().all(|id| !responders(*id).is_empty()));
        let whale = ids.iter().filter(|id| responders(**id) == [1]).count();
        // Five minimum stakes against two and two. Binomial(400, 5/9): mean 222, standard deviation 10; by stake alone it
        // would be 397. The seeds are fixed, so this cannot flake.
        assert!(whale.abs_diff(222) < 40, "{whale}");
    });
}

#[test]
fn stake_counts_in_the_draw_and_not_again_in_the_consensus() {
    build_and_execute(|| {
        Poq::bond(RuntimeOrigin::signed(account(11)), 500_000).unwrap();
        let id = loop {
            let id = ask_and_draw(Terms { committee: 7, ..terms() });
            answer_all(id);
            if committee(id).contains(&11) {
                break id;
            }
            score_all(id, &[80, 80]);
        };
        for member in Committees::<Test>::get(id, 0) {
            assert_eq!(member.weight, 1_000_000, "trust");
        }
        for n in committee(id) {
            commit_scores(n, id, if n == 11 { &[0, 0] } else { &[90, 90] }).unwrap();
        }
        next_block();
        for n in committee(id) {
            reveal_scores(n, id, if n == 11 { &[0, 0] } else { &[90, 90] }).unwrap();
        }
        next_block();
        assert_eq!(settled(id).1, sp_runtime::Permill::from_percent(90));
    });
}

#[test]
fn inference_nodes_and_committee_are_different_people_and_neither_is_the_requester() {
    build_and_execute(|| {
        // Everybody serves everything, and everybody asks.
        for n in [11, 12] {
            Poq::bond(RuntimeOrigin::signed(account(n)), 1_000).unwrap();
            register(n, worker(n), &[STRONG, WEAK, JUDGE]).unwrap();
        }
        let mut both = BTreeSet::new();
        for round in 0..24u64 {
            let by = [1, 11, 12, 13][round as usize % 4];
            let id = NextRequest::<Test>::get();
            let terms = Terms { responders: 3, committee: 7, budget: 8_000, ..terms() };
            Poq::request_inference(RuntimeOrigin::signed(account(by)), b"question".to_vec(), terms).unwrap();
            run_until(|| !responders(id).is_empty());
            answer_all(id);
            let drawn: Vec<_> = responders(id).into_iter().chain(committee(id)).collect();
            assert_eq!(drawn.len(), 10);
            assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 10, "{drawn:?}");
            assert!(!drawn.contains(&by));
            both.extend(responders(id).into_iter().filter(|n| SCORERS.contains(n)).map(|n| (n, true)));
            both.extend(committee(id).into_iter().filter(|n| [11, 12].contains(n)).map(|n| (n, false)));
            score_all(id, &[80, 80, 80]);
            settled(id);
        }
        let expected = [(11, true), (11, false), (12, true), (12, false)];
        assert_eq!(both, BTreeSet::from(expected), "each was drawn for either kind of work");
    });
}

#[test]
fn who_has_no_others_to_serve_it_cannot_ask() {
    build_and_execute(|| {
        for n in [1, 2] {
            Poq::chill(RuntimeOrigin::signed(account(n))).unwrap();
        }
        let terms = Terms { responders: 1, ..terms() };
        let result = Poq::request_inference(RuntimeOrigin::signed(account(3)), b"question".to_vec(), terms);
        assert_eq!(result, Err(Error::<Test>::NotEnoughInferenceNodes.into()));
    });
}
