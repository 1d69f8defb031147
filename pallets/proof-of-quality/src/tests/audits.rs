//! Known-answer audits, from the sealed request to the last unit.

use crate::{mock::*, *};
use codec::Encode;
use frame_support::{assert_noop, assert_ok};
use poq_primitives::commitment;
use sp_runtime::{DispatchError, DispatchResult, Permill};

const PROMPT: &[u8] = b"capital of Peru?";
const SECRET: [u8; 32] = [77; 32];

fn key(reference: &str, right: u32, wrong: u32) -> AnswerKeyOf<Test> {
    AnswerKey {
        reference: reference.as_bytes().to_vec().try_into().unwrap(),
        decoys: Default::default(),
        right: Permill::from_percent(right),
        wrong: Permill::from_percent(wrong),
    }
}

fn lima() -> AnswerKeyOf<Test> {
    key("Lima", 100, 0)
}

fn sealed(key: &AnswerKeyOf<Test>) -> Commitment {
    commitment::answer_key(&duties::genesis_hash::<Test>(), &requester(), PROMPT, key, &SECRET)
}

type TestTerms = Terms<Balance, <Test as Config>::MaxModelsPerRequest>;

fn audit_terms() -> TestTerms {
    Terms { audit: sealed(&lima()), ..terms() }
}

fn open(id: RequestId) -> DispatchResult {
    Poq::reveal_audit(as_auditor(), id, lima(), SECRET)
}

fn set(parameters: ParametersOf<Test>) {
    Poq::set_parameters(RuntimeOrigin::root(), parameters).unwrap();
}

fn operator(n: u64) -> Operator<Test> {
    Operators::<Test>::get(account(n)).unwrap()
}

fn earned(n: u64) -> Balance {
    operator(n).earned
}

/// Brings a request to its committee with these outputs, in the order of the draw.
fn answer(id: RequestId, outputs: &[&str]) {
    for (n, output) in responders(id).into_iter().zip(outputs) {
        commit_output(n, id, output.as_bytes()).unwrap();
    }
    next_block();
    for (n, output) in responders(id).into_iter().zip(outputs) {
        reveal_output(n, id, output.as_bytes()).unwrap();
    }
    run_until(|| !committee(id).is_empty());
}

/// Settles a request with these scores, in the order of the draw.
fn score(id: RequestId, scores: &[impl AsRef<[u32]>]) {
    for (n, scores) in committee(id).into_iter().zip(scores) {
        commit_scores(n, id, scores.as_ref()).unwrap();
    }
    next_block();
    for (n, scores) in committee(id).into_iter().zip(scores) {
        reveal_scores(n, id, scores.as_ref()).unwrap();
    }
    next_block();
    settled(id);
}

/// The usual audit: one right and one wrong answer, two quality validators who look at them and three who do not.
fn lazy_majority() -> (RequestId, Vec<u64>, Vec<u64>) {
    let id = ask_and_draw(audit_terms());
    answer(id, &["It is Lima.", "It is Quito."]);
    score(id, &[&[100, 0], &[90, 10], &[50, 50], &[50, 50], &[50, 50]]);
    (id, responders(id), committee(id))
}

#[test]
fn an_audit_and_an_ordinary_request_look_alike_until_it_is_opened() {
    build_and_execute(|| {
        let audit = ask(audit_terms());
        let ordinary = ask(Terms { audit: [5; 32], ..terms() });
        let same = |id: RequestId| {
            let request = Requests::<Test>::get(id).unwrap();
            Request { audit: Audit::Sealed([0; 32]), ..request }
        };
        let look = |id: RequestId| {
            let view = Poq::request_info(id).unwrap();
            assert!(!view.audited);
            assert_eq!(Requests::<Test>::get(id).unwrap().encoded_size(), same(id).encoded_size());
            same(id)
        };
        assert_eq!(look(audit), look(ordinary));
        let both = [audit, ordinary];
        run_until(|| !responders(ordinary).is_empty());
        for id in both {
            responders(id).into_iter().for_each(|n| commit_output(n, id, b"Lima").unwrap());
        }
        next_block();
        for id in both {
            responders(id).into_iter().for_each(|n| reveal_output(n, id, b"Lima").unwrap());
        }
        run_until(|| both.iter().all(|id| !committee(*id).is_empty()));
        assert_eq!(look(audit), look(ordinary));
        for id in both {
            committee(id).into_iter().for_each(|n| commit_scores(n, id, &[90, 80]).unwrap());
        }
        next_block();
        for id in both {
            committee(id).into_iter().for_each(|n| reveal_scores(n, id, &[90, 80]).unwrap());
        }
        next_block();
        assert_eq!(look(audit), look(ordinary));
        // Nobody, not even who made it, can open the ordinary one.
        assert_noop!(open(ordinary), Error::<Test>::AuditMismatch);
        assert_ok!(open(audit));
        assert!(Poq::request_info(audit).unwrap().audited);
        assert!(!Poq::request_info(ordinary).unwrap().audited);
    });
}

