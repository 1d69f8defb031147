//! `poq-worker models`: put models into the store, look at them, check them, take them out.

use super::print_line;
use anyhow::{bail, Context as _};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{presets, CellAlignment, Table};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use poq_worker::{
    aborts::Aborts,
    config::{ConfigFile, EngineArgs},
    logging,
    models::{
        add::{self, kind_in_words, Added, Options},
        manifest::{is_sha256, EvaluatorKind},
        shelf::{Entry, Shelf, CACHE},
        source::Source,
    },
};
use serde_json::json;
use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    sync::Arc,
};

/// Digits of an id that a table shows.
const SHORT_ID: usize = 12;

/// Arguments of `poq-worker models`.
#[derive(Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put models into the store: from this machine, from the hub, or from a web server
    #[command(after_help = ADD_EXAMPLES)]
    Add(AddArgs),
    /// Show the models in the store
    #[command(after_help = "Examples:\n  poq-worker models list --full\n  poq-worker models list --json")]
    List(ListArgs),
    /// Take a model out of the store
    #[command(after_help = "Examples:\n  poq-worker models remove poq-demo-weak\n  \
        poq-worker models remove 07456294c0b9 --yes")]
    Remove(RemoveArgs),
    /// Read every model from disk and say which are damaged
    #[command(
        after_help = "Examples:\n  poq-worker models check\n  poq-worker models check poq-demo-strong"
    )]
    Check(CheckArgs),
    /// Try a model again at once that was set aside for a while because its process died too often
    Retry(RetryArgs),
}

const ADD_EXAMPLES: &str = "\
Sources:
  FILE.gguf                           a generator on this machine
  FILE.onnx                           an evaluator's network; tokenizer.json lies beside it or one folder above
  FOLDER                              an evaluator's folder, with or without poq.json
  hf:OWNER/REPO[@REVISION]/FILE.gguf  a generator on the model hub; also FILE.onnx, and poq.json
  https://HOST/FILE.gguf              a generator on a web server

A model in several files (NAME-00001-of-00003.gguf) is added as one; name any of them. A download that breaks off
goes on where it was when the same command is given again. HF_TOKEN (or `hf auth login`) opens private and gated
repositories and is sent to the hub only, never where it redirects to; HF_ENDPOINT names another hub, HF_HOME another
cache. Unencrypted http:// needs --allow-http, except on this machine, or from a web server with --sha256.

Examples:
  poq-worker models add ~/Downloads/tiny.Q4_K_M.gguf
  poq-worker models add --link /mnt/models/big-00001-of-00003.gguf
  poq-worker models add hf:owner/repo-GGUF/model.Q4_K_M.gguf --sha256 0x…
  poq-worker models add hf:owner/cross-encoder/onnx/model.onnx --name judge
  poq-worker models add https://example.org/model.gguf --name answerer";

/// Place of the store.
#[derive(Args)]
struct StoreArgs {
    /// Folder with the models [default: ~/.local/share/proof-of-quality/models]
    #[arg(long, value_name = "DIR", env = "POQ_MODELS")]
    models: Option<PathBuf>,

    /// Folder for the engine's own files; here, of the cache of digests [default: ~/.local/share/proof-of-quality/engine]
    #[arg(long, value_name = "DIR", env = "POQ_ENGINE_DATA")]
    data: Option<PathBuf>,

    /// The engine's configuration file, which may name these folders
    #[arg(long, value_name = "FILE", env = "POQ_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct AddArgs {
    /// Sources of the models; see below
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<Source>,

    /// Name in the store [default: that of the file, folder or repository]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The id that the model has to have, as the chain's registry says it; anything else is not added
    #[arg(long, value_name = "HEX", value_parser = parse_sha256)]
    sha256: Option<String>,

    /// Shape of an evaluator's network [default: what its config.json or modules.json says]
    #[arg(long, value_enum)]
    kind: Option<KindArg>,

    /// Most tokens of one input of an evaluator [default: what its files say, else 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    max_tokens: Option<u32>,

    /// Label of a cross-encoder whose probability is the score [default: entailment, if it has that]
    #[arg(long, value_name = "LABEL")]
    score_label: Option<String>,

    /// Link to the files where they lie instead of copying them
    #[arg(long)]
    link: bool,

    /// Use unencrypted HTTP with other machines, too: for a hub (HF_ENDPOINT), and for a web server without --sha256.
    /// Whoever is in between can then read HF_TOKEN and change what comes
    #[arg(long, env = "POQ_ALLOW_HTTP")]
    allow_http: bool,

    #[command(flatten)]
    store: StoreArgs,
}

/// Shape of an evaluator's network.
#[derive(Clone, Copy, ValueEnum)]
enum KindArg {
    /// Question and answer go in together, a score comes out
    CrossEncoder,
    /// A text goes in, a vector comes out
    BiEncoder,
}

