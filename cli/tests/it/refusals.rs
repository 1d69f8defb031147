//! Refusals of the chain: each costs nothing, leaves nothing behind, and is said by the name of its error, with the value refused.

use crate::common::{amount, parse, text, total, Node, DEV_PHRASE};
use poq_client::{
    keypair,
    types::{
        chain::{system::events::ExtrinsicFailed, tx},
        Sampling, Terms,
    },
    Client, Error,
};
use std::{fs, os::unix::fs::PermissionsExt as _, process::Output};

/// Longer than the runtime takes, by one byte.
const TOO_LONG: usize = 8 * 1024 + 1;

#[tokio::test]
async fn bad_requests_are_refused_by_name_and_cost_nothing() {
    let node = Node::start_with(&["--engine", "off"]);
    let client = node.client().await;
    let before = total(&client, "//Alice").await;

    let long = "x".repeat(TOO_LONG);
    let nowhere = "00".repeat(32);
    let hash_of = |name: &str| {
        let models = node.json(&["models"]);
        let model = models.as_array().unwrap().iter().find(|model| model["name"] == name).unwrap();
        model["id"].as_str().unwrap().to_owned()
    };
    let (evaluator, generator) = (hash_of("poq-demo-evaluator"), hash_of("poq-demo-weak"));
    // The error's name, the arguments, and what its text says in numbers: the value refused, and the limit.
    let refused: &[(&str, &[&str], &[&str])] = &[
        ("EmptyPrompt", &[""], &[]),
        ("EmptyPrompt", &[" \n\t "], &[]),
        ("EmptyPrompt", &["\u{200b}\u{feff}"], &[]),
        ("EmptyPrompt", &["-"], &[]),
        ("PromptTooLong", &[&long], &["8193 bytes", "`MaxPromptLength` = 8192"]),
        ("UnknownModel", &["?", "--generator", "no-such-model"], &["no-such-model"]),
        ("UnknownModel", &["?", "--generator", &nowhere], &[&nowhere]),
        ("UnknownModel", &["?", "--evaluator", &nowhere], &[&nowhere]),
        ("WrongModelKind", &["?", "--generator", "poq-demo-evaluator"], &["poq-demo-evaluator"]),
        ("WrongModelKind", &["?", "--generator", &evaluator], &["poq-demo-evaluator"]),
        ("WrongModelKind", &["?", "--evaluator", "poq-demo-weak"], &["poq-demo-weak"]),
        ("WrongModelKind", &["?", "--evaluator", &generator], &["poq-demo-weak"]),
        (
            "InvalidModelList",
            &["?", "--generator", "poq-demo-weak", "--generator", "poq-demo-weak"],
            &["poq-demo-weak, poq-demo-weak"],
        ),
        ("InvalidResponders", &["?", "--responders", "0"], &["--responders is 0", "`MaxResponders` = 8"]),
        ("InvalidResponders", &["?", "--responders", "9"], &["--responders is 9", "`MaxResponders` = 8"]),
        ("NotEnoughInferenceNodes", &["?", "--responders", "3"], &["--responders is 3", "2 operators"]),
        (
            "InvalidCommittee",
            &["?", "--committee", "2"],
            &["--committee is 2", "`min_committee` = 3 members", "`MaxCommittee` = 63"],
        ),
        ("InvalidCommittee", &["?", "--committee", "64"], &["--committee is 64"]),
        ("NotEnoughQualityValidators", &["?", "--committee", "6"], &["--committee is 6", "5 operators"]),
        ("InvalidSampling", &["?", "--max-tokens", "0"], &["--max-tokens is 0", "`MaxTokens` = 4096"]),
        ("InvalidSampling", &["?", "--max-tokens", "4097"], &["--max-tokens is 4097"]),
        ("InvalidSampling", &["?", "--temperature", "2.001"], &["--temperature 2.001"]),
        ("ContextTooSmall", &["?", "--max-tokens", "4096"], &["together 4097", "poq-demo-weak 512"]),
        ("BudgetTooSmall", &["?", "--budget", "0.000000000001"], &["0.000000000001 POQ", "estimate 0."]),
        ("InsufficientBalance", &["?", "--budget", "2000000"], &["2000000 POQ", "is missing"]),
        ("InsufficientBalance", &["?", "--from", "//Nobody"], &["can spend 0 POQ"]),
    ];
    for (name, args, numbers) in refused {
        let output = node.poq(&[&["ask"], *args].concat());
        let said = text(&output.stderr);
        let (error, before) =
            said.trim_end().rsplit_once('\n').map_or((&*said, ""), |(before, error)| (error, before));
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(error.starts_with(&format!("error: {name}: ")), "{name} expected: {said}");
        let is_expected = |line: &str| line.starts_with("signing as ") || line.starts_with("warning: ");
        assert!(before.lines().all(is_expected), "one line, after the account that signs: {said}");
        for number in *numbers {
            assert!(error.contains(number), "{number} is missing: {error}");
        }
        assert!(output.stdout.is_empty());
    }
    let many: Vec<_> = (0..9).flat_map(|_| ["--generator", "poq-demo-weak"]).collect();
    let said = text(&node.poq(&[&["ask", "?"], &many[..]].concat()).stderr);
    assert!(said.contains("9 generators are too many: a request names at most 8"), "{said}");
    assert_eq!(total(&client, "//Alice").await, before, "not even a fee");
    assert_eq!(node.json(&["status"])["requests"]["made"], 0);

    not_for_this_account(&node, &client).await;
    without_poq(&node, &client).await;
    operators(&node);
    node.assert_invariants();
}

