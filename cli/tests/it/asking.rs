//! Asking a real network: answers are scored, money adds up, and quality pays.

use crate::common::{amount, paid, parse, text, total, wait_for, Node};
use serde_json::Value;
use std::{collections::HashSet, process::Child};

#[tokio::test]
async fn a_question_is_answered_scored_and_paid_for_to_the_unit() {
    let node = Node::start();
    let client = node.client().await;
    let before = total(&client, "//Alice").await;

    let asked = node.json(&["ask", "What is the capital of Peru?", "--min-quality", "0.1"]);
    assert_eq!(asked["request"], 0);
    assert_eq!(asked["state"], "settled");
    assert_eq!(asked["refund_reason"], Value::Null);
    assert_eq!(asked["prompt"], "What is the capital of Peru?");
    assert_eq!(asked["signer"], asked["requester"]);
    assert!(asked["finalized"].is_boolean(), "{asked}");
    wait_for("finality", || (node.request(0)?["finalized"] == true).then_some(()));
    assert!(!asked["answer"].as_str().unwrap().is_empty());
    assert!(asked["blocks"]["closed"].as_u64() > asked["blocks"]["created"].as_u64());

    let responses = asked["responses"].as_array().unwrap();
    let committee = asked["committee"].as_array().unwrap();
    assert_eq!((responses.len(), committee.len()), (2, 5));
    for response in responses {
        assert_eq!(response["work"], "revealed");
        assert_eq!(response["scores"].as_array().unwrap().len(), 5);
        assert!((0.0..=1.0).contains(&response["quality"].as_f64().unwrap()));
    }
    for member in committee {
        assert_eq!(member["work"], "revealed");
        assert_eq!(member["scores"].as_array().unwrap().len(), 2);
        assert!((0.0..=1.0).contains(&member["agreement"].as_f64().unwrap()));
    }
    let best = &responses[asked["best"].as_u64().unwrap() as usize];
    assert_eq!(best["output"], asked["answer"]);
    assert_eq!(best["quality"], asked["quality"]);
    assert!(responses.iter().all(|response| response["quality"].as_f64() <= best["quality"].as_f64()));
    let parties = responses.iter().chain(committee).map(|part| part["operator"].as_str().unwrap());
    assert_eq!(parties.collect::<HashSet<_>>().len(), 7, "nobody has two parts");

    assert_eq!((&asked["bonus"], &asked["tries"]), (&"0".into(), &0.into()), "no more than the estimate");
    let parts = &asked["budget_parts"];
    let budget = amount(&asked["budget"]);
    assert_eq!(amount(&parts["inference"]) + amount(&parts["scoring"]) + amount(&parts["fee"]), budget);
    assert_eq!(paid(&asked["responses"]) + paid(&asked["committee"]), amount(&asked["paid"]));
    let spent = amount(&asked["paid"]) + amount(&asked["fee"]);
    assert_eq!(spent + amount(&asked["refund"]), budget);
    let after = total(&client, "//Alice").await;
    assert_eq!(before - after, spent + amount(&asked["transaction_fee"]));
    let operators = node.json(&["operators"]);
    let earned: u128 = operators.as_array().unwrap().iter().map(|operator| amount(&operator["earned"])).sum();
    assert_eq!(earned, amount(&asked["paid"]));

    let status = node.json(&["status"]);
    assert_eq!((&status["requests"]["made"], &status["requests"]["open"]), (&1.into(), &0.into()));
    assert_eq!(status["invariants"]["ok"], true);
    let shown = node.json(&["request", "0"]);
    assert_eq!((&shown["answer"], &shown["paid"]), (&asked["answer"], &asked["paid"]));

    for_people(&node, asked["answer"].as_str().unwrap());
}

/// Without `--json`: the answer first, progress beside it, everything in tables.
fn for_people(node: &Node, answer: &str) {
    // A bar that nothing reaches, and a budget above the estimate.
    let high = ["--min-quality", "1", "--budget", "2"];
    let asked = node.poq(&[&["ask", "What is the capital of Peru?"], &high[..]].concat());
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    let (out, progress) = (text(&asked.stdout), text(&asked.stderr));
    assert_eq!(out.lines().next(), Some(answer), "the same question at temperature 0");
    assert!(!out.contains('\u{1b}') && !progress.contains('\u{1b}'), "no colours in a pipe");
    assert!(progress.starts_with("signing as 5Grwva"), "{progress}");
    assert!(progress.contains("request 1 is on the chain"), "{progress}");
    for words in ["below the minimum quality", "more than the price of its model", "POQ back."] {
        assert!(out.contains(words), "{words} is missing: {out}");
    }
    let request = node.json(&["request", "1"]);
    let spent = amount(&request["paid"]) + amount(&request["fee"]);
    assert_eq!(spent + amount(&request["refund"]), amount(&request["budget"]));
    // Of operators that nobody knows yet nothing better is to be expected: nothing is withheld.
    assert_eq!(request["fee"], request["budget_parts"]["fee"]);
    let request = text(&node.poq(&["request", "1"]).stdout);
    for word in ["settled", "operator-0", "poq-demo-strong", "POQ"] {
        assert!(request.contains(word), "{word} is missing in {request}");
    }
    let operator = text(&node.poq(&["operators", "operator-2"]).stdout);
    assert!(operator.contains("agreement"), "{operator}");
    let models = text(&node.poq(&["models"]).stdout);
    assert!(models.contains("poq-demo-evaluator"), "{models}");
}

#[test]
fn over_thirty_questions_the_stronger_generator_earns_more() {
    let node = Node::start();
    let questions = include_str!("../../../models/questions.json");
    let questions: Vec<Value> = serde_json::from_str(questions).unwrap();
    assert!(questions.len() >= 30);
    let people = ["alice", "bob", "charlie", "dave", "eve", "ferdie"];
    let asks: Vec<Child> = questions
        .iter()
        .take(30)
        .zip(people.iter().cycle())
        .map(|(question, person)| {
            let question = question["question"].as_str().unwrap();
            node.poq_in_background(&["ask", question, "--from", person, "--json"])
        })
        .collect();
    let mut ids = HashSet::new();
    for ask in asks {
        let output = ask.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{} {}", text(&output.stdout), text(&output.stderr));
        let settled = parse(&output.stdout);
        assert_eq!(settled["state"], "settled");
        ids.insert(settled["request"].as_u64().unwrap());
    }
    assert_eq!(ids.len(), 30, "each ask made a request of its own");
    node.assert_invariants();

    let earned = |name: &str, model: &str| {
        let operator = node.operator(name);
        assert_eq!(operator["models"][0]["name"], model);
        assert_eq!(operator["missed"], 0);
        amount(&operator["earned"])
    };
    let strong = earned("operator-0", "poq-demo-strong");
    let weak = earned("operator-1", "poq-demo-weak");
    assert!(strong > weak, "strong {strong}, weak {weak}");
}
