//! Makes `benches/RESULTS.md` and its plots of `benches/results.json`.
//!
//! What the figures say is written by a person, in `benches/RESULTS.in.md`; the page is that text with the tables, plots and
//! single figures filled in, so nothing is lost when it is made anew. See [`page`] for what can be filled in.

mod bars;
mod chart;
mod charts;
mod page;
mod tables;

use anyhow::Context as _;
use clap::Parser;
use poq_benches::report::{figures, runs, Figure, Runs};
use std::{fs, path::PathBuf};

/// Makes RESULTS.md and its plots of results.json.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The figures, as the benches write them, with runs.json beside
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    results: PathBuf,

    /// The text with places to fill in
    #[arg(long, value_name = "FILE", default_value = "benches/RESULTS.in.md")]
    text: PathBuf,

    /// The page; plots lie in its folder
    #[arg(long, value_name = "FILE", default_value = "benches/RESULTS.md")]
    out: PathBuf,
}

/// All that is known.
pub struct Results {
    figures: Vec<Figure>,
    runs: Runs,
}

impl Results {
    /// The first figure whose name begins like that.
    fn begins(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name.starts_with(name))
    }

    /// The figure of that name.
    fn named(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let results = Results { figures: figures(&cli.results)?, runs: runs(&cli.results)? };
    let text = fs::read_to_string(&cli.text).with_context(|| cli.text.display().to_string())?;
    let folder = cli.out.parent().context("the page has no folder")?;
    let page = page::fill(&text, &results, folder).with_context(|| cli.text.display().to_string())?;
    fs::write(&cli.out, page).with_context(|| cli.out.display().to_string())?;
    let met = results.figures.iter().filter_map(|figure| figure.met);
    let (met, missed): (Vec<bool>, Vec<bool>) = met.partition(|met| *met);
    println!("{}: {} targets met, {} missed", cli.out.display(), met.len(), missed.len());
    Ok(())
}
