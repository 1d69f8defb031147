//! The engine, measured: beside what a user would take instead, in the same run, with the same weights and threads.
//!
//! `scripts/bench-engine.sh` brings the other programs and calls this one. Each pair of programs takes turns (A B A B),
//! medians are compared, and everything goes into `benches/results.json`.

mod generation;
mod idle;
mod jobs;
mod scoring;
mod shapes;
mod simulated;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use poq_benches::report::Report;
use std::path::PathBuf;

/// Measures the engine beside other programs.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, print a table, and write the results
    Run(Box<Run>),
    /// A runner that has every answer at once: it stands in for a model where everything but inference is measured
    #[command(hide = true)]
    SimulatedRunner,
}

/// What the measurements need.
#[derive(clap::Args)]
pub struct Run {
    /// The real `poq-worker`
    #[arg(long, value_name = "FILE")]
    worker: PathBuf,

    /// Folder with minilm-cross-fp32 and minilm-cross-int8, as scripts/setup-minilm.sh makes it
    #[arg(long, value_name = "DIR")]
    minilm: PathBuf,

    /// The same cross-encoder for sentence-transformers, as benches/python/cross_encoder.py makes it
    #[arg(long, value_name = "DIR")]
    cross_encoder: PathBuf,

    /// Folder with pairs-256.jsonl and pair-512.jsonl, as benches/python/pairs.py makes them
    #[arg(long, value_name = "DIR")]
    pairs: PathBuf,

    /// Python with the packages of benches/python/requirements.txt
    #[arg(long, value_name = "FILE")]
    python: PathBuf,

    /// benches/python/score.py
    #[arg(long, value_name = "FILE")]
    score_py: PathBuf,

    /// llama.cpp's own llama-bench
    #[arg(long, value_name = "FILE")]
    llama_bench: PathBuf,

    /// The GGUF to generate with
    #[arg(long, value_name = "FILE")]
    gguf: PathBuf,

    /// The version of a program that takes part, for the results; may be repeated
    #[arg(long = "version-of", value_name = "PROGRAM=VERSION")]
    versions: Vec<String>,

    /// Threads of every program
    #[arg(long, default_value_t = 2)]
    threads: usize,

    /// Turns of each pair of programs
    #[arg(long, default_value_t = 5)]
    turns: usize,

    /// Where the results go
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::SimulatedRunner => simulated::run(),
        Command::Run(args) => {
            let runtime = tokio::runtime::Runtime::new()?;
            let mut report = Report::default();
            for (program, version) in args.versions.iter().filter_map(|version| version.split_once('=')) {
                report.version(program, version);
            }
            runtime.block_on(measure(&args, &mut report))?;
            report.print();
            report.write(&args.out)
        }
    }
}

async fn measure(args: &Run, report: &mut Report) -> anyhow::Result<()> {
    idle::measure(args, report).await.context("idle engine")?;
    jobs::measure(report).await.context("job round trip")?;
    scoring::one_pair(args, report).await.context("one pair")?;
    scoring::many_pairs(args, report).await.context("256 pairs")?;
    shapes::measure(args, report).await.context("scoring by length")?;
    generation::measure(args, report).await.context("generation")
}
