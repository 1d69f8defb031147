//! `poq-worker calibrate`: see how well an evaluator agrees with people, and fit its scores to what they think.

use super::judging::JudgeArgs;
use anyhow::Context as _;
use clap::Args;
use comfy_table::{presets, CellAlignment, Table};
use poq_worker::{
    calibration::{
        data::{self, Data, Meaning, Range},
        fit::{fit, held_out},
        plot::{draw, Picture},
        stats::{auc, brier, expected_calibration_error, pearson, spearman},
    },
    files, logging,
    models::manifest::{Calibration, Manifest, MANIFEST},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

const HELP: &str = "\
The data are JSON lines, at least 20 pairs of at least 5 questions:
  {\"question\": \"What is the capital of France?\", \"answer\": \"Paris.\", \"label\": 1}
  {\"question\": \"What is the capital of France?\", \"answer\": \"Rome.\", \"label\": 0}
or, graded, with \"value\": 3.5 in place of the label.

Figures said to be 'after' are measured on questions that had no part in the fit.

Examples:
  poq-worker calibrate --evaluator poq-demo-evaluator --data pairs.jsonl --plot calibration.svg
  poq-worker calibrate --evaluator ./my-evaluator --data graded.jsonl --range 1..5 --write";

/// Arguments of `poq-worker calibrate`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct CalibrateArgs {
    #[command(flatten)]
    judge: JudgeArgs,

    /// Answers and what people think of them, as JSON lines
    #[arg(short, long, value_name = "FILE")]
    data: PathBuf,

    /// Draw the calibration into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,

    /// Put the new calibration into the evaluator's poq.json; its id changes, since its scores do
    #[arg(long)]
    write: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Of graded data: the lowest and the highest grade [default: those that there are]
    #[arg(long, value_name = "LOW..HIGH", allow_hyphen_values = true)]
    range: Option<Range>,

    /// Answers with a value above this count as good [default: the mean of the values]
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    threshold: Option<f64>,
}

/// Does the command.
pub fn run(args: CalibrateArgs) -> anyhow::Result<()> {
    logging::init(logging::COMMAND_FILTER);
    let meaning = Meaning { range: args.range, threshold: args.threshold };
    let data = data::read(&args.data, meaning).map_err(anyhow::Error::msg)?;
    let judge = args.judge.open()?;
    let pairs: Vec<(&str, &str)> =
        data.pairs.iter().map(|pair| (pair.question.as_str(), pair.answer.as_str())).collect();
    let numbers = judge.numbers(&pairs)?;
    let report = Report::of(judge.folder(), judge.manifest(), &data, numbers)?;
    if let Some(path) = &args.plot {
        draw(report.picture(&data), path).map_err(anyhow::Error::msg)?;
    }
    if args.write {
        let path = judge.folder().join(MANIFEST);
        files::write_atomically(&path, report.manifest.to_json().as_bytes())
            .with_context(|| path.display().to_string())?;
    }
    if args.json {
        super::print_line(format_args!("{:#}", report.json(args.write)))
    } else {
        super::print(report.text(&args))
    }
}

/// Agreement of numbers with values.
struct Agreement {
    pearson: Option<f64>,
    spearman: Option<f64>,
    auc: Option<f64>,
}

impl Agreement {
    fn of(numbers: &[f64], values: &[f64], good: &[bool]) -> Self {
        Self {
            pearson: pearson(numbers, values),
            spearman: spearman(numbers, values),
            auc: auc(numbers, good),
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({ "pearson": self.pearson, "spearman": self.spearman, "auc": self.auc })
    }
}

/// Result of a calibration.
struct Report {
    name: String,
    /// The new manifest, and the ids of the old one and of this.
    manifest: Manifest,
    ids: [String; 2],
    maps: [Calibration; 2],
    values: Vec<f64>,
    good: Vec<bool>,
    questions: usize,
    graded: bool,
    evaluator: Agreement,
    length: Agreement,
    scores: [Vec<f64>; 2],
}

impl Report {
    fn of(folder: &Path, old: &Manifest, data: &Data, numbers: Vec<f64>) -> anyhow::Result<Self> {
        let values: Vec<f64> = data.pairs.iter().map(|pair| pair.value).collect();
        let good: Vec<bool> = data.pairs.iter().map(|pair| pair.good).collect();
        let questions: Vec<&str> = data.pairs.iter().map(|pair| pair.question.as_str()).collect();
        let lengths: Vec<f64> = data.pairs.iter().map(|pair| pair.answer.chars().count() as f64).collect();
        let map = fit(&numbers, &values)?;
        let before = numbers.iter().map(|number| old.calibration.apply(*number).unwrap_or(0.5)).collect();
        let after = held_out(&questions, &numbers, &values);
        let mut manifest = old.clone();
        manifest.calibration = map;
        let old_json = fs::read(folder.join(MANIFEST)).with_context(|| folder.display().to_string())?;
        let ids = [old_json, manifest.to_json().into_bytes()].map(|json| hex::encode(Sha256::digest(json)));
        // A folder like '.' has no name before it is looked up.
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Ok(Self {
            name: whole.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            maps: [old.calibration, map],
            manifest,
            ids,
            questions: questions.iter().collect::<HashSet<_>>().len(),
            graded: data.graded,
            evaluator: Agreement::of(&numbers, &values, &good),
            length: Agreement::of(&lengths, &values, &good),
            scores: [before, after],
            values,
            good,
        })
    }

    /// Whether the evaluator tells good answers from bad ones better than their length does, be it that the long or the
    /// short ones are good.
    fn beats_length(&self) -> bool {
        let length = (self.length.spearman.map(f64::abs), self.length.auc.map(|area| area.max(1.0 - area)));
        self.evaluator.spearman > length.0 && self.evaluator.auc > length.1
    }

    fn picture<'a>(&'a self, data: &Data) -> Picture<'a> {
        let [before, after] = &self.scores;
        Picture {
            title: &self.name,
            before,
            after,
            values: &self.values,
            good: &self.good,
            graded: data.graded,
        }
    }

    /// A statistic before and after.
    fn both(&self, statistic: fn(&[f64], &[f64]) -> Option<f64>) -> [Option<f64>; 2] {
        let [before, after] = &self.scores;
        [statistic(before, &self.values), statistic(after, &self.values)]
    }

    fn json(&self, written: bool) -> serde_json::Value {
        let ([ece, new_ece], [brier, new_brier]) = (self.both(expected_calibration_error), self.both(brier));
        let ([map, new_map], [id, new_id]) = (self.maps, &self.ids);
        json!({
            "evaluator": self.name,
            "pairs": self.values.len(),
            "questions": self.questions,
            "good": self.good.iter().filter(|good| **good).count(),
            "graded": self.graded,
            "agreement": self.evaluator.json(),
            "answer_length": self.length.json(),
            "beats_answer_length": self.beats_length(),
            "ece": { "before": ece, "after": new_ece },
            "brier": { "before": brier, "after": new_brier },
            "calibration": { "before": map, "after": new_map },
            "id": { "before": id, "after": new_id },
            "written": written,
        })
    }

    fn text(&self, args: &CalibrateArgs) -> String {
        let good = self.good.iter().filter(|good| **good).count();
        let figure = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.3}"));
        let mut agreement = table(["agreement with the data", "evaluator", "answer length"]);
        for (name, ours, length) in [
            ("Pearson", self.evaluator.pearson, self.length.pearson),
            ("Spearman", self.evaluator.spearman, self.length.spearman),
            ("AUC", self.evaluator.auc, self.length.auc),
        ] {
            agreement.add_row([name.to_owned(), figure(ours), figure(length)]);
        }
        let mut errors = table(["error of the scores", "before", "after"]);
        for (name, [before, after]) in [
            ("expected calibration error", self.both(expected_calibration_error)),
            ("Brier", self.both(brier)),
        ] {
            errors.add_row([name.to_owned(), figure(before), figure(after)]);
        }
        let verdict = match self.beats_length() {
            true => "",
            false => {
                "\nThis evaluator does not beat the length of answers on these data. Such an evaluator is worth nothing: \
                 whoever is paid by it learns to write more, or less.\n"
            }
        };
        format!(
            "{}: {} pairs of {} questions, {good} of them good\n\n{agreement}\n\n{errors}\n{verdict}\n{}",
            self.name,
            self.values.len(),
            self.questions,
            self.outcome(args)
        )
    }

    fn outcome(&self, args: &CalibrateArgs) -> String {
        let ([old, new], [_, id]) = (self.maps, &self.ids);
        let maps = format!("a = {}, b = {} (before: a = {}, b = {})", new.a, new.b, old.a, old.b);
        let plot = args.plot.as_ref().map(|path| format!("Drawn: {}\n", path.display())).unwrap_or_default();
        match args.write {
            true => format!("Written: {maps}\nThe evaluator's id is now {id}\n{plot}"),
            false => format!("With --write: {maps}\nThe evaluator's id would be {id}\n{plot}"),
        }
    }
}

/// A table without lines whose figures are aligned to the right.
fn table(head: [&str; 3]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
