//! A state in the types of the version before becomes one in today's, and life goes on.

use crate::{
    migrations::{old, MigrateV0ToV1},
    mock::*,
    *,
};
use codec::Encode;
use frame_support::{
    storage::unhashed,
    traits::{GetStorageVersion, OnRuntimeUpgrade, StorageVersion},
};
use sp_runtime::Permill;

/// Writes all that is stored now as version 0 would have.
fn write_as_version_0() {
    for (id, m) in Models::<Test>::iter() {
        let old = old::Model::<Test> {
            kind: m.kind,
            name: m.name,
            price: m.price,
            windows: m.windows,
            retired: m.retired,
        };
        unhashed::put_raw(&Models::<Test>::hashed_key_for(id), &old.encode());
    }
    for (who, o) in Operators::<Test>::iter() {
        let old = old::Operator::<Test> {
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
        unhashed::put_raw(&Operators::<Test>::hashed_key_for(who), &old.encode());
    }
    for (id, r) in Requests::<Test>::iter() {
        let old = old::Request::<Test> {
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
            .map(|r| old::Response::<Test> {
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
            .map(|m| old::Member::<Test> {
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
fn version_0_becomes_version_1_and_open_requests_go_on() {
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
        MigrateV0ToV1::<Test>::on_runtime_upgrade();

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
fn a_chain_of_today_is_left_alone() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let before = Requests::<Test>::get(id);
        StorageVersion::new(1).put::<Poq>();
        MigrateV0ToV1::<Test>::on_runtime_upgrade();
        assert_eq!(Requests::<Test>::get(id), before);
        assert_eq!(OpenRequests::<Test>::get(), 1);
    });
}
