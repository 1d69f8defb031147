//! The verdicts: claims, and whether they hold.

use crate::adversaries::{
    attacks::{Attack, Role},
    cell::{Cell, Stakes, WINDOWS},
    climb,
    grid::{self, DEFAULT_AUDITS, MINORITY},
    report::{said_of, Results},
    row::{Row, MOST_ERROR},
};
use console::style;
use std::fmt::Write as _;

/// Limit of an attacker's income, as a ratio to an honest operator's.
pub const MOST_INCOME: f64 = 0.8;
/// Most income of a lazy quality validator.
const MOST_LAZY_INCOME: f64 = 0.7;
/// Least rank correlation of quality and income.
const LEAST_RANK: f64 = 0.95;
/// Least cost of a requester's attack, as a ratio to the honest price. Below 1 by a margin for chance.
const LEAST_COST: f64 = 0.98;
/// Least income per duty of honest operators under a requester's attack, as a ratio to that without it.
const LEAST_HONEST_INCOME: f64 = 0.9;

/// Whether a claim holds, and by which figures.
pub struct Verdict {
    pub claim: &'static str,
    pub holds: bool,
    pub figures: String,
}

impl Verdict {
    pub fn print(&self) {
        let word = if self.holds { style("PASS").green() } else { style("FAIL").red().bold() };
        println!("{word} {}\n     {}", self.claim, self.figures);
    }
}

impl Results {
    pub fn verdicts(&self) -> Vec<Verdict> {
        vec![
            self.minority(
                Stakes::Equal,
                "up to 30% of the stake, an attacker that does not wait for a majority of friends earns at most 0.8 over all its duties and the error stays within 1.5",
            ),
            self.minority(Stakes::Few, "the same where the attackers' stake stands in few accounts at the cap"),
            self.liars(),
            self.folders(),
            self.lazy(),
            self.copycat(),
            self.rank(),
            self.audited_majority(),
            self.unaudited_majority(),
            self.requesters_gain(),
            self.requesters_harm(),
            self.squatters(),
            climb::verdict(self),
        ]
    }

