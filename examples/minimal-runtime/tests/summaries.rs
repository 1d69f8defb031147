//! A pallet of the chain's own asks: proposals get summaries by real models, or hear that there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use codec::Encode;
use common::{account, engine, signed, Chain};
use frame_support::traits::fungible::{Inspect, InspectHold};
use harness::Engine;
use pallet_proof_of_quality::{Event as PoqEvent, Inference, Phase, RefundReason};
use poq_minimal_runtime::{
    summaries::{Call, Error, Event, Pallet as Summaries, Proposals, Requested, Summary, TASK},
    Balances, ProofOfQuality, Runtime, RuntimeEvent, TOKEN,
};
use poq_primitives::keys::{EngineEndpoint, ENGINE_ENDPOINT_KEY};
use serde_json::{json, Value};
use sp_runtime::DispatchError;

const PROPOSER: &str = "//Alice";
const TEXT: &[u8] = b"What is the capital of Peru?";

/// The model that each operator serves: two inference nodes, three quality validators.
const SERVES: [&str; 5] =
    ["poq-demo-strong", "poq-demo-weak", "poq-demo-evaluator", "poq-demo-evaluator", "poq-demo-evaluator"];

fn genesis(windows: u32) -> Value {
    let model = |name: &str, kind: &str, context: u32| {
        json!({
            "id": engine::model(name),
            "kind": kind,
            "name": name,
            "price": { "base": TOKEN / 20, "per_unit": TOKEN / 1_000 },
            "windows": { "commit": windows, "reveal": windows },
            "context": context,
        })
    };
    let operator = |n: usize| account(&format!("//operator//{n}"));
    let operators = SERVES.iter().enumerate().map(|(n, serves)| {
        json!({
            "operator": operator(n),
            "stake": 10_000 * TOKEN as u64,
            "worker": account(&format!("//worker//{n}")),
            "models": [engine::model(serves)],
        })
    });
    let funded = (0..SERVES.len()).map(operator).chain([account(PROPOSER), account("//Bob")]);
    json!({
        "balances": {
            "balances": funded.map(|who| json!([who, 100_000 * TOKEN as u64])).collect::<Vec<_>>(),
        },
        "proofOfQuality": {
            "models": [
                model("poq-demo-strong", "Generator", 512),
                model("poq-demo-weak", "Generator", 512),
                model("poq-demo-evaluator", "Evaluator", 0),
            ],
            "operators": operators.collect::<Vec<_>>(),
        },
        "summaries": {
            "generators": [engine::model("poq-demo-strong"), engine::model("poq-demo-weak")],
            "evaluator": engine::model("poq-demo-evaluator"),
        },
    })
}

/// A chain whose node has all worker keys.
fn chain(windows: u32) -> Chain {
    let workers: Vec<String> = (0..SERVES.len()).map(|n| format!("//worker//{n}")).collect();
    Chain::new(&genesis(windows), &workers)
}

fn submit(chain: &mut Chain, who: &str, call: Call<Runtime>) -> Vec<RuntimeEvent> {
    let transaction = chain.within(|| signed(who, call));
    chain.submit(&transaction);
    chain.make_block()
}

fn propose(chain: &mut Chain) -> Vec<RuntimeEvent> {
    submit(chain, PROPOSER, Call::propose { text: TEXT.to_vec().try_into().unwrap() })
}

fn summary(chain: &mut Chain) -> Summary<Vec<u8>, sp_runtime::AccountId32> {
    let proposal = chain.within(|| Proposals::<Runtime>::get(0)).expect("is there");
    match proposal.summary {
        Summary::Asked(request) => Summary::Asked(request),
        Summary::Known { text, quality, by } => Summary::Known { text: text.into_inner(), quality, by },
        Summary::Missing(reason) => Summary::Missing(reason),
    }
}

/// Makes blocks until the proposal has heard.
fn until_answered(chain: &mut Chain) {
    for _ in 0..5_000 {
        let events = chain.make_block();
        if events
            .iter()
            .any(|event| matches!(event, RuntimeEvent::Summaries(Event::Answered { proposal: 0 })))
        {
            return;
        }
    }
    panic!("it hears nothing");
}

