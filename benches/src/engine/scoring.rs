//! Scoring, beside sentence-transformers and ONNX Runtime called from Python, on the same weights.

use crate::engine::Args;
use anyhow::{bail, Context as _};
use poq_benches::{
    report::{Figure, Report},
    samples::median,
};
use poq_worker::{
    aborts::Aborts,
    config::Settings,
    evaluator::{
        batches,
        precision::{Arithmetic, Precision},
    },
    metrics::Metrics,
    models::shelf::{Entry, Shelf, CACHE},
    pool::Pool,
    runner::{protocol::Facts, Program},
    work::Scoring,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use tokio::process::Command;

/// A line of a file of pairs.
#[derive(Deserialize)]
pub struct Pair {
    question: String,
    answer: String,
    tokens: usize,
}

/// A line that `score.py` prints for each file of pairs.
#[derive(Deserialize)]
struct Timed {
    median_s: f64,
    versions: BTreeMap<String, String>,
}

/// Number of repetitions.
#[derive(Clone, Copy)]
pub enum Time {
    /// A fixed number of runs.
    Runs(usize),
    /// As many runs as begin within so many seconds.
    Seconds(f64),
}

impl Time {
    fn is_over(self, times: &[f64]) -> bool {
        match self {
            Self::Runs(runs) => times.len() >= runs,
            Self::Seconds(seconds) => !times.is_empty() && times.iter().sum::<f64>() >= seconds,
        }
    }

    /// Arguments of `score.py`.
    fn arguments(self) -> [String; 2] {
        match self {
            Self::Runs(runs) => ["--runs".into(), runs.to_string()],
            Self::Seconds(seconds) => ["--seconds".into(), seconds.to_string()],
        }
    }
}

/// The latency of one pair of 512 tokens.
pub async fn one_pair(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let file = args.pairs.join("pair-512.jsonl");
    let work = scoring_of(&read(&file)?, true);
    for (weights, most) in [("fp32", 45.0), ("int8", 25.0)] {
        let name = format!("minilm-cross-{weights}");
        let (engine, _) = Engine::evaluator(args, &name, Precision::Fp32).await?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..args.turns {
            ours.push(engine.time(&work, Time::Runs(10)).await?);
            theirs.extend(onnx_runtime(args, &name, &[&file], Batches::Of(1), Time::Runs(10), report).await?);
        }
        let ratio = median(&theirs) / median(&ours);
        let ours: Vec<f64> = ours.iter().map(|seconds| seconds * 1e3).collect();
        let figure = Figure::of(format!("engine/one pair of 512 tokens, MiniLM-L6 {weights}"), &ours, "ms");
        report.add(figure.against("onnxruntime from Python", ratio).at_most(most));
    }
    Ok(())
}

/// The same in bf16 beside 32-bit floats, where this machine can.
pub async fn one_pair_bf16(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let work = scoring_of(&read(&args.pairs.join("pair-512.jsonl"))?, true);
    let name = "minilm-cross-fp32";
    let (bf16, arithmetic) = Engine::evaluator(args, name, Precision::Auto).await?;
    if !matches!(arithmetic, Arithmetic::Bf16(_)) {
        println!("bf16 is left out: {}", arithmetic.in_words());
        return Ok(());
    }
    let (fp32, _) = Engine::evaluator(args, name, Precision::Fp32).await?;
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..args.turns {
        ours.push(bf16.time(&work, Time::Runs(10)).await?);
        reference.push(fp32.time(&work, Time::Runs(10)).await?);
    }
    let ratio = median(&reference) / median(&ours);
    let ours: Vec<f64> = ours.iter().map(|seconds| seconds * 1e3).collect();
    let figure = Figure::of("engine/one pair of 512 tokens, MiniLM-L6 bf16", &ours, "ms");
    report.add(figure.against("the engine in fp32", ratio).ratio_at_least(1.54));
    Ok(())
}

/// The throughput of 256 pairs of mixed length.
pub async fn many_pairs(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let file = args.pairs.join("pairs-256.jsonl");
    let pairs = read(&file)?;
    let (work, name) = (scoring_of(&pairs, false), "minilm-cross-fp32");
    let (engine, _) = Engine::evaluator(args, name, Precision::Fp32).await?;
    let folder = tempfile::tempdir()?;
    let same = folder.path().join("batches.jsonl");
    let lengths: Vec<usize> = pairs.iter().map(|pair| pair.tokens).collect();
    let lines: Result<Vec<String>, _> =
        batches(&lengths, Settings::default().batch_tokens).iter().map(serde_json::to_string).collect();
    fs::write(&same, lines?.join("\n"))?;

    let (mut ours, mut onnx, mut transformers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.turns.min(3) {
        ours.push(engine.time(&work, Time::Runs(1)).await?);
        onnx.extend(onnx_runtime(args, name, &[&file], Batches::In(&same), Time::Runs(1), report).await?);
        transformers.extend(sentence_transformers(args, &[&file], Time::Runs(1), report).await?);
    }
    let rates: Vec<f64> = ours.iter().map(|seconds| pairs.len() as f64 / seconds).collect();
    let (onnx, transformers) = (median(&onnx) / median(&ours), median(&transformers) / median(&ours));
    let figure = |other: &str, ratio: f64, least: f64| {
        let name = format!("engine/256 pairs of mixed length, fp32, against {other}");
        Figure::of(name, &rates, "pairs/s").against(other, ratio).ratio_at_least(least)
    };
    report.add(figure("sentence-transformers CrossEncoder", transformers, 2.0));
    report.add(figure("onnxruntime from Python, same batches", onnx, 0.95));
    Ok(())
}

/// A model in its own process, as the engine runs it.
pub struct Engine {
    /// The pool with this model alone.
    pub pool: Arc<Pool>,
    /// The model's id.
    pub model: String,
    entry: Arc<Entry>,
    _data: tempfile::TempDir,
}

impl Engine {
    /// The model `name` of the folder `models`.
    pub fn open(args: &Args, models: &Path, name: &str, settings: Settings) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let shelf = Arc::new(Shelf::new(models.to_owned(), data.path().join(CACHE)));
        shelf.scan();
        let entry = shelf.named(name).with_context(|| format!("no {name} in {}", models.display()))?;
        let model = entry.id.clone().map_err(anyhow::Error::msg)?;
        let program = Program { path: args.worker.clone(), arguments: vec!["model-runner".into()] };
        let pool = Pool::new(shelf, settings, program, Aborts::open(data.path()), Metrics::new()?);
        Ok(Self { pool, model, entry, _data: data })
    }

    /// The evaluator `name` of the folder `--minilm`, loaded, with the arithmetic that it has chosen.
    pub async fn evaluator(
        args: &Args,
        name: &str,
        score_precision: Precision,
    ) -> anyhow::Result<(Self, Arithmetic)> {
        let settings = Settings { score_threads: args.threads, score_precision, ..Settings::default() };
        let engine = Self::open(args, &args.minilm, name, settings)?;
        let loaded = engine.pool.load(&engine.entry).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let Facts::Evaluator { arithmetic, .. } = loaded else { bail!("{name} is no evaluator") };
        Ok((engine, arithmetic))
    }

    /// Median seconds of a run, after one to warm up.
    pub async fn time(&self, work: &Scoring, time: Time) -> anyhow::Result<f64> {
        let work = Scoring { model: self.model.clone(), ..work.clone() };
        self.run(&work).await?;
        let mut times = Vec::new();
        while !time.is_over(&times) {
            times.push(self.run(&work).await?);
        }
        Ok(median(&times))
    }

    async fn run(&self, work: &Scoring) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let scored = self.pool.score(work).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        anyhow::ensure!(scored.scores.len() == work.answers.len(), "scores are missing");
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// The pairs of a file of benches/python/pairs.py.
pub fn read(file: &Path) -> anyhow::Result<Vec<Pair>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Work that scores these pairs; `alone`: one at a time.
pub fn scoring_of(pairs: &[Pair], alone: bool) -> Scoring {
    Scoring {
        model: String::new(),
        question: pairs.first().map(|pair| pair.question.clone()).unwrap_or_default(),
        answers: pairs.iter().map(|pair| pair.answer.clone()).collect(),
        alone,
    }
}

/// Batches for ONNX Runtime.
pub enum Batches<'a> {
    /// A fixed number of pairs of similar length.
    Of(usize),
    /// The batches in a file.
    In(&'a Path),
}

/// Median seconds of each file of pairs.
pub async fn onnx_runtime(
    args: &Args,
    model: &str,
    pairs: &[&PathBuf],
    batches: Batches<'_>,
    time: Time,
    report: &mut Report,
) -> anyhow::Result<Vec<f64>> {
    let mut command = python(args, "onnxruntime");
    command.arg(args.minilm.join(model)).args(pairs).args(["--spinning", "off"]).args(time.arguments());
    match batches {
        Batches::In(file) => command.arg("--batches").arg(file),
        Batches::Of(size) => command.arg("--batch-size").arg(size.to_string()),
    };
    timed(command, pairs.len(), report).await
}

/// The same of sentence-transformers, in its usual batches of 32.
pub async fn sentence_transformers(
    args: &Args,
    pairs: &[&PathBuf],
    time: Time,
    report: &mut Report,
) -> anyhow::Result<Vec<f64>> {
    let mut command = python(args, "sentence-transformers");
    command.arg(&args.cross_encoder).args(pairs).args(time.arguments());
    timed(command, pairs.len(), report).await
}

fn python(args: &Args, program: &str) -> Command {
    let mut command = Command::new(&args.python);
    command.arg(&args.score_py).arg(program).arg("--threads").arg(args.threads.to_string());
    command
}

/// Median seconds that the program prints for each of `files`; its versions go into the report.
async fn timed(mut command: Command, files: usize, report: &mut Report) -> anyhow::Result<Vec<f64>> {
    let output = command.output().await?;
    let printed = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = printed.lines().filter(|line| line.starts_with('{'));
    let timed: Vec<Timed> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    anyhow::ensure!(timed.len() == files, "{} results of {files} files: {printed}", timed.len());
    for (package, version) in timed.iter().flat_map(|timed| &timed.versions) {
        report.version(&format!("{package} (Python)"), version);
    }
    Ok(timed.into_iter().map(|timed| timed.median_s).collect())
}