impl From<KindArg> for EvaluatorKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::CrossEncoder => Self::CrossEncoder,
            KindArg::BiEncoder => Self::BiEncoder,
        }
    }
}

#[derive(Args)]
struct ListArgs {
    /// Show ids in full
    #[arg(long)]
    full: bool,

    /// For scripts: a JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
struct RemoveArgs {
    /// The model: its name, or the beginning of its id (at least 6 digits)
    #[arg(value_name = "MODEL")]
    model: String,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
struct CheckArgs {
    /// The models: their names, or the beginnings of their ids [default: all]
    #[arg(value_name = "MODEL")]
    wanted: Vec<String>,

    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
struct RetryArgs {
    /// The model: its name, or the beginning of its id (at least 6 digits)
    #[arg(value_name = "MODEL")]
    model: String,

    #[command(flatten)]
    store: StoreArgs,
}

/// Does what `args` say.
pub fn run(args: ModelsArgs) -> anyhow::Result<()> {
    logging::init(logging::COMMAND_FILTER);
    match args.command {
        Command::Add(args) => add(&args),
        Command::List(args) => list(&args),
        Command::Remove(args) => remove(&args),
        Command::Check(args) => check(&args),
        Command::Retry(args) => retry(&args),
    }
}

/// A SHA-256 as the chain's tools print it, with or without 0x.
fn parse_sha256(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase();
    is_sha256(&digits).then_some(digits).ok_or_else(|| "a SHA-256 is 64 hex digits".to_owned())
}

/// The folders that are meant.
struct Folders {
    models: PathBuf,
    data: PathBuf,
}

impl StoreArgs {
    fn folders(&self) -> anyhow::Result<Folders> {
        let flags =
            EngineArgs { models: self.models.clone(), data: self.data.clone(), ..EngineArgs::default() };
        let engine = flags.or(ConfigFile::load(self.config.as_deref())?.engine);
        Ok(Folders { models: engine.models(), data: engine.data() })
    }

