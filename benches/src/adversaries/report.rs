//! Rows of the CSV, and tables.

use crate::adversaries::{
    attacks::{Attack, Role},
    cell::{Cell, Played, Stakes},
    chain::{MIN_STAKE, PARAMETERS, SHARE, STAKE},
    grid::{self, DEFAULT_AUDITS, DEFAULT_RULE},
    row::{Row, MOST_ERROR},
    verdicts::MOST_INCOME,
};
use anyhow::{Context, Result};
use comfy_table::{presets, Cell as TableCell, CellAlignment, Table};
use std::{collections::HashMap, fmt::Write as _, path::Path};

/// Results of all cells.
pub struct Results {
    pub rounds: u64,
    played: Vec<Played>,
    places: HashMap<Cell, usize>,
    /// In other worlds: a colluding majority under audits, nobody attacking, and a minority of conditional liars.
    pub others: Vec<[Played; 3]>,
}

impl Results {
    pub fn new(rounds: u64, played: Vec<Played>, others: Vec<[Played; 3]>) -> Self {
        let places = played.iter().enumerate().map(|(place, played)| (played.cell, place)).collect();
        Self { rounds, played, places, others }
    }

    pub fn played(&self, cell: Cell) -> Option<&Played> {
        self.places.get(&cell).and_then(|place| self.played.get(*place))
    }

    /// The row of a cell, if it was played.
    pub fn row(&self, cell: Cell) -> Option<Row<'_>> {
        Some(Row { played: self.played(cell)?, baseline: self.played(cell.baseline())? })
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.played.iter().filter_map(|played| self.row(played.cell))
    }

    /// Rows of operators' attacks under the default rule and audits.
    pub fn defaults(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows().filter(|row| {
            let cell = row.played.cell;
            let is_default = cell.rule == DEFAULT_RULE && cell.audits == DEFAULT_AUDITS;
            is_default && !cell.is_idle && cell.role != Role::Requester && cell.attack != Attack::Squatter
        })
    }

    /// Rows of requesters' attacks.
    pub fn requesters(&self) -> impl Iterator<Item = Row<'_>> {
        grid::of_requesters().into_iter().filter_map(|cell| self.row(cell))
    }

    /// Writes one row for each cell.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut csv =
            csv::Writer::from_path(path).with_context(|| format!("cannot write {}", path.display()))?;
        csv.write_record([
            "role",
            "attack",
            "share",
            "stakes",
            "aggregator",
            "audits",
            "income_ratio",
            "attacked_income_ratio",
            "error_ratio",
            "cost_ratio",
            "honest_nodes_ratio",
            "honest_validators_ratio",
        ])?;
        for row in self.rows() {
            let cell = row.played.cell;
            // Where an attacker owns all operators of a kind, no honest one has an income.
            let number = |value: Option<f64>| {
                let finite = value.filter(|value| value.is_finite());
                finite.map(|value| format!("{value:.3}")).unwrap_or_default()
            };
            let [nodes, validators] = row.honest_income();
            let is_asking = cell.role == Role::Requester && !cell.is_idle;
            let cost = (is_asking && row.honest_price() > 0.0).then(|| row.cost() / row.honest_price());
            csv.write_record([
                cell.role.name(),
                &if cell.is_idle && cell.attack != Attack::Honest {
                    format!("no-{}", cell.attack.name())
                } else {
                    cell.attack.name().to_owned()
                },
                &(f64::from(cell.share) / 100.0).to_string(),
                cell.stakes.name(),
                cell.rule.name(),
                &(f64::from(cell.audits) / 1_000.0).to_string(),
                &number(row.income()),
                &number(row.attacked_income()),
                &number(Some(row.error())),
                &number(cost),
                &number(Some(nodes)),
                &number(Some(validators)),
            ])?;
        }
        csv.flush().context("cannot write the results")
    }

    /// The defaults as a table: income and error by attack and share.
    pub fn table(&self, stakes: Stakes) -> String {
        let mut shares: Vec<u32> = self
            .defaults()
            .map(|row| row.played.cell)
            .filter(|cell| cell.stakes == stakes)
            .map(|c| c.share)
            .collect();
        shares.sort_unstable();
        shares.dedup();
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let mut header = vec![TableCell::new(match stakes {
            Stakes::Equal => "income, error with attackers of",
            Stakes::Few => "the same in few accounts at the cap",
        })];
        header.extend(shares.iter().map(|share| right(format!("{share}%"))));
        table.set_header(header);
        for (role, attack) in attacks() {
            let cell = |share: &u32| Cell { stakes, ..grid::cell(role, attack, *share) };
            if !shares.iter().any(|share| self.played(cell(share)).is_some()) {
                continue;
            }
            let mut line = vec![TableCell::new(row_name(role, attack))];
            line.extend(shares.iter().map(|share| {
                let text = self.row(cell(share)).map_or_else(String::new, |row| {
                    let income = row.income().unwrap_or(f64::NAN);
                    // Income while the attack is at work, for attacks that are not always at work.
                    let attacked = match (cell(share).is_partial(), row.attacked_income()) {
                        (true, Some(attacked)) => format!(" ({attacked:.2})"),
                        _ => String::new(),
                    };
                    format!("{income:.2}{attacked} {:.2}", row.error())
                });
                right(text)
            }));
            table.add_row(line);
        }
        table.to_string()
    }

    /// A table of requesters' attacks: costs, and the harm to honest operators.
    pub fn table_of_requesters(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(
            ["requester", "cost", "an honest one's", "own income", "nodes", "validators", "honest settled"]
                .map(TableCell::new),
        );
        for row in self.requesters() {
            let requests = row.purchase().requests.max(1) as f64;
            let own = row.played.attackers.all.net() - row.baseline.attackers.all.net();
            let ([nodes, validators], [with, without]) = (row.honest_income(), row.served());
            let mut line = vec![TableCell::new(row.played.cell.attack.name())];
            line.extend(
                [
                    format!("{:.3}", row.cost() / requests),
                    format!("{:.3}", row.honest_price() / requests),
                    format!("{:+.3}", own / requests),
                    format!("{nodes:.3}"),
                    format!("{validators:.3}"),
                    format!("{:.0}% of {:.0}%", with * 100.0, without * 100.0),
                ]
                .map(right),
            );
            table.add_row(line);
        }
        table.to_string()
    }

    /// Losses of the protocol in cells without a claim.
    pub fn losses(&self) -> String {
        let mut losses = String::new();
        for row in self.defaults() {
            let income = row.income().unwrap_or(0.0);
            if income > MOST_INCOME || row.error() > MOST_ERROR {
                let _ = writeln!(
                    losses,
                    "     {}: income {income:.2}, error {:.2}",
                    said_of(row.played.cell),
                    row.error()
                );
            }
        }
        losses
    }
}

