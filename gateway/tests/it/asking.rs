//! Questions as clients of OpenAI's API ask them.

use crate::common::{answer, events, folder, full_answer, question, until, Gateway, Node};
use poq_receipt::{digest, verify, Receipt};
use serde_json::{json, Value};

const LIMA: &str = "The capital of Peru is Lima.";

#[tokio::test(flavor = "multi_thread")]
async fn the_network_answers_as_openai_does() {
    let node = Node::start();
    let data = folder();
    let gateway = Gateway::start(&node, data.path(), &[]);

    let (status, headers, whole) =
        full_answer(gateway.post("/v1/chat/completions", &question("What is the capital of Peru?"))).await;
    assert_eq!(status, 200, "{whole}");
    assert_eq!(whole["choices"][0]["message"]["content"], LIMA);
    assert_eq!((&whole["model"], &whole["object"]), (&json!("poq-demo-strong"), &json!("chat.completion")));
    assert_eq!(headers["x-request-id"], *whole["id"].as_str().unwrap());
    let poq = &whole["poq"];
    assert!(poq["quality"].as_f64().unwrap() > 0.5, "{poq}");
    let units = |field: &str| poq[field].as_str().unwrap().parse::<u128>().unwrap();
    assert_eq!(units("cost"), units("budget") - units("refund") + units("transaction_fee"));
    assert!(units("transaction_fee") > 0 && units("refund") > 0);
    let request = &node.requests().await[0];
    assert_eq!(poq["operator"], request.responses[0].operator.to_string());
    assert_eq!((request.responders, request.committee_size, request.sampling.max_tokens), (1, 3, 32));
    assert_eq!(units("budget"), request.budget.total());

    // What was paid for is proven to anyone who knows the chain's genesis block.
    let path = poq["receipt"].as_str().unwrap().to_owned();
    let receipt = until("the receipt", async || {
        let (status, receipt) = answer(gateway.get(&path)).await;
        (status == 200).then_some(receipt)
    })
    .await;
    let receipt = Receipt::parse(&receipt.to_string()).unwrap();
    let proven = verify(&receipt, node.client().await.genesis()).unwrap();
    assert_eq!(proven.answers[0].output, Some(digest(LIMA)));
    let (status, none) = answer(gateway.get("/v1/receipts/999")).await;
    assert_eq!((status.as_u16(), &none["error"]["code"]), (404, &json!("receipt_not_found")));

    stream(&gateway).await;
    conversation(&gateway, &node).await;
    registry(&gateway).await;
    page(&node, &gateway).await;
    refusals(&gateway).await;
    let stored = until("the end to be final", async || {
        let (_, stored) =
            answer(gateway.get(&format!("/v1/requests/{}", whole["id"].as_str().unwrap()))).await;
        (stored["finalized"] == true).then_some(stored)
    })
    .await;
    assert_eq!(stored["response"], whole, "who fetches gets what was delivered");
}

async fn stream(gateway: &Gateway) {
    let mut body = question("What is the capital of Peru?");
    body["stream"] = true.into();
    for usage in [false, true] {
        body["stream_options"] = json!({ "include_usage": usage });
        let response = gateway.post("/v1/chat/completions", &body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let (data, comments) = events(&response.text().await.unwrap());
        assert!(comments.iter().any(|comment| comment == "the network works"), "{comments:?}");
        assert_eq!(data.last().unwrap(), "[DONE]");
        let chunks: Vec<Value> =
            data[..data.len() - 1].iter().map(|data| serde_json::from_str(data).unwrap()).collect();
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let text: String =
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, LIMA);
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"].as_array().unwrap().is_empty(), usage);
        assert!(last["poq"]["request"].is_u64() && last["usage"]["total_tokens"].is_u64(), "{last}");
        assert!(chunks
            .iter()
            .all(|chunk| chunk["id"] == last["id"] && chunk["object"] == "chat.completion.chunk"));
    }
}

async fn conversation(gateway: &Gateway, node: &Node) {
    let mut body = question("");
    body["model"] = "auto".into();
    body["messages"] = json!([
        { "role": "system", "content": "Answer in one sentence." },
        { "role": "user", "content": [{ "type": "text", "text": "What is the capital of Peru?" }] },
    ]);
    let (status, said) = gateway.chat(&body).await;
    assert_eq!(status, 200, "{said}");
    let request = node.requests().await.pop().unwrap();
    assert_eq!(
        request.prompt,
        "\u{1e}sAnswer in one sentence.\u{1e}uWhat is the capital of Peru?".as_bytes()
    );

    let text = json!({ "model": "poq-demo-strong,poq-demo-weak", "prompt": "What is the capital of Peru?", "stop": " is", "top_p": 0.9,
        "max_tokens": 32, "poq": { "responders": 2, "committee": 3, "min_quality": 0.5, "budget": "5" } });
    let (status, said) = answer(gateway.post("/v1/completions", &text)).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(
        (&said["object"], &said["choices"][0]["text"]),
        (&json!("text_completion"), &json!("The capital of Peru"))
    );
    assert_eq!(said["poq"]["responders"].as_array().unwrap().len(), 2);
    let request = node.requests().await.pop().unwrap();
    assert_eq!((request.generators.len(), request.min_quality), (2, 500_000));
    // The inference nodes are told, and end there themselves.
    assert_eq!(request.prompt, "\u{1e}p900\u{1e}e is\u{1e}uWhat is the capital of Peru?".as_bytes());
    let answers: Vec<_> =
        request.responses.iter().map(|response| String::from_utf8_lossy(&response.output)).collect();
    assert!(answers.iter().all(|answer| !answer.contains(" is")), "{answers:?}");
}