/// The last line on standard error: the error, after the account that signs.
fn last(output: &Output) -> String {
    text(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

/// An account that can pay the fee of a transaction but not a budget.
async fn not_for_this_account(node: &Node, client: &Client) {
    let poor = keypair("//Poor").unwrap().public_key().to_address();
    let call = tx().balances().transfer_keep_alive(poor, 50_000_000_000);
    client.submit(call, &keypair("//Bob").unwrap()).await.unwrap();
    let output = node.poq(&["ask", "?", "--from", "//Poor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(last(&output).starts_with("error: InsufficientBalance: "), "{}", text(&output.stderr));
    assert_eq!(total(client, "//Poor").await, 50_000_000_000);
}

/// Bytes that are no text, which `poq` never sends. They are not tried out first: the chain itself must refuse.
async fn without_poq(node: &Node, client: &Client) {
    let models = client.best().await.unwrap().models().await.unwrap();
    let id = |name: &str| models.iter().find(|model| model.name == name.as_bytes()).unwrap().id;
    let terms = Terms {
        generators: vec![id("poq-demo-weak")],
        evaluator: id("poq-demo-evaluator"),
        sampling: Sampling { max_tokens: 8, temperature_milli: 0, seed: 0 },
        responders: 1,
        committee: 1,
        min_quality: 0,
        budget: 1_000_000_000_000,
        audit: [7; 32],
    };
    let call = tx().proof_of_quality().request_inference(vec![0xff, 0xfe], terms);
    let before = total(client, "//Charlie").await;
    let (at, charlie) = (client.best().await.unwrap(), keypair("//Charlie").unwrap());
    let mut blocks = client.best_blocks().await.unwrap();
    client.send(&at.sign(call, &charlie, 0).unwrap()).await.unwrap();
    let error = loop {
        let at = blocks.next().await.unwrap();
        let events = at.events().await.unwrap();
        if let Some(failed) = events.find_first::<ExtrinsicFailed>() {
            break at.explain(&failed.unwrap().dispatch_error);
        }
    };
    assert!(matches!(&error, Error::Refused { name, .. } if name == "NotUtf8"), "{error}");
    let fee = before - total(client, "//Charlie").await;
    assert!((1..1_000_000_000_000).contains(&fee), "nothing but the transaction's fee is lost: {fee}");
    assert_eq!(node.json(&["status"])["requests"]["made"], 0);
}

/// Becoming an operator, and what is refused on the way.
fn operators(node: &Node) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("worker");
    fs::write(&secret, format!("{DEV_PHRASE}//Bob//worker\n")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let secret = secret.to_str().unwrap();
    let worker = keypair("//Bob//worker").unwrap().public_key().to_account_id().to_string();
    let consent = |operator: &str| {
        let made = node.json(&["operator", "consent", "--worker-suri-file", secret, "--operator", operator]);
        assert_eq!(made["worker"], worker);
        made["consent"].as_str().unwrap().to_owned()
    };
    let (own, of_another) = (consent("bob"), consent("alice"));

    const MODEL: [&str; 2] = ["--model", "poq-demo-weak"];
    let register = |more: &[&'static str]| [&["register"], &MODEL[..], more].concat();
    let worker_key = ["register", "--model", "poq-demo-weak", "--worker", &worker];
    let with = |consent| [&worker_key[..], &["--consent", consent]].concat();
    let many: Vec<_> = (0..17).flat_map(|_| MODEL).collect();
    let steps: &[(&[&str], Option<&str>)] = &[
        (&["chill"], Some("NotAnOperator: ")),
        (&["capacity", "--pairs", "8"], Some("NotAnOperator: ")),
        (&["bond", "0"], Some("ZeroAmount: ")),
        (&["bond", "1"], Some("StakeTooSmall: The stake would be 1 POQ for no models yet. The stake is less than the minimum (`min_stake` = 1000 POQ")),
        (&["bond", "20000000"], Some("Token: ")),
        (&["bond", "1500"], None),
        (&["resume"], Some("NotChilled: ")),
        (&[&["register", "--worker", "//Bob//worker"], &many[..]].concat(), Some("17 models are too many: an operator serves at most 16")),
        (&register(&[]), Some("the account has no worker key yet")),
        (&worker_key, Some("InvalidConsent: ")),
        (&with(&of_another), Some("--consent is not a signature of worker key")),
        (&with("0x00"), Some("--consent is no signature")),
        (&with(&own), None),
        // The key that it has, named or not, is asked for nothing.
        (&worker_key, None),
        (&register(&[]), None),
        (&register(&["--worker", "//Bob//another"]), None),
        (&[&register(&["--worker-suri-file"])[..], &[secret]].concat(), None),
        (&[&register(&["--model", "poq-demo-evaluator"])[..], &[]].concat(), Some("StakeTooSmall: The stake is 1500 POQ for 2 models.")),
        (&["capacity", "--pairs", "8"], None),
        (&["capacity", "--pairs", "0", "--tokens", "0"], Some("InvalidCapacity: ")),
        (&["chill"], None),
        (&["chill"], Some("AlreadyChilled: ")),
        (&["resume"], None),
        (&["unbond", "1000"], Some("RemainderTooSmall: Of 1500 POQ, 500 POQ would stay for 1 model.")),
        (&["unbond", "1500.5"], Some("NotEnoughStake: The stake is 1500 POQ, the amount 1500.5 POQ.")),
        (&["unbond", "1500"], None),
        (&["withdraw"], Some("NothingToWithdraw: 1500 POQ can be withdrawn from block ")),
    ];
    for (args, refused) in steps {
        let output = node.poq(&[&["--from", "bob", "operator"], *args].concat());
        let said = text(&output.stderr);
        match refused {
            None => assert_eq!(output.status.code(), Some(0), "{args:?}: {said}"),
            Some(start) => {
                assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
                assert!(
                    last(&output).starts_with(&format!("error: {start}")),
                    "{args:?}, {start} expected: {said}"
                );
            }
        }
    }
    let bob = node.operator("bob");
    assert_eq!((&bob["stake"], &bob["drawable"]), (&"0".into(), &false.into()));
    assert_eq!(amount(&bob["unbonding"]["amount"]), 1_500_000_000_000_000);
    assert_eq!(bob["worker"], worker);
    assert_eq!(bob["capacity"], serde_json::json!({ "tokens": 4_096, "pairs": 8 }), "tokens stay");
    assert_eq!(bob["load"], serde_json::json!({ "tokens": 0, "pairs": 0 }));
    let shown = text(&node.poq(&["operators", "bob"]).stdout);
    assert!(shown.contains("0 of 8 pairs to score"), "{shown}");
    let all = node.json(&["operators"]);
    assert_eq!(all.as_array().unwrap().len(), 8, "the page is walked to its end");
}

#[test]
fn a_consent_can_be_made_without_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("worker");
    fs::write(&secret, format!("{DEV_PHRASE}//Bob//worker")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let genesis = "07".repeat(32);
    let consent = |genesis: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_poq"));
        command.args(["operator", "consent", "--operator", "alice", "--json", "--genesis", genesis]);
        command.args(["--worker-suri-file", secret.to_str().unwrap(), "--url", "ws://127.0.0.1:1"]);
        command.env_remove("POQ_SURI").output().unwrap()
    };
    let output = consent(&genesis);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("chmod 600"), "others can read that file: {said}");
    let made = parse(&output.stdout);
    let worker = keypair("//Bob//worker").unwrap();
    let alice = keypair("//Alice").unwrap().public_key().to_account_id();
    assert_eq!(made["worker"], worker.public_key().to_account_id().to_string());
    assert_eq!(made["operator"], alice.to_string());
    let signature = hex::decode(made["consent"].as_str().unwrap().strip_prefix("0x").unwrap()).unwrap();
    let signature = subxt_signer::sr25519::Signature(signature.try_into().unwrap());
    let agreed = poq_primitives::commitment::worker_consent(&[7; 32], &alice.0);
    assert!(subxt_signer::sr25519::verify(&signature, agreed, &worker.public_key()));

    let output = consent("07");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("32 bytes in hex"), "{}", text(&output.stderr));
}

#[test]
fn wrong_command_lines_and_missing_nodes_have_codes_of_their_own() {
    let poq = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_poq"));
        command.env_remove("POQ_SURI").env_remove("POQ_URL").args(args).output().unwrap()
    };
    assert_eq!(poq(&["ask"]).status.code(), Some(2));
    assert_eq!(poq(&["ask", "?", "--budget", "1e3"]).status.code(), Some(2));
    assert_eq!(poq(&["ask", "?", "--min-quality", "2"]).status.code(), Some(2));
    for timeout in ["0", "-1", "31536001", "18446744073709551615"] {
        assert_eq!(poq(&["ask", "?", "--timeout", timeout]).status.code(), Some(2), "{timeout}");
    }
    // A question, and no option.
    let minus = poq(&["ask", "-1 + 1 = ?", "--url", "ws://127.0.0.1:1"]);
    assert_eq!(minus.status.code(), Some(3), "{}", text(&minus.stderr));
    assert_eq!(poq(&["operator", "capacity"]).status.code(), Some(2));
    assert_eq!(poq(&["--help"]).status.code(), Some(0));
    // No secret is no key, wherever it is looked for.
    let folder = tempfile::tempdir().unwrap();
    for nothing in ["", " \n", "//path"] {
        let file = folder.path().join("suri");
        fs::write(&file, nothing).unwrap();
        let consent = ["operator", "consent", "--operator", "alice", "--genesis", &"07".repeat(32)];
        let refused = poq(&[&consent[..], &["--worker-suri-file", file.to_str().unwrap()]].concat());
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains("no phrase and no seed"), "{nothing:?}: {said}");
    }
    let gone = poq(&["status", "--url", "ws://127.0.0.1:1"]);
    assert_eq!(gone.status.code(), Some(3));
    assert!(text(&gone.stderr).contains("poq-node --dev"), "{}", text(&gone.stderr));
}
