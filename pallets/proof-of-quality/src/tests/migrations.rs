//! A state in the types of the version before becomes one in today's, and life goes on.

use crate::{
    migrations::{version_0, version_1, version_2, MigrateV0ToV1, MigrateV1ToV2, MigrateV2ToV3},
    mock::*,
    *,
};
use codec::Encode;
use frame_support::{
    storage::unhashed,
    traits::{GetStorageVersion, OnRuntimeUpgrade, StorageVersion},
};
use sp_runtime::Permill;
use std::collections::BTreeMap;

type Migrations = (MigrateV0ToV1<Test>, MigrateV1ToV2<Test>, MigrateV2ToV3<Test>);

fn old_parameters(p: ParametersOf<Test>) -> version_2::ParametersOf<Test> {
    version_2::Parameters {
        min_stake: p.min_stake,
        stake_cap: p.stake_cap,
        unbonding_period: p.unbonding_period,
        fee: p.fee,
        absence_slash: p.absence_slash,
        audit_slash: p.audit_slash,
        gross_error: p.gross_error,
        audit_window: p.audit_window,
        tolerance_spreads: p.tolerance_spreads,
        tolerance_least: p.tolerance_least,
        tolerance_most: p.tolerance_most,
        newcomer: FULL_STANDING,
        floor: p.floor,
        rise: p.rise,
        fall: p.fall,
        audit_rise: p.audit_rise,
        audit_fall: p.audit_fall,
    }
}

/// Writes all that is stored now as version 2 would have.
fn write_as_version_2() {
    for (id, m) in Models::<Test>::iter() {
        let old = version_2::Model {
            kind: m.kind,
            name: m.name,
            price: m.price,
            windows: m.windows,
            reward: m.reward,
            retired: m.retired,
        };
        version_2::Models::<Test>::insert(id, old);
    }
    for (id, r) in Requests::<Test>::iter() {
        let old = version_2::Request {
            requester: r.requester,
            generators: r.generators,
            evaluator: r.evaluator,
            sampling: r.sampling,
            responders: r.responders,
            committee: r.committee,
            min_quality: r.min_quality,
            budget: r.budget,
            answer_windows: r.answer_windows,
            score_windows: r.score_windows,
            created: r.created,
            phase: r.phase,
            since: r.since,
            fixed_at: r.fixed_at,
            due: r.due,
            round: r.round,
            audit: r.audit,
            parameters: old_parameters(r.parameters),
        };
        version_2::Requests::<Test>::insert(id, old);
    }
    for (who, o) in Operators::<Test>::iter() {
        let old = version_2::Operator {
            stake: o.stake,
            unbonding: o.unbonding,
            worker: o.worker,
            models: o.models,
            chilled: o.chilled,
            capacity: o.capacity.map(|capacity| capacity.pairs),
            duties: o.duties,
            completed: o.completed,
            missed: o.missed,
            earned: o.earned,
            slashed: o.slashed,
            standing: o.standing,
            recent: o.recent,
        };
        version_2::Operators::<Test>::insert(who, old);
    }
    for (id, roster) in Rosters::<Test>::iter() {
        let old = roster.into_iter().filter(|c| c.away.is_none()).map(|c| version_2::Candidate {
            operator: c.operator,
            // With the stake whole behind each model.
            weight: 2 * c.weight,
            since: c.since,
        });
        version_2::Rosters::<Test>::insert(id, frame_support::BoundedVec::truncate_from(old.collect()));
    }
    if EconomicParameters::<Test>::exists() {
        let parameters = old_parameters(EconomicParameters::<Test>::get());
        version_2::EconomicParameters::<Test>::put(parameters);
    }
    Auditors::<Test>::kill();
    LatestAuditSlashes::<Test>::kill();
    StorageVersion::new(2).put::<Poq>();
}

/// Writes all that is stored now as version 1 would have.
fn write_as_version_1() {
    write_as_version_2();
    for (who, o) in version_2::Operators::<Test>::iter() {
        for (request, role) in o.duties.iter() {
            version_1::Duties::<Test>::insert(who, request, role);
        }
        if let Some(capacity) = o.capacity {
            version_1::Capacities::<Test>::insert(who, capacity);
        }
        let old = version_1::Operator {
            stake: o.stake,
            unbonding: o.unbonding,
            worker: o.worker,
            models: o.models,
            chilled: o.chilled,
            open_duties: o.duties.count(),
            completed: o.completed,
            missed: o.missed,
            earned: o.earned,
            slashed: o.slashed,
            standing: o.standing,
            recent: o.recent,
        };
        version_1::Operators::<Test>::insert(who, old);
    }
    StorageVersion::new(1).put::<Poq>();
}

