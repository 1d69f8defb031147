//! What the cells show: rows of the CSV, tables, verdicts and the plot.

use crate::{
    attacks::{Attack, Role},
    cell::{Cell, Played, WINDOWS},
    chain::{SHARE, STAKE},
    grid::{self, DEFAULT_AUDITS, DEFAULT_RULE, MINORITY},
};
use anyhow::{Context, Result};
use comfy_table::{presets, Cell as TableCell, CellAlignment, Table};
use console::style;
use std::{collections::HashMap, fmt::Write as _, path::Path};

/// Most income of an attacker, of an honest operator's.
pub const MOST_INCOME: f64 = 0.8;
/// Most error under an attack, of that without one.
pub const MOST_ERROR: f64 = 1.5;
/// Most income of a lazy quality validator.
const MOST_LAZY_INCOME: f64 = 0.7;
/// Least rank correlation of quality and income.
const LEAST_RANK: f64 = 0.95;

/// All that was played.
pub struct Results {
    rounds: u64,
    played: Vec<Played>,
    places: HashMap<Cell, usize>,
    /// A colluding majority under audits with its baseline, in other worlds.
    others: Vec<(Played, Played)>,
}

/// A cell beside its run without attackers.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub played: &'a Played,
    baseline: &'a Played,
}

impl Row<'_> {
    /// Income per duty of an attacker, of an honest operator's; none where nobody attacks.
    pub fn income(&self) -> Option<f64> {
        (self.played.cell.share > 0).then(|| self.played.attackers.income() / self.played.honest.income())
    }

    /// The same before slashes.
    fn pay(&self) -> Option<f64> {
        (self.played.cell.share > 0).then(|| self.played.attackers.pay() / self.played.honest.pay())
    }

    /// Error, of that without attackers.
    pub fn error(&self) -> f64 {
        self.played.error / self.baseline.error
    }

    /// The last window whose error was too large, counted from 1; 0 if there was none.
    fn last_bad_window(&self) -> u64 {
        let is_bad = |error: &f64| *error > MOST_ERROR * self.baseline.error;
        self.played.errors.iter().rposition(is_bad).map_or(0, |place| place as u64 + 1)
    }

    /// The error in the last window, of that without attackers.
    fn last_error(&self) -> f64 {
        self.played.errors.last().copied().unwrap_or(f64::NAN) / self.baseline.error
    }
}

/// Whether a claim holds, and by which figures.
pub struct Verdict {
    claim: &'static str,
    holds: bool,
    figures: String,
}

impl Results {
    pub fn new(rounds: u64, played: Vec<Played>, others: Vec<(Played, Played)>) -> Self {
        let places = played.iter().enumerate().map(|(place, played)| (played.cell, place)).collect();
        Self { rounds, played, places, others }
    }

    fn played(&self, cell: Cell) -> Option<&Played> {
        self.places.get(&cell).and_then(|place| self.played.get(*place))
    }

