//! `poq-bench report`: makes `benches/RESULTS.md` and its plots of `benches/results.json`.
//!
//! The text is written by a person, in `benches/RESULTS.in.md`. The page is that text with tables, plots and
//! single figures filled in, so nothing is lost when it is made anew. See [`page`] for the placeholders.

pub mod chart;
mod charts;
mod page;
mod tables;
mod targets;

use anyhow::Context as _;
use poq_benches::report::{figures, runs, Figure, Runs};
use std::{fs, path::PathBuf};

/// Options of `poq-bench report`.
#[derive(clap::Args)]
pub struct Args {
    /// File of figures, with runs.json beside it
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    results: PathBuf,

    /// File of the text with placeholders
    #[arg(long, value_name = "FILE", default_value = "benches/RESULTS.in.md")]
    text: PathBuf,

    /// File for the page; plots go into its folder
    #[arg(long, value_name = "FILE", default_value = "benches/RESULTS.md")]
    out: PathBuf,
}

/// All figures and runs.
pub struct Results {
    figures: Vec<Figure>,
    runs: Runs,
}

impl Results {
    /// The first figure whose name begins with `name`.
    fn begins(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name.starts_with(name))
    }

    /// The figure of that name.
    fn named(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

/// Makes the page.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let results = Results { figures: figures(&args.results)?, runs: runs(&args.results)? };
    let text = fs::read_to_string(&args.text).with_context(|| args.text.display().to_string())?;
    let folder = args.out.parent().context("the page has no folder")?;
    let page = page::fill(&text, &results, folder).with_context(|| args.text.display().to_string())?;
    fs::write(&args.out, page).with_context(|| args.out.display().to_string())?;
    let met = results.figures.iter().filter_map(|figure| figure.met);
    let (met, missed): (Vec<bool>, Vec<bool>) = met.partition(|met| *met);
    println!("{}: {} targets met, {} missed", args.out.display(), met.len(), missed.len());
    Ok(())
}
