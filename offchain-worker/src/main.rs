//! `poq-worker`: the engine as a program of its own.

mod commands;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use commands::calibrate::{self, CalibrateArgs};
use poq_primitives::job::{GenerateJob, Job, JobResult, ScoreJob};
use poq_worker::{
    catalogue::{Catalogue, ModelInfo, ModelKind},
    child::{self, ChildArgs},
    config::{default_folder, loopback, EngineArgs, DEFAULT_PORT},
    demo,
    limits::{Limits, Unfinished},
    logging, server,
    token::Token,
    worker,
};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};
use tokio::signal::unix::{signal, SignalKind};

/// Runs language models and evaluators for Proof of Quality.
///
/// Put GGUF files (generators) and folders with model.onnx and tokenizer.json (evaluators) into the models
/// folder, look at them with `poq-worker check`, and let `poq-worker serve` answer the jobs of a node.
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
    Serve(ServeArgs),
    /// Load every model, say what works, and what to do about the rest
    Check(EngineArgs),
    /// Do one job and print the result, without a server
    Run(RunArgs),
    /// Measure an evaluator on answers that people judged, and fit its scores to them
    Calibrate(CalibrateArgs),
    /// The engine as the child of a node
    #[command(hide = true)]
    EngineChild(ChildArgs),
}

#[derive(clap::Args)]
struct ServeArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value_t = loopback(DEFAULT_PORT))]
    listen: SocketAddr,

    /// Allow an address that other machines can reach; traffic is not encrypted, so only in a private network
    #[arg(long)]
    allow_remote: bool,

    /// File with the bearer token that callers must show; made, with a random token, if it is not there.
    /// The environment variable POQ_ENGINE_TOKEN, if set, holds the token itself and wins
    #[arg(long, value_name = "FILE", default_value_os_t = default_folder("engine-token"))]
    token_file: PathBuf,

    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(clap::Args)]
struct RunArgs {
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

    /// With a generator: sampling temperature in thousandths; 0 always takes the likeliest token
    #[arg(long, value_name = "MILLI", default_value_t = 0)]
    temperature_milli: u32,

    /// With a generator: seed of the sampler
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,

    #[command(flatten)]
    engine: EngineArgs,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve(args),
        Command::Check(args) => check(&args),
        Command::Run(args) => run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::EngineChild(args) => child::run_child(args).map_err(Into::into),
    };
    outcome.map_or_else(
        |error| {
            eprintln!("poq-worker: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn serve(args: ServeArgs) -> anyhow::Result<()> {
    logging::init(logging::SERVER_FILTER);
    let token = match std::env::var("POQ_ENGINE_TOKEN") {
        Ok(token) => token.parse().context("POQ_ENGINE_TOKEN")?,
        Err(_) => {
            tracing::info!(file = %args.token_file.display(), "callers need the token in this file");
            Token::load_or_create(&args.token_file)?
        }
    };
    install_demo_models_if_asked(&args.engine)?;
    let config = args.engine.into_config(args.listen, args.allow_remote, token);
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let shutdown = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let (ready, _) = tokio::sync::oneshot::channel();
        anyhow::Ok(server::serve(config, shutdown, ready).await?)
    });
    // A job that does not stop must not keep the process.
    runtime.shutdown_background();
    outcome
}

fn check(args: &EngineArgs) -> anyhow::Result<()> {
    logging::init(logging::COMMAND_FILTER);
    let catalogue = open_catalogue(args)?;
    let models = catalogue.list();
    if models.is_empty() {
        anyhow::bail!(
            "no models in {}; put *.gguf files or folders with model.onnx and tokenizer.json there, \
             or add --demo-models",
            args.models.display()
        );
    }
    let width = models.iter().map(|model| model.name.chars().count()).max().unwrap_or_default();
    let mut broken: usize = 0;
    println!("{:width$}  {:9}  {:64}  STATE", "NAME", "KIND", "ID");
    for model in &models {
        let state = try_model(&catalogue, model);
        broken = broken.saturating_add(usize::from(state.is_err()));
        let kind = match model.kind {
            ModelKind::Generator => "generator",
            ModelKind::Evaluator => "evaluator",
        };
        let id = model.id.as_deref().unwrap_or("-");
        println!(
            "{:width$}  {kind:9}  {id:64}  {}",
            model.name,
            state.unwrap_or_else(|error| format!("BROKEN: {error}"))
        );
    }
    if broken > 0 {
        anyhow::bail!(
            "{broken} of {} models do not work; replace or remove them in {}",
            models.len(),
            args.models.display()
        );
    }
    Ok(())
}

