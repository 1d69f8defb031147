//! `poq-worker check`.

use super::{print_line, say, Bench};
use comfy_table::{presets::NOTHING, Table};
use poq_worker::{
    config::{loopback, ApiArgs, EngineArgs, DEFAULT_PORT},
    logging,
    models::{
        needs::{estimate, Usage},
        shelf::Entry,
    },
    onnx,
    runner::protocol::Facts,
    token::Token,
};
use std::{io::Write as _, net::TcpListener, path::Path};

/// Options of `poq-worker check`.
#[derive(clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    engine: EngineArgs,
}

/// One line of what was found.
struct Finding {
    what: String,
    kind: &'static str,
    state: Result<String, String>,
}

/// Looks at everything and loads every model. Fails if something does not work.
pub fn run(args: CheckArgs) -> anyhow::Result<()> {
    logging::init(logging::COMMAND_FILTER);
    let bench = Bench::open(args.api, args.engine)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut findings = surroundings(&bench);
    findings.extend(runtime.block_on(servers(&bench)));
    let models = bench.shelf.list();
    for entry in &models {
        let state = runtime.block_on(try_model(&bench, entry));
        findings.push(Finding { what: entry.name.clone(), kind: entry.kind.as_str(), state });
    }
    bench.backends.pool().clear();
    runtime.shutdown_background();
    print(&findings)?;
    let broken = findings.iter().filter(|finding| finding.state.is_err()).count();
    if broken > 0 {
        anyhow::bail!(
            "{broken} of {} things do not work; the lines marked BROKEN say what to do",
            findings.len()
        );
    }
    if models.is_empty() && bench.configured.remotes.is_empty() {
        anyhow::bail!(
            "no models in {}; bring some with `poq-worker models add`, or add --demo-models",
            bench.configured.engine.models().display()
        );
    }
    Ok(())
}

fn print(findings: &[Finding]) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["WHAT", "KIND", "STATE"]);
    for Finding { what, kind, state } in findings {
        let state = match state {
            Ok(state) => format!("ok: {state}"),
            Err(error) => format!("BROKEN: {error}"),
        };
        table.add_row([what.as_str(), kind, &state]);
    }
    print_line(table.trim_fmt())
}

/// Requirements of the models.
fn surroundings(bench: &Bench) -> Vec<Finding> {
    let engine = &bench.configured.engine;
    let api = &bench.configured.api;
    let listen = api.listen.unwrap_or_else(|| loopback(DEFAULT_PORT));
    let mut findings = vec![
        Finding { what: engine.data().display().to_string(), kind: "data", state: writable(&engine.data()) },
        Finding {
            what: engine.models().display().to_string(),
            kind: "models",
            state: writable(&engine.models()),
        },
        Finding {
            what: listen.to_string(),
            kind: "port",
            state: match listen.ip().is_loopback() || api.allow_remote {
                true => TcpListener::bind(listen).map(|_| "free".to_owned()).map_err(|error| {
                    format!("{error}; another engine runs there, or choose another with --listen")
                }),
                false => {
                    Err("can be reached from other machines; add --allow-remote if that is meant".to_owned())
                }
            },
        },
        Finding {
            what: "ONNX Runtime".to_owned(),
            kind: "library",
            state: onnx::find_library()
                .map(|path| path.display().to_string())
                .map_err(|error| error.to_string()),
        },
        Finding { what: "memory".to_owned(), kind: "budget", state: memory(bench) },
    ];
    if let Some(file) = api.token_file.as_ref().filter(|file| file.exists()) {
        let state = Token::load(file).map(|_| "readable".to_owned()).map_err(|error| error.to_string());
        findings.push(Finding { what: file.display().to_string(), kind: "token", state });
    }
    for name in bench.configured.settings.generators.keys() {
        let known = bench.shelf.list().iter().any(|entry| entry.name == *name);
        let state = match known {
            true => bench.configured.settings.chat_template_of(name).map(|_| "read".to_owned()),
            false => Err("no generator in the models folder has this name".to_owned()),
        };
        findings.push(Finding { what: name.clone(), kind: "[generator]", state });
    }
    findings
}

fn writable(folder: &Path) -> Result<String, String> {
    // A new file of a name that nobody can have put there.
    let written = tempfile::tempfile_in(folder).and_then(|mut probe| probe.write_all(b"x"));
    written.map(|()| "can be written".to_owned()).map_err(|error| error.to_string())
}

fn memory(bench: &Bench) -> Result<String, String> {
    let budget = bench.configured.settings.memory;
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let usage = Usage::of(&bench.configured.settings);
    let models = bench.shelf.list();
    let sizes = models.iter().map(|entry| (estimate(entry, &usage), entry.name.as_str()));
    if let Some((bytes, name)) = sizes.max().filter(|(bytes, _)| *bytes > budget) {
        return Err(format!(
            "{name} takes at least {} MiB with its contexts and all may take {}; raise --memory-mib, lower --context or \
             --parallel, or remove it",
            bytes.div_ceil(1024 * 1024),
            mib(budget)
        ));
    }
    Ok(format!("all models together may take {} MiB", mib(budget)))
}

/// Asks every server elsewhere.
async fn servers(bench: &Bench) -> Vec<Finding> {
    let mut findings = Vec::new();
    for remote in bench.backends.remotes() {
        let state = remote.probe().await.map(|()| "answers".to_owned()).map_err(|error| error.to_string());
        findings.push(Finding { what: remote.config().name.clone(), kind: "[[remote]]", state });
    }
    findings
}

/// Loads the model; what to know of it, or why it does not load.
async fn try_model(bench: &Bench, entry: &Entry) -> Result<String, String> {
    let loaded = bench.backends.pool().load(entry).await;
    Ok(match loaded.map_err(say)? {
        Facts::Generator { parameters, context, chat_template, .. } => {
            let template = if chat_template { "chat template" } else { "plain prompts" };
            let millions = parameters as f64 / 1e6;
            format!("{millions:.1} M parameters, context of {context} tokens, {template}")
        }
        Facts::Evaluator { max_tokens, arithmetic } => {
            let cut = entry.manifest.as_ref().and_then(|manifest| manifest.cut.as_ref());
            let cut = cut.map(|cut| format!(" ({})", cut.in_words())).unwrap_or_default();
            format!("inputs of up to {max_tokens} tokens{cut}, {}", arithmetic.in_words())
        }
    })
}
