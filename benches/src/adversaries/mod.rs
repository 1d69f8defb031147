//! `poq-bench adversaries`: attacks on the pallet, played in a runtime of its own with the truth known. See the README for the
//! result.

mod attacks;
mod books;
mod cell;
mod chain;
mod climb;
mod game;
mod grid;
mod lineup;
mod moves;
mod player;
mod plot;
mod purse;
mod report;
mod requester;
mod row;
mod verdicts;
mod world;

use anyhow::{Context, Result};
use cell::{Cell, Played, Stakes};
use grid::DEFAULT_AUDITS;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use report::Results;
use std::{fs, path::PathBuf};

/// Options of `poq-bench adversaries`.
#[derive(clap::Args)]
pub struct Args {
    /// Play the small grid: shorter games, two shares, the default rule
    #[arg(long)]
    quick: bool,
    /// Seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests in each cell [default: 5000, in the small grid 1000]
    #[arg(long)]
    rounds: Option<u64>,
    /// Folder for results.csv, ranking.csv and their plots
    #[arg(long, default_value = "benches/adversaries")]
    out: PathBuf,
}

/// Requests in a cell of the full grid.
const ENOUGH: u64 = 5_000;

/// Worlds besides the first in which a colluding majority and a minority of conditional liars are played.
const OTHER_SEEDS: u64 = 4;

/// Plays, prints the tables and verdicts, and writes the results.
pub fn run(args: &Args) -> Result<()> {
    let rounds = args.rounds.unwrap_or(if args.quick { 1_000 } else { ENOUGH });
    let cells = if args.quick { grid::quick() } else { grid::full() };
    let results = play(&cells, args.seed, rounds)?;

    println!("{}\n\n{}\n", report::legend(rounds), results.table(Stakes::Equal));
    println!("{}\n", results.table(Stakes::Few));
    println!("{}\n\n{}\n", report::LEGEND_OF_REQUESTERS, results.table_of_requesters());
    println!("{}\n\n{}\n", climb::LEGEND, climb::table(&results));
    for verdict in results.verdicts() {
        verdict.print();
    }
    let losses = results.losses();
    if !losses.is_empty() {
        println!("\nOver a limit, under the default rule and audits:\n{losses}");
    }
    if rounds < ENOUGH {
        println!("Games of fewer than {ENOUGH} requests are too short for verdicts that count.\n");
    }
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let (csv, svg) = (args.out.join("results.csv"), args.out.join("results.svg"));
    results.write_csv(&csv)?;
    plot::write(&results, &svg)?;
    println!("{}\n{}", csv.display(), svg.display());
    let (csv, svg) = (args.out.join("ranking.csv"), args.out.join("ranking.svg"));
    climb::write_csv(&results, &csv)?;
    climb::draw(&results, &svg)?;
    println!("{}\n{}", csv.display(), svg.display());
    Ok(())
}

/// Plays all cells, one on each thread at a time: what a cell comes to does not depend on how many threads there are.
fn play(cells: &[Cell], seed: u64, rounds: u64) -> Result<Results> {
    let majority = grid::majority(DEFAULT_AUDITS);
    let others = (1..=OTHER_SEEDS).flat_map(|other| {
        [majority, majority.baseline(), grid::liars()]
            .map(|cell| (cell, seed.wrapping_add(other.wrapping_mul(1_000_003))))
    });
    let games: Vec<(Cell, u64)> = cells.iter().map(|cell| (*cell, seed)).chain(others).collect();

    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} cells, {eta} left")?;
    let progress = ProgressBar::new(games.len() as u64).with_style(style);
    let mut played: Vec<Played> = games
        .par_iter()
        .map(|(cell, seed)| {
            let played = cell::play(*cell, *seed, rounds).with_context(|| format!("{cell:?}, seed {seed}"));
            progress.inc(1);
            played
        })
        .collect::<Result<_>>()?;
    progress.finish_and_clear();

    let others = played.split_off(cells.len());
    let others = others.chunks_exact(3).filter_map(|pair| match pair {
        [majority, baseline, liars] => Some([majority.clone(), baseline.clone(), liars.clone()]),
        _ => None,
    });
    Ok(Results::new(rounds, played, others.collect()))
}
