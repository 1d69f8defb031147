//! `poq-bench engine`: the engine beside what a user would take instead, in the same run, with the same weights and threads.
//!
//! `scripts/bench.sh` brings the other programs and calls this. Each pair of programs takes turns (A B A B),
//! medians are compared, and everything goes into `benches/results.json`.

mod generation;
mod idle;
mod jobs;
mod mixed;
mod scoring;
mod shapes;
pub mod simulated;

use anyhow::Context as _;
use poq_benches::report::Report;
use std::path::PathBuf;

/// Options of `poq-bench engine`.
#[derive(clap::Args)]
pub struct Args {
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

    /// File for the results
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    out: PathBuf,
}

/// Measures, prints a table and writes the results.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::default();
    for (program, version) in args.versions.iter().filter_map(|version| version.split_once('=')) {
        report.version(program, version);
    }
    tokio::runtime::Runtime::new()?.block_on(measure(args, &mut report))?;
    report.print();
    report.write(&args.out)
}

async fn measure(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    idle::measure(args, report).await.context("idle engine")?;
    jobs::measure(report).await.context("job round trip")?;
    mixed::measure(report).await.context("mixed requests")?;
    scoring::one_pair(args, report).await.context("one pair")?;
    scoring::one_pair_bf16(args, report).await.context("one pair in bf16")?;
    scoring::many_pairs(args, report).await.context("256 pairs")?;
    shapes::measure(args, report).await.context("scoring by length")?;
    generation::measure(args, report).await.context("generation")
}
