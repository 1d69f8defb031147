//! Cheap floods stop neither blocks nor honest work.

use futures::{stream, StreamExt as _};
use poq_client::{
    keypair,
    types::{chain::tx, Phase},
    Client, PALLET,
};
use poq_runtime::demo::{Operator, OPERATORS};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};
use subxt::{
    dynamic::{self, Value},
    ext::scale_value::Composite,
};
use testnet::{
    asking::{
        self, check_invariants, wait_until_all_closed, wait_until_closed, wait_until_finalized, Heights,
        Models, Question,
    },
    ledger::Ledger,
    members,
    network::{Network, Options, Place},
    node::Node,
};

/// Number of work reports that are not due.
const REPORTS: usize = 10_000;

/// Number of requests with the least budget that the chain accepts.
const REQUESTS: u64 = 100;

/// Number of oversized bodies sent to RPC, and to an engine.
const BODIES: usize = 20;

/// Number of calls under way at a time.
const ABREAST: usize = 16;

/// Length of an oversized body, in bytes.
const OVERSIZE: usize = 17 * 1024 * 1024;

async fn start() -> (tempfile::TempDir, Network) {
    let folder = tempfile::Builder::new().prefix("poq-abuse-").tempdir().unwrap();
    let options = Options::new(folder.path(), Place::free_ports().unwrap());
    let network = Network::launch(options, members::all()).await.expect("the network comes up");
    (folder, network)
}

/// Sends reports that are not due, half of them by operators' own keys and half by strangers, all without balance; returns the
/// number accepted.
async fn flood_with_reports(url: &str) -> usize {
    let client = Client::connect(url).await.unwrap();
    let at = client.finalized().await.unwrap();
    let report = |number: usize| {
        let uri = match number % 2 {
            0 => Operator::worker_uri(number / 2 % OPERATORS.len()),
            _ => format!("//Stranger//{}", number % 64),
        };
        // Unknown requests, wrong kinds, and duties of others.
        let kind = match number % 3 {
            0 => Value::named_variant("CommitOutput", [("commitment", Value::from_bytes([7; 32]))]),
            1 => Value::named_variant("CommitScores", [("commitment", Value::from_bytes([8; 32]))]),
            _ => Value::named_variant("Fail", [("reason", Value::unnamed_variant("Internal", []))]),
        };
        let reports = Value::unnamed_composite([Value::named_composite([
            ("request", Value::u128(1 << 40)),
            ("kind", kind),
        ])]);
        let call = dynamic::tx(PALLET, "report_work", Composite::named([("reports", reports)]));
        at.sign(call, &keypair(&uri).unwrap(), (number / 128) as u64).unwrap()
    };
    let taken = stream::iter(0..REPORTS).map(|number| {
        let (client, transaction) = (client.clone(), report(number));
        async move { client.send(&transaction).await.is_ok() }
    });
    taken.buffer_unordered(ABREAST).filter(|taken| futures::future::ready(*taken)).count().await
}

/// Sends requests with the least budget.
async fn flood_with_requests(url: &str) {
    let client = Client::connect(url).await.unwrap();
    let at = client.best().await.unwrap();
    let question = Question { prompt: "?".into(), responders: 1, committee: 3 };
    let terms = Models::at(&at).await.unwrap().terms(&at, &question).await.unwrap();
    let call = tx().proof_of_quality().request_inference(question.prompt.into_bytes(), terms);
    let eve = keypair("//Eve").unwrap();
    for nonce in 0..REQUESTS {
        let transaction = at.sign(call.clone(), &eve, nonce).unwrap();
        client.send(&transaction).await.expect("the pool takes what is paid for");
    }
}

/// Sends oversized bodies to RPC and to an engine. Both refuse and live on.
fn flood_with_bodies(rpc: &str, engine: &str, token: &str) {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x{}"]}}"#,
        "00".repeat(OVERSIZE / 2)
    );
    for number in 0..BODIES {
        let answer = post(rpc, "POST / HTTP/1.1", "", &body);
        assert!(!answer.contains(" 200 "), "RPC takes {} bytes: {answer}", body.len());
        let path = format!("PUT /v1/jobs/{number:064x} HTTP/1.1");
        let stranger = post(engine, &path, "", &body);
        assert!(!stranger.contains(" 200 "), "the engine takes work from strangers: {stranger}");
        let answer = post(engine, &path, &format!("Authorization: Bearer {token}\r\n"), &body);
        assert!(
            !answer.contains(" 200 ") && !answer.contains(" 202 "),
            "the engine takes {} bytes: {answer}",
            body.len()
        );
    }
}

/// The first line of the answer; empty if the connection is closed in the middle of the body.
fn post(address: &str, request: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the door is there");
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "{request}\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _shut_early = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    let mut answer = vec![0; 512];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned()
}

/// Address and token of a node's engine.
fn engine_of(node: &Node) -> (String, String) {
    let log = node.log_since_start().unwrap();
    let (_, rest) = log.rsplit_once("The engine answers at ").expect("the engine answers");
    let address = rest.split_whitespace().next().unwrap().to_owned();
    let token = fs::read_to_string(node.chain_folder().unwrap().join("engine/token"));
    (address, token.expect("the engine has a token").trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_stop_neither_blocks_nor_honest_work() {
    let (_folder, network) = start().await;
    let nodes = network.nodes();
    // An author is flooded, because authors make the blocks.
    let (author, operator) = (&nodes[1], &nodes[5]);
    let before = Heights::of(&nodes[0].url()).await.unwrap();
    let honest = Client::connect(&nodes[4].url()).await.unwrap();

    let reports = tokio::spawn({
        let url = author.url();
        async move { flood_with_reports(&url).await }
    });
    flood_with_requests(&author.url()).await;
    let bodies = tokio::task::spawn_blocking({
        let (rpc, (engine, token)) = (author.setup.address.rpc.to_string(), engine_of(operator));
        move || flood_with_bodies(&rpc, &engine, &token)
    });
    let request = asking::ask(&honest, "What is the capital of Peru?", "//Bob")
        .await
        .expect("the chain takes an honest request");
    let closed = wait_until_closed(&honest, request).await.unwrap();
    assert!(
        matches!(closed.phase, Phase::Settled { .. }),
        "an honest request is done in the middle of it: {:?}",
        closed.phase
    );
    assert_eq!(reports.await.unwrap(), 0, "no pool takes a report that is not due");
    bodies.await.unwrap();

    for node in nodes {
        assert!(node.is_running(), "{} lives", node.name());
        let log = node.log_since_start().unwrap();
        assert!(!log.contains("panicked"), "{}: {}", node.name(), node.last_words());
    }
    let archive = Client::connect(&nodes[0].url()).await.unwrap();
    wait_until_finalized(&archive, before.best + 11).await.unwrap();
    wait_until_all_closed(&archive).await.unwrap();
    let last = archive.finalized().await.unwrap();
    check_invariants(&last).await.unwrap();
    let ledger = Ledger::read(&archive, last.number()).await.unwrap();
    println!("{} requests, duties: {:?}, slashed {}", ledger.requests.len(), ledger.duties, ledger.slashed);
    assert_eq!(ledger.requests.len() as u64, REQUESTS + 1);
    assert!(ledger.faults.is_empty(), "{:?}", ledger.faults);
}
