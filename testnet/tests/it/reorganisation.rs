//! A gateway whose node loses the blocks that it made alone.

use harness::{programs, wait_until};
use poq_client::Client;
use serde_json::{json, Value};
use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
};
use testnet::{
    asking::{self, wait},
    members,
    network::{Network, Options, Place},
    wires::Wires,
};

const QUESTION: &str = "What is the capital of Peru?";

/// The gateway's node: an author.
const CUT_OFF: usize = 0;

/// A node that works for all operators.
const OPERATORS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_a_block_that_is_taken_back_is_answered_and_paid_for_once() {
    if let Err(error) = Wires::are_allowed() {
        println!("SKIPPED, nothing was tested: {error:#}");
        return;
    }
    let folder = tempfile::Builder::new().prefix("poq-fork-").tempdir().unwrap();
    let network = network(folder.path()).await;
    let url = |node: usize| network.nodes()[node].url();
    let gateway = Gateway::start(&url(CUT_OFF), &folder.path().join("gateway"));

    // The author goes on alone: its blocks are final nowhere, and the others do not know of them.
    network.wires().unwrap().cut(&[CUT_OFF]).unwrap();
    let answer = tokio::spawn(gateway.ask(QUESTION));
    let alone = Client::connect(&url(CUT_OFF)).await.unwrap();
    let taken_back = wait("the order in a block", || async {
        let request = alone.best().await?.request(0).await?;
        Ok(request.filter(|request| request.prompt == QUESTION.as_bytes()))
    });
    taken_back.await.unwrap();
    // Meanwhile its number goes to somebody else.
    let others = Client::connect(&url(1)).await.unwrap();
    assert_eq!(asking::ask(&others, "What is 2 plus 3?", "//Bob").await.unwrap(), 0);

    network.wires().unwrap().heal().unwrap();
    let answer = answer.await.unwrap();
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("Lima"), "{answer}");
    assert_eq!(answer["poq"]["request"], 1, "{answer}");
    asking::wait_until_all_closed(&others).await.unwrap();
    let at = others.finalized().await.unwrap();
    let request = at.request(1).await.unwrap().expect("it is on the chain");
    assert_eq!(request.prompt, QUESTION.as_bytes());
    assert!(at.request(2).await.unwrap().is_none(), "it was asked once");
    asking::check_invariants(&at).await.unwrap();
}

/// Four authors, and a node with the worker keys of all operators.
async fn network(folder: &Path) -> Network {
    let members: Vec<_> = members::all().into_iter().take(OPERATORS + 1).collect();
    let wires = Wires::lay(members.len() as u8).expect("namespaces can be made");
    let options = Options::new(folder.join("network"), Place::Wires(wires));
    let mut network = Network::create(options, members).await.unwrap();
    network.equip().unwrap();
    for member in members::all().iter().skip(OPERATORS + 1) {
        for key in member.keys() {
            let uri = format!("{}{}", subxt_signer::DEV_PHRASE, key.uri);
            network.nodes()[OPERATORS].insert_key("local", key.kind, key.scheme, &uri).unwrap();
        }
    }
    network.start().await.expect("the network comes up");
    network
}

/// A gateway that pays with Charlie's account. It ends with this value.
struct Gateway {
    process: Child,
    url: String,
    key: String,
}

impl Gateway {
    fn start(node: &str, folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        let (account, said) = (folder.join("account"), folder.join("said"));
        programs::write_secret(&account, &format!("{}//Charlie", subxt_signer::DEV_PHRASE)).unwrap();
        let program = programs::find("poq-gateway").unwrap();
        let data = folder.join("data");
        let process = programs::command(&program)
            .args([
                "--url",
                node,
                "--listen",
                "127.0.0.1:0",
                "--cap-a-day",
                "1000",
                "--timeout",
                "3600",
                "--suri-file",
            ])
            .arg(&account)
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&said).unwrap())
            .spawn()
            .expect("poq-gateway runs");
        let url = wait_until("the gateway", || {
            let said = fs::read_to_string(&said)?;
            Ok(said.lines().find_map(|line| line.strip_prefix("poq-gateway: ")).map(str::to_owned))
        });
        let data = data.to_str().unwrap();
        let key = programs::run(&program, &["keys", "create", "--name", "test", "--data", data]).unwrap();
        Self { process, url: url.unwrap(), key: String::from_utf8(key).unwrap().trim().to_owned() }
    }

    /// Asks as a client of OpenAI's API does, and waits for the answer.
    fn ask(&self, question: &str) -> impl std::future::Future<Output = Value> + use<> {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let body = json!({ "model": "poq-demo-strong", "messages": [{ "role": "user", "content": question }], "max_tokens": 32 });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let ask = http.post(format!("{}/chat/completions", self.url)).bearer_auth(&self.key).json(&body);
        async move {
            let response = ask.send().await.expect("the gateway answers");
            let status = response.status();
            let text = response.text().await.expect("the answer is whole");
            assert!(status.is_success(), "{status}: {text}");
            serde_json::from_str(&text).expect("it is JSON")
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _dead = self.process.kill();
        let _gone = self.process.wait();
    }
}
