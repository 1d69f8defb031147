//! An evaluator that a command scores many answers with.

use super::say;
use anyhow::{bail, Context as _};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use poq_worker::{
    config::{ConfigFile, EngineArgs},
    evaluator::{Evaluator, EvaluatorOptions},
    limits::Limits,
    models::{
        manifest::{Manifest, MANIFEST},
        shelf::{ModelKind, Shelf, CACHE},
    },
    work::Scoring,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

/// Answers of one call of the evaluator, and so of one step of the progress bar.
const ANSWERS_AT_ONCE: usize = 32;

/// Options by which a command finds its evaluator.
#[derive(Args)]
pub struct JudgeArgs {
    /// The evaluator: its name, the beginning of its id, or its folder
    #[arg(short, long, value_name = "NAME|ID|FOLDER")]
    evaluator: String,

    /// Threads of one run of the network [default: those of the processor]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Folder with the models [default: ~/.local/share/proof-of-quality/models]
    #[arg(long, value_name = "DIR", env = "POQ_MODELS")]
    models: Option<PathBuf>,

    /// The engine's configuration file, which may name that folder
    #[arg(long, value_name = "FILE", env = "POQ_CONFIG")]
    config: Option<PathBuf>,
}

/// A loaded evaluator, whose files are those that its manifest names.
pub struct Judge {
    folder: PathBuf,
    evaluator: Evaluator,
}

impl JudgeArgs {
    /// Loads the evaluator. Its network runs in the reference's arithmetic.
    pub fn open(&self) -> anyhow::Result<Judge> {
        let flags = EngineArgs { models: self.models.clone(), ..EngineArgs::default() };
        let folder = find(&self.evaluator, &flags.or(ConfigFile::load(self.config.as_deref())?.engine))?;
        let mut options = EvaluatorOptions::default();
        options.threads = self.threads.map_or(options.threads, NonZeroUsize::get);
        options.causal_threads = options.threads;
        let named = || folder.display().to_string();
        let evaluator = Evaluator::load(&folder, &options).map_err(anyhow::Error::msg).with_context(named)?;
        check_files(&folder, evaluator.manifest()).with_context(named)?;
        Ok(Judge { folder, evaluator })
    }
}

impl Judge {
    /// The evaluator's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Name of the evaluator: that of its folder.
    pub fn name(&self) -> String {
        // A folder like '.' has no name before it is looked up.
        let whole = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        whole.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        self.evaluator.manifest()
    }

    /// Its id: SHA-256 of its manifest, in hex.
    pub fn id(&self) -> anyhow::Result<String> {
        let json = fs::read(self.folder.join(MANIFEST)).with_context(|| self.folder.display().to_string())?;
        Ok(hex::encode(Sha256::digest(json)))
    }

    /// The evaluator's number for each pair of question and answer, as it would score them for a chain: each pair alone.
    pub fn numbers(&self, pairs: &[(&str, &str)]) -> anyhow::Result<Vec<f64>> {
        let mut of_question: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
        for (place, (question, answer)) in pairs.iter().enumerate() {
            of_question.entry(*question).or_default().push((place, *answer));
        }
        // It is shown on a terminal only.
        let progress = ProgressBar::new(pairs.len() as u64)
            .with_style(ProgressStyle::with_template("scoring {wide_bar} {pos}/{len}, {eta} left")?);
        let mut numbers = vec![(0, 0.0); 0];
        for (question, answers) in of_question {
            for answers in answers.chunks(ANSWERS_AT_ONCE) {
                let work = Scoring {
                    model: String::new(),
                    question: question.to_owned(),
                    answers: answers.iter().map(|(_, answer)| (*answer).to_owned()).collect(),
                    alone: true,
                };
                let scored = self
                    .evaluator
                    .score(&work, &Limits::none())
                    .map_err(|unfinished| anyhow::Error::msg(say(unfinished)))?;
                numbers.extend(answers.iter().map(|(place, _)| *place).zip(scored.raw));
                progress.inc(answers.len() as u64);
            }
        }
        progress.finish_and_clear();
        numbers.sort_unstable_by_key(|(place, _)| *place);
        Ok(numbers.into_iter().map(|(_, number)| number).collect())
    }
}

/// The folder of the evaluator that `wanted` names.
fn find(wanted: &str, engine: &EngineArgs) -> anyhow::Result<PathBuf> {
    let folder = Path::new(wanted);
    if folder.join(MANIFEST).is_file() {
        return Ok(folder.to_owned());
    }
    let shelf = Shelf::new(engine.models(), engine.data().join(CACHE));
    shelf.scan();
    match shelf.named(wanted) {
        Some(entry) if entry.kind == ModelKind::Evaluator => Ok(entry.path.clone()),
        Some(entry) => bail!("{} is a generator; name an evaluator", entry.name),
        None => bail!(
            "no evaluator, or more than one, is called '{wanted}' in {}, and no folder of that name has a {MANIFEST}; \
             `poq-worker models list` shows names and ids",
            shelf.folder().display()
        ),
    }
}

/// Whether the files are those that the manifest names: what is measured has to be what the id stands for.
fn check_files(folder: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    for (name, hash) in &manifest.files {
        let mut hasher = Sha256::new();
        let read = fs::File::open(folder.join(name)).and_then(|mut file| io::copy(&mut file, &mut hasher));
        read.with_context(|| name.clone())?;
        if hex::encode(hasher.finalize()) != *hash {
            bail!("{name} is not the file that {MANIFEST} names; get the evaluator anew");
        }
    }
    Ok(())
}