    fn minority(&self, stakes: Stakes, claim: &'static str) -> Verdict {
        // A conditional liar is honest wherever its friends are no majority: what it earns says how seldom that is, see `liars`.
        let is_of = |row: &Row<'_>| {
            let cell = row.played.cell;
            cell.stakes == stakes && cell.share <= MINORITY && cell.attack != Attack::ConditionalLiar
        };
        let rows: Vec<Row<'_>> = self.defaults().filter(is_of).collect();
        let income = highest(&rows, |row| row.income().unwrap_or(0.0));
        let attacked = highest(&rows, |row| row.attacked_income().unwrap_or(0.0));
        let error = highest(&rows, |row| row.error());
        Verdict {
            claim,
            holds: income.0 <= MOST_INCOME && error.0 <= MOST_ERROR,
            figures: format!(
                "most income {}, where the attack is at work {}; most error {}",
                said(&income),
                said(&attacked),
                said(&error)
            ),
        }
    }

    fn liars(&self) -> Verdict {
        let others = self.others.iter().map(|[_, baseline, played]| Row { played, baseline });
        let rows: Vec<Row<'_>> = self.row(grid::liars()).into_iter().chain(others).collect();
        let incomes: Vec<f64> = rows.iter().filter_map(|row| row.income()).collect();
        let mean = incomes.iter().sum::<f64>() / incomes.len() as f64;
        let error = highest(&rows, |row| row.error()).0;
        let each: String = incomes.iter().map(|income| format!(" {income:.2}")).collect();
        Verdict {
            claim: "conditional liars with 30% of the stake, whom few audits catch, earn at most 0.8 in the mean of all seeds",
            holds: mean <= MOST_INCOME && error <= MOST_ERROR,
            figures: format!("mean {mean:.2}; each seed{each}; most error {error:.2}"),
        }
    }

    fn folders(&self) -> Verdict {
        let (mut holds, mut figures) = (true, String::new());
        for (role, bold) in
            [(Role::QualityValidator, Attack::LazyPrior), (Role::InferenceNode, Attack::CheapModel)]
        {
            for row in self.defaults() {
                let cell = row.played.cell;
                if (cell.role, cell.attack) != (role, Attack::Folder) {
                    continue;
                }
                let other = self.row(Cell { attack: bold, ..cell }).and_then(|row| row.income());
                let (own, other) = (row.income().unwrap_or(f64::NAN), other.unwrap_or(f64::NAN));
                holds &= own < other;
                let _ = write!(figures, "\n     {}: {own:.2} against {other:.2}", said_of(cell));
            }
        }
        Verdict {
            claim: "who folds earns less than who reveals the same work",
            holds: holds && !figures.is_empty(),
            figures: format!("income of a folder, of who does not fold:{figures}"),
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
        for [_, baseline, _] in &self.others {
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
        let others = self.others.iter().map(|[played, baseline, _]| Row { played, baseline });
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

    fn requesters_gain(&self) -> Verdict {
        let (mut holds, mut figures) = (true, String::new());
        for row in self.requesters() {
            let (cost, price) = (row.cost(), row.honest_price());
            holds &= cost >= LEAST_COST * price;
            let name = row.played.cell.attack.name();
            let _ = match price > 0.01 * cost {
                true => write!(figures, " {name} {:.2};", cost / price),
                false => write!(figures, " {name} {:.3} for nothing;", cost / row.purchase().requests as f64),
            };
        }
        Verdict {
            claim:
                "no attack by asking leaves a requester richer than honest requests of the same work would",
            holds: holds && !figures.is_empty(),
            figures: format!("cost, of what the work costs an honest requester:{figures}"),
        }
    }

    fn requesters_harm(&self) -> Verdict {
        let (mut holds, mut figures) = (true, String::new());
        for row in self.requesters() {
            let [nodes, validators] = row.honest_income();
            holds &= nodes.min(validators) >= LEAST_HONEST_INCOME;
            let _ = write!(figures, " {} {nodes:.2}, {validators:.2};", row.played.cell.attack.name());
        }
        Verdict {
            claim: "no attack by asking lowers the income per duty of honest operators by more than 10%",
            holds: holds && !figures.is_empty(),
            figures: format!("honest inference nodes, quality validators:{figures}"),
        }
    }

    fn squatters(&self) -> Verdict {
        let held =
            |cell| self.played(cell).map(|played| (played.places, played.attackers.won, played.honest.won));
        let (idle, working) = (held(grid::squatter()), held(grid::squatter().baseline()));
        let mut figures = String::new();
        for (who, held) in [("who do no work", idle), ("who work", working)] {
            if let Some(([own, others], won, honest)) = held {
                let _ = write!(
                    figures,
                    "\n     squatters {who} hold {own} of 20 places, newcomers {others}; on average they won {won:.1} shares, newcomers {honest:.1}"
                );
            }
        }
        Verdict {
            claim: "squatters with the least stake who do no work lose their places to twelve newcomers with twice the stake",
            holds: idle.is_some_and(|([_, others], ..)| others == 12),
            figures: format!("at the end:{figures}"),
        }
    }
}

/// The highest value, with the cell that has it.
fn highest(rows: &[Row<'_>], value: impl Fn(&Row<'_>) -> f64) -> (f64, Option<Cell>) {
    rows.iter()
        .map(|row| (value(row), Some(row.played.cell)))
        .reduce(|most, next| if next.0 > most.0 { next } else { most })
        .unwrap_or((f64::NAN, None))
}

fn said((value, cell): &(f64, Option<Cell>)) -> String {
    let of = cell.map_or_else(String::new, |cell| format!(" ({})", said_of(cell)));
    format!("{value:.2}{of}")
}
