//! `poq-worker score`: the score that an evaluator gives to each answer in a file, as it would for a chain.

use super::{judging::JudgeArgs, print};
use clap::Args;
use poq_worker::{
    logging,
    ranking::data::{read_any, Outputs},
    text::shortened,
};
use serde_json::json;
use std::path::PathBuf;

/// Most characters of a text that people are shown, and those of them that are of its end.
const MOST_SHOWN: usize = 100;
const TAIL_SHOWN: usize = 25;

const HELP: &str = "\
The file has a line of JSON for each answer; other fields than these are ignored:
  {\"question\": \"What is the capital of France?\", \"answer\": \"Paris.\"}

Each answer is scored alone, so its score does not depend on what else is in the file. People get
the answers to each question together, the best one first; --json gives a line of JSON for each
answer, in the order of the file, with the texts, the score (0 to 1) and the network's number
before calibration.

Examples:
  poq-worker score --evaluator models/poq-judge models/poq-judge/examples.jsonl
  poq-worker score --evaluator my-evaluator --json answers.jsonl > scores.jsonl";

/// Options of `poq-worker score`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct ScoreArgs {
    #[command(flatten)]
    judge: JudgeArgs,

    /// Answers, as JSON lines, or a folder of such files
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print a line of JSON for each answer
    #[arg(long)]
    json: bool,
}

/// Does the command.
pub fn run(args: ScoreArgs) -> anyhow::Result<()> {
    logging::init(logging::COMMAND_FILTER);
    let answers = read_any(&args.file).map_err(anyhow::Error::msg)?;
    let judge = args.judge.open()?;
    let numbers = judge.numbers(&pairs(&answers))?;
    let calibration = judge.manifest().calibration;
    let scores: Vec<f64> = numbers.iter().map(|number| calibration.apply(*number).unwrap_or(0.5)).collect();
    if args.json {
        print(json_lines(&answers, &scores, &numbers))
    } else {
        print(text(&answers, &scores))
    }
}

fn pairs(answers: &Outputs) -> Vec<(&str, &str)> {
    let question = |place: usize| answers.questions.get(place).map_or("", String::as_str);
    answers.outputs.iter().map(|output| (question(output.question), output.answer.as_str())).collect()
}

fn json_lines(answers: &Outputs, scores: &[f64], numbers: &[f64]) -> String {
    let lines =
        pairs(answers).into_iter().zip(scores).zip(numbers).map(|(((question, answer), score), raw)| {
            json!({ "question": question, "answer": answer, "score": score, "raw": raw }).to_string() + "\n"
        });
    lines.collect()
}

fn shown(text: &str) -> String {
    shortened(text, MOST_SHOWN, TAIL_SHOWN)
}

fn text(answers: &Outputs, scores: &[f64]) -> String {
    let mut text = String::new();
    for (place, question) in answers.questions.iter().enumerate() {
        let mut scored: Vec<(f64, &str)> = answers
            .outputs
            .iter()
            .zip(scores)
            .filter(|(output, _)| output.question == place)
            .map(|(output, score)| (*score, output.answer.as_str()))
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        if !text.is_empty() {
            text.push('\n');
        }
        text += &format!("{}\n", shown(question));
        for (score, answer) in scored {
            text += &format!("  {score:.3}  {}\n", shown(answer));
        }
    }
    text
}
