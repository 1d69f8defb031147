//! `poq-worker rank`: rank models by the scores of their answers, and compare the ranking with a leaderboard.

use super::{judging::JudgeArgs, print, print_line};
use anyhow::Context as _;
use clap::Args;
use comfy_table::{presets, CellAlignment, Table};
use poq_worker::{
    logging,
    ranking::{
        bootstrap::Interval,
        data::{read, read_leaderboard, Outputs},
        figures::{agreement, questions_of_all, ranking, Agreement, Estimate, Ranked},
    },
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Most names that are listed in one line.
const MOST_LISTED: usize = 10;

const HELP: &str = "\
The data are a folder of .jsonl files with a line for each answer of a model. A file that is
named after its model needs no \"model\". All models should answer the same questions: means over
different questions cannot be compared.
  {\"model\": \"small\", \"question\": \"What is the capital of France?\", \"answer\": \"Paris.\"}

A leaderboard has a line for each model; a higher value is a better model.
  {\"model\": \"small\", \"value\": 1043}

What is printed, with 95% intervals (percentiles of 2000 draws with replacement):
  score         mean score of a model's answers, each scored alone; questions drawn anew
  Spearman      rank correlation of scores and leaderboard, -1 to 1; models drawn anew
  given length  the same without what goes with the length of answers (partial correlation)
  length alone  rank correlation of the length of answers and the leaderboard

An evaluator that does not beat the length alone is worth nothing: whoever is paid by it learns
to write more. With fewer than some 20 models the intervals of correlations are wide.

Examples:
  poq-worker rank --evaluator my-evaluator --data outputs --leaderboard leaderboard.jsonl
  poq-worker rank --evaluator ./folder --data outputs --json > ranking.json";

/// What `poq-worker rank` is told.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct RankArgs {
    #[command(flatten)]
    judge: JudgeArgs,

    /// Answers of models: a folder of .jsonl files, or one such file
    #[arg(short, long, value_name = "DIR")]
    data: PathBuf,

    /// Values of the models, as JSON lines, to compare the ranking with
    #[arg(short, long, value_name = "FILE")]
    leaderboard: Option<PathBuf>,

    /// Seed of the intervals: the same one gives the same intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does the command.
pub fn run(args: RankArgs) -> anyhow::Result<()> {
    logging::init(logging::COMMAND_FILTER);
    let outputs = read(&args.data).map_err(anyhow::Error::msg)?;
    let leaderboard =
        args.leaderboard.as_deref().map(read_leaderboard).transpose().map_err(anyhow::Error::msg)?;
    if let (Some(path), Some(values)) = (&args.leaderboard, &leaderboard) {
        // Before scoring, which takes long.
        let unscored = ranking(&outputs, &vec![0.0; outputs.outputs.len()], Some(values), args.seed);
        agreement(&unscored, args.seed)
            .map_err(anyhow::Error::msg)
            .with_context(|| path.display().to_string())?;
    }
    let judge = args.judge.open()?;
    let pairs: Vec<(&str, &str)> = outputs
        .outputs
        .iter()
        .filter_map(|output| Some((outputs.questions.get(output.question)?.as_str(), output.answer.as_str())))
        .collect();
    let calibration = judge.manifest().calibration;
    let scores = judge.numbers(&pairs)?.into_iter().map(|number| calibration.apply(number).unwrap_or(0.5));
    let ranked = ranking(&outputs, &scores.collect::<Vec<_>>(), leaderboard.as_ref(), args.seed);
    let agreement = match &leaderboard {
        Some(_) => Some(agreement(&ranked, args.seed).map_err(anyhow::Error::msg)?),
        None => None,
    };
    let report = Report { name: judge.name(), id: judge.id()?, seed: args.seed, outputs, ranked, agreement };
    if args.json {
        print_line(format_args!("{:#}", report.json()))
    } else {
        print(report.text(args.leaderboard.as_deref(), leaderboard.as_ref()))
    }
}

/// What comes of a ranking.
struct Report {
    name: String,
    id: String,
    seed: u64,
    outputs: Outputs,
    ranked: Vec<Ranked>,
    agreement: Option<Agreement>,
}

impl Report {
    fn json(&self) -> serde_json::Value {
        json!({
            "evaluator": self.name,
            "id": self.id,
            "seed": self.seed,
            "answers": self.outputs.outputs.len(),
            "questions": self.outputs.questions.len(),
            "questions_answered_by_all": questions_of_all(&self.outputs),
            "models": self.ranked,
            "agreement": self.agreement,
        })
    }

    fn text(&self, path: Option<&Path>, leaderboard: Option<&BTreeMap<String, f64>>) -> String {
        let mut text = format!(
            "{}: {} answers of {} models to {} questions\n\n{}\n",
            self.name,
            self.outputs.outputs.len(),
            self.ranked.len(),
            self.outputs.questions.len(),
            self.models()
        );
        if let (Some(agreement), Some(path)) = (self.agreement, path) {
            text += &format!("\n{}\n", of_agreement(agreement, path));
        }
        for note in self.notes(leaderboard) {
            text += &format!("\n{note}\n");
        }
        text
    }

    fn models(&self) -> Table {
        let mut head = vec!["", "model", "score", "95% interval", "answers", "length"];
        if self.agreement.is_some() {
            head.push("leaderboard");
        }
        let mut table = table(&head, 1);
        for (place, model) in self.ranked.iter().enumerate() {
            let mut row = vec![
                place.saturating_add(1).to_string(),
                model.model.clone(),
                format!("{:.3}", model.score),
                in_words(model.interval),
                model.answers.to_string(),
                format!("{:.0}", model.length),
            ];
            if self.agreement.is_some() {
                row.push(model.leaderboard.map_or("-".to_owned(), |value| value.to_string()));
            }
            table.add_row(row);
        }
        table
    }

    /// What a reader should know before believing the figures.
    fn notes(&self, leaderboard: Option<&BTreeMap<String, f64>>) -> Vec<String> {
        let mut notes = Vec::new();
        let (all, common) = (self.outputs.questions.len(), questions_of_all(&self.outputs));
        if common < all {
            notes.push(format!(
                "Only {common} of the {all} questions were answered by all models; means over different questions cannot be \
                 compared."
            ));
        }
        let missing: Vec<&str> = match self.agreement {
            Some(_) => self
                .ranked
                .iter()
                .filter(|model| model.leaderboard.is_none())
                .map(|model| model.model.as_str())
                .collect(),
            None => Vec::new(),
        };
        if !missing.is_empty() {
            notes.push(format!("Not in the leaderboard: {}.", listed(&missing)));
        }
        let silent: Vec<&str> = leaderboard
            .into_iter()
            .flat_map(BTreeMap::keys)
            .filter(|name| !self.outputs.models.contains(name))
            .map(String::as_str)
            .collect();
        if !silent.is_empty() {
            notes.push(format!("In the leaderboard only: {}.", listed(&silent)));
        }
        if let Some(Agreement { spearman, length, .. }) = self.agreement {
            if spearman.value <= length.value {
                notes.push(
                    "This evaluator does not rank these models better than the length of their answers does."
                        .to_owned(),
                );
            }
        }
        notes
    }
}

fn of_agreement(agreement: Agreement, path: &Path) -> Table {
    let title = format!("{} models, against {}", agreement.models, path.display());
    let mut table = table(&[title.as_str(), "correlation", "95% interval"], 0);
    for (name, Estimate { value, interval }) in [
        ("Spearman", agreement.spearman),
        ("given length", agreement.given_length),
        ("length alone", agreement.length),
    ] {
        let value = value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        table.add_row([name.to_owned(), value, in_words(interval)]);
    }
    table
}

fn in_words(interval: Option<Interval>) -> String {
    interval.map_or("-".to_owned(), |Interval { low, high }| format!("{low:.3} to {high:.3}"))
}

/// The first names, for people.
fn listed(names: &[&str]) -> String {
    let shown = names.get(..MOST_LISTED.min(names.len())).unwrap_or_default().join(", ");
    match names.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A table without lines, whose columns are aligned to the right but for the one with names.
fn table(head: &[&str], names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    for (place, column) in table.column_iter_mut().enumerate() {
        if place != names {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