#[test]
fn the_truth_moves_veracity_and_quality() {
    build_and_execute(|| {
        for n in SCORERS {
            Operators::<Test>::mutate(account(n), |operator| {
                operator.as_mut().unwrap().standing.veracity = Permill::from_percent(50);
            });
        }
        let (id, nodes, members) = lazy_majority();
        let veracity = |place: usize| operator(members[place]).standing.veracity;
        assert!((0..5).all(|place| veracity(place) == Permill::from_percent(50)), "a settlement moves none");
        let agreement = operator(members[0]).standing.agreement;
        let quality = |place: usize| operator(nodes[place]).standing.quality;
        let before = [quality(0), quality(1)];
        assert_ok!(open(id));
        // Up by a tenth of the way to 1; to 1 - 10% / 50%; down by half of the way to 0.
        let expected = [55, 53, 25, 25, 25].map(Permill::from_percent);
        assert_eq!([0, 1, 2, 3, 4].map(veracity), expected);
        assert_eq!(operator(members[0]).standing.agreement, agreement, "agreement is another matter");
        // A sixteenth of the way to 1 and to 0.
        assert!(quality(0) > before[0] && quality(1) < before[1]);
        let moved = |from: Permill, to: u32| {
            let (from, to) = (from.deconstruct() as i64, to as i64);
            Permill::from_parts((from + (to - from).div_euclid(16)) as u32)
        };
        assert_eq!([quality(0), quality(1)], [moved(before[0], 1_000_000), moved(before[1], 0)]);
        // And with it the weight in draws.
        let weight = |n: u64| {
            let roster = Rosters::<Test>::get(JUDGE);
            roster.iter().find(|candidate| candidate.operator == account(n)).unwrap().weight
        };
        assert!(weight(members[0]) > 4 * weight(members[2]) / 2, "truth counts twice");
        let record = operator(members[2]);
        let expected = operators::weight_of::<Test>(&record, ModelKind::Evaluator, &PARAMETERS);
        assert_eq!(weight(members[2]), expected);
    });
}

#[test]
fn events_say_what_an_audit_showed_and_cost() {
    build_and_execute(|| {
        let (id, nodes, members) = lazy_majority();
        System::reset_events();
        assert_ok!(open(id));
        let percent = Permill::from_percent;
        let mut expected = vec![Event::AuditRevealed {
            request: id,
            reference: lima().reference,
            truth: vec![percent(100), percent(0)].try_into().unwrap(),
        }];
        for (place, error) in [0, 10, 50, 50, 50].into_iter().enumerate() {
            let who = account(members[place]);
            let error = percent(error);
            expected.push(Event::Audited { request: id, operator: who, error });
            if place >= 2 {
                let reason = SlashReason::GrossError { error };
                expected.push(Event::Slashed { operator: who, request: id, amount: 200, reason });
            }
        }
        expected.push(Event::Compensated { who: account(nodes[0]), request: id, amount: 600 });
        assert_eq!(events(), expected);
        for n in &members[2..] {
            assert_eq!((operator(*n).stake, operator(*n).slashed, held(*n)), (1_800, 200, 1_800));
        }
        assert_eq!((operator(members[0]).slashed, operator(members[1]).slashed), (0, 0));
        assert_eq!(Slashed::get(), 0, "the inference node was owed more than that");
    });
}