    /// The row of a cell, if it was played.
    pub fn row(&self, cell: Cell) -> Option<Row<'_>> {
        Some(Row { played: self.played(cell)?, baseline: self.played(cell.baseline())? })
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.played.iter().filter_map(|played| self.row(played.cell))
    }

    /// Rows with attackers under the default rule and audits.
    fn defaults(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows().filter(|row| {
            let cell = row.played.cell;
            cell.rule == DEFAULT_RULE && cell.audits == DEFAULT_AUDITS && cell.share > 0
        })
    }

    /// Writes one row for each cell.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut csv =
            csv::Writer::from_path(path).with_context(|| format!("cannot write {}", path.display()))?;
        csv.write_record(["role", "attack", "share", "aggregator", "audits", "income_ratio", "error_ratio"])?;
        for row in self.rows() {
            let cell = row.played.cell;
            csv.write_record([
                cell.role.name(),
                cell.attack.name(),
                &(f64::from(cell.share) / 100.0).to_string(),
                cell.rule.name(),
                &(f64::from(cell.audits) / 1_000.0).to_string(),
                &row.income().map(|income| format!("{income:.3}")).unwrap_or_default(),
                &format!("{:.3}", row.error()),
            ])?;
        }
        csv.flush().context("cannot write the results")
    }

    /// The defaults as a table: income and error by attack and share.
    pub fn table(&self) -> String {
        let mut shares: Vec<u32> = self.defaults().map(|row| row.played.cell.share).collect();
        shares.sort_unstable();
        shares.dedup();
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let mut header = vec![TableCell::new("income, error with attackers of")];
        header.extend(
            shares
                .iter()
                .map(|share| TableCell::new(format!("{share}%")).set_alignment(CellAlignment::Right)),
        );
        table.set_header(header);
        for (role, attack) in attacks() {
            let mut line = vec![TableCell::new(attack.name())];
            line.extend(shares.iter().map(|share| {
                let cell = Cell { role, attack, share: *share, rule: DEFAULT_RULE, audits: DEFAULT_AUDITS };
                let text = self.row(cell).map_or_else(String::new, |row| {
                    format!("{:.2} {:.2}", row.income().unwrap_or(f64::NAN), row.error())
                });
                TableCell::new(text).set_alignment(CellAlignment::Right)
            }));
            table.add_row(line);
        }
        table.to_string()
    }

    /// What was to be shown, and whether it was.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = vec![self.minority()];
        verdicts.extend([self.lazy(), self.copycat(), self.rank(), self.audited_majority()]);
        verdicts.push(self.unaudited_majority());
        verdicts
    }

    fn minority(&self) -> Verdict {
        let rows: Vec<Row<'_>> = self.defaults().filter(|row| row.played.cell.share <= MINORITY).collect();
        let income = highest(&rows, |row| row.income().unwrap_or(0.0));
        let pay = highest(&rows, |row| row.pay().unwrap_or(0.0));
        let error = highest(&rows, |row| row.error());
        Verdict {
            claim: "up to 30% of the stake, an attacker earns at most 0.8 and the error stays within 1.5",
            holds: income.0 <= MOST_INCOME && error.0 <= MOST_ERROR && pay.0 <= MOST_INCOME,
            figures: format!(
                "most income {}, before slashes {}; most error {}",
                said(&income),
                said(&pay),
                said(&error)
            ),
        }
    }

    fn lazy(&self) -> Verdict {
        let of = |most: u32| -> Vec<Row<'_>> {
            let is_lazy = |row: &Row<'_>| Attack::LAZY.contains(&row.played.cell.attack);
            self.defaults().filter(is_lazy).filter(|row| row.played.cell.share <= most).collect()
        };
        let pay = |row: &Row<'_>| row.pay().unwrap_or(0.0);
        let (minority, all) = (highest(&of(MINORITY), pay), highest(&of(100), pay));
        Verdict {
            claim: "up to 30% of the stake, lazy quality validators earn at most 0.7 (before slashes)",
            holds: minority.0 <= MOST_LAZY_INCOME,
            figures: format!("most {}; at any share {}", said(&minority), said(&all)),
        }
    }

    fn copycat(&self) -> Verdict {
        let is_copycat = |row: &Row<'_>| row.played.cell.attack == Attack::Copycat;
        let rows: Vec<Row<'_>> =
            self.defaults().filter(is_copycat).filter(|row| row.played.cell.share <= MINORITY).collect();
        let pay = highest(&rows, |row| row.pay().unwrap_or(0.0));
        Verdict {
            claim: "a copycat, who finds only old scores to copy, is paid like one who is lazy (at most 0.7)",
            holds: pay.0 <= MOST_LAZY_INCOME,
            figures: format!("most {}", said(&pay)),
        }
    }

    fn rank(&self) -> Verdict {
        let cell = grid::majority(DEFAULT_AUDITS).baseline();
        let own = self.played(cell).map_or(f64::NAN, |played| played.rank);
        let mut others = String::new();
        for (_, baseline) in &self.others {
            // Writing to a string cannot fail.
            let _ = write!(others, " {:.3}", baseline.rank);
        }
        Verdict {
            claim: "the rank correlation of quality and income over 20 inference nodes is at least 0.95",
            holds: own >= LEAST_RANK,
            figures: format!("{own:.3}; with other seeds{others}"),
        }
    }

    fn audited_majority(&self) -> Verdict {
        let own = self.row(grid::majority(DEFAULT_AUDITS));
        let others = self.others.iter().map(|(played, baseline)| Row { played, baseline });
        let mut holds = own.is_some();
        let mut figures = String::new();
        for row in own.into_iter().chain(others) {
            let (attackers, honest) = (&row.played.attackers, &row.played.honest);
            holds &= attackers.won < honest.won
                && attackers.trust < honest.trust
                && attackers.stake < honest.stake
                && row.last_error() <= MOST_ERROR;
            let recovered = match row.last_bad_window() {
                0 => "was never led astray".to_owned(),
                WINDOWS => "had not recovered at the end".to_owned(),
                window => format!("recovered after {} requests", window * self.rounds / WINDOWS),
            };
            let _ = write!(
                figures,
                "\n     won {:.0} duties' pay against {:.0}, trust {:.3} against {:.3}, stake left {:.2} against {:.2}, \
                 income {:.2} (before slashes {:.2}); the consensus {recovered}, error {:.2} in all and {:.2} at the end",
                attackers.won,
                honest.won,
                attackers.trust,
                honest.trust,
                attackers.stake,
                honest.stake,
                row.income().unwrap_or(f64::NAN),
                row.pay().unwrap_or(f64::NAN),
                row.error(),
                row.last_error(),
            );
        }
        Verdict {
            claim: "with audits of 2% of requests, a colluding majority of 60% loses trust and stake instead of winning",
            holds,
            figures: format!("each seed:{figures}"),
        }
    }

    fn unaudited_majority(&self) -> Verdict {
        let row = self.row(grid::majority(0));
        let figures = row.map_or_else(String::new, |row| {
            format!(
                "income {:.2}, error {:.2}, stake left {:.2}",
                row.income().unwrap_or(f64::NAN),
                row.error(),
                row.played.attackers.stake
            )
        });
        Verdict {
            claim: "without audits it wins, as the README says",
            holds: row.is_some_and(|row| row.income().is_some_and(|income| income > 1.0)),
            figures,
        }
    }

    /// Where the protocol loses, although nothing was promised there.
    pub fn losses(&self) -> String {
        let mut losses = String::new();
        for row in self.defaults() {
            let income = row.income().unwrap_or(0.0);
            if income > MOST_INCOME || row.error() > MOST_ERROR {
                let cell = row.played.cell;
                let _ = writeln!(
                    losses,
                    "     {} at {}%: income {income:.2}, error {:.2}",
                    cell.attack.name(),
                    cell.share,
                    row.error()
                );
            }
        }
        losses
    }
}

