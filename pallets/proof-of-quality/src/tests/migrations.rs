//! A state in the types of the version before becomes one in today's, and life goes on.

use crate::{
    migrations::{version_0, version_1, MigrateV0ToV1, MigrateV1ToV2},
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

type Migrations = (MigrateV0ToV1<Test>, MigrateV1ToV2<Test>);

/// Writes all that is stored now as version 1 would have.
fn write_as_version_1() {
    for (who, o) in Operators::<Test>::iter() {
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
    for (id, m) in Models::<Test>::iter() {
        let old = version_0::Model::<Test> {
            kind: m.kind,
            name: m.name,
            price: m.price,
            windows: m.windows,
            retired: m.retired,
        };
        unhashed::put_raw(&Models::<Test>::hashed_key_for(id), &old.encode());
    }
    write_as_version_1();
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
    for (id, r) in Requests::<Test>::iter() {
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
    Rosters::<Test>::translate_values::<RosterOf<Test>, _>(|mut roster| {
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
        Poq::do_try_state().unwrap();
        assert_eq!(OpenRequests::<Test>::get(), 2);
        for (id, roster) in Rosters::<Test>::iter() {
            let kind = Models::<Test>::get(id).unwrap().kind;
            for candidate in roster {
                let operator = Operators::<Test>::get(candidate.operator).unwrap();
                assert_eq!(candidate.weight, Poq::weight_of(&operator, kind, &PARAMETERS));
            }
        }
        assert_eq!(Operators::<Test>::iter_keys().collect::<Vec<_>>(), operators);
        assert_eq!(Operators::<Test>::get(account(1)).unwrap().standing, PARAMETERS.newcomer);
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
        Poq::set_capacity(RuntimeOrigin::signed(account(1)), 7).unwrap();
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
            let capacity = if who == account(2) { Some(1_000) } else { records[&who].capacity };
            assert_eq!(record.capacity, capacity);
        }
        Poq::do_try_state().unwrap();
        for id in [scored, new] {
            if responders(id)
                .iter()
                .any(|n| Poq::work_of(&account(*n), id, Role::InferenceNode) == Some(Work::Pending))
            {
                answer_all(id);
            }
            score_all(id, &[70, 60]);
            settled(id);
        }
    });
}

#[test]
fn a_chain_of_today_is_left_alone() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let (before, operators) = (Requests::<Test>::get(id), Operators::<Test>::iter().collect::<Vec<_>>());
        StorageVersion::new(2).put::<Poq>();
        Migrations::on_runtime_upgrade();
        assert_eq!(Requests::<Test>::get(id), before);
        assert_eq!(Operators::<Test>::iter().collect::<Vec<_>>(), operators);
        assert_eq!(OpenRequests::<Test>::get(), 1);
    });
}
