//! A runtime upgrade of a running network, in the middle of its work.
//!
//! The network begins with the runtime of version 2 as it was built then (`tests/data/version-2`: the Wasm and the genesis
//! of the chain `local`), and is upgraded to today's. The upgrade migrates requests, and gives block authors sessions.

use harness::programs;
use poq_client::{
    keypair,
    types::{
        chain::{storage, tx},
        Phase,
    },
    At, Client, PALLET,
};
use poq_runtime::{VERSION, WASM_BINARY};
use serde_json::json;
use std::{collections::BTreeSet, fs, path::Path, time::Duration};
use subxt::{
    dynamic::{self, Value},
    ext::{scale_decode::DecodeAsType, scale_value::Composite},
};
use testnet::{
    asking::{self, check_invariants, wait, wait_until_all_closed, wait_until_closed, Models, Question},
    ledger::{issuance, variant, Ledger},
    members,
    network::{Network, Options, Place, Spec},
};

/// Every state of an open request.
const STATES: [&str; 6] = ["Requested", "Answering", "Opening", "Selecting", "Scoring", "Revealing"];

/// Time between two requests until the upgrade: several in each block.
const PAUSE: Duration = Duration::from_millis(700);

/// Most runs until an upgrade comes in the middle of requests in every state.
const RUNS: usize = 4;

/// Version of the runtime whose migrations have run, as the chain stores it.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct LastUpgrade {
    spec_version: u32,
}

/// The part of a request of version 2 that matters here.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Request {
    phase: Value,
}

/// The part of a model of version 2 that matters here.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Model {
    id: [u8; 32],
    kind: Value,
    retired: bool,
}

/// The models of version 2, whose registry has no pages.
async fn models(at: &At) -> Models {
    let question = dynamic::view_function_call::<_, Vec<Model>>(PALLET, "models", ());
    let models = at.view(question).await.unwrap();
    let of = |kind| {
        let takes_work = move |model: &&Model| variant(&model.kind) == Some(kind) && !model.retired;
        models.iter().filter(takes_work).map(|model| model.id)
    };
    Models { generators: of("Generator").collect(), evaluator: of("Evaluator").next().unwrap() }
}

/// The chain `local` as version 2 began it.
fn write_spec(path: &Path) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/version-2");
    let genesis: serde_json::Value =
        serde_json::from_slice(&fs::read(data.join("genesis.json")).unwrap()).unwrap();
    let wasm = fs::read(data.join("runtime.wasm")).unwrap();
    let spec = json!({
        "name": "Proof of Quality local", "id": "poq_local", "chainType": "Local", "bootNodes": [],
        "protocolId": "poq", "properties": { "ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "POQ" },
        "genesis": { "runtimeGenesis": { "code": format!("0x{}", hex::encode(wasm)), "patch": genesis } },
    });
    fs::write(path, spec.to_string()).unwrap();
}

/// The version whose migrations have run. A block that sets a code already has its metadata, but its state is migrated by the next
/// block only.
async fn version(client: &Client) -> u32 {
    // A node that compiles a new runtime may take its time.
    let asked = || async {
        let last = dynamic::storage::<(), LastUpgrade>("System", "LastRuntimeUpgrade");
        Ok(client.best().await?.entry(last, ()).await?)
    };
    wait("the version", asked).await.unwrap().spec_version
}

