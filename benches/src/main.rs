//! `poq-bench`: measurements, and attacks on the pallet.

mod adversaries;
mod chain;
mod consensus;
mod engine;
mod express;
mod gateway;
mod history;
mod page;
mod results;
mod wasm;

use clap::Parser;

/// Measure the engine, the chain, the gateway, the history, the page and the rules of consensus, and play attacks on the pallet
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
    /// Measure the express lane: what its checks cost, and the delay of agreement in the simulator
    Express(express::Args),
    /// Measure the gateway beside `poq ask`, and with many requests at once
    Gateway(gateway::Args),
    /// Measure the history: writing, and its API at a million requests
    History(history::Args),
    /// Measure the page in Chromium with Lighthouse
    Page(page::Args),
    /// Make RESULTS.md and its plots of results.json
    Report(results::Args),
    /// Play attacks on the pallet, and report their income and the errors they cause
    Adversaries(adversaries::Args),
    /// A runner that answers at once, for measurements of everything but inference
    #[command(hide = true)]
    SimulatedRunner,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Consensus(args) => consensus::run(&args),
        Command::Engine(args) => engine::run(&args),
        Command::Chain(args) => chain::run(&args),
        Command::Express(args) => express::run(&args),
        Command::Gateway(args) => gateway::run(&args),
        Command::History(args) => history::run(&args),
        Command::Page(args) => page::run(&args),
        Command::Report(args) => results::run(&args),
        Command::Adversaries(args) => adversaries::run(&args),
        Command::SimulatedRunner => engine::simulated::run(),
    }
}
