//! A chain with the pallet: a question is asked, answered by real models, scored, and paid for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use codec::Encode;
use common::{account, engine, pair, signed, Chain};
use frame_support::traits::fungible::{Inspect, InspectHold};
use harness::Engine;
use pallet_proof_of_quality::{
    report_tags::PRIORITY, Call, Event, Phase, RefundReason, Report, ReportKind, RequestView, Sampling,
    Terms, Work,
};
use poq_minimal_runtime::{Balances, ProofOfQuality, Runtime, RuntimeEvent, TOKEN};
use poq_primitives::keys::{EngineEndpoint, ENGINE_ENDPOINT_KEY};
use serde_json::{json, Value};
use sp_core::Pair;
use sp_runtime::{
    traits::Zero,
    transaction_validity::{InvalidTransaction, TransactionValidityError},
    Permill,
};

const REQUESTER: &str = "//Alice";
const GENERATORS: [&str; 2] = ["poq-demo-strong", "poq-demo-weak"];
const EVALUATOR: &str = "poq-demo-evaluator";

/// The model that each operator serves: two inference nodes, three quality validators.
const SERVES: [&str; 5] = ["poq-demo-strong", "poq-demo-weak", EVALUATOR, EVALUATOR, EVALUATOR];

fn operator(n: usize) -> String {
    format!("//operator//{n}")
}

fn worker(n: usize) -> String {
    format!("//worker//{n}")
}

// [genesis]
/// Models and operators of the first block, as they stand in a chain specification. `windows` are counted in blocks.
fn genesis(windows: u32) -> Value {
    let model = |name: &str, kind: &str| {
        json!({
            "id": engine::model(name),
            "kind": kind,
            "name": name,
            "price": { "base": TOKEN / 20, "per_unit": TOKEN / 1_000 },
            "windows": { "commit": windows, "reveal": windows },
            "context": if kind == "Generator" { 512 } else { 0 },
        })
    };
    let operators = SERVES.iter().enumerate().map(|(n, serves)| {
        json!({
            "operator": account(&operator(n)),
            "stake": 10_000 * TOKEN as u64,
            "worker": account(&worker(n)),
            "models": [engine::model(serves)],
        })
    });
    let funded = (0..SERVES.len()).map(operator).chain([REQUESTER.to_owned()]);
    json!({
        "balances": {
            "balances": funded.map(|uri| json!([account(&uri), 100_000 * TOKEN as u64])).collect::<Vec<_>>(),
        },
        "proofOfQuality": {
            "models": [
                model("poq-demo-strong", "Generator"),
                model("poq-demo-weak", "Generator"),
                model("poq-demo-evaluator", "Evaluator"),
            ],
            "operators": operators.collect::<Vec<_>>(),
        },
    })
}
// [end]

/// A chain whose node has all worker keys, and in whose pool a question waits.
fn asked(windows: u32) -> Chain {
    let workers: Vec<String> = (0..SERVES.len()).map(worker).collect();
    let mut chain = Chain::new(&genesis(windows), &workers);
    let question = chain.within(|| {
        assert_eq!(ProofOfQuality::check_invariants(), Ok(()));
        let generators = GENERATORS.map(engine::model).to_vec();
        let evaluator = engine::model(EVALUATOR);
        let budget = ProofOfQuality::estimate_budget(generators.clone(), evaluator, 32, 2, 3).unwrap();
        let terms = Terms {
            generators: generators.try_into().unwrap(),
            evaluator,
            sampling: Sampling { max_tokens: 32, temperature_milli: 0, seed: 0 },
            responders: 2,
            committee: 3,
            min_quality: Permill::zero(),
            budget: budget.total(),
            audit: [7; 32],
        };
        signed(REQUESTER, Call::request_inference { prompt: b"What is the capital of Peru?".to_vec(), terms })
    });
    chain.submit(&question);
    chain
}

/// Makes blocks until request 0 is over. Returns how it ended and everything that happened.
fn run(chain: &mut Chain) -> (RequestView<Runtime>, Vec<RuntimeEvent>) {
    let mut events = Vec::new();
    for _ in 0..5_000 {
        events.extend(chain.make_block());
        let request = chain.within(|| ProofOfQuality::request_info(0)).expect("was asked");
        if request.phase.is_closed() {
            return (request, events);
        }
    }
    panic!("the request is not over");
}

/// Total issuance.
fn issued(chain: &mut Chain) -> u128 {
    chain.within(<Balances as Inspect<_>>::total_issuance)
}

/// Asserts what holds however a request ends: invariants, no budget on hold, and all that is gone was burnt as a fee.
fn assert_nothing_lost(chain: &mut Chain, before: u128, events: &[RuntimeEvent], burnt: u128) {
    let fees: u128 = events.iter().map(transaction_fee).sum();
    assert!(fees > 0, "asking costs a transaction fee");
    assert_eq!(issued(chain), before - fees - burnt);
    chain.within(|| {
        assert_eq!(ProofOfQuality::check_invariants(), Ok(()));
        let held = Balances::total_balance_on_hold(&account(REQUESTER));
        assert!(held.is_zero(), "{held} of a budget is left on hold");
        for n in 0..SERVES.len() {
            assert!(Balances::total_balance(&account(&worker(n))).is_zero(), "worker keys need no balance");
        }
    });
}