impl Verdict {
    pub fn print(&self) {
        let word = if self.holds { style("PASS").green() } else { style("FAIL").red().bold() };
        println!("{word} {}\n     {}", self.claim, self.figures);
    }
}

/// What the figures are in.
pub fn legend(rounds: u64) -> String {
    format!(
        "{rounds} requests in each cell; 20 inference nodes and 20 quality validators, a stake of {} perfect duties each. \
         Income is per duty,\npayments and compensation less slashes, of an honest operator's in the same run; the error is \
         the mean distance of the consensus from the\ntruth, of that without attackers.",
        STAKE / SHARE
    )
}

/// All attacks with who does them.
pub fn attacks() -> impl Iterator<Item = (Role, Attack)> {
    let validators = Attack::OF_VALIDATORS.into_iter().map(|attack| (Role::QualityValidator, attack));
    validators.chain(Attack::OF_NODES.into_iter().map(|attack| (Role::InferenceNode, attack)))
}

/// The highest value, with the cell that has it.
fn highest(rows: &[Row<'_>], value: impl Fn(&Row<'_>) -> f64) -> (f64, Option<Cell>) {
    rows.iter()
        .map(|row| (value(row), Some(row.played.cell)))
        .reduce(|most, next| if next.0 > most.0 { next } else { most })
        .unwrap_or((f64::NAN, None))
}

fn said((value, cell): &(f64, Option<Cell>)) -> String {
    let of = cell.map_or_else(String::new, |cell| format!(" ({} at {}%)", cell.attack.name(), cell.share));
    format!("{value:.2}{of}")
}