#[test]
fn those_who_were_underpaid_come_first_and_the_handler_gets_the_rest() {
    build_and_execute(|| {
        set(Parameters { audit_slash: Permill::one(), ..PARAMETERS });
        let (id, nodes, members) = lazy_majority();
        // By the lazy majority: half of its share to either node, nothing to those who looked. (A lower median leans to the
        // honest where the right answer is no.)
        assert_eq!((earned(nodes[0]), earned(nodes[1])), (2_322, 2_322));
        assert_eq!(members.iter().map(|n| earned(*n)).collect::<Vec<_>>(), vec![0, 0, 51, 51, 51]);
        assert_ok!(open(id));
        // By the truth: the whole share of 4,645 for the right answer; what was paid for the wrong one stays. A tolerance of
        // a quarter leaves 60% to who was ten points off.
        assert_eq!((earned(nodes[0]), earned(nodes[1])), (4_645, 2_322));
        assert_eq!(members.iter().map(|n| earned(*n)).collect::<Vec<_>>(), vec![102, 61, 51, 51, 51]);
        assert_eq!(balance(nodes[0]), RICH - 2_000 + 4_645);
        assert_eq!(balance(members[1]), RICH - 2_000 + 61);
        assert_eq!(Slashed::get(), 3 * 2_000 - (4_645 - 2_322) - 102 - 61);
        // Nothing of a stake is left, so nothing of a name: struck out.
        for n in &members[2..] {
            assert_eq!((operator(*n).stake, held(*n)), (0, 0));
            assert!(!rosters::is_enlisted::<Test>(&JUDGE, &account(*n)));
        }
    });
}

#[test]
fn a_slash_that_is_less_than_the_harm_goes_to_inference_nodes_first() {
    build_and_execute(|| {
        set(Parameters { audit_slash: Permill::from_parts(400_000), ..PARAMETERS });
        let (id, nodes, members) = lazy_majority();
        assert_ok!(open(id));
        // 2,400: 2,323 for the node, then in the order of the draw.
        assert_eq!((earned(nodes[0]), earned(members[0]), earned(members[1])), (4_645, 77, 0));
        assert_eq!(Slashed::get(), 0);
    });
}

#[test]
fn who_made_the_fault_is_not_paid_out_of_it() {
    build_and_execute(|| {
        set(Parameters { audit_slash: Permill::one(), ..PARAMETERS });
        let id = ask_and_draw(audit_terms());
        answer(id, &["Lima", "Quito"]);
        // All but the first are exactly right about one response and as wrong as can be about the other. Of the other four
        // the scores of the second are far from the consensus, so by agreement it is owed more than it was paid.
        score(id, &[&[100, 0], &[0, 0], &[100, 100], &[100, 100], &[100, 100]]);
        let members = committee(id);
        assert_eq!(earned(members[1]), 0);
        assert_ok!(open(id));
        for n in &members[1..] {
            assert_eq!((operator(*n).slashed, operator(*n).stake), (2_000, 0));
        }
        assert_eq!(earned(members[1]), 0, "half right is not harmed by its own fault");
        assert_eq!(earned(members[0]), 102, "the one who was right is made whole");
    });
}

#[test]
fn an_error_is_gross_from_the_bound_on() {
    for (wrong, slashed) in [(49, 0), (50, 200)] {
        build_and_execute(|| {
            let id = ask_and_draw(audit_terms());
            answer(id, &["Lima", "Quito"]);
            score(id, &[&[100, wrong], &[100, 0], &[100, 0], &[100, 0], &[100, 0]]);
            assert_ok!(open(id));
            assert_eq!(operator(committee(id)[0]).slashed, slashed);
        });
    }
}

#[test]
fn an_audit_of_honest_work_costs_nobody_anything() {
    build_and_execute(|| {
        let id = ask_and_draw(audit_terms());
        answer(id, &["Lima", "LIMA!"]);
        score(id, &[&[95, 90]; 5]);
        let balances = || (0..60).map(balance).collect::<Vec<_>>();
        let before = balances();
        assert_ok!(open(id));
        assert_eq!(balances(), before);
        assert_eq!(Slashed::get(), 0);
        for n in committee(id) {
            assert_eq!(operator(n).slashed, 0);
            assert_eq!(
                operator(n).standing.veracity,
                Permill::from_percent(90),
                "half of the way to a worst error of 0.1"
            );
        }
    });
}

