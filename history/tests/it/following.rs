//! What the program keeps of a real chain, and through what.

use crate::common::{ask, digest, node, run, History};
use futures::StreamExt as _;
use poq_client::json;
use serde_json::{json, Value};

const LIMA: &str = "The capital of Peru is Lima.";

#[tokio::test(flavor = "multi_thread")]
async fn a_history_follows_a_node_and_outlives_it() {
    let (node, _turn) = node();
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("history.db").display());
    let history = History::start(&node.url(), &database);

    let first = ask(&node, "What is the capital of Peru?").await;
    let kept = history.ended(first.id).await;
    is_the_chains(&kept, &first);
    streams(&history, first.id).await;

    // Killed while the chain goes on, and started again: nothing is missing.
    history.kill();
    let second = ask(&node, "What is the capital of France?").await;
    let history = History::start(&node.url(), &database);
    is_the_chains(&history.ended(second.id).await, &second);
    lists(&history).await;
    ranks(&history).await;
    refuses(&history).await;
    operates(&history).await;

    // Whatever was read in whatever goes, a history that is made anew is the same.
    let (status, before) = history.get("/v1/status").await;
    assert_eq!((status.as_u16(), &before["connected"], &before["first"]), (200, &json!(true), &json!(1)));
    history.kill();
    let old = digest(&database);
    let emptied = run(&database, &["reindex"]);
    assert!(emptied.status.success(), "{emptied:?}");
    assert_ne!(digest(&database), old);
    let history = History::start(&node.url(), &database);
    history.ended(second.id).await;
    assert_eq!(digest(&database), old);

    // The node goes, and what was stays.
    node.kill().unwrap();
    history
        .until("sign that the node is gone", async || (history.get("/health").await.0 == 503).then_some(()))
        .await;
    assert_eq!(history.get("/v1/requests/0").await.1["answer"], kept["answer"]);
    let (code, said) = history.health();
    assert!(code == Some(1) && said.contains("is not well: it says 503"), "{code:?}: {said}");
    node.start().unwrap();
    history.until("health", async || (history.get("/health").await.0 == 200).then_some(())).await;
    history.kill();
    node.kill().unwrap();

    // The database is of one chain.
    let program = harness::programs::find("poq-node").unwrap();
    let other = harness::Node::temporary(program, ["--chain", "local", "--reserved-only", "--engine", "off"])
        .unwrap();
    other.start().unwrap();
    other.wait_for_rpc().unwrap();
    let words = History::start(&other.url(), &database).last_words();
    assert!(
        words.contains("the database holds the chain with genesis block 0x") && words.contains("reindex"),
        "{words}"
    );
}

/// What is kept is what the chain had, in the form of `poq request --json`.
fn is_the_chains(kept: &Value, view: &poq_client::types::RequestView) {
    struct NoNames;
    impl json::Names for NoNames {
        fn model(&self, _: &[u8; 32]) -> Option<String> {
            None
        }
        fn account(&self, _: &subxt::utils::AccountId32) -> Option<String> {
            None
        }
    }
    let units = |field: &str| kept[field].as_str().unwrap().parse::<u128>().unwrap();
    assert_eq!(units("paid") + units("fee") + units("refund"), units("budget"));
    let rest = json::Rest { fee: units("fee"), refund: units("refund") };
    let mut known = json::request(view, Some(rest), &NoNames);
    let mut kept = kept.clone();
    for field in ["times", "happenings"] {
        assert!(kept.as_object_mut().unwrap().remove(field).is_some(), "{field}");
    }
    for named in [&mut kept, &mut known] {
        named["evaluator"]["name"] = Value::Null;
        named["generators"].as_array_mut().unwrap().iter_mut().for_each(|model| model["name"] = Value::Null);
        named["responses"].as_array_mut().unwrap().iter_mut().for_each(|one| one["model_name"] = Value::Null);
    }
    assert_eq!(kept, known);
    assert_eq!(kept["answer"].as_str().is_some_and(|answer| answer == LIMA), view.id == 0, "{kept}");
}

