//! Time of scoring by length and number of pairs, beside other programs.

use crate::engine::{
    scoring::{onnx_runtime, read, scoring_of, sentence_transformers, Batches, Engine, Time},
    Args,
};
use poq_benches::{
    report::{Figure, Report},
    samples::median,
};
use poq_worker::{evaluator::precision::Precision, work::Scoring};
use std::path::PathBuf;

/// Pairs at a time, and tokens of each: the files that benches/python/pairs.py makes.
const COUNTS: [usize; 3] = [1, 8, 32];
const LENGTHS: [usize; 4] = [64, 128, 256, 512];

/// Repetitions of one shape in one turn.
const TIME: Time = Time::Seconds(0.4);

/// Pairs of one length.
struct Shape {
    name: String,
    file: PathBuf,
    work: Scoring,
}

/// One program's times: for each shape those of all turns, in milliseconds.
type Times = Vec<Vec<f64>>;

/// Milliseconds of every shape, fp32 and int8. (Every program gets all shapes in its turn, because loading one takes longer
/// than running it.)
pub async fn measure(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let shapes = shapes(args)?;
    let files: Vec<&PathBuf> = shapes.iter().map(|shape| &shape.file).collect();
    let turns = args.turns.min(3);
    for weights in ["fp32", "int8"] {
        let name = format!("minilm-cross-{weights}");
        let (engine, _) = Engine::evaluator(args, &name, Precision::Fp32).await?;
        let [mut ours, mut onnx, mut transformers]: [Times; 3] = Default::default();
        for _ in 0..turns {
            let mut times = Vec::new();
            for shape in &shapes {
                times.push(engine.time(&shape.work, TIME).await? * 1e3);
            }
            ours.push(times);
            onnx.push(millis(onnx_runtime(args, &name, &files, Batches::Of(32), TIME, report).await?));
            if weights == "fp32" {
                transformers.push(millis(sentence_transformers(args, &files, TIME, report).await?));
            }
        }
        for (at, shape) in shapes.iter().enumerate() {
            let [ours, onnx, transformers] = [&ours, &onnx, &transformers].map(|turns| of_shape(turns, at));
            let name = |who: &str| format!("scoring/{who} {weights}, {}", shape.name);
            let ratio = median(&onnx) / median(&ours);
            report.add(Figure::of(name("ours"), &ours, "ms").against("onnxruntime from Python", ratio));
            report.add(Figure::of(name("onnxruntime"), &onnx, "ms"));
            if !transformers.is_empty() {
                let ratio = median(&ours) / median(&transformers);
                report.add(
                    Figure::of(name("sentence-transformers"), &transformers, "ms").against("ours", ratio),
                );
            }
        }
    }
    Ok(())
}

fn shapes(args: &Args) -> anyhow::Result<Vec<Shape>> {
    let all = COUNTS.iter().flat_map(|count| LENGTHS.iter().map(move |tokens| (count, tokens)));
    all.map(|(count, tokens)| {
        let file = args.pairs.join(format!("{count}x{tokens}.jsonl"));
        let pairs = read(&file)?;
        anyhow::ensure!(pairs.len() == *count, "{} has {} pairs", file.display(), pairs.len());
        Ok(Shape {
            name: format!("batch of {count}, {tokens} tokens"),
            work: scoring_of(&pairs, false),
            file,
        })
    })
    .collect()
}

fn millis(seconds: Vec<f64>) -> Vec<f64> {
    seconds.into_iter().map(|seconds| seconds * 1e3).collect()
}

fn of_shape(turns: &Times, shape: usize) -> Vec<f64> {
    turns.iter().filter_map(|times| times.get(shape).copied()).collect()
}
