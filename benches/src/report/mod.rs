//! The results of a bench: a table for people, a file for programs.
//!
//! Every room makes a [`Report`], adds [`Figure`]s with names as in "room/quantity", and writes it into
//! `benches/results.json`, where figures of other rooms stay. Beside it `runs.json` keeps of each room, when, of which commit
//! and on which machine it was measured. `poq-bench report` makes `benches/RESULTS.md` of both.
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("results.json");
//! use poq_benches::report::{Figure, Report};
//! let mut report = Report::default();
//! report.add(Figure::of("driver/a run with no duties", &[0.4, 0.3, 0.5], "ms").at_most(5.0));
//! report.add(Figure::new("chain/requests settled per second", 120.0, "requests/s").at_least(100.0));
//! report.print();
//! report.write(&path)?;
//! # Ok(())
//! # }
//! ```

mod figure;
mod run;

pub use figure::Figure;
pub use run::Run;

use anyhow::{ensure, Context as _};
use comfy_table::{presets::NOTHING, CellAlignment, Table};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, collections::BTreeSet, fs, io, path::Path, path::PathBuf};

/// The runs of all rooms, by room.
pub type Runs = BTreeMap<String, Run>;

/// The figures of one run.
#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<Figure>,
    versions: BTreeMap<String, String>,
}

impl Report {
    /// Adds a figure, and prints it at once because a run takes minutes.
    pub fn add(&mut self, figure: Figure) {
        eprintln!("{}: {:.3} {}", figure.name, figure.value, figure.unit);
        self.figures.push(figure);
    }

    /// Records the version of another program that took part. The compiler's is always recorded.
    pub fn version(&mut self, program: &str, version: &str) {
        self.versions.insert(program.to_owned(), version.to_owned());
    }

    /// Prints all figures as a table.
    pub fn print(&self) {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_header(["WHAT", "MEDIAN", "UNIT", "FROM", "TO", "TARGET", "MET", "AGAINST", "RATIO"]);
        for figure in &self.figures {
            let met = figure.met.map_or("", |met| if met { "yes" } else { "no" });
            let [from, to] = figure.spread.map_or([String::new(), String::new()], |ends| ends.map(number));
            table.add_row([
                figure.name.clone(),
                number(figure.value),
                figure.unit.clone(),
                from,
                to,
                figure.target.clone().unwrap_or_default(),
                met.to_owned(),
                figure.compared_with.clone().unwrap_or_default(),
                figure.ratio.map(number).unwrap_or_default(),
            ]);
        }
        for column in [1, 3, 4, 8] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("{}", table.trim_fmt());
    }

    /// Writes the figures into `path`. They replace all figures of the same rooms; other rooms stay.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        self.write_keeping(path, |_, _| false)
    }

    /// Writes the figures into `path`. They replace figures of the same name only.
    pub fn write_part(&self, path: &Path) -> anyhow::Result<()> {
        self.write_keeping(path, |mine, old| mine.name != old.name)
    }

    /// `keeps(new, old)` decides whether an old figure of the same room stays beside a new one.
    fn write_keeping(&self, path: &Path, keeps: impl Fn(&Figure, &Figure) -> bool) -> anyhow::Result<()> {
        for figure in &self.figures {
            ensure!(figure.is_finite(), "\"{}\" is not a number: {figure:?}", figure.name);
            ensure!(!figure.room().is_empty(), "\"{}\" names no room", figure.name);
        }
        let mut all = figures(path)?;
        all.retain(|old| {
            self.figures.iter().filter(|mine| mine.room() == old.room()).all(|mine| keeps(mine, old))
        });
        all.extend(self.figures.iter().cloned());
        // The sort is stable, so figures of a room stay in the order of measuring.
        all.sort_by(|a, b| a.room().cmp(b.room()));
        let mut runs = runs(path)?;
        let rooms: BTreeSet<&str> = self.figures.iter().map(Figure::room).collect();
        let run = Run::now(&self.versions);
        runs.extend(rooms.into_iter().map(|room| (room.to_owned(), run.clone())));
        fs::write(path, serde_json::to_string_pretty(&all)? + "\n").context(shown(path))?;
        let path = runs_path(path);
        fs::write(&path, serde_json::to_string_pretty(&runs)? + "\n").context(shown(&path))
    }
}