/// An event for each end, also for who comes late or back.
async fn streams(history: &History, id: u64) {
    let response = history.response("/v1/events?since=1").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let mut body = response.bytes_stream();
    let mut told = String::new();
    while !told.contains("\n\n") {
        told.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    let field =
        |name: &str| told.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    let data: Value = serde_json::from_str(&field("data: ")).unwrap();
    assert_eq!(
        (field("event: ").as_str(), &data["request"], &data["state"]),
        ("request", &json!(id), &json!("settled"))
    );
    let last = field("id: ");
    assert_eq!(last, format!("{}-{id}", data["closed"]));
    // Nothing has ended since.
    let response = history.response_with("/v1/events", "last-event-id", &last).await;
    assert_eq!(response.status(), 200);
    let next = tokio::time::timeout(std::time::Duration::from_secs(1), response.bytes_stream().next()).await;
    assert!(next.is_err(), "{next:?}");
}

async fn lists(history: &History) {
    let (status, page) = history.get("/v1/requests?limit=1").await;
    assert_eq!((status.as_u16(), &page["data"][0]["request"], &page["next"]), (200, &json!(1), &json!(1)));
    let (_, page) = history.get("/v1/requests?limit=1&before=1&state=settled").await;
    assert_eq!((&page["data"][0]["request"], &page["next"]), (&json!(0), &Value::Null));
    assert!(
        page["data"][0]["times"]["closed"].as_i64() > page["data"][0]["times"]["created"].as_i64(),
        "{page}"
    );
    let (_, request) = history.get("/v1/requests/0").await;
    let operator = request["responses"][0]["operator"].as_str().unwrap();
    let (_, page) = history.get(&format!("/v1/requests?operator={operator}")).await;
    assert!(page["data"].as_array().unwrap().iter().any(|one| one["request"] == 0), "{page}");
    let (status, days) = history.get(&format!("/v1/operators/{operator}")).await;
    assert_eq!(status, 200);
    let earned = days["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day["earned"].as_str().unwrap().parse::<u128>().unwrap());
    assert!(
        earned.sum::<u128>() >= request["responses"][0]["paid"].as_str().unwrap().parse().unwrap(),
        "{days}"
    );
}

async fn ranks(history: &History) {
    let (status, rankings) = history.get("/v1/models").await;
    assert_eq!(status, 200);
    assert!(rankings["caveat"].as_str().unwrap().contains("bought"));
    let ranking = &rankings["evaluators"][0];
    let models = ranking["models"].as_array().unwrap();
    let answers: u64 = models.iter().map(|model| model["answered"].as_u64().unwrap()).sum();
    assert_eq!((&ranking["name"], answers), (&json!("poq-demo-evaluator"), 4));
    assert!(models.iter().all(|model| model["low"].as_f64() <= model["strength"].as_f64()), "{ranking}");
    let response = history.response("/v1/models.csv").await;
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    let table = response.text().await.unwrap();
    assert_eq!(table.lines().count(), models.len() + 1, "{table}");
}

async fn refuses(history: &History) {
    for (path, status, code) in [
        ("/v1/requests/77", 404, "not_found"),
        ("/v1/requests/x", 400, "invalid_request"),
        ("/v1/requests?limit=0", 400, "invalid_request"),
        ("/v1/requests?limit=101", 400, "invalid_request"),
        ("/v1/requests?state=lost", 400, "invalid_request"),
        ("/v1/requests?colour=red", 400, "invalid_request"),
        ("/v1/operators/nobody", 404, "not_found"),
        ("/v1/events?since=x", 400, "invalid_request"),
        ("/v2", 404, "not_found"),
    ] {
        let (found, said) = history.get(path).await;
        assert_eq!((found.as_u16(), &said["error"]["code"]), (status, &json!(code)), "{path}: {said}");
    }
    let bad = history.response_with("/v1/events", "last-event-id", "yesterday").await;
    assert_eq!(bad.status(), 400);
}

async fn operates(history: &History) {
    let (status, health) = history.get("/health").await;
    assert_eq!((status.as_u16(), &health["connected"]), (200, &json!(true)));
    let (code, said) = history.health();
    assert!(code == Some(0) && said.contains(r#""connected":true"#), "{code:?}: {said}");
    let (_, metrics) = history.get("/metrics").await;
    let metrics = metrics.as_str().unwrap().to_owned();
    assert!(metrics.contains("poq_history_connected 1"), "{metrics}");
    assert!(
        metrics.contains(r#"poq_history_http_requests_total{route="/v1/requests/{id}",status="400"} 1"#),
        "{metrics}"
    );
    let (_, document) = history.get("/openapi.json").await;
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(paths.len(), 10, "{paths:?}");
}
