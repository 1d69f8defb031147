//! Time to execute a block, by number of open requests and of operators.
//!
//! The chain's own Wasm executes real blocks (`Core_execute_block`: signatures, extrinsics, hooks, state root) on a trie in
//! memory. Nothing is read from a disk, as in a node whose caches hold the state.

use super::{
    cast::Cast,
    players::Size,
    world::{self, Stage, World},
    Args,
};
use anyhow::{Context as _, Result};
use poq_benches::report::{Figure, Report};

/// Size of the requests in the design's figures.
const SIZE: Size = Size { responders: 3, committee: 7 };

/// Executions of each block.
const TIMES: usize = 21;

/// Pairs of open requests and operators: a sweep of each beside a constant 100 of the other.
const SWEEPS: [(u64, usize); 7] =
    [(0, 100), (10, 100), (100, 100), (1_000, 100), (10_000, 100), (100, 10), (100, 1_000)];

/// Most inference nodes; otherwise they are a third of the operators. With 10,000 open requests each has some 900 duties.
const MOST_NODES: usize = 33;

/// Measures all blocks.
pub fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let bar = args.bar("blocks");
    let wasm = world::runtime()?;
    for (open, operators) in SWEEPS {
        bar.set_message(format!("{open} open requests, {operators} operators"));
        bar.tick();
        let nodes = (operators / 3).clamp(3, MOST_NODES);
        let cast = Cast { requesters: 16, nodes, validators: operators.saturating_sub(nodes) };
        let mut world = World::new(&cast, SIZE)?;
        world.ask(open, Stage::Answering)?;
        let last = world.ask(1, Stage::LastReveal)?;
        let last = *last.first().context("no request was made")?;
        let request = world.signed_request()?;
        let reveal = world.signed_reveal(last)?;
        let blocks =
            [("empty", vec![]), ("takes a request", vec![request]), ("settles a request", vec![reveal])];
        for (what, extrinsics) in blocks {
            let took = world.execute(&wasm, extrinsics, TIMES)?;
            let millis: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e3).collect();
            let name = format!("chain/block that {what}, {open} open requests, {operators} operators");
            report.add(Figure::of(name.replace("block that empty", "empty block"), &millis, "ms"));
        }
    }
    bar.finish_and_clear();
    Ok(())
}
