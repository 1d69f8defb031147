//! The TypeScript examples, type-checked against a real node and run by Node.js.

use crate::common::{self, amount, parse, register_hasty_generator, text, total, wait_for, Node};
use serde_json::Value;
use std::{
    env,
    fs::{self, File},
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

const QUESTION: &str = "What is the capital of Peru?";

/// A copy of the examples, with the package `proof-of-quality` as it is published.
struct Examples {
    folder: TempDir,
    tools: PathBuf,
    url: String,
}

impl Examples {
    fn of(node: &Node) -> Self {
        let cache = env::var_os("POQ_CACHE").map(PathBuf::from).unwrap_or_else(|| {
            PathBuf::from(env::var_os("HOME").expect("there is a home")).join(".cache/proof-of-quality")
        });
        let tools = cache.join("dapp");
        let there = tools.join("recipe").is_file();
        assert!(there, "{} is not complete; run scripts/setup-dapp.sh", tools.display());
        let folder = tempfile::Builder::new().prefix("poq-dapp-").tempdir().expect("a folder");
        common::examples::copy(folder.path());
        symlink(tools.join("node_modules"), folder.path().join("node_modules")).expect("can be linked");
        Self { folder, tools, url: node.url() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.tools.join("bin/node"));
        command.current_dir(self.folder.path()).args(args).stdin(Stdio::null()).env_remove("NODE_OPTIONS");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("Node.js runs")
    }

    fn succeed(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "node {args:?}: {out}{said}");
        output
    }

    /// Runs an example that asks, with `--json`.
    fn ask(&self, example: &str, args: &[&str]) -> Output {
        self.run(&[&[example, "--url", &self.url, "--json"], args].concat())
    }
}