/// Writes all that is stored now as version 0 would have.
fn write_as_version_0() {
    write_as_version_1();
    for (id, m) in version_2::Models::<Test>::iter() {
        let old = version_0::Model::<Test> {
            kind: m.kind,
            name: m.name,
            price: m.price,
            windows: m.windows,
            retired: m.retired,
        };
        unhashed::put_raw(&Models::<Test>::hashed_key_for(id), &old.encode());
    }
    for (who, o) in version_1::Operators::<Test>::iter() {
        let old = version_0::Operator::<Test> {
            stake: o.stake,
            unbonding: o.unbonding,
            worker: o.worker,
            models: o.models,
            chilled: o.chilled,
            open_duties: o.open_duties,
            completed: o.completed,
            missed: o.missed,
            earned: o.earned,
            slashed: o.slashed,
            recent: o.recent,
        };
        unhashed::put_raw(&version_1::Operators::<Test>::hashed_key_for(who), &old.encode());
    }
    for (id, r) in version_2::Requests::<Test>::iter() {
        let old = version_0::Request::<Test> {
            requester: r.requester,
            generators: r.generators,
            evaluator: r.evaluator,
            sampling: r.sampling,
            responders: r.responders,
            committee: r.committee,
            min_quality: r.min_quality,
            budget: r.budget,
            answer_windows: r.answer_windows,
            score_windows: r.score_windows,
            created: r.created,
            phase: r.phase,
            since: r.since,
            fixed_at: r.fixed_at,
            due: r.due,
            round: r.round,
        };
        unhashed::put_raw(&Requests::<Test>::hashed_key_for(id), &old.encode());
    }
    for (id, responses) in Responses::<Test>::iter() {
        let old: Vec<_> = responses
            .into_iter()
            .map(|r| version_0::Response::<Test> {
                operator: r.operator,
                model: r.model,
                work: r.work,
                quality: r.quality,
                paid: r.paid,
            })
            .collect();
        unhashed::put_raw(&Responses::<Test>::hashed_key_for(id), &old.encode());
    }
    for (id, round, committee) in Committees::<Test>::iter() {
        let old: Vec<_> = committee
            .into_iter()
            .map(|m| version_0::Member::<Test> {
                operator: m.operator,
                weight: m.weight,
                work: m.work,
                scores: m.scores,
                agreement: m.agreement,
                paid: m.paid,
            })
            .collect();
        unhashed::put_raw(&Committees::<Test>::hashed_key_for(id, round), &old.encode());
    }
    version_2::Rosters::<Test>::translate_values::<version_2::RosterOf<Test>, _>(|mut roster| {
        roster.iter_mut().for_each(|candidate| candidate.weight = 2_000);
        Some(roster)
    });
    OpenRequests::<Test>::kill();
    Spreads::<Test>::remove(JUDGE);
    StorageVersion::new(0).put::<Poq>();
}

#[test]
fn version_0_becomes_todays_and_open_requests_go_on() {
    build_and_execute(|| {
        // One request that is settled, one whose outputs are being scored, one that is new.
        let settled_one = ask_and_draw(terms());
        answer_all(settled_one);
        score_all(settled_one, &[80, 80]);
        let scored = ask_and_draw(terms());
        answer_all(scored);
        let new = ask(terms());
        Poq::unbond(RuntimeOrigin::signed(account(1)), 500).unwrap();
        let operators: Vec<_> = Operators::<Test>::iter_keys().collect();

        write_as_version_0();
        assert_eq!(Poq::on_chain_storage_version(), 0);
        Migrations::on_runtime_upgrade();

        assert_eq!(Poq::on_chain_storage_version(), Poq::in_code_storage_version());
        invariants::check::<Test>().unwrap();
        assert_eq!(OpenRequests::<Test>::get(), 2);
        for (id, roster) in Rosters::<Test>::iter() {
            let kind = Models::<Test>::get(id).unwrap().kind;
            for candidate in roster {
                let operator = Operators::<Test>::get(candidate.operator).unwrap();
                assert_eq!(candidate.weight, operators::weight_of::<Test>(&operator, kind, &PARAMETERS));
            }
        }
        assert_eq!(Operators::<Test>::iter_keys().collect::<Vec<_>>(), operators);
        assert_eq!(Operators::<Test>::get(account(1)).unwrap().standing, PARAMETERS.floor);
        assert_eq!(Models::<Test>::get(STRONG).unwrap().reward, Reward::default());

        score_all(scored, &[70, 60]);
        assert_eq!(settled(scored).1, Permill::from_percent(70));
        run_until(|| !responders(new).is_empty());
        answer_all(new);
        score_all(new, &[50, 40]);
        settled(new);
        assert_eq!(OpenRequests::<Test>::get(), 0);
    });
}