fn right(text: String) -> TableCell {
    TableCell::new(text).set_alignment(CellAlignment::Right)
}

/// The name of an attack, with its role where another has an attack of that name.
pub fn row_name(role: Role, attack: Attack) -> String {
    match (role, attack) {
        (Role::InferenceNode, Attack::Folder) => "folder (node)".into(),
        _ => attack.name().into(),
    }
}

/// A cell in a few words.
pub fn said_of(cell: Cell) -> String {
    let few = if cell.stakes == Stakes::Few { " in few accounts" } else { "" };
    format!("{} at {}%{few}", row_name(cell.role, cell.attack), cell.share)
}

/// Units and meaning of the figures.
pub fn legend(rounds: u64) -> String {
    format!(
        "{rounds} requests in each cell; 20 inference nodes and 20 quality validators, a stake of {} perfect duties each; or, in few \
         accounts, attackers\nwith {} duties each among honest operators with {} each. Income is per duty over all duties, payments and \
         compensation less slashes, of an honest\noperator's in the same run (in brackets: over those duties alone in which the attack is at \
         work); the error is the mean distance of the consensus\nfrom the truth, of that without attackers.",
        STAKE / SHARE,
        MIN_STAKE / SHARE * u128::from(PARAMETERS.stake_cap),
        MIN_STAKE / SHARE,
    )
}

/// Units and meaning of the figures of requesters.
pub const LEGEND_OF_REQUESTERS: &str =
    "In shares for each of the attacker's requests: what it cost, own operators included; what honest requests would have paid for the same\n\
     answers and scores; what own operators earned more than without the attack. Then income per duty of honest operators, and the part of honest\n\
     requests that was settled, with and without the attack.";

/// All attacks of operators, with their roles.
pub fn attacks() -> impl Iterator<Item = (Role, Attack)> {
    let validators = Attack::OF_VALIDATORS.into_iter().map(|attack| (Role::QualityValidator, attack));
    validators.chain(Attack::OF_NODES.into_iter().map(|attack| (Role::InferenceNode, attack)))
}