/// The fee of a transaction, from its event. Only the requester pays any.
fn transaction_fee(event: &RuntimeEvent) -> u128 {
    let RuntimeEvent::TransactionPayment(pallet_transaction_payment::Event::TransactionFeePaid {
        who,
        actual_fee,
        ..
    }) = event
    else {
        return 0;
    };
    assert_eq!(*who, account(REQUESTER));
    *actual_fee
}

#[test]
fn from_question_to_settlement_with_real_models() {
    let engine = Engine::start(engine::TOKEN).unwrap();
    // Long windows: this test is not about time.
    let mut chain = asked(600);
    // [endpoint]
    let endpoint = EngineEndpoint { url: engine.url().into(), token: engine::TOKEN.into() };
    chain.set_local_storage(ENGINE_ENDPOINT_KEY, &endpoint.encode());
    // [end]
    let before = issued(&mut chain);
    let (request, events) = run(&mut chain);

    let Phase::Settled { best, .. } = request.phase else { panic!("{request:?}") };
    assert!(request.responses.iter().all(|response| response.work == Work::Revealed), "{request:?}");
    let best = &request.responses[best as usize];
    assert_eq!(best.output, b"The capital of Peru is Lima.");
    assert_eq!(best.model, engine::model("poq-demo-strong"));
    let scorers = &request.committees[0];
    assert_eq!(scorers.len(), 3);
    assert!(scorers.iter().all(|member| member.scores.len() == 2 && member.paid > 0), "{scorers:?}");

    let (paid, fee, refund) = events.iter().find_map(settled).expect("says so");
    let to_operators = request.responses.iter().map(|response| response.paid);
    assert_eq!(paid, to_operators.chain(scorers.iter().map(|member| member.paid)).sum::<u128>());
    assert_eq!(paid + fee + refund, request.budget.total());
    assert!(paid > 0 && fee > 0);
    assert_nothing_lost(&mut chain, before, &events, fee);
}

fn settled(event: &RuntimeEvent) -> Option<(u128, u128, u128)> {
    match event {
        RuntimeEvent::ProofOfQuality(Event::Settled { paid, fee, refund, .. }) => {
            Some((*paid, *fee, *refund))
        }
        _ => None,
    }
}

#[test]
fn without_an_engine_operators_say_so_and_the_requester_gets_its_budget_back_but_for_the_fee() {
    let mut chain = asked(5);
    let before = issued(&mut chain);
    let (request, events) = run(&mut chain);
    assert!(
        matches!(request.phase, Phase::Refunded { reason: RefundReason::NoCommitment, .. }),
        "{request:?}"
    );
    let slashed =
        events.iter().any(|event| matches!(event, RuntimeEvent::ProofOfQuality(Event::Slashed { .. })));
    assert!(!slashed, "their nodes have reported a failure: that is not silence");
    let closed = events.iter().find_map(|event| match event {
        RuntimeEvent::ProofOfQuality(Event::Refunded { paid, fee, refund, .. }) => {
            Some((*paid, *fee, *refund))
        }
        _ => None,
    });
    let budget = request.budget;
    assert_eq!(closed, Some((0, budget.fee, budget.inference + budget.scoring)));
    assert_nothing_lost(&mut chain, before, &events, budget.fee);
}

#[test]
fn a_worker_key_without_balance_reports_what_is_due_and_nothing_else() {
    let mut chain = asked(600);
    let report = |request| {
        let kind = ReportKind::CommitOutput { commitment: [7; 32] };
        Call::report_work { reports: vec![Report { request, kind }].try_into().unwrap() }
    };
    let says = |chain: &mut Chain, who: &str, request| {
        let transaction = chain.within(|| signed(who, report(request)));
        chain.validate(&transaction).map(|_| ())
    };
    let unpaid = Err(TransactionValidityError::Invalid(InvalidTransaction::Payment));
    assert_eq!(says(&mut chain, &worker(0), 0), unpaid, "nobody is drawn yet");
    while chain.within(|| ProofOfQuality::request_info(0)).is_none_or(|r| r.responses.is_empty()) {
        chain.make_block();
    }
    assert_eq!(says(&mut chain, &worker(0), 0), Ok(()), "it is due and valid, so it is free");
    assert_eq!(says(&mut chain, &worker(0), 1), unpaid, "another request");
    assert_eq!(says(&mut chain, &worker(2), 0), unpaid, "a quality validator is not drawn yet");
    let due = chain.within(|| signed(&worker(0), report(0)));
    let due = chain.validate(&due).unwrap();
    assert!(due.priority > PRIORITY, "it goes before what is paid for");
    assert!(due.provides.len() > 1, "it carries a tag besides its nonce, so the pool keeps one of each duty");
    // An account that can pay may say what it likes, at its own cost.
    assert_eq!(says(&mut chain, REQUESTER, 0), Ok(()));
    let forged = chain.within(|| {
        let mut transaction = signed(&worker(0), report(0));
        transaction.preamble = match transaction.preamble {
            sp_runtime::generic::Preamble::Signed(_, signature, extension) => {
                sp_runtime::generic::Preamble::Signed(account(&worker(1)).into(), signature, extension)
            }
            other => other,
        };
        transaction
    });
    let refused = Err(TransactionValidityError::Invalid(InvalidTransaction::BadProof));
    assert_eq!(chain.validate(&forged).map(|_| ()), refused, "{:?}", pair(&worker(1)).public());
}