#[test]
fn duties_and_capacities_of_version_1_move_into_the_records() {
    build_and_execute(|| {
        let scored = ask_and_draw(terms());
        answer_all(scored);
        let new = ask_and_draw(terms());
        let capacity = Workload { tokens: 7, pairs: 7 };
        Poq::set_capacity(RuntimeOrigin::signed(account(1)), capacity).unwrap();
        let records: BTreeMap<_, _> = Operators::<Test>::iter().collect();
        assert!(records.values().any(|record| record.duties.count() > 0));

        write_as_version_1();
        // More than there can be now.
        version_1::Capacities::<Test>::insert(account(2), u32::MAX);
        Migrations::on_runtime_upgrade();

        assert_eq!(Poq::on_chain_storage_version(), Poq::in_code_storage_version());
        assert_eq!(version_1::Duties::<Test>::iter().count(), 0);
        assert_eq!(version_1::Capacities::<Test>::iter().count(), 0);
        let sorted = |record: &Operator<Test>| record.duties.iter().collect::<BTreeMap<_, _>>();
        for (who, record) in Operators::<Test>::iter() {
            assert_eq!(sorted(&record), sorted(&records[&who]));
            assert_eq!(record.capacity, None, "duties are not tokens: to be said anew");
            assert_eq!(record.load, records[&who].load);
        }
        invariants::check::<Test>().unwrap();
        for id in [scored, new] {
            if responders(id).iter().any(|n| {
                requests::work_of::<Test>(&account(*n), id, Role::InferenceNode) == Some(Work::Pending)
            }) {
                answer_all(id);
            }
            score_all(id, &[70, 60]);
            settled(id);
        }
    });
}

/// Does what is due until the request is settled.
fn go_on(id: RequestId) {
    for _ in 0..40 {
        for n in NODES.into_iter().map(|(n, _)| n).chain(SCORERS) {
            let revealed = Responses::<Test>::get(id).iter().filter(|r| r.work == Work::Revealed).count();
            let scores = vec![70; revealed];
            let role = operators::duty_in::<Test>(&account(n), id);
            let _ = match (role, phase(id)) {
                (Some(Role::InferenceNode), Phase::Answering { .. }) => commit_output(n, id, b"Lima"),
                (Some(Role::InferenceNode), Phase::RevealingAnswers { .. }) => reveal_output(n, id, b"Lima"),
                (Some(Role::QualityValidator), Phase::Scoring { .. }) => commit_scores(n, id, &scores),
                (Some(Role::QualityValidator), Phase::RevealingScores { .. }) => {
                    reveal_scores(n, id, &scores)
                }
                _ => Ok(()),
            };
        }
        if phase(id).is_closed() {
            return;
        }
        next_block();
    }
    panic!("request {id} is not over: {:?}", phase(id));
}

