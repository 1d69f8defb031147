//! Gateways that are killed, nodes that go away, clients that leave.

use crate::common::{answer, events, folder, question, until, Gateway, Node};
use futures::StreamExt as _;
use poq_client::types::chain::tx;
use serde_json::json;
use subxt::utils::AccountId32;

/// Points at which the gateway is killed: the phase that an order is in, if it is still.
const POINTS: [Option<&str>; 6] = [
    None,
    Some("sent"),
    Some("in_a_block"),
    Some("revealing_answers"),
    Some("scoring"),
    Some("revealing_scores"),
];

/// Phases of a request that is on the chain and not over: which of them a stream tells of depends on the machine.
const OPEN: [&str; 5] = ["answering", "revealing_answers", "selecting", "scoring", "revealing_scores"];

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_loses_nothing_and_pays_nothing_twice() {
    let node = Node::start();
    let data = folder();
    let mut gateway = Gateway::start(&node, data.path(), &[]);
    let prompts: Vec<String> = (0..POINTS.len()).map(|number| format!("What is {number} plus 2?")).collect();
    for (prompt, point) in prompts.iter().zip(POINTS) {
        let before = gateway.orders().await.len();
        let ask =
            gateway.post("/v1/chat/completions", &question(prompt)).header("idempotency-key", prompt.clone());
        let asking = tokio::spawn(ask.send());
        until("the order to be where the gateway is killed", async || {
            let orders = gateway.orders().await;
            let order = orders.first().filter(|_| orders.len() > before)?;
            point.is_none_or(|point| order["phase"] == point || order["state"] != "open").then_some(())
        })
        .await;
        gateway.restart(&node);
        // Either cut off, or answered just before.
        let _cut = asking.await.unwrap();
    }
    let mut answers = Vec::new();
    for prompt in &prompts {
        let ask =
            || gateway.post("/v1/chat/completions", &question(prompt)).header("idempotency-key", prompt);
        let (status, said) = answer(ask()).await;
        assert_eq!(status, 200, "{prompt}: {said}");
        let (_, again) = answer(ask()).await;
        assert_eq!(said, again);
        answers.push(said["poq"]["request"].as_u64().unwrap());
    }
    let requests = node.requests().await;
    assert_eq!(requests.len(), prompts.len(), "each was asked once");
    for (prompt, id) in prompts.iter().zip(answers) {
        assert_eq!(requests[id as usize].prompt, prompt.as_bytes());
    }

    // The same key with another question is neither of them.
    let other =
        gateway.post("/v1/chat/completions", &question("What?")).header("idempotency-key", &prompts[0]);
    let (status, said) = answer(other).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (422, &json!("idempotency_key_reused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_its_node_and_an_order_its_client() {
    let node = Node::start();
    let data = folder();
    let gateway = Gateway::start(&node, data.path(), &[]);
    let mut body = question("What is the capital of Peru?");
    body["stream"] = true.into();
    let response = gateway.post("/v1/chat/completions", &body).send().await.unwrap();
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    while !OPEN.iter().any(|phase| text.contains(phase)) {
        let more = stream.next().await.expect("the stream goes on").unwrap();
        text.push_str(&String::from_utf8_lossy(&more));
    }
    node.kill().unwrap();
    until("the gateway to notice", async || (answer(gateway.get("/health")).await.0 == 503).then_some(()))
        .await;
    let health = gateway.health();
    let said = String::from_utf8_lossy(&health.stderr);
    assert!(!health.status.success() && said.contains("is not well: it says 503"), "{said}");
    let (status, said) = gateway.chat(&question("Are you there?")).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (503, &json!("network_unavailable")));
    node.restart();
    while let Some(more) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&more.unwrap()));
    }
    let (data, _) = events(&text);
    assert_eq!(data.last().map(String::as_str), Some("[DONE]"), "{text}");

    // A client that waits no longer, or is gone, finds its answer later.
    let mut hasty = question("What colour is the sky?");
    hasty["poq"]["timeout"] = 1.into();
    let (status, said) = gateway.chat(&hasty).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (504, &json!("timeout")), "{said}");
    let id = said["error"]["poq"]["id"].as_str().unwrap().to_owned();
    let left = gateway
        .post("/v1/chat/completions", &question("What is 2 plus 3?"))
        .header("idempotency-key", "left");
    let asking = tokio::spawn(left.send());
    let found = || answer(gateway.get("/v1/requests?idempotency_key=left"));
    until("the order to be taken", async || (!found().await.1["data"][0].is_null()).then_some(())).await;
    asking.abort();
    until("both answers", async || {
        let (_, hasty) = answer(gateway.get(&format!("/v1/requests/{id}"))).await;
        let (_, left) = found().await;
        let is_there =
            |order: &serde_json::Value| order["response"]["choices"][0]["message"]["content"].is_string();
        (is_there(&hasty) && is_there(&left["data"][0])).then_some(())
    })
    .await;
    assert_eq!(node.requests().await.len(), 3);
}

/// Most tries to lose a transaction before it is in a block.
const TRIES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_nonce_another_one_took_is_signed_anew() {
    let node = Node::start();
    let data = folder();
    let mut gateway = Gateway::start(&node, data.path(), &[]);
    for number in 0..TRIES {
        let prompt = format!("What is {number} plus 4?");
        let ask = |gateway: &Gateway| {
            gateway.post("/v1/chat/completions", &question(&prompt)).header("idempotency-key", &prompt)
        };
        let asking = tokio::spawn(ask(&gateway).send());
        until("the transaction to be sent", async || {
            let orders = gateway.orders().await;
            (orders.len() > number && !orders[0]["phase"].is_null()).then_some(())
        })
        .await;
        // The node loses its pool, and the gateway is not there to send it again.
        node.kill().unwrap();
        gateway.kill();
        let _cut = asking.await.unwrap();
        node.restart();
        let of_prompt = async || {
            let requests = node.requests().await;
            requests.iter().filter(|request| request.prompt == prompt.as_bytes()).count()
        };
        let is_lost = of_prompt().await == 0;
        if is_lost {
            let call = tx().balances().transfer_keep_alive(AccountId32([9; 32]).into(), 1_000_000_000_000);
            node.client().await.submit(call, &poq_client::keypair("//Alice").unwrap()).await.unwrap();
        }
        gateway.restart(&node);
        let (status, said) = answer(ask(&gateway)).await;
        assert_eq!(status, 200, "{said}");
        assert_eq!(of_prompt().await, 1);
        if is_lost {
            return;
        }
    }
    panic!("each of {TRIES} transactions was in a block before the node could be killed");
}