#[test]
fn a_proposal_gets_the_better_summary_of_two_by_real_models() {
    let engine = Engine::start(engine::TOKEN).unwrap();
    let mut chain = chain(600);
    let endpoint = EngineEndpoint { url: engine.url().into(), token: engine::TOKEN.into() };
    chain.set_local_storage(ENGINE_ENDPOINT_KEY, &endpoint.encode());
    let asked = propose(&mut chain);
    let is_asked = |event: &RuntimeEvent| {
        matches!(event, RuntimeEvent::Summaries(Event::Asked { proposal: 0, request: 0 }))
    };
    assert!(asked.iter().any(is_asked), "{asked:?}");
    assert_eq!(summary(&mut chain), Summary::Asked(0));

    until_answered(&mut chain);
    let request = chain.within(|| ProofOfQuality::request_info(0)).unwrap();
    assert_eq!(request.prompt, [TASK, TEXT].concat());
    let Phase::Settled { best, .. } = request.phase else { panic!("{request:?}") };
    let best = request.responses[best as usize].clone();
    let (quality, by) = (best.quality.unwrap(), best.operator);
    assert!(request.responses.iter().all(|other| other.quality.unwrap() <= quality), "{request:?}");
    assert_eq!(summary(&mut chain), Summary::Known { text: best.output, quality, by });
    assert_eq!(chain.within(|| Requested::<Runtime>::iter().count()), 0);

    // The proposer pays for the request of the pallet.
    assert_eq!(request.requester, account(PROPOSER));
    let left = chain.within(|| Balances::total_balance(&account(PROPOSER)));
    let paid = request.responses.iter().map(|response| response.paid).sum::<u128>();
    let price = <ProofOfQuality as Inference>::callback_price();
    assert!(paid > 0 && left < 100_000 * TOKEN - paid - price, "{left} {paid}");
}

#[test]
fn without_a_summary_the_proposer_asks_again_and_nobody_else_does() {
    let mut chain = chain(5);
    propose(&mut chain);
    // There is no engine.
    until_answered(&mut chain);
    assert_eq!(summary(&mut chain), Summary::Missing(RefundReason::NoCommitment));
    let refused = chain.within(|| Summaries::<Runtime>::ask_again(Some(account("//Bob")).into(), 0));
    assert_eq!(refused, Err(Error::<Runtime>::NotProposer.into()));
    submit(&mut chain, PROPOSER, Call::ask_again { id: 0 });
    assert_eq!(summary(&mut chain), Summary::Asked(1));
    let refused: Result<(), DispatchError> =
        chain.within(|| Summaries::<Runtime>::ask_again(Some(account(PROPOSER)).into(), 0));
    assert_eq!(refused, Err(Error::<Runtime>::NotMissing.into()), "one at a time");
}

#[test]
fn who_takes_a_proposal_back_at_once_gets_the_budget_back_but_for_the_fee() {
    let mut chain = chain(600);
    let (who, call) = (account(PROPOSER), Call::<Runtime>::withdraw { id: 0 });
    let budget = chain.within(|| {
        let text = TEXT.to_vec().try_into().unwrap();
        Summaries::<Runtime>::propose(Some(who.clone()).into(), text).unwrap();
        ProofOfQuality::request_info(0).unwrap().budget
    });
    let events = submit(&mut chain, PROPOSER, call);
    let refunded = events.iter().find_map(|event| match event {
        RuntimeEvent::ProofOfQuality(PoqEvent::Refunded { request: 0, reason, fee, refund, .. }) => {
            Some((*reason, *fee, *refund))
        }
        _ => None,
    });
    let back = budget.inference + budget.scoring;
    assert_eq!(refunded, Some((RefundReason::Cancelled, budget.fee, back)), "{events:?}");
    chain.make_block();
    chain.within(|| {
        assert!(Balances::total_balance_on_hold(&who) == 0);
        assert!(!Proposals::<Runtime>::contains_key(0) && Requested::<Runtime>::iter().count() == 0);
        assert_eq!(ProofOfQuality::callback(0), None, "heard, and of no consequence");
        assert_eq!(ProofOfQuality::check_invariants(), Ok(()));
    });
}
