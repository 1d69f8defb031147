//! The crate `poq-client` against a real node: its example, many tasks with one account, errors to match on.

use crate::common::{self, text, Node};
use poq_client::{
    keypair,
    types::{
        chain::{storage, tx},
        PalletCall,
    },
    Client, Error, Included, PALLET,
};
use std::{path::Path, process::Command};
use subxt::{dynamic, utils::AccountId32};
use tokio::task::JoinSet;

/// Tasks that sign with one account at a time.
const TASKS: u8 = 24;

/// Amount of each transfer: enough for an account to live.
const AMOUNT: u128 = 1_000_000_000_000;

#[test]
fn the_example_asks_and_prints_the_answer() {
    let node = Node::start();
    let program = Path::new(env!("CARGO_BIN_EXE_poq")).with_file_name("examples").join("ask");
    assert!(program.exists(), "there is no {}: run `make build` first", program.display());
    let example = |question: &str| Command::new(&program).args([question, &node.url()]).output().unwrap();

    let asked = example("What is the capital of Peru?");
    let (answer, progress) = (text(&asked.stdout), text(&asked.stderr));
    assert!(asked.status.success(), "{progress}");
    let request = node.request(0).expect("it was asked");
    assert_eq!(
        (&request["state"], &request["prompt"]),
        (&"settled".into(), &"What is the capital of Peru?".into())
    );
    assert!(!answer.trim().is_empty());
    assert_eq!(request["answer"].as_str(), Some(answer.trim_end_matches('\n')));
    common::told_phases(&progress);

    let refused = example("");
    assert!(!refused.status.success());
    assert!(
        text(&refused.stderr).starts_with("the chain refuses: EmptyPrompt ("),
        "{}",
        text(&refused.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_share_an_account_all_get_their_transactions_into_blocks() {
    let node = Node::start_with(&["--engine", "off"]);
    let client = node.client().await;
    let alice = keypair("//Alice").unwrap();
    let target = |number: u8| AccountId32([number + 1; 32]);
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let (client, alice) = (client.clone(), alice.clone());
        tasks.spawn(async move {
            let call = tx().balances().transfer_keep_alive(target(number).into(), AMOUNT);
            client.submit(call, &alice).await.map(|included| included.fee)
        });
    }
    for fee in tasks.join_all().await {
        assert!(fee.unwrap() > 0);
    }
    let at = client.best().await.unwrap();
    assert_eq!(
        at.nonce(&alice.public_key().to_account_id()).await.unwrap(),
        u64::from(TASKS),
        "each has one nonce"
    );
    for number in 0..TASKS {
        let account = at.entry(storage().system().account(), (target(number),)).await.unwrap();
        assert_eq!(account.unwrap().data.free, AMOUNT);
    }
}

fn error_of(result: Result<Included, Error>) -> Error {
    result.err().expect("it is refused")
}

#[tokio::test]
async fn errors_say_what_they_are_and_a_node_that_comes_back_is_found_again() {
    let node = Node::start_with(&["--engine", "off"]);
    let client = node.client().await;
    let at = client.best().await.unwrap();
    let bob = keypair("//Bob").unwrap();

    let refused = error_of(client.submit(tx().proof_of_quality().chill(), &bob).await);
    assert!(
        matches!(&refused, Error::Refused { name, docs } if name == "NotAnOperator" && !docs.is_empty()),
        "{refused:?}"
    );
    let call = || PalletCall::set_auditors { auditors: Vec::new() };
    let refused = error_of(client.sudo(call(), &bob).await);
    assert!(matches!(&refused, Error::Refused { name, .. } if name == "RequireSudo"), "{refused:?}");
    let retired = PalletCall::retire_model { id: [9; 32] };
    let refused = error_of(client.sudo(retired, &keypair("//Alice").unwrap()).await);
    assert!(matches!(&refused, Error::Refused { name, .. } if name == "UnknownModel"), "{refused:?}");
    let unknown = at.view(dynamic::view_function_call::<_, u32>(PALLET, "no_such_function", ())).await;
    assert!(matches!(unknown, Err(Error::Undecodable(_))), "{unknown:?}");
    assert_eq!(poq_client::keypair("no secret").err(), Some(Error::NoSecret));

    node.kill().unwrap();
    let gone = client.best().await.map(|at| at.number());
    assert!(matches!(gone, Err(Error::Unreachable(_))), "{gone:?}");
    let gone = Client::connect(&node.url()).await.map(|client| client.genesis());
    assert!(matches!(gone, Err(Error::Unreachable(_))), "{gone:?}");
    node.restart();
    let again = client.reconnect().await.unwrap();
    assert_eq!((again.genesis(), again.best().await.unwrap().has_pallet(PALLET)), (client.genesis(), true));
}