#[test]
fn a_right_answer_below_the_requesters_bar_is_owed_nothing() {
    build_and_execute(|| {
        set(Parameters { audit_slash: Permill::one(), ..PARAMETERS });
        let modest = key("Lima", 60, 0);
        let audit = sealed(&modest);
        let id = ask_and_draw(Terms { audit, min_quality: Permill::from_percent(61), ..terms() });
        answer(id, &["Lima", "Lima"]);
        score(id, &[&[0, 0]; 5]);
        assert_ok!(Poq::reveal_audit(as_auditor(), id, modest, SECRET));
        assert_eq!(responders(id).into_iter().map(earned).collect::<Vec<_>>(), vec![0, 0]);
    });
}

/// Pay and compensation for an answer and what its operator may still regain come to what the answer earns by the truth and what it
/// could regain before: what leaning took is not had twice.
#[test]
fn what_leaning_took_is_made_good_once() {
    const WHOLE: Balance = 4_645;
    let percent = Permill::from_percent;
    let mut had_been_taken = 0;
    for (known, before, said, slash, bar) in [0, 40, 95]
        .into_iter()
        .flat_map(|known| [0, 300, 10_000].map(|before| (known, before)))
        .flat_map(|(known, before)| {
            let of_slash = |slash| [(0, slash, 0), (20, slash, 0), (45, slash, 0), (45, slash, 60)];
            let cases = of_slash(100).into_iter().chain(of_slash(5));
            cases.map(move |(said, slash, bar)| (known, before, said, slash, bar))
        })
    {
        build_and_execute(|| {
            set(Parameters { audit_slash: percent(slash), ..PARAMETERS });
            Poq::set_noise(RuntimeOrigin::root(), JUDGE, MOST_NOISE).unwrap();
            let id = ask_and_draw(Terms { min_quality: percent(bar), ..audit_terms() });
            let nodes = responders(id);
            for n in &nodes {
                Operators::<Test>::mutate(account(*n), |operator| {
                    operator.as_mut().unwrap().standing.quality = percent(known);
                });
                if before > 0 {
                    Forgone::<Test>::insert(account(*n), before);
                }
            }
            answer(id, &["Lima", "Lima"]);
            score(id, &[&[said, said]; 5]);
            let single = percent(said).mul_floor(WHOLE);
            for n in &nodes {
                had_been_taken += Forgone::<Test>::get(account(*n)).saturating_sub(before);
            }
            assert_ok!(open(id));
            for n in nodes {
                let had = earned(n) + Forgone::<Test>::get(account(n));
                let case = format!("known {known}, forgone {before}, said {said}, slash {slash}, bar {bar}");
                assert!(had <= WHOLE + before, "{case}: {had}");
                let was_the_bar = bar > 0 && known == 95;
                if slash == 100 && !was_the_bar {
                    assert_eq!(had, WHOLE + before, "{case}");
                } else if !was_the_bar {
                    assert!(had >= single + before, "{case}: {had}");
                }
                if slash == 100 {
                    assert!(earned(n) >= WHOLE, "{case}: {}", earned(n));
                }
            }
        });
    }
    assert!(had_been_taken > 0);
}