#[test]
fn version_2_becomes_todays_and_requests_in_every_phase_go_on() {
    build_and_execute(|| {
        // A minimum that was set, and an operator whose stake is less than that for each of its models.
        Poq::set_parameters(
            RuntimeOrigin::root(),
            Parameters { fee: Permill::from_percent(5), ..PARAMETERS },
        )
        .unwrap();
        register(3, worker(3), &[STRONG, WEAK]).unwrap();
        for id in [STRONG, WEAK, JUDGE] {
            Models::<Test>::mutate(id, |m| m.as_mut().unwrap().windows = Windows { commit: 50, reveal: 50 });
        }
        let one = || Terms { responders: 1, ..terms() };
        let settled_one = ask_and_draw(terms());
        answer_all(settled_one);
        score_all(settled_one, &[80, 80]);
        let revealing = ask_and_draw(one());
        reveal_output(responders(revealing)[0], revealing, b"Lima").unwrap();
        run_until(|| !committee(revealing).is_empty());
        committee(revealing).into_iter().for_each(|n| commit_scores(n, revealing, &[70]).unwrap());
        let scoring = ask_and_draw(one());
        reveal_output(responders(scoring)[0], scoring, b"Lima").unwrap();
        run_until(|| !committee(scoring).is_empty());
        let selecting = ask_and_draw(one());
        let (opening, answering, new) = (ask_and_draw(one()), ask_and_draw(terms()), ask(terms()));
        reveal_output(responders(selecting)[0], selecting, b"Lima").unwrap();
        let phases = [revealing, scoring, selecting, opening, answering, new].map(phase);
        assert!(matches!(
            phases,
            [
                Phase::RevealingScores { .. },
                Phase::Scoring { .. },
                Phase::Selecting,
                Phase::RevealingAnswers { .. },
                Phase::Answering { .. },
                Phase::Requested
            ]
        ));
        let requests: BTreeMap<_, _> = Requests::<Test>::iter().collect();
        let operators: BTreeMap<_, _> = Operators::<Test>::iter().collect();
        let rosters: BTreeMap<_, _> = Rosters::<Test>::iter().collect();

        write_as_version_2();
        Operators::<Test>::iter_keys().count();
        MigrateV2ToV3::<Test>::on_runtime_upgrade();

        assert_eq!(Poq::on_chain_storage_version(), Poq::in_code_storage_version());
        invariants::check::<Test>().unwrap();
        assert_eq!(EconomicParameters::<Test>::get().fee, Permill::from_percent(5));
        for (id, request) in Requests::<Test>::iter() {
            let expected = Request { parameters: request.parameters, ..requests[&id].clone() };
            assert_eq!(request, expected, "the bonus is found again");
        }
        for (who, record) in Operators::<Test>::iter() {
            let answerable_until = System::block_number() + PARAMETERS.audit_window + 1;
            assert_eq!(record, Operator { answerable_until, ..operators[&who].clone() });
        }
        assert_eq!(Rosters::<Test>::iter().collect::<BTreeMap<_, _>>(), rosters, "weights are made anew");
        assert_eq!(Models::<Test>::get(STRONG).unwrap().context, 164, "whatever fitted still fits");
        assert!(Auditors::<Test>::get().is_empty());
        for id in [revealing, scoring, selecting, opening, answering, new] {
            go_on(id);
            settled(id);
        }
        assert_eq!(OpenRequests::<Test>::get(), 0);
    });
}

#[test]
fn who_stands_behind_more_models_than_its_stake_allows_loses_its_places() {
    build_and_execute(|| {
        register(1, worker(1), &[STRONG, WEAK]).unwrap();
        write_as_version_2();
        version_2::Operators::<Test>::mutate(account(1), |o| o.as_mut().unwrap().stake = 1_999);
        let credit = money::take_stake::<Test>(&account(1), 1);
        money::pay_slash_handler::<Test>(credit);
        MigrateV2ToV3::<Test>::on_runtime_upgrade();
        invariants::check::<Test>().unwrap();
        assert!(
            !rosters::is_enlisted::<Test>(&STRONG, &account(1))
                && !rosters::is_enlisted::<Test>(&WEAK, &account(1))
        );
        assert!(rosters::is_enlisted::<Test>(&STRONG, &account(2)));
    });
}

#[test]
fn a_chain_of_today_is_left_alone() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let (before, operators) = (Requests::<Test>::get(id), Operators::<Test>::iter().collect::<Vec<_>>());
        StorageVersion::new(3).put::<Poq>();
        Migrations::on_runtime_upgrade();
        assert_eq!(Requests::<Test>::get(id), before);
        assert_eq!(Operators::<Test>::iter().collect::<Vec<_>>(), operators);
        assert_eq!(OpenRequests::<Test>::get(), 1);
    });
}
