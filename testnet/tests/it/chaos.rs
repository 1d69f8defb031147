//! A short run of the code of `make chaos`, with four kinds of faults that need nothing installed.

use std::{path::Path, sync::Arc};
use testnet::{
    chaos::{self, plan::Kind, Args},
    wires::Wires,
};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_nodes_engines_and_links_fail() {
    if let Err(error) = Wires::are_allowed() {
        println!("SKIPPED, nothing was tested: {error:#}");
        return;
    }
    let folder = tempfile::Builder::new().prefix("poq-chaos-").tempdir().unwrap();
    let args = Args {
        seed: 5,
        requests: 8,
        faults: 4,
        only: vec![Kind::KillNode, Kind::KillEngine, Kind::KillMajority, Kind::Partition],
        folder: Some(folder.path().join("chaos")),
        report: None,
        models: Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"),
    };
    let verdict = chaos::run(args, Arc::new(|line| println!("{line}"))).await.expect("the network runs");
    println!("{verdict}");
    assert!(verdict.is_good(), "{verdict}: {:#?}", verdict.problems);
    assert_eq!((verdict.settled + verdict.refunded, verdict.faults), (8, 4), "{verdict}");
}
