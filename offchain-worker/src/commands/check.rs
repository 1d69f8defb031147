//! `poq-worker check`.

use super::{say, Bench};
use comfy_table::{presets::NOTHING, Table};
use poq_worker::{
    config::EngineArgs,
    logging,
    models::shelf::{Entry, ModelKind},
    runner::protocol::Facts,
};

/// Looks at everything and loads every model. Fails if something does not work.
pub fn run(args: EngineArgs) -> anyhow::Result<()> {
    logging::init(logging::COMMAND_FILTER);
    let bench = Bench::open(args)?;
    let folder = bench.configured.engine.models();
    let models = bench.shelf.list();
    if models.is_empty() {
        anyhow::bail!(
            "no models in {}; bring some with `poq-worker models add`, or add --demo-models",
            folder.display()
        );
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let mut broken: usize = 0;
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["NAME", "KIND", "ID", "STATE"]);
    for entry in &models {
        let state = runtime.block_on(try_model(&bench, entry));
        broken = broken.saturating_add(usize::from(state.is_err()));
        let kind = match entry.kind {
            ModelKind::Generator => "generator",
            ModelKind::Evaluator => "evaluator",
        };
        let id = entry.id.as_deref().unwrap_or("-");
        let state = state.unwrap_or_else(|error| format!("BROKEN: {error}"));
        table.add_row([entry.name.as_str(), kind, id, &state]);
    }
    println!("{}", table.trim_fmt());
    bench.backends.pool().clear();
    runtime.shutdown_background();
    if broken > 0 {
        anyhow::bail!("{broken} of {} models do not work; replace or remove them in {}", models.len(), folder.display());
    }
    Ok(())
}

/// Loads the model; what to know of it, or why it does not load.
async fn try_model(bench: &Bench, entry: &Entry) -> Result<String, String> {
    Ok(match bench.backends.pool().load(entry).await.map_err(say)? {
        Facts::Generator { parameters, context, chat_template } => {
            let template = if chat_template { "chat template" } else { "plain prompts" };
            let millions = parameters as f64 / 1e6;
            format!("ok: {millions:.1} M parameters, context of {context} tokens, {template}")
        }
        Facts::Evaluator { max_tokens } => format!("ok: pairs of up to {max_tokens} tokens"),
    })
}