/// All figures of a results.json; none if there is no such file.
pub fn figures(path: &Path) -> anyhow::Result<Vec<Figure>> {
    read(path)
}

/// The runs that the figures of a results.json come from; none if there is no runs.json.
pub fn runs(path: &Path) -> anyhow::Result<Runs> {
    read(&runs_path(path))
}

/// A number with four significant digits; from 1,000 on without decimals.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 1_000.0 || size == 0.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

fn runs_path(results: &Path) -> PathBuf {
    results.with_file_name("runs.json")
}

fn read<T: Default + DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    match fs::read(path) {
        Ok(json) => serde_json::from_slice(&json).with_context(|| {
            format!("{} is not what a bench writes; remove it and measure again", path.display())
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error).with_context(|| shown(path)),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn report(figures: &[(&str, f64)]) -> Report {
        let mut report = Report::default();
        for (name, value) in figures {
            report.add(Figure::new(*name, *value, "ms"));
        }
        report
    }

    fn values(path: &Path) -> Vec<(String, f64)> {
        figures(path).unwrap().into_iter().map(|figure| (figure.name, figure.value)).collect()
    }

    #[test]
    fn a_room_is_replaced_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        report(&[("engine/a", 1.0), ("engine/b", 2.0)]).write(&path).unwrap();
        report(&[("chain/a", 3.0), ("chain/b", 4.0)]).write(&path).unwrap();
        report(&[("engine/b", 5.0)]).write(&path).unwrap();
        let left = [("chain/a", 3.0), ("chain/b", 4.0), ("engine/b", 5.0)];
        assert_eq!(values(&path), left.map(|(name, value)| (name.to_owned(), value)));
        report(&[("chain/b", 6.0)]).write_part(&path).unwrap();
        let left = [("chain/a", 3.0), ("chain/b", 6.0), ("engine/b", 5.0)];
        assert_eq!(values(&path), left.map(|(name, value)| (name.to_owned(), value)));
        let runs = runs(&path).unwrap();
        assert_eq!(runs.keys().collect::<Vec<_>>(), ["chain", "engine"]);
        assert!(runs["chain"].versions.contains_key("rustc"));
    }

    #[test]
    fn what_is_no_number_or_has_no_room_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        report(&[("engine/a", f64::NAN)]).write(&path).unwrap_err();
        report(&[("a", 1.0)]).write(&path).unwrap_err();
        assert!(!path.exists());
    }

    #[test]
    fn a_figure_says_whether_it_met_its_target() {
        let figure = Figure::of("chain/a", &[4.0, 1.0, 2.0], "ms");
        assert_eq!((figure.value, figure.spread), (2.0, Some([1.0, 4.0])));
        assert_eq!(figure.clone().at_most(2.0).met, Some(true));
        assert_eq!(figure.clone().at_least(2.1).met, Some(false));
        assert_eq!(figure.clone().ratio_at_least(1.0).met, Some(false));
        let figure = figure.against("another", 1.5).ratio_at_least(1.5);
        assert_eq!((figure.met, figure.target.as_deref()), (Some(true), Some(">= 1.5x")));
    }

    #[test]
    fn figures_of_before_the_spread_are_read() {
        let old = r#"{"name": "engine/a", "value": 1, "unit": "ms", "target": null, "met": null, "compared_with": null, "ratio": null}"#;
        assert_eq!(serde_json::from_str::<Figure>(old).unwrap(), Figure::new("engine/a", 1.0, "ms"));
    }
}