/// Asks in every block, until the chain has another version.
async fn ask_until_upgraded(client: Client) {
    let question = Question { prompt: "What is the capital of Peru?".into(), responders: 2, committee: 5 };
    let at = client.best().await.unwrap();
    let terms = models(&at).await.terms(&at, &question).await.unwrap();
    let call = tx().proof_of_quality().request_inference(question.prompt.into_bytes(), terms);
    let bob = keypair("//Bob").unwrap();
    let mut nonce = 0;
    while version(&client).await < VERSION.spec_version {
        let transaction = at.sign(call.clone(), &bob, nonce).unwrap();
        // The last ones may meet the new version, which refuses transactions signed for the old one.
        if client.send(&transaction).await.is_ok() {
            nonce += 1;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The states of the open requests at a block.
async fn states(at: &At) -> BTreeSet<String> {
    let next = at.value(storage().proof_of_quality().next_request()).await.unwrap();
    let mut states = BTreeSet::new();
    for id in 0..next {
        let question = dynamic::view_function_call::<_, Option<Request>>(PALLET, "request_info", (id,));
        let request = at.view(question).await.unwrap();
        states.extend(request.and_then(|request| Some(variant(&request.phase)?.to_owned())));
    }
    states.retain(|state| STATES.contains(&state.as_str()));
    states
}

fn all_states() -> BTreeSet<String> {
    STATES.iter().map(|state| (*state).to_owned()).collect()
}

async fn upgrade(client: &Client) {
    let code = WASM_BINARY.expect("built with its Wasm");
    let call = dynamic::tx("System", "set_code", Composite::named([("code", Value::from_bytes(code))]));
    let weight = Value::named_composite([("ref_time", Value::u128(0)), ("proof_size", Value::u128(0))]);
    let call = dynamic::tx("Sudo", "sudo_unchecked_weight", (call.into_value(), weight));
    client.sudo_by(call, &keypair("//Alice").unwrap()).await.expect("sudo sets the code");
    let is_final =
        || async { Ok((client.finalized().await?.spec_version() == VERSION.spec_version).then_some(())) };
    wait("the finality of the code", is_final).await.unwrap();
}

/// Output of `poq ask`.
async fn ask_by_program(url: &str) -> serde_json::Value {
    let mut poq = tokio::process::Command::new(programs::find("poq").unwrap());
    poq.args(["--url", url, "--json", "ask", "What is the capital of France?"]);
    // Written out: no development key is taken by name on a chain of type Local.
    poq.env("POQ_SURI", format!("{}//Dave", subxt_signer::DEV_PHRASE));
    let said = poq.output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).unwrap()
}

/// The states of the open requests that the migration finds: those after the block that set the code. That block's state is
/// still of the old types, its metadata of the new, so it is read with the types of its parent.
async fn states_that_were_migrated(archive: &Client) -> BTreeSet<String> {
    let last = archive.finalized().await.unwrap().number();
    let mut old = archive.at_number(0).await.unwrap();
    for number in 1..=last {
        let at = archive.at_number(number).await.unwrap();
        if at.spec_version() != old.spec_version() {
            return read_with_types_of(&old, &at).await;
        }
        old = at;
    }
    panic!("no block set the code");
}

async fn read_with_types_of(old: &At, at: &At) -> BTreeSet<String> {
    let (metadata, stored) = (old.metadata(), old.library().storage());
    let entry = stored.entry(dynamic::storage::<(u64,), Value>(PALLET, "Requests")).unwrap();
    let requests = metadata.pallet_by_name(PALLET).unwrap().storage().unwrap();
    let type_id = requests.entry_by_name("Requests").unwrap().value_ty();
    let next = at.value(storage().proof_of_quality().next_request()).await.unwrap();
    let mut states = BTreeSet::new();
    for id in 0..next {
        // Closed ones may be forgotten.
        let Ok(bytes) = at.library().storage().fetch_raw(entry.fetch_key((id,)).unwrap()).await else {
            continue;
        };
        let request = Request::decode_as_type(&mut &bytes[..], type_id, metadata.types()).unwrap();
        states.extend(variant(&request.phase).map(str::to_owned));
    }
    states.retain(|state| STATES.contains(&state.as_str()));
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_every_state_outlive_an_upgrade() {
    for run in 1..=RUNS {
        let found = upgrade_in_the_middle().await;
        println!("run {run}: the upgrade found requests in the states {found:?}");
        if found == all_states() {
            return;
        }
    }
    panic!("no upgrade fell into the middle of requests in every state");
}

/// Upgrades a network under requests and checks that nothing is lost; returns the states that the migration found.
async fn upgrade_in_the_middle() -> BTreeSet<String> {
    let folder = tempfile::Builder::new().prefix("poq-upgrade-").tempdir().unwrap();
    let spec = folder.path().join("version-2.json");
    write_spec(&spec);
    let options =
        Options { spec: Spec::File(spec), ..Options::new(folder.path(), Place::free_ports().unwrap()) };
    let network = Network::launch(options, members::all()).await;
    let network = network.expect("the network comes up with the old runtime");
    let archive = Client::connect(&network.nodes()[0].url()).await.unwrap();
    assert_eq!(version(&archive).await, 2);

    let asking = tokio::spawn(ask_until_upgraded(archive.clone()));
    wait("requests in every state", || async {
        Ok((states(&archive.best().await?).await == all_states()).then_some(()))
    })
    .await
    .unwrap();
    upgrade(&archive).await;
    asking.await.unwrap();
    let found = states_that_were_migrated(&archive).await;

    // A new connection, because `archive` knows the old types.
    let url = network.nodes()[4].url();
    // A node that compiles the new runtime, as all others do now, may take its time.
    let client = wait("a connection", || async { Ok(Some(Client::connect(&url).await?)) }).await.unwrap();
    let upgraded = || async { Ok((version(&client).await == VERSION.spec_version).then_some(())) };
    wait("the upgrade of the node that is asked", upgraded).await.unwrap();
    // Before the upgrade is final, when transactions signed for the old version are refused.
    let (by_program, late) =
        tokio::join!(ask_by_program(&url), asking::ask(&client, "What colour is the sky?", "//Charlie"));
    assert_eq!(by_program["state"], "settled", "{by_program}");
    let late = late.expect("the new one takes requests");
    let late = wait_until_closed(&client, late).await.unwrap();
    assert!(matches!(late.phase, Phase::Settled { .. }), "{:?}", late.phase);
    wait_until_all_closed(&archive).await.unwrap();

    let archive = Client::connect(&network.nodes()[0].url()).await.unwrap();
    let last = archive.finalized().await.unwrap();
    check_invariants(&last).await.unwrap();
    let authors = last.value(storage().session().validators()).await.unwrap();
    assert_eq!(authors.len(), 4, "the authors go on, in sessions");
    let ledger = Ledger::read(&archive, last.number()).await.unwrap();
    assert_eq!(ledger.faults, Vec::<String>::new());
    assert_eq!(ledger.open(), Vec::<u64>::new());
    let first = issuance(&archive.at_number(0).await.unwrap()).await.unwrap();
    assert_eq!(issuance(&last).await.unwrap(), first - ledger.burnt(), "no unit is lost");
    println!("{} requests, duties: {:?}", ledger.requests.len(), ledger.duties);
    for node in network.nodes() {
        let log = node.log_since_start().unwrap();
        // The new runtime has one more transaction extension: it cannot read what waits in the pool, signed for the old one, and the SDK
        // calls that a panic of the Wasm.
        let unreadable = log.matches("Nothing bad happened: someone sent an invalid transaction").count();
        let panics = log.matches("panicked at").count();
        assert!(node.is_running() && panics == unreadable, "{}: {panics} panics", node.name());
    }
    found
}
