//! Every metric that the dashboard and the alerts name is shown by a real node or its engine.

use crate::common::{free_port, http, wait_for, Node};
use std::{collections::BTreeSet, net::SocketAddr};

const DASHBOARD: &str = include_str!("../../../../docker/monitoring/grafana-dashboard.json");
const ALERTS: &str = include_str!("../../../../docker/monitoring/alerts.yml");

/// The file that declares the engine's metrics.
const ENGINE: &str = include_str!("../../../../offchain-worker/src/metrics.rs");

/// Words that look like names of metrics of ours or of the SDK.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    let words = text.split(|character: char| !is_part(character));
    words.filter(|word| word.starts_with("poq_") || word.starts_with("substrate_")).collect()
}

/// The queries of the dashboard.
fn queries() -> String {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut queries: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    queries.extend(variables.iter().filter_map(|variable| variable["query"]["query"].as_str()));
    queries.join("\n")
}

/// Names of the series at an address.
fn shown(address: SocketAddr, token: &str) -> String {
    let head = format!("GET /metrics HTTP/1.1\r\nAuthorization: Bearer {token}\r\n");
    let (status, body) = http(address, &head, "");
    assert!(status.contains("200"), "{status}");
    body
}

/// Whether there is a series of this name.
fn has(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.split(['{', ' ']).next() == Some(name))
}

#[test]
fn every_metric_of_the_dashboard_and_the_alerts_exists() {
    let port = free_port().to_string();
    let node = Node::dev(&["--prometheus-port", &port]);
    let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let (engine, token) = wait_for("the engine", || {
        let found = node.engine_endpoint()?;
        std::net::TcpStream::connect(found.0).ok().map(|_| found)
    });
    // The watch has looked, and found the engine.
    wait_for("the engine's metric", || {
        shown(address, "").contains("poq_engine_up{chain=\"poq_dev\"} 1").then_some(())
    });
    let of_node = shown(address, "");
    let of_engine = shown(engine, &token);
    // These have labels that only work brings: that the engine declares them must do.
    let with_work =
        ["poq_model_deaths_total", "poq_work_total", "poq_errors_total", "poq_work_seconds_bucket"];
    for name in with_work {
        let declared = format!("\"{}\"", name.trim_end_matches("_bucket"));
        assert!(ENGINE.contains(&declared), "the engine does not declare {name}");
    }

    let queries = queries();
    let (dashboard, alerts) = (names(&queries), names(ALERTS));
    assert!(dashboard.len() > 30 && alerts.len() > 10, "{dashboard:?} {alerts:?}");
    let wanted: BTreeSet<&str> = dashboard.union(&alerts).copied().collect();
    let missing: Vec<_> = wanted
        .into_iter()
        .filter(|name| !with_work.contains(name) && !has(&of_node, name) && !has(&of_engine, name))
        .collect();
    assert!(missing.is_empty(), "nobody shows {missing:?}\n{of_node}");

    // All seven operators of the demo are this node's.
    for name in ["poq_operator_drawable", "poq_operator_stake_poq"] {
        assert_eq!(
            of_node.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count(),
            7,
            "{name}"
        );
    }
    assert!(of_node.contains("poq_worker_keys{chain=\"poq_dev\"} 7"));
    let problems = of_node.lines().filter(|line| line.starts_with("poq_problems{"));
    assert!(problems.into_iter().all(|line| line.ends_with(" 0")), "a development node has none");
}
