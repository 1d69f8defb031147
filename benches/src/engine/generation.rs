//! Generation, beside llama.cpp's own bench on the same file.

use crate::engine::{scoring::Engine, Args};
use anyhow::Context as _;
use poq_benches::{
    report::{Figure, Report},
    samples::median,
};
use poq_worker::{
    config::Settings,
    pool::Pool,
    work::{Extras, Generated, Generation, Message, Role},
};
use serde::Deserialize;
use std::{sync::Arc, time::Instant};
use tokio::{process::Command, sync::mpsc};

/// Tokens of one answer.
const TOKENS: u32 = 128;

/// Answers at the same time.
const STREAMS: u32 = 4;

/// A test, as `llama-bench -o json` prints it.
#[derive(Deserialize)]
struct Test {
    avg_ts: f64,
}

/// Tokens per second of one stream, and of several at a time against one after another.
pub async fn measure(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let models = args.gguf.parent().context("the GGUF has no folder")?;
    let name = args.gguf.file_stem().context("the GGUF has no name")?.to_string_lossy();
    let settings = Settings { threads: args.threads, parallel: STREAMS, context: 512, ..Settings::default() };
    let engine = Engine::open(args, models, &name, settings)?;
    let Engine { pool, model, .. } = &engine;

    let (mut ours, mut shown, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    one_stream(pool, model, 0).await?;
    for turn in 0..args.turns {
        ours.push(one_stream(pool, model, turn as u32).await?);
        theirs.push(llama_bench(args).await?);
        shown.push(one_stream_shown(pool, model, turn as u32).await?);
    }
    let theirs = median(&theirs);
    let figure = Figure::of("engine/generation, one stream", &ours, "tokens/s");
    report.add(figure.against("llama-bench", median(&ours) / theirs).ratio_at_least(0.98));
    let figure =
        Figure::of("engine/generation, one stream, its text sent on token by token", &shown, "tokens/s");
    report.add(figure.against("llama-bench", median(&shown) / theirs));

    let (mut serial, mut parallel) = (Vec::new(), Vec::new());
    for turn in 0..args.turns {
        serial.push(one_after_another(pool, model, turn as u32).await?);
        parallel.push(at_a_time(pool, model, turn as u32).await?);
    }
    let figure = Figure::of("engine/generation, 4 streams at a time", &parallel, "tokens/s");
    let ratio = median(&parallel) / median(&serial);
    report.add(figure.against("the same one after another", ratio).ratio_at_least(1.5));
    Ok(())
}

/// Tokens per second once the prompt is read, as a job makes them: an answer of one token is taken off.
async fn one_stream(pool: &Arc<Pool>, model: &str, seed: u32) -> anyhow::Result<f64> {
    let long = work(model, seed);
    let short = Generation { max_tokens: 1, ..long.clone() };
    let begun = Instant::now();
    pool.generate(&short, None).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let first = begun.elapsed();
    let begun = Instant::now();
    whole(pool.generate(&long, None).await)?;
    Ok(f64::from(TOKENS.saturating_sub(1)) / begun.elapsed().saturating_sub(first).as_secs_f64())
}

/// The same with its text sent on as it grows: from the first piece to the end.
async fn one_stream_shown(pool: &Arc<Pool>, model: &str, seed: u32) -> anyhow::Result<f64> {
    let (pieces, mut shown) = mpsc::channel(4096);
    let work = work(model, seed);
    let clock = async {
        let first = shown.recv().await.map(|_| Instant::now());
        while shown.recv().await.is_some() {}
        first
    };
    let (generated, first) = tokio::join!(pool.generate(&work, Some(pieces)), clock);
    let (generated, first) = (whole(generated)?, first.context("no text")?);
    Ok(f64::from(generated.tokens.saturating_sub(1)) / first.elapsed().as_secs_f64())
}

async fn one_after_another(pool: &Arc<Pool>, model: &str, turn: u32) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for stream in 0..STREAMS {
        whole(pool.generate(&work(model, turn * STREAMS + stream), None).await)?;
    }
    Ok(f64::from(STREAMS * TOKENS) / begun.elapsed().as_secs_f64())
}

async fn at_a_time(pool: &Arc<Pool>, model: &str, turn: u32) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let streams = (0..STREAMS).map(|stream| {
        let (pool, work) = (Arc::clone(pool), work(model, turn * STREAMS + stream));
        tokio::spawn(async move { pool.generate(&work, None).await })
    });
    for stream in streams.collect::<Vec<_>>() {
        whole(stream.await?)?;
    }
    Ok(f64::from(STREAMS * TOKENS) / begun.elapsed().as_secs_f64())
}

fn work(model: &str, seed: u32) -> Generation {
    Generation {
        model: model.to_owned(),
        messages: vec![Message::new(Role::User, format!("Tell me story number {seed}."))],
        max_tokens: TOKENS,
        max_bytes: u32::MAX,
        temperature: 0.0,
        top_p: 1.0,
        seed,
        stop: Vec::new(),
        extras: Extras::default(),
    }
}

/// Refuses an answer that ended early, which would falsify the time of a token.
fn whole(generated: Result<Generated, poq_worker::limits::Unfinished>) -> anyhow::Result<Generated> {
    let generated = generated.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    anyhow::ensure!(generated.tokens == TOKENS, "{} tokens instead of {TOKENS}", generated.tokens);
    Ok(generated)
}

async fn llama_bench(args: &Args) -> anyhow::Result<f64> {
    let mut command = Command::new(&args.llama_bench);
    command.arg("-m").arg(&args.gguf).args(["-p", "0", "-r", "1", "-o", "json"]);
    command.arg("-n").arg(TOKENS.to_string()).arg("-t").arg(args.threads.to_string());
    let output = command.output().await?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tests: Vec<Test> = serde_json::from_slice(&output.stdout)?;
    Ok(tests.first().context("llama-bench gives no test")?.avg_ts)
}
