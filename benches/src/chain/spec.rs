//! The chain of a measurement: one that comes with the node, with other operators in its genesis.

use super::cast::{Cast, Operator, CAPACITY};
use anyhow::{Context as _, Result};
use harness::programs;
use poq_runtime::{currency::POQ, AccountId, Runtime};
use serde_json::{json, Value};
use sp_core::Pair as _;
use std::{fs, path::Path};

/// Balance of each account at genesis.
const ENDOWMENT: u128 = 10_000_000 * POQ;

/// Stake of each operator.
const STAKE: u128 = 10_000 * POQ;

/// Length of each window, in blocks: so long that nobody is late under load.
const WINDOW: u32 = 300;

/// The models of the chain that requests ask for.
#[derive(Clone, Copy, Debug)]
pub struct Models {
    /// The generator.
    pub generator: [u8; 32],
    /// The evaluator.
    pub evaluator: [u8; 32],
}

impl Models {
    /// The demo's strong generator and evaluator.
    pub fn of_the_demo() -> Result<Self> {
        let genesis = poq_runtime::demo::genesis().context("the demo's manifest is broken")?;
        let id = |name: &str| {
            let model = genesis.models.iter().find(|model| model.name == name);
            model.map(|model| model.id).with_context(|| format!("the demo has no {name}"))
        };
        Ok(Self { generator: id("poq-demo-strong")?, evaluator: id("poq-demo-evaluator")? })
    }

    /// The model that an operator serves.
    pub fn of(&self, operator: &Operator) -> [u8; 32] {
        if operator.scores {
            self.evaluator
        } else {
            self.generator
        }
    }
}

/// Writes the specification of `chain` (`dev` or `local`) with `cast` in the place of the demo's operators.
pub fn write(program: &Path, chain: &str, cast: &Cast, file: &Path) -> Result<()> {
    let spec = programs::chain_spec(program, chain, false)?;
    let mut spec: Value = serde_json::from_slice(&spec).context("the specification is not JSON")?;
    let patch =
        spec.pointer_mut("/genesis/runtimeGenesis/patch").context("the specification has no patch")?;
    people(patch, cast)?;
    fs::write(file, serde_json::to_vec(&spec)?).with_context(|| format!("cannot write {}", file.display()))
}

/// Puts accounts and operators into a genesis and widens the models' windows.
fn people(patch: &mut Value, cast: &Cast) -> Result<()> {
    let models = Models::of_the_demo()?;
    let operators = cast.operators();
    let balances = patch.pointer_mut("/balances/balances").and_then(Value::as_array_mut);
    let balances = balances.context("the genesis has no balances")?;
    let requesters = cast.requesters();
    let accounts = requesters.iter().map(|pair| AccountId::from(pair.public()));
    for account in accounts.chain(operators.iter().map(|operator| operator.account.clone())) {
        balances.push(json!([account, ENDOWMENT]));
    }
    let listed = patch.pointer_mut("/proofOfQuality/operators").context("the genesis has no operators")?;
    *listed = operators
        .iter()
        .map(|operator| {
            json!({
                "operator": operator.account,
                "stake": STAKE,
                "worker": AccountId::from(operator.worker.public()),
                "models": [models.of(operator)],
                "capacity": CAPACITY,
            })
        })
        .collect();
    let listed = patch.pointer_mut("/proofOfQuality/models").and_then(Value::as_array_mut);
    for model in listed.context("the genesis has no models")? {
        if let Some(windows) = model.get_mut("windows") {
            *windows = json!({ "commit": WINDOW, "reveal": WINDOW });
        }
    }
    Ok(())
}

/// Most quality validators of a request on this chain.
pub fn most_committee() -> u32 {
    use frame_support::traits::Get as _;
    <Runtime as pallet_proof_of_quality::Config>::MaxCommittee::get()
}