/// Loads the model; what to know of it, or why it does not load.
fn try_model(catalogue: &Catalogue, model: &ModelInfo) -> Result<String, String> {
    let Some(id) = &model.id else { return Err(model.error.clone().unwrap_or_default()) };
    match model.kind {
        ModelKind::Generator => catalogue.generator(id).map(|generator| {
            let template = if generator.has_template() { "its chat template" } else { "plain prompts" };
            let millions = generator.parameters() as f64 / 1e6;
            format!("ok: {millions:.1} M parameters, context of {} tokens, {template}", generator.context())
        }),
        ModelKind::Evaluator => catalogue
            .evaluator(id)
            .map(|evaluator| format!("ok: pairs of up to {} tokens", evaluator.manifest().max_tokens)),
    }
    .map_err(say)
}

fn run(args: RunArgs) -> anyhow::Result<()> {
    logging::init(logging::COMMAND_FILTER);
    let catalogue = open_catalogue(&args.engine)?;
    let model = pick(&catalogue, &args.model)?;
    let id = model.id.clone().with_context(|| format!("{} cannot be read", model.name))?;
    let job = match model.kind {
        ModelKind::Generator => Job::Generate(GenerateJob {
            model: id,
            prompt: args.prompt,
            max_tokens: args.max_tokens,
            max_bytes: u32::MAX,
            temperature_milli: args.temperature_milli,
            seed: args.seed,
        }),
        ModelKind::Evaluator if args.responses.is_empty() => {
            anyhow::bail!("{} scores answers; give it some with --response TEXT", model.name)
        }
        ModelKind::Evaluator => {
            Job::Score(ScoreJob { model: id, prompt: args.prompt, responses: args.responses.clone() })
        }
    };
    match worker::run(&job, &catalogue, &Limits::none()).map_err(say).map_err(anyhow::Error::msg)? {
        JobResult::Generate { text, .. } => println!("{text}"),
        JobResult::Score { scores } => {
            for (score, response) in scores.iter().zip(&args.responses) {
                println!("{:.4}  {response}", f64::from(*score) / 1e6);
            }
        }
    }
    Ok(())
}

fn pick(catalogue: &Catalogue, wanted: &str) -> anyhow::Result<ModelInfo> {
    let models = catalogue.list();
    let named = |model: &&ModelInfo| model.name == wanted;
    let begins = |model: &&ModelInfo| model.id.as_deref().is_some_and(|id| id.starts_with(wanted));
    let found = models.iter().find(named).or_else(|| models.iter().find(begins)).cloned();
    found.with_context(|| format!("no model is called '{wanted}'; `poq-worker check` lists them"))
}

fn open_catalogue(args: &EngineArgs) -> anyhow::Result<Catalogue> {
    install_demo_models_if_asked(args)?;
    for folder in [&args.models, &args.data] {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let catalogue = Catalogue::new(args.models.clone(), &args.data, args.settings());
    catalogue.scan();
    Ok(catalogue)
}

fn install_demo_models_if_asked(args: &EngineArgs) -> anyhow::Result<()> {
    if args.demo_models {
        demo::install_demo_models(&args.models)
            .with_context(|| format!("demo models in {}", args.models.display()))?;
    }
    Ok(())
}

fn say(unfinished: Unfinished) -> String {
    match unfinished {
        Unfinished::Failed(error) => error.message,
        Unfinished::Cancelled => "cancelled".to_owned(),
    }
}