#[test]
fn only_what_was_shown_is_audited() {
    build_and_execute(|| {
        let id = ask_and_draw(audit_terms());
        let nodes = responders(id);
        // The first node is silent; the second is right. Of the committee one is silent.
        commit_output(nodes[1], id, b"Lima").unwrap();
        run_until(|| matches!(phase(id), Phase::RevealingAnswers { .. }));
        reveal_output(nodes[1], id, b"Lima").unwrap();
        run_until(|| !committee(id).is_empty());
        let members = committee(id);
        for n in &members[1..] {
            commit_scores(*n, id, &[100]).unwrap();
        }
        run_until(|| matches!(phase(id), Phase::RevealingScores { .. }));
        for n in &members[1..] {
            reveal_scores(*n, id, &[100]).unwrap();
        }
        next_block();
        settled(id);
        let silent = (operator(nodes[0]).standing, operator(members[0]).standing);
        System::reset_events();
        assert_ok!(open(id));
        assert_eq!((operator(nodes[0]).standing, operator(members[0]).standing), silent);
        let audited = events().into_iter().filter(|event| matches!(event, Event::Audited { .. })).count();
        assert_eq!(audited, 4);
        let truth = events().into_iter().find_map(|event| match event {
            Event::AuditRevealed { truth, .. } => Some(truth.into_inner()),
            _ => None,
        });
        assert_eq!(truth, Some(vec![Permill::one()]));
    });
}

#[test]
fn an_empty_reference_opens_nothing() {
    build_and_execute(|| {
        let empty = key("", 100, 0);
        let id = ask_and_draw(Terms { audit: sealed(&empty), ..terms() });
        answer_all(id);
        score_all(id, &[80, 20]);
        let opened = Poq::reveal_audit(as_auditor(), id, empty, SECRET);
        assert_noop!(opened, Error::<Test>::EmptyReference);
    });
}

#[test]
fn a_false_key_opens_nothing() {
    build_and_execute(|| {
        let (id, ..) = lazy_majority();
        let open_with = |key, salt| Poq::reveal_audit(as_auditor(), id, key, salt);
        for false_key in [key("Quito", 100, 0), key("lima", 100, 0), key("Lima", 99, 0), key("Lima", 100, 1)]
        {
            assert_noop!(open_with(false_key, SECRET), Error::<Test>::AuditMismatch);
        }
        let mut salt = SECRET;
        salt[31] ^= 1;
        assert_noop!(open_with(lima(), salt), Error::<Test>::AuditMismatch);
        // A failed attempt does not spoil the true one.
        assert_ok!(open_with(lima(), SECRET));
    });
}

#[test]
fn a_commitment_copied_from_another_request_opens_nothing() {
    build_and_execute(|| {
        // The same key and salt, but another question, or another asker.
        let ask_as = |who: AccountId, prompt: &[u8]| {
            let id = NextRequest::<Test>::get();
            let origin = RuntimeOrigin::signed(who);
            Poq::request_inference(origin, prompt.to_vec(), audit_terms()).unwrap();
            run_until(|| !responders(id).is_empty());
            answer(id, &["Lima", "Quito"]);
            score(id, &[&[100, 0]; 5]);
            id
        };
        let other_prompt = ask_as(requester(), b"capital of Chile?");
        assert_noop!(open(other_prompt), Error::<Test>::AuditMismatch);
        let other_requester = ask_as(account(51), PROMPT);
        assert_noop!(open(other_requester), Error::<Test>::AuditMismatch);
        let own = ask_as(requester(), PROMPT);
        assert_ok!(open(own));
    });
}

#[test]
fn only_the_audit_origin_opens_only_once_and_only_what_is_over() {
    build_and_execute(|| {
        assert_noop!(open(0), Error::<Test>::UnknownRequest);
        let id = ask(audit_terms());
        assert_noop!(open(id), Error::<Test>::NotSettled);
        run_until(|| !responders(id).is_empty());
        assert_noop!(open(id), Error::<Test>::NotSettled);
        answer(id, &["Lima", "Quito"]);
        assert_noop!(open(id), Error::<Test>::NotSettled);
        score(id, &[&[50, 50]; 5]);
        for origin in [RuntimeOrigin::signed(requester()), RuntimeOrigin::none()] {
            assert_noop!(Poq::reveal_audit(origin, id, lima(), SECRET), DispatchError::BadOrigin);
        }
        assert_ok!(open(id));
        assert_noop!(open(id), Error::<Test>::AlreadyAudited);
        assert_noop!(
            Poq::reveal_audit(as_auditor(), id, key("Quito", 100, 0), SECRET),
            Error::<Test>::AlreadyAudited
        );

        let refunded = ask_and_draw(audit_terms());
        run_until(|| phase(refunded).is_closed());
        assert!(matches!(phase(refunded), Phase::Refunded { .. }));
        assert_ok!(open(refunded));
        assert_noop!(open(refunded), Error::<Test>::AlreadyAudited);
    });
}