#[tokio::test]
async fn both_libraries_read_the_chain_and_get_a_question_answered() {
    let node = Node::start();
    let examples = Examples::of(&node);
    examples.succeed(&["node_modules/typescript/bin/tsc"]);
    // A page can have them: nothing in it is of Node.js.
    examples.succeed(&[
        "node_modules/esbuild/bin/esbuild",
        "page.ts",
        "--bundle",
        "--platform=browser",
        "--outfile=page.js",
    ]);
    for walk in ["metadata.ts", "metadata-pjs.ts"] {
        examples.succeed(&[walk, &node.url()]);
    }

    let log = examples.folder.path().join("watch.log");
    let mut watch = examples.command(&["watch.ts", &node.url()]);
    let mut watch = watch.stdout(File::create(&log).unwrap()).spawn().unwrap();
    let shown = [
        ask_and_check(&node, &examples, "ask.ts").await,
        ask_and_check(&node, &examples, "ask-pjs.ts").await,
    ];
    for request in shown {
        let paid = format!(
            " paid {}, fee {}, ",
            request["paid"].as_str().unwrap(),
            request["fee"].as_str().unwrap()
        );
        wait_for("the settlement in what is watched", || {
            assert!(watch.try_wait().unwrap().is_none(), "watch.ts goes on");
            let seen = fs::read_to_string(&log).unwrap();
            let settled =
                |line: &str| line.starts_with("final ") && line.contains("Lima") && line.contains(&paid);
            seen.lines().any(settled).then_some(())
        });
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    node.assert_invariants();
}

/// All that Bob has. On a connection of its own: one that is not looked after while Node.js runs is lost.
async fn bobs(node: &Node) -> u128 {
    total(&node.client().await, "//Bob").await
}

/// Asks as Bob, and holds what the example says against what `poq` and the balances say. Returns what `poq` says.
async fn ask_and_check(node: &Node, examples: &Examples, example: &str) -> Value {
    let before = bobs(node).await;
    let output = examples.ask(example, &[QUESTION]);
    assert_eq!(output.status.code(), Some(0), "{example}: {}", text(&output.stderr));
    let asked = parse(&output.stdout);
    assert_eq!(asked["state"], "settled");
    assert!(asked["answer"].as_str().unwrap().contains("Lima"), "{asked}");
    let progress = text(&output.stderr);
    let told = common::told_phases(&progress);
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{example} tells of a phase twice: {told:?}");

    let parts = asked["paid"].as_array().unwrap();
    assert_eq!(parts.len(), 2 + 5);
    let paid: u128 = parts.iter().map(|part| amount(&part["amount"])).sum();
    let spent = paid + amount(&asked["fee"]);
    assert_eq!(spent + amount(&asked["refund"]), amount(&asked["budget"]));
    assert!(paid > 0 && amount(&asked["transactionFee"]) > 0);
    assert_eq!(before - bobs(node).await, spent + amount(&asked["transactionFee"]));

    let request = node.request(asked["request"].as_str().unwrap().parse().unwrap()).unwrap();
    for same in ["answer", "quality", "budget", "fee", "refund"] {
        assert_eq!(request[same], asked[same], "{same}");
    }
    assert_eq!(amount(&request["paid"]), paid);
    request
}

/// The consoles of both libraries send tokens, and sign the hash of the metadata as hardware wallets do.
#[test]
fn both_consoles_know_the_token_and_send_it() {
    let node = Node::start_with(&["--engine", "off"]);
    let examples = Examples::of(&node);
    let seen = parse(&examples.succeed(&["consoles.ts", &node.url()]).stdout);
    let hash = include_str!("../../../runtime/metadata-hash").trim_end();
    for library in ["papi", "polkadotJs"] {
        let seen = &seen[library];
        let facts = [&seen["symbol"], &seen["decimals"], &seen["format"], &seen["hash"]];
        assert_eq!(facts.map(Value::to_string).join(" "), format!("\"POQ\" 12 42 \"{hash}\""), "{library}");
        assert_eq!(seen["balances"], serde_json::json!(["0", "1000000000000", "2000000000000"]), "{library}");
        let refusal = seen["refusal"].as_str().unwrap();
        assert!(refusal.contains("BadProof") || refusal.contains("bad signature"), "{library}: {refusal}");
    }
    node.assert_invariants();
}

/// Node.js has a light client, which reads what `poq` reads, and begins with what `poq light-spec` prints.
#[test]
fn a_light_client_reads_a_request() {
    let node = Node::start_for_peers();
    let examples = Examples::of(&node);
    let asked = node.json(&["ask", QUESTION, "--yes", "--responders", "1", "--committee", "3"]);
    let id = asked["request"].to_string();
    wait_for("the end to be final", || (node.json(&["request", &id])["finalized"] == true).then_some(()));

    let spec = parse(&node.poq(&["light-spec"]).stdout);
    assert!(spec["lightSyncState"]["finalizedBlockHeader"].is_string(), "{spec}");
    // The chain is in its first epoch.
    assert!(spec["genesis"]["raw"]["top"].is_object(), "{spec}");
    let nodes = spec["bootNodes"].as_array().unwrap();
    assert!(
        nodes.iter().all(|node| node.as_str().unwrap().contains("/p2p/")) && !nodes.is_empty(),
        "{nodes:?}"
    );
    let named = node.json(&["light-spec", "--boot-node", "/dns/node.example/tcp/443/wss/p2p/12D3KooWx"]);
    assert_eq!(named["bootNodes"], serde_json::json!(["/dns/node.example/tcp/443/wss/p2p/12D3KooWx"]));

    fs::write(examples.folder.path().join("light.json"), spec.to_string()).unwrap();
    let said = text(&examples.succeed(&["light.ts", "light.json", &id]).stdout);
    assert!(said.contains("is Settled") && said.contains(asked["answer"].as_str().unwrap()), "{said}");
    let none = examples.run(&["light.ts", "light.json", "77"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("has no request 77"), "{}", text(&none.stderr));
}

#[tokio::test]
async fn what_comes_to_nothing_is_refunded_and_what_is_refused_is_said_by_name() {
    let node = Node::start_with(&["--engine", "off"]);
    // The windows of the demo's models are minutes long; these are blocks.
    register_hasty_generator(&node.client().await, "hasty").await;
    for name in ["operator-0", "operator-1"] {
        let worker = node.operator(name)["worker"].as_str().unwrap().to_owned();
        node.json(&["--from", name, "operator", "register", "--worker", &worker, "--model", "hasty"]);
    }
    let examples = Examples::of(&node);

    wrong_usage(&examples);
    refused(&examples);
    assert_eq!(node.json(&["status"])["requests"]["made"], 0);
    for example in ["ask.ts", "ask-pjs.ts"] {
        let before = bobs(&node).await;
        let output = examples.ask(example, &[QUESTION]);
        assert_eq!(output.status.code(), Some(4), "{example}: {}", text(&output.stderr));
        let asked = parse(&output.stdout);
        assert_eq!((&asked["state"], &asked["reason"]), (&"refunded".into(), &"NoCommitment".into()));
        // Two were drawn, so the fee is owed, and nothing else.
        let paid = asked["paid"].as_array().unwrap();
        assert!(paid.iter().all(|part| amount(&part["amount"]) == 0), "{asked}");
        let request = node.request(asked["request"].as_str().unwrap().parse().unwrap()).unwrap();
        assert_eq!(asked["fee"], request["budget_parts"]["fee"]);
        let spent = amount(&asked["fee"]);
        assert_eq!(spent + amount(&asked["refund"]), amount(&asked["budget"]));
        assert_eq!(before - bobs(&node).await, spent + amount(&asked["transactionFee"]));
    }
    node.assert_invariants();
    drop(node);
    said_that_nobody_answers(&examples);
}

/// One line that says what is wrong, and no stack trace.
fn is_one_line(output: &Output, code: i32, says: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() == 1 && lines[0].starts_with("error: ") && said.contains(says), "{says}: {said}");
    assert!(output.stdout.is_empty());
}

fn wrong_usage(examples: &Examples) {
    let both: &[(&str, &[&str])] = &[
        ("--budget takes a whole number", &["?", "--budget", "1.5"]),
        ("Unknown option '--nope'", &["?", "--nope"]),
        ("usage: ", &[]),
        ("usage: ", &["What", "is it?"]),
    ];
    let only_papi: &[(&str, &[&str])] = &[
        ("--responders takes a whole number", &["?", "--responders", "1.5"]),
        ("--committee takes a whole number", &["?", "--committee", "4294967296"]),
        ("--min-quality takes a number", &["?", "--min-quality", "half"]),
        ("--from takes a development account", &["?", "--from", "Bob"]),
    ];
    let papi = both.iter().chain(only_papi).map(|case| ("ask.ts", case));
    for (example, (says, args)) in papi.chain(both.iter().map(|case| ("ask-pjs.ts", case))) {
        is_one_line(&examples.ask(example, args), 2, says);
    }
    for min_quality in ["50", "-1"] {
        let output = examples.ask("ask.ts", &["?", &format!("--min-quality={min_quality}")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).ends_with("error: a minimum quality is a number from 0 to 1\n"));
    }
}

/// Each of these is one line with the name of the chain's error.
fn refused(examples: &Examples) {
    let long = "x".repeat(8 * 1024 + 1);
    let both: &[(&str, &[&str])] = &[("EmptyPrompt", &[""]), ("BudgetTooSmall", &["?", "--budget", "1"])];
    let only_papi: &[(&str, &[&str])] = &[
        ("PromptTooLong", &[&long]),
        ("InsufficientBalance", &["?", "--budget", "2000000000000000000"]),
        ("InvalidSampling", &["?", "--max-tokens", "0"]),
        ("InvalidResponders", &["?", "--responders", "9"]),
        ("NotEnoughInferenceNodes", &["?", "--responders", "3"]),
        ("InvalidCommittee", &["?", "--committee", "2"]),
        ("NotEnoughQualityValidators", &["?", "--committee", "6"]),
        ("ContextTooSmall", &["?", "--max-tokens", "4096"]),
        ("Payment", &["?", "--from", "//Nobody"]),
    ];
    let papi = both.iter().chain(only_papi).map(|case| ("ask.ts", case));
    for (example, (name, args)) in papi.chain(both.iter().map(|case| ("ask-pjs.ts", case))) {
        let output = examples.ask(example, args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{example} {args:?}: {said}");
        let last = said.lines().last().unwrap();
        assert!(last.starts_with(&format!("error: {name}: ")), "{example}, {name} expected: {said}");
        assert!(output.stdout.is_empty());
    }
}

fn said_that_nobody_answers(examples: &Examples) {
    is_one_line(&examples.run(&["watch.ts", "127.0.0.1:9944"]), 2, "is not the URL of a node");
    for example in ["ask.ts", "ask-pjs.ts"] {
        let output = examples.ask(example, &[QUESTION]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.contains("error: no node answers at ws://"), "{example}: {said}");
    }
}
