//! `poq-worker`: the engine as a program of its own.

mod commands;

use clap::{Parser, Subcommand};
use poq_worker::{
    child::{self, ChildArgs},
    runner,
};
use std::{io::Write as _, process::ExitCode};

/// Runs language models and evaluators for Proof of Quality.
///
/// Bring models with `poq-worker models add`, look at the whole set-up with `poq-worker check`, and let `poq-worker
/// serve` answer the jobs of a node, and whoever speaks the OpenAI or a rerank API.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  poq-worker check --demo-models          install the bundled demo models and see that all models load
  poq-worker run -m poq-demo-strong -p 'What is the capital of France?'
  poq-worker serve                        answer jobs on 127.0.0.1:9955; the token is in the file that it names";

#[derive(Subcommand)]
enum Command {
    /// Answer jobs over HTTP until told to stop
    Serve(commands::serve::ServeArgs),
    /// Look at configuration and models, load every model, and say what works and what to do about the rest
    Check(commands::check::CheckArgs),
    /// Say whether the engine that listens there takes requests; for health checks
    Health(commands::health::HealthArgs),
    /// Do one job and print the result, without a server
    Run(commands::run::RunArgs),
    /// Bring models here, list them, check them, remove them
    Models(commands::models::ModelsArgs),
    /// Measure an evaluator on answers that people judged, and fit its scores to them
    Calibrate(commands::calibrate::CalibrateArgs),
    /// Score the answers in a file, as a chain's quality validators would
    Score(commands::score::ScoreArgs),
    /// Rank models by the scores of their answers, and compare the ranking with a leaderboard
    Rank(commands::rank::RankArgs),
    /// The engine as the child of a node
    #[command(hide = true)]
    EngineChild(ChildArgs),
    /// One model, as the child of an engine
    #[command(name = runner::SUBCOMMAND, hide = true)]
    ModelRunner,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => commands::serve::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Health(args) => commands::health::run(args),
        Command::Run(args) => commands::run::run(args),
        Command::Models(args) => commands::models::run(args),
        Command::Calibrate(args) => commands::calibrate::run(args),
        Command::Score(args) => commands::score::run(args),
        Command::Rank(args) => commands::rank::run(args),
        Command::EngineChild(args) => child::run_child(args).map_err(Into::into),
        Command::ModelRunner => runner::child::run().map_err(Into::into),
    };
    outcome.map_or_else(
        |error| {
            // Where nobody reads it, the exit code has to do.
            let _unread = writeln!(std::io::stderr(), "poq-worker: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
