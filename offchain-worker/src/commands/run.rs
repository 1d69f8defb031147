//! `poq-worker run`.

use super::{print_line, say, Bench};
use anyhow::Context as _;
use poq_worker::{
    config::{ApiArgs, EngineArgs},
    logging,
    models::shelf::ModelKind,
    work::{Extras, Generation, Message, Role, Scoring},
};
use std::io::Write as _;
use tokio::sync::mpsc;

/// Options of `poq-worker run`.
#[derive(clap::Args)]
pub struct RunArgs {
    /// The model: its name, or the beginning of its id
    #[arg(short, long, value_name = "MODEL")]
    model: String,

    /// The question
    #[arg(short, long, value_name = "TEXT")]
    prompt: String,

    /// With an evaluator: an answer to score; may be given several times
    #[arg(short, long = "response", value_name = "TEXT")]
    responses: Vec<String>,

    /// With a generator: most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_tokens: u32,

    /// With a generator: sampling temperature; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,

    /// With a generator: draw only from the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,

    /// With a generator: seed of the sampler
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,

    /// With a generator: end before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,

    #[command(flatten)]
    engine: EngineArgs,
}

/// Does the one job; an answer is printed as it grows.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    logging::init(logging::COMMAND_FILTER);
    let bench = Bench::open(ApiArgs::default(), args.engine.clone())?;
    let entry = bench.shelf.named(&args.model).with_context(|| {
        format!("no model is called '{}'; `poq-worker models list` shows them", args.model)
    })?;
    let id = entry.id.clone().map_err(anyhow::Error::msg).with_context(|| entry.name.clone())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = match entry.kind {
        ModelKind::Generator => runtime.block_on(generate(&bench, id, args)),
        ModelKind::Evaluator if args.responses.is_empty() => {
            anyhow::bail!("{} scores answers; give it some with --response TEXT", entry.name)
        }
        ModelKind::Evaluator => runtime.block_on(score(&bench, id, args)),
    };
    bench.backends.pool().clear();
    runtime.shutdown_background();
    outcome
}

async fn generate(bench: &Bench, model: String, args: RunArgs) -> anyhow::Result<()> {
    let work = Generation {
        model,
        messages: vec![Message::new(Role::User, args.prompt)],
        max_tokens: args.max_tokens,
        max_bytes: u32::MAX,
        temperature: args.temperature,
        top_p: args.top_p,
        seed: args.seed,
        stop: args.stop,
        extras: Extras::default(),
    };
    let (pieces, mut shown) = mpsc::channel::<String>(1024);
    let printing = async {
        let mut out = std::io::stdout();
        while let Some(piece) = shown.recv().await {
            let _closed_pipe = out.write_all(piece.as_bytes()).and_then(|()| out.flush());
        }
    };
    let (outcome, ()) = tokio::join!(bench.backends.generate(&work, Some(pieces)), printing);
    print_line("")?;
    outcome.map(drop).map_err(say).map_err(anyhow::Error::msg)
}

async fn score(bench: &Bench, model: String, args: RunArgs) -> anyhow::Result<()> {
    let work = Scoring { model, question: args.prompt, answers: args.responses, alone: true };
    let scored = bench.backends.score(&work).await.map_err(say).map_err(anyhow::Error::msg)?;
    for (score, answer) in scored.scores.iter().zip(&work.answers) {
        print_line(format_args!("{:.4}  {answer}", f64::from(*score) / 1e6))?;
    }
    Ok(())
}
