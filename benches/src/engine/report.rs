//! The results: a table for people, a file for programs.

use comfy_table::{presets::NOTHING, CellAlignment, Table};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

/// What all names of this bench begin with.
const ROOM: &str = "engine/";

/// One figure. Absolute values are those of the machine that measured; ratios come from one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The median.
    pub value: f64,
    /// Of the value.
    pub unit: String,
    /// What is to be reached, if anything.
    pub target: Option<String>,
    /// Whether it was reached.
    pub met: Option<bool>,
    /// The other program of the ratio.
    pub compared_with: Option<String>,
    /// How much better than that program, above 1 is better.
    pub ratio: Option<f64>,
}

impl Figure {
    /// A bare figure.
    pub fn new(name: &str, value: f64, unit: &str) -> Self {
        Self {
            name: format!("{ROOM}{name}"),
            value,
            unit: unit.to_owned(),
            target: None,
            met: None,
            compared_with: None,
            ratio: None,
        }
    }

    /// The value is to be at most `most`.
    pub fn at_most(self, most: f64) -> Self {
        let (target, met) = (format!("<= {most} {}", self.unit), self.value <= most);
        Self { target: Some(target), met: Some(met), ..self }
    }

    /// `ratio` times as good as `other`.
    pub fn against(self, other: &str, ratio: f64) -> Self {
        Self { compared_with: Some(other.to_owned()), ratio: Some(ratio), ..self }
    }

    /// The ratio is to be at least `least`.
    pub fn at_least(self, least: f64) -> Self {
        let met = self.ratio.is_some_and(|ratio| ratio >= least);
        Self { target: Some(format!(">= {least}x")), met: Some(met), ..self }
    }
}

/// The figures of one run.
#[derive(Debug, Default)]
pub struct Report(Vec<Figure>);

impl Report {
    /// Adds a figure, and says it at once: a run takes minutes.
    pub fn add(&mut self, figure: Figure) {
        eprintln!("{}: {:.3} {}", figure.name, figure.value, figure.unit);
        self.0.push(figure);
    }

    /// Prints all figures as a table.
    pub fn print(&self) {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["WHAT", "MEDIAN", "UNIT", "TARGET", "MET", "AGAINST", "RATIO"]);
        for figure in &self.0 {
            let met = figure.met.map_or("", |met| if met { "yes" } else { "no" });
            table.add_row([
                figure.name.clone(),
                format!("{:.2}", figure.value),
                figure.unit.clone(),
                figure.target.clone().unwrap_or_default(),
                met.to_owned(),
                figure.compared_with.clone().unwrap_or_default(),
                figure.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            ]);
        }
        for column in [1, 6] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("{}", table.trim_fmt());
    }

    /// Puts the figures into `path`, in the place of those of an earlier run; figures of other rooms stay.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut all: Vec<Figure> = match fs::read(path) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        all.retain(|figure| !figure.name.starts_with(ROOM));
        all.extend(self.0.iter().cloned());
        fs::write(path, serde_json::to_string_pretty(&all)? + "\n")
    }
}
