//! `poq-bench`: everything that is claimed, measured or played.

mod adversaries;
mod chain;
mod consensus;
mod engine;
mod results;
mod wasm;

use clap::Parser;

/// Measures what this project claims, and plays attacks on the pallet
#[derive(Parser)]
#[command(
    name = "poq-bench",
    version,
    after_help = "`make bench` and `make adversaries` call it with what it needs."
)]
enum Command {
    /// Measure the rules of consensus: natively, in Wasm, and beside Yuma
    Consensus(consensus::Args),
    /// Measure the engine beside other programs
    Engine(Box<engine::Args>),
    /// Measure the chain: load, latency, blocks, driver, state, storage, weights
    Chain(Box<chain::Args>),
    /// Make RESULTS.md and its plots of results.json
    Report(results::Args),
    /// Play attacks on the pallet, and report what they earn and what they break
    Adversaries(adversaries::Args),
    /// A runner that has every answer at once: it stands in for a model where everything but inference is measured
    #[command(hide = true)]
    SimulatedRunner,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Consensus(args) => consensus::run(&args),
        Command::Engine(args) => engine::run(&args),
        Command::Chain(args) => chain::run(&args),
        Command::Report(args) => results::run(&args),
        Command::Adversaries(args) => adversaries::run(&args),
        Command::SimulatedRunner => engine::simulated::run(),
    }
}
