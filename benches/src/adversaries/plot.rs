//! The plot: a map of all attacks, from green (harmless) to red (over the limit).

use crate::adversaries::{
    attacks::{Attack, Role},
    cell::{Cell, Stakes},
    chain::Rule,
    grid::{self, DEFAULT_AUDITS, DEFAULT_RULE, MAJORITY, MINORITY},
    report::{attacks, row_name, Results},
    row::MOST_ERROR,
    verdicts::MOST_INCOME,
};
use anyhow::{anyhow, Result};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::path::Path;

const SHARES: [u32; 6] = [10, 20, 30, 40, 50, MAJORITY];
/// Share of the attackers at which rules are compared, in per cent.
const COMPARED_AT: u32 = 40;

const WIDTH: i32 = 52;
const HEIGHT: i32 = 26;
const LEFT: i32 = 120;
const TOP: i32 = 84;
const GAP: i32 = 22;

/// Quantity in a column.
#[derive(Clone, Copy)]
enum Measure {
    Income,
    Error,
}

/// A column.
#[derive(Clone)]
struct Column {
    name: String,
    measure: Measure,
    share: u32,
    stakes: Stakes,
    rule: Rule,
    audits: u32,
}

/// A group of columns.
struct Group {
    title: [String; 2],
    columns: Vec<Column>,
}

fn groups() -> Vec<Group> {
    let column = |name: &str, measure, share| Column {
        name: name.to_owned(),
        measure,
        share,
        stakes: Stakes::Equal,
        rule: DEFAULT_RULE,
        audits: DEFAULT_AUDITS,
    };
    let by_share = |measure| SHARES.map(|share| column(&format!("{share}%"), measure, share)).to_vec();
    let both = |share, change: &dyn Fn(Column) -> Column| {
        [("income", Measure::Income), ("error", Measure::Error)]
            .map(|(name, measure)| change(column(name, measure, share)))
            .to_vec()
    };
    let short = |rule| match rule {
        Rule::WeightedMedian => "weighted",
        Rule::Median => "median",
        Rule::TrimmedMean => "trimmed",
        Rule::Mean => "mean",
    };
    let by_rule =
        Rule::ALL.map(|rule| Column { rule, ..column(short(rule), Measure::Error, COMPARED_AT) }).to_vec();
    vec![
        Group {
            title: ["Income of attackers".into(), "per duty, of an honest operator's".into()],
            columns: by_share(Measure::Income),
        },
        Group {
            title: ["Error of the consensus".into(), "of that without attackers".into()],
            columns: by_share(Measure::Error),
        },
        Group { title: ["Error by rule".into(), format!("attackers of {COMPARED_AT}%")], columns: by_rule },
        Group {
            title: ["Few accounts".into(), format!("attackers of {MINORITY}%")],
            columns: both(MINORITY, &|column| Column { stakes: Stakes::Few, ..column }),
        },
        Group {
            title: ["No audits".into(), format!("attackers of {MAJORITY}%")],
            columns: both(MAJORITY, &|column| Column { audits: 0, ..column }),
        },
    ]
}

/// Draws the plot.
pub fn write(results: &Results, path: &Path) -> Result<()> {
    let groups = groups();
    let columns: i32 = groups.iter().map(|group| group.columns.len() as i32).sum();
    let rows: Vec<(Role, Attack)> = attacks().collect();
    let width = LEFT + columns * WIDTH + groups.len() as i32 * GAP;
    let height = TOP + rows.len() as i32 * HEIGHT + GAP + 34;
    let root = SVGBackend::new(path, (width as u32, height as u32)).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw {}: {error}", path.display());
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    let write = |text: &str, at: (i32, i32), size: i32, horizontal: HPos, colour: RGBColor| {
        let style = TextStyle::from(("sans-serif", size).into_font())
            .color(&colour)
            .pos(Pos::new(horizontal, VPos::Center));
        root.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| failed(&error))
    };
    // Inference nodes stand a little apart.
    let top_of = |row: usize| {
        let is_node = rows.get(row).is_some_and(|(role, _)| *role == Role::InferenceNode);
        TOP + row as i32 * HEIGHT + if is_node { GAP / 2 } else { 0 }
    };
    for (row, (role, attack)) in rows.iter().enumerate() {
        write(&row_name(*role, *attack), (LEFT - 10, top_of(row) + HEIGHT / 2), 14, HPos::Right, BLACK)?;
    }
    let mut left = LEFT;
    for group in &groups {
        let middle = left + group.columns.len() as i32 * WIDTH / 2;
        let [title, subtitle] = &group.title;
        write(title, (middle, 20), 16, HPos::Center, BLACK)?;
        write(subtitle, (middle, 40), 12, HPos::Center, GREY)?;
        for Column { name, measure, share, stakes, rule, audits } in &group.columns {
            write(name, (left + WIDTH / 2, TOP - 14), 12, HPos::Center, BLACK)?;
            for (row, (role, attack)) in rows.iter().enumerate() {
                let cell = grid::cell(*role, *attack, *share);
                let cell = Cell { stakes: *stakes, rule: *rule, audits: *audits, ..cell };
                let value = results.row(cell).and_then(|row| match measure {
                    Measure::Income => row.income(),
                    Measure::Error => Some(row.error()),
                });
                let Some(value) = value else { continue };
                let top = top_of(row);
                let corners = [(left + 1, top + 1), (left + WIDTH - 1, top + HEIGHT - 1)];
                root.draw(&Rectangle::new(corners, colour(*measure, value).filled()))
                    .map_err(|error| failed(&error))?;
                write(&format!("{value:.2}"), (left + WIDTH / 2, top + HEIGHT / 2), 13, HPos::Center, BLACK)?;
            }
            left += WIDTH;
        }
        left += GAP;
    }
    let note = format!(
        "Red: above {MOST_INCOME} of an honest income, or {MOST_ERROR} times the error. Weighted median and audits of 2% of \
         requests unless it says otherwise. The lower four are inference nodes; few accounts: at the stake cap."
    );
    write(&note, (LEFT, height - 18), 12, HPos::Left, GREY)?;
    root.present().map_err(|error| failed(&error))
}

const GREY: RGBColor = RGBColor(90, 90, 90);

/// Green to white up to the limit, white to red above it.
fn colour(measure: Measure, value: f64) -> RGBColor {
    let (least, limit, most) = match measure {
        Measure::Income => (0.0, MOST_INCOME, 1.6),
        Measure::Error => (1.0, MOST_ERROR, 3.0),
    };
    let blend = |from: (f64, f64, f64), to: (f64, f64, f64), part: f64| {
        let part = part.clamp(0.0, 1.0);
        let mix = |a: f64, b: f64| (a + (b - a) * part).round() as u8;
        RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
    };
    if value <= limit {
        blend((140.0, 205.0, 160.0), (250.0, 250.0, 240.0), (value - least) / (limit - least))
    } else {
        blend((250.0, 205.0, 190.0), (225.0, 90.0, 80.0), (value - limit) / (most - limit))
    }
}
