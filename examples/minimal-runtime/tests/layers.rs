//! Dependencies between rooms go one way: node -> runtime -> pallet -> primitives <- engine. And this example uses nothing but the pallet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

const NODE: &str = "poq-node";
const PROGRAM: &str = "poq-node-program";
const RUNTIME: &str = "poq-runtime";
const AUTHORS: &str = "pallet-block-authors";
const PALLET: &str = "pallet-proof-of-quality";
const LANE: &str = "pallet-proof-of-quality-express";
const PRIMITIVES: &str = "poq-primitives";
const EXPRESS: &str = "poq-express";
const PROCESS: &str = "poq-express-process";
const ENGINE: &str = "poq-worker";
const CLIENT: &str = "poq-client";
const RECEIPT: &str = "poq-receipt";
const VERIFIER: &str = "poq-verifier";
const CLI: &str = "poq-cli";
const GATEWAY: &str = "poq-gateway";
const HISTORY: &str = "poq-history";
const WEB: &str = "poq-web";
const HARNESS: &str = "poq-harness";
const TESTNET: &str = "poq-testnet";
const TASK: &str = "poq-bench-consensus";
const EXAMPLE: &str = env!("CARGO_PKG_NAME");

/// Everything that each room may use, directly or not. Whoever is not named here may use anything and be used by nobody.
const ROOMS: [(&str, &[&str]); 21] = [
    (PRIMITIVES, &[]),
    (PALLET, &[PRIMITIVES]),
    (LANE, &[PALLET, PRIMITIVES]),
    (AUTHORS, &[]),
    (RUNTIME, &[PALLET, LANE, PRIMITIVES, AUTHORS]),
    (EXPRESS, &[PRIMITIVES]),
    (ENGINE, &[PRIMITIVES]),
    (NODE, &[RUNTIME, PALLET, LANE, PRIMITIVES, AUTHORS, ENGINE, PROCESS, EXPRESS, CLIENT]),
    (PROGRAM, &[NODE, RUNTIME, PALLET, LANE, PRIMITIVES, AUTHORS, ENGINE, PROCESS, EXPRESS, CLIENT]),
    (CLIENT, &[PRIMITIVES]),
    (PROCESS, &[EXPRESS, CLIENT, PRIMITIVES]),
    (RECEIPT, &[CLIENT, PRIMITIVES]),
    (VERIFIER, &[RECEIPT, CLIENT, PRIMITIVES]),
    (WEB, &[]),
    (CLI, &[CLIENT, PRIMITIVES, RECEIPT, WEB, PROCESS, EXPRESS]),
    (GATEWAY, &[CLIENT, PRIMITIVES, RECEIPT, WEB]),
    (HISTORY, &[CLIENT, PRIMITIVES, WEB]),
    (EXAMPLE, &[PALLET, PRIMITIVES]),
    // What benches build on.
    (HARNESS, &[]),
    (TESTNET, &[CLIENT, RUNTIME, PALLET, LANE, PRIMITIVES, AUTHORS, HARNESS]),
    (TASK, &[PALLET, PRIMITIVES]),
];

/// The packages of this workspace, and what each depends on among them: to be built, or to be tested as well.
fn packages(tests_too: bool) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = list.iter().map(name).collect();
    let uses = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let counted = dependencies.filter(|dependency| tests_too || dependency["kind"] != "dev");
        // By the folder it comes from and not by its name: what is not in this workspace is none of ours.
        counted.filter(|dependency| dependency["path"].is_string()).map(name).collect()
    };
    let found: BTreeMap<String, BTreeSet<String>> =
        list.iter().map(|package| (name(package), uses(package))).collect();
    assert!(found.values().flatten().all(|used| ours.contains(used)), "{found:?}");
    found
}

/// All that `package` uses, directly or not.
fn closure(package: &str, uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![package.to_owned()];
    while let Some(package) = next.pop() {
        next.extend(uses[&package].iter().filter(|used| found.insert((*used).clone())).cloned());
    }
    found
}

#[test]
fn imports_point_one_way() {
    let uses = packages(false);
    for (room, allowed) in ROOMS {
        let allowed: BTreeSet<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let found = closure(room, &uses);
        assert!(found.is_subset(&allowed), "{room} uses {:?}", found.difference(&allowed));
    }
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    for (package, used) in &uses {
        let strangers: Vec<_> = used.iter().filter(|used| !rooms.contains(used.as_str())).collect();
        assert!(strangers.is_empty(), "{package} uses {strangers:?}, which is no room to build on");
    }
}

#[test]
fn the_pallet_is_tested_without_node_and_runtime_too() {
    let uses = packages(true);
    let used = |package: &str| uses[package].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(used(PRIMITIVES), Vec::<&str>::new());
    assert_eq!(used(PALLET), [PRIMITIVES]);
}