    fn open(&self) -> anyhow::Result<Shelf> {
        let Folders { models, data } = self.folders()?;
        for folder in [&models, &data] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(Shelf::new(models, data.join(CACHE)))
    }
}

fn add(args: &AddArgs) -> anyhow::Result<()> {
    if args.sources.len() > 1 && (args.name.is_some() || args.sha256.is_some()) {
        bail!("--name and --sha256 are of one model; add the {} sources one by one", args.sources.len());
    }
    let shelf = args.store.open()?;
    let options = Options {
        name: args.name.clone(),
        sha256: args.sha256.clone(),
        kind: args.kind.map(Into::into),
        max_tokens: args.max_tokens.and_then(|tokens| usize::try_from(tokens).ok()),
        score_label: args.score_label.clone(),
        link: args.link,
        allow_http: args.allow_http,
    };
    let mut failed: usize = 0;
    let mut faults = Vec::new();
    for source in &args.sources {
        match add::add(&shelf, source, &options) {
            Ok(added) => {
                show(&added)?;
                if let Some(fault) = &added.entry.template_fault {
                    faults.push(format!("{}: {fault}", added.entry.name));
                }
            }
            Err(error) if args.sources.len() == 1 => bail!(error),
            Err(error) => {
                let _unread = writeln!(io::stderr(), "{source}: {error}");
                failed = failed.saturating_add(1);
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} models were not added", args.sources.len());
    }
    if !faults.is_empty() {
        bail!("added, but not usable as it is: {}", faults.join("; "));
    }
    Ok(())
}

fn show(Added { entry, already }: &Added) -> anyhow::Result<()> {
    let state = if *already { "was in the store already" } else { "added" };
    let mut table = plain_table();
    table.add_row(["name", &entry.name]);
    table.add_row(["kind", kind_in_words(entry)]);
    table.add_row(["id", entry.id.as_deref().unwrap_or("-")]);
    table.add_row(["size", &HumanBytes(entry.bytes).to_string()]);
    table.add_row(["path", &entry.path.display().to_string()]);
    table.add_row(["state", state]);
    if let Some(manifest) = &entry.manifest {
        table.add_row(["tokens", &format!("at most {}", manifest.max_tokens)]);
        if let Some(cut) = &manifest.cut {
            table.add_row(["cut", &cut.in_words()]);
        }
    }
    print_line(trimmed(&table))
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let shelf = args.store.open()?;
    shelf.scan();
    let entries = shelf.list();
    if args.json {
        let all = entries.iter().map(|entry| as_json(entry)).collect::<Vec<_>>();
        return print_line(serde_json::to_string_pretty(&all)?);
    }
    if entries.is_empty() {
        return print_line(format_args!(
            "no models in {}; `poq-worker models add --help` says where to get them",
            shelf.folder().display()
        ));
    }
    let aborts = Aborts::open(&args.store.folders()?.data);
    let mut table = plain_table();
    table.set_header(["NAME", "KIND", "ID", "SIZE", "STATE"]);
    for entry in &entries {
        let id = entry.id.as_deref().unwrap_or("-");
        let id = if args.full { id } else { id.get(..SHORT_ID).unwrap_or(id) };
        let state = match &entry.id {
            Err(error) => format!("BROKEN: {error}"),
            Ok(id) => aborts
                .set_aside(id)
                .map_or_else(|| "ok".to_owned(), |aside| format!("SET ASIDE: {}", aside.in_words())),
        };
        let size = HumanBytes(entry.bytes).to_string();
        table.add_row([entry.name.as_str(), kind_in_words(entry), id, &size, &state]);
    }
    if let Some(column) = table.column_mut(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    print_line(trimmed(&table))
}

fn as_json(entry: &Entry) -> serde_json::Value {
    json!({
        "name": entry.name,
        "kind": entry.kind,
        "id": entry.id.as_ref().ok(),
        "error": entry.id.as_ref().err(),
        "bytes": entry.bytes,
        "path": entry.path.to_string_lossy(),
        "manifest": entry.manifest,
    })
}

fn remove(args: &RemoveArgs) -> anyhow::Result<()> {
    let shelf = args.store.open()?;
    shelf.scan();
    let entry = pick(&shelf, &args.model)?;
    if !args.yes && !confirmed(&entry)? {
        return print_line("nothing was removed");
    }
    shelf.remove(&entry).map_err(anyhow::Error::msg)?;
    print_line(format_args!("removed {}", entry.name))
}

fn retry(args: &RetryArgs) -> anyhow::Result<()> {
    let shelf = args.store.open()?;
    shelf.scan();
    let entry = pick(&shelf, &args.model)?;
    let id = entry.id.as_deref().map_err(|error| anyhow::anyhow!("{}: {error}", entry.name))?;
    match Aborts::open(&args.store.folders()?.data).forgive(id)? {
        true => print_line(format_args!("{} is tried again when work next wants it", entry.name)),
        false => print_line(format_args!("{} was not set aside", entry.name)),
    }
}

fn pick(shelf: &Shelf, wanted: &str) -> anyhow::Result<Arc<Entry>> {
    shelf.named(wanted).with_context(|| {
        format!(
            "no model, or more than one, is called '{wanted}'; `poq-worker models list` shows names and ids"
        )
    })
}

/// Asks whoever sits at the terminal.
fn confirmed(entry: &Entry) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask on; add --yes to remove {}", entry.name);
    }
    write!(
        io::stderr(),
        "Remove {} ({}, {})? [y/N] ",
        entry.path.display(),
        kind_in_words(entry),
        HumanBytes(entry.bytes)
    )?;
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let shelf = args.store.open()?;
    let chosen = names_of(&shelf, &args.wanted)?;
    let bar = ProgressBar::new(0);
    let form = ProgressStyle::with_template("{wide_bar} {binary_bytes}/{binary_total_bytes} {eta}")?;
    bar.set_style(form);
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    let checked = shelf.check(&is_chosen, &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let checked = checked.with_context(|| shelf.folder().display().to_string())?;
    if checked.is_empty() {
        return print_line(format_args!("no models in {}", shelf.folder().display()));
    }
    let mut table = plain_table();
    table.set_header(["NAME", "KIND", "STATE"]);
    for model in &checked {
        let state =
            model.outcome.as_ref().map_or_else(|error| format!("DAMAGED: {error}"), |_| "ok".to_owned());
        table.add_row([model.name.as_str(), model.kind.as_str(), &state]);
    }
    print_line(trimmed(&table))?;
    let damaged = checked.iter().filter(|model| model.outcome.is_err()).count();
    if damaged > 0 {
        bail!("{damaged} of {} models are damaged; remove them and add them again", checked.len());
    }
    Ok(())
}

/// The names of the models that are `wanted` by name or id.
fn names_of(shelf: &Shelf, wanted: &[String]) -> anyhow::Result<Vec<String>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    shelf.scan();
    let entries = shelf.list();
    let name = |wanted: &String| {
        let called = entries.iter().any(|entry| entry.name == *wanted);
        if called {
            Ok(wanted.clone())
        } else {
            Ok(pick(shelf, wanted)?.name.clone())
        }
    };
    wanted.iter().map(name).collect()
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// A table without the blanks at the ends of its lines.
fn trimmed(table: &Table) -> String {
    let text = table.to_string();
    text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect::<Vec<_>>().join("\n")
}
