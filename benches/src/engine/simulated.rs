//! A simulated model: it speaks the runner's protocol and answers at once. Without inference, the rest of the engine is
//! measured.

use poq_worker::{
    evaluator::precision::{Arithmetic, Why},
    runner::protocol::{Facts, Order, Report},
    work::{Finish, Generated, Scored, FULL_SCORE},
};
use std::io::{self, BufRead as _, Write as _};

/// Answers orders until stdin ends.
pub fn run() -> anyhow::Result<()> {
    let mut lines = io::stdin().lock().lines();
    let _load = lines.next();
    say(&Report::Ready(Facts::Evaluator { max_tokens: 512, arithmetic: Arithmetic::Reference(Why::Set) }))?;
    for line in lines {
        match serde_json::from_str(&line?)? {
            Order::Score { key, work } => {
                let scores = vec![FULL_SCORE / 2; work.answers.len()];
                let raw = vec![0.0; work.answers.len()];
                say(&Report::Scored { key, result: Scored { raw, scores, tokens: 0 } })?;
            }
            Order::Generate { key, .. } => {
                let result = Generated {
                    text: "simulated".to_owned(),
                    prompt_tokens: 0,
                    tokens: 1,
                    finish: Finish::Stop,
                    logprobs: Vec::new(),
                };
                say(&Report::Generated { key, result })?;
            }
            // No bench asks for vectors.
            Order::Embed { .. } | Order::Cancel { .. } => {}
        }
    }
    Ok(())
}

fn say(report: &Report) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, report)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