async fn registry(gateway: &Gateway) {
    let (status, models) = answer(gateway.get("/v1/models")).await;
    assert_eq!((status.as_u16(), &models["object"]), (200, &json!("list")));
    let ids: Vec<_> =
        models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["poq-demo-strong", "poq-demo-weak", "auto"]);
    let strong = &models["data"][0]["poq"];
    assert!(
        strong["price"]["base"].is_string() && !strong["operators"].as_array().unwrap().is_empty(),
        "{strong}"
    );
    // The one that is served, and the judge, which nobody has taken up.
    assert_eq!(models["evaluators"].as_array().unwrap().len(), 2);
    let (status, one) = answer(gateway.get(&format!("/v1/models/{}", strong["id"].as_str().unwrap()))).await;
    assert_eq!((status.as_u16(), &one["id"]), (200, &json!("poq-demo-strong")));
    let (status, health) = answer(gateway.get("/health")).await;
    assert_eq!((status.as_u16(), &health["status"]), (200, &json!("ok")));
    let health = gateway.health();
    assert!(health.status.success() && String::from_utf8_lossy(&health.stdout).contains("ok"), "{health:?}");
}

/// The page for browsers, beside the API.
async fn page(node: &Node, gateway: &Gateway) {
    let page = gateway.get("/").send().await.unwrap();
    let kind = page.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(page.headers().contains_key("content-security-policy"), "{page:?}");
    assert_eq!((page.status().as_u16(), kind.as_str()), (200, "text/html; charset=utf-8"));
    let (status, config) = answer(gateway.get("/config.json")).await;
    assert_eq!((status.as_u16(), &config["endpoint"]), (200, &json!(node.url())));
    // As before: a client may have left out a part of the path.
    for elsewhere in [gateway.get("/v1/nothing"), gateway.post("/chat/completions", &question("?"))] {
        let (status, said) = answer(elsewhere).await;
        assert_eq!((status.as_u16(), &said["error"]["code"]), (404, &json!("not_found")));
    }
    let (status, said) = answer(gateway.post("/v1/models", &json!({}))).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (405, &json!("method_not_allowed")));
}

async fn refusals(gateway: &Gateway) {
    let with = |field: &str, value: Value| {
        let mut body = question("What is the capital of Peru?");
        body[field] = value;
        body
    };
    let before = gateway.orders().await.len();
    for (body, status, code, param) in [
        (with("model", "gpt-5".into()), 404, "model_not_found", json!("model")),
        (with("messages", json!([])), 400, "invalid_request", json!("messages")),
        (
            with("messages", json!([{ "role": "wizard", "content": "x" }])),
            400,
            "invalid_request",
            json!("messages[0].role"),
        ),
        (
            with("messages", json!([{ "role": "user", "content": "x".repeat(9000) }])),
            400,
            "context_length_exceeded",
            json!("messages"),
        ),
        (with("tools", json!([{ "type": "function" }])), 400, "invalid_request", json!("tools")),
        (with("temperature", json!("hot")), 400, "invalid_request", json!("temperature")),
        (with("poq", json!({ "budget": 0.000001 })), 402, "budget_too_small", json!("poq.budget")),
        (with("poq", json!({ "responders": 50 })), 400, "invalid_request", json!("poq.responders")),
    ] {
        let (found, said) = gateway.chat(&body).await;
        assert_eq!(
            (found.as_u16(), &said["error"]["code"], &said["error"]["param"]),
            (status, &json!(code), &param),
            "{said}"
        );
    }
    for key in ["", "sk-poq-000000000000-0", &gateway.key.replace("sk-poq-", "sk-poq-x")] {
        let (status, said) = answer(gateway.get_with("/v1/models", key)).await;
        assert_eq!((status.as_u16(), &said["error"]["type"]), (401, &json!("authentication_error")));
    }
    let (status, said) = answer(gateway.get("/v2/x")).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (404, &json!("not_found")));
    assert_eq!(gateway.orders().await.len(), before, "nothing refused was asked");
}
