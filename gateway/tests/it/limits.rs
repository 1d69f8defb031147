//! Keys, limits, caps, and two gateways side by side.

use crate::common::{answer, command, folder, full_answer, question, until, wait_for_end, Gateway, Node};
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

#[tokio::test(flavor = "multi_thread")]
async fn keys_have_limits_and_the_operator_has_a_cap() {
    let node = Node::start();
    let data = folder();
    let mut gateway = Gateway::start(&node, data.path(), &["--cap", "1.2"]);
    let first = gateway.key.clone();
    let ask = question("What is the capital of Peru?");

    gateway.key = gateway.new_key(&["--name", "slow", "--per-minute", "1"]);
    assert_eq!(gateway.chat(&ask).await.0, 200);
    let (status, headers, said) = full_answer(gateway.post("/v1/chat/completions", &ask)).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (429, &json!("rate_limit_exceeded")), "{said}");
    assert!((1..=60).contains(&headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap()));

    gateway.key = gateway.new_key(&["--name", "poor", "--spend-a-day", "0.01"]);
    let (status, said) = gateway.chat(&ask).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (402, &json!("insufficient_quota")), "{said}");

    gateway.key = gateway.new_key(&["--name", "weak", "--model", "poq-demo-weak"]);
    let (status, said) = gateway.chat(&ask).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (403, &json!("model_not_allowed")), "{said}");
    let (_, models) = answer(gateway.get("/v1/models")).await;
    assert_eq!(models["data"][0]["id"], "poq-demo-weak");

    let metrics = gateway.new_key(&["--name", "prometheus", "--metrics"]);
    assert_eq!(answer(gateway.get("/metrics")).await.0, 403);
    gateway.key = metrics;
    let text = gateway.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#"poq_gateway_orders_total{outcome="settled"} 1"#), "{text}");
    assert_eq!(gateway.chat(&ask).await.0, 403);

    // A key that is revoked while it waits gets what it paid for, and nothing after.
    let waiting = gateway.new_key(&["--name", "leaving"]);
    gateway.key = waiting;
    let mut cheap = ask.clone();
    cheap["max_tokens"] = 8.into();
    let asking = tokio::spawn(gateway.post("/v1/chat/completions", &cheap).send());
    until("an order to be taken", async || (!gateway.orders().await.is_empty()).then_some(())).await;
    assert!(gateway.keys(&["revoke", "leaving"]).status.success());
    assert_eq!(answer(gateway.get("/v1/requests")).await.0, 401);
    assert_eq!(asking.await.unwrap().unwrap().status(), 200);

    // More at once than the cap allows: some are taken, and what is reserved and spent never is more.
    gateway.key = first;
    let all = futures::future::join_all((0..12).map(|_| gateway.chat(&ask))).await;
    let taken = all.iter().filter(|(status, _)| *status == 200).count();
    assert!((1..12).contains(&taken), "{taken} of 12");
    for (_, said) in all.iter().filter(|(status, _)| *status != 200) {
        assert_eq!(said["error"]["code"], "insufficient_quota", "{said}");
    }
    let spent: u128 = all
        .iter()
        .filter_map(|(_, said)| said["poq"]["cost"].as_str())
        .map(|units| units.parse::<u128>().unwrap())
        .sum();
    assert!(spent <= 1_200_000_000_000, "{spent}");

    let listed = String::from_utf8(gateway.keys(&["list"]).stdout).unwrap();
    assert!(listed.contains("poq-demo-weak") && listed.contains("0.01 POQ"), "{listed}");
    assert!(!listed.contains("sk-poq"), "{listed}");
    let id = gateway.key.split('-').nth(2).unwrap().to_owned();
    assert!(gateway.keys(&["revoke", &id]).status.success());
    let (status, said) = gateway.chat(&ask).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (401, &json!("invalid_api_key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_share_an_account_and_never_a_folder() {
    let node = Node::start();
    let (one, other) = (folder(), folder());
    let first = Gateway::start(&node, one.path(), &[]);
    let mut second = command(&["--dev", "--listen", "127.0.0.1:0", "--url", &node.url(), "--data"])
        .arg(one.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(!wait_for_end(&mut second).success());
    let said = std::io::read_to_string(second.stderr.take().unwrap()).unwrap();
    assert!(said.contains("another gateway uses this folder"), "{said}");

    // With one key they take each other's nonces, and all is answered nonetheless, once.
    let second = Gateway::start(&node, other.path(), &[]);
    let questions: Vec<_> = (0..8).map(|number| question(&format!("What is {number} plus 1?"))).collect();
    let asked = questions.iter().enumerate().map(|(number, question)| match number % 2 {
        0 => first.chat(question),
        _ => second.chat(question),
    });
    for (status, said) in futures::future::join_all(asked).await {
        assert_eq!(status, 200, "{said}");
    }
    let requests = node.requests().await;
    assert_eq!(requests.len(), questions.len());
    for number in 0..questions.len() {
        let prompt = format!("What is {number} plus 1?");
        assert_eq!(requests.iter().filter(|request| request.prompt == prompt.as_bytes()).count(), 1);
    }
    drop(second);

    // An account without money pays for nothing.
    let poor = folder();
    let file = poor.path().join("account");
    fs::write(&file, format!("0x{}", "2a".repeat(32))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let data = poor.path().join("data");
    let options = ["--suri-file", file.to_str().unwrap(), "--cap", "100"];
    let mut gateway = Gateway::start_as(&node, &data, &options);
    gateway.key = gateway.new_key(&["--name", "one"]);
    let (status, said) = gateway.chat(&question("What is the capital of Peru?")).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (402, &json!("insufficient_funds")), "{said}");
    let mut second = command(&options)
        .args(["--listen", "127.0.0.1:0", "--url", &node.url(), "--data"])
        .arg(poor.path().join("other"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(!wait_for_end(&mut second).success());
    let said = std::io::read_to_string(second.stderr.take().unwrap()).unwrap();
    assert!(said.contains("another gateway uses this key"), "{said}");
}