#[test]
fn parameters_that_change_in_between_make_no_difference() {
    let slashed = |change: bool, late: u64| {
        let mut result = vec![];
        build_and_execute(|| {
            let (id, nodes, members) = lazy_majority();
            let Phase::Settled { at, .. } = phase(id) else { panic!("not settled") };
            if change {
                set(Parameters {
                    audit_window: 1,
                    audit_slash: Permill::one(),
                    gross_error: Permill::one(),
                    audit_fall: Permill::one(),
                    audit_rise: Permill::one(),
                    tolerance_most: Permill::one(),
                    ..PARAMETERS
                });
            }
            run_to(at + late);
            assert_ok!(open(id));
            result = nodes
                .iter()
                .chain(&members)
                .map(|n| (operator(*n).slashed, operator(*n).standing, earned(*n)))
                .collect();
        });
        result
    };
    assert_eq!(slashed(true, 10), slashed(false, 10));
    assert_eq!(slashed(true, 10)[4].0, 200);
}

#[test]
fn who_has_left_in_between_breaks_nothing() {
    build_and_execute(|| {
        let (id, nodes, members) = lazy_majority();
        // Who answers may go when governance shortens the way out afterwards; who scores only with all of its stake lost.
        set(Parameters { audit_window: 1, unbonding_period: 2, ..PARAMETERS });
        let gone = [nodes[0], members[0], members[2]];
        Poq::unbond(RuntimeOrigin::signed(account(nodes[0])), 2_000).unwrap();
        for n in [members[0], members[2]] {
            let credit = operators::slash::<Test>(&account(n), id, 2_000, SlashReason::NotCommitted);
            money::pay_slash_handler::<Test>(credit);
        }
        run_to(System::block_number() + 2);
        for n in gone {
            Poq::withdraw(RuntimeOrigin::signed(account(n))).unwrap();
            assert!(!Operators::<Test>::contains_key(account(n)));
        }
        System::reset_events();
        assert_ok!(open(id));
        for n in gone {
            assert!(!Operators::<Test>::contains_key(account(n)), "nobody is brought back");
        }
        let slashed = |n: u64| Operators::<Test>::get(account(n)).map(|operator| operator.slashed);
        assert_eq!([members[2], members[3], members[4]].map(slashed), [None, Some(200), Some(200)]);
        // Who left is still owed what it deserved.
        assert_eq!(balance(nodes[0]), RICH + 2_322 + 400);
    });
}

#[test]
fn stake_on_its_way_out_stays_until_no_audit_can_come() {
    build_and_execute(|| {
        // Twenty blocks for unbonding, ten for an audit, and a request that takes longer than the difference.
        let id = ask_and_draw(audit_terms());
        run_to(System::block_number() + 5);
        answer(id, &["Lima", "Quito"]);
        let n = committee(id)[0];
        Poq::unbond(RuntimeOrigin::signed(account(n)), 2_000).unwrap();
        let unbonded = System::block_number();
        run_to(unbonded + 5);
        for n in committee(id) {
            commit_scores(n, id, &[0, 100]).unwrap();
        }
        for n in committee(id) {
            reveal_scores(n, id, &[0, 100]).unwrap();
        }
        AgendaWeightOf::set(frame_support::weights::Weight::zero());
        run_to(unbonded + 18);
        AgendaWeightOf::set(frame_support::weights::Weight::MAX);
        next_block();
        let Phase::Settled { at, .. } = phase(id) else { panic!("not settled") };
        assert!(at + 10 >= unbonded + 20, "the period alone would let it go");
        run_to(at + 10);
        assert_noop!(Poq::withdraw(RuntimeOrigin::signed(account(n))), Error::<Test>::NothingToWithdraw);
        assert_ok!(open(id));
        assert_eq!(operator(n).unbonding.unwrap().amount, 1_800);
        next_block();
        let earned = earned(n);
        assert_ok!(Poq::withdraw(RuntimeOrigin::signed(account(n))));
        assert_eq!(balance(n), RICH - 200 + earned);
    });
}
