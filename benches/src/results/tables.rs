//! Tables in Markdown, aligned in the source too.

use crate::results::Results;
use poq_benches::report::{number, Figure};
use std::collections::BTreeMap;

/// A table; columns whose heading begins with `>` are aligned to the right.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let right: Vec<bool> = heads.iter().map(|head| head.starts_with('>')).collect();
    let heads: Vec<String> = heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| cell.replace('|', "\\|")).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&heads]).filter_map(|row| row.get(column));
        cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).zip(&right).map(|((cell, width), right)| {
            let side = if *right { console::Alignment::Right } else { console::Alignment::Left };
            console::pad_str(cell, *width, side, None).into_owned()
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().zip(&right).map(|(width, right)| match right {
        true => "-".repeat(width.saturating_sub(1)) + ":",
        false => "-".repeat(*width),
    });
    let rule: Vec<String> = rule.collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{}{rows}", line(&heads), line(&rule))
}

/// All figures of a room, with date and commit. `None` for a room without figures.
pub fn room(results: &Results, room: &str) -> Option<String> {
    let rows: Vec<Vec<String>> =
        results.figures.iter().filter(|figure| figure.room() == room).map(row).collect();
    if rows.is_empty() {
        return None;
    }
    let heads = ["what", ">median", "unit", ">quartiles", "target", "met", ">ratio", "against"];
    let when =
        results.runs.get(room).map(|run| format!("\nMeasured on {} UTC, commit {}.\n", run.date, run.commit));
    Some(table(&heads, &rows) + &when.unwrap_or_default())
}

fn row(figure: &Figure) -> Vec<String> {
    vec![
        figure.what().to_owned(),
        number(figure.value),
        figure.unit.clone(),
        figure.spread.map(|[from, to]| format!("{} to {}", number(from), number(to))).unwrap_or_default(),
        figure.target.clone().unwrap_or_default(),
        verdict(figure).unwrap_or_default(),
        figure.ratio.map(number).unwrap_or_default(),
        figure.compared_with.clone().unwrap_or_default(),
    ]
}

/// "met", or the per cent of the target by which it was missed.
pub fn verdict(figure: &Figure) -> Option<String> {
    if figure.met? {
        return Some("met".to_owned());
    }
    let target = figure.target.as_deref()?.trim_start_matches(['<', '>', '=', ' ']);
    let digits = target.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(target.len());
    let bound: f64 = target.get(..digits)?.parse().ok()?;
    let is = if target.ends_with('x') { figure.ratio? } else { figure.value };
    Some(format!("missed by {:.0}%", (is / bound - 1.0).abs() * 100.0))
}

/// The machines, each once, followed by the versions.
pub fn runs(results: &Results) -> String {
    let mut machines: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut versions: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (room, run) in &results.runs {
        let machine = format!("{}, {} cores, {} GiB, {}", run.processor, run.cores, run.memory, run.kernel);
        machines.entry(machine).or_default().push(room);
        for (program, version) in &run.versions {
            versions.entry((program, version)).or_default().push(room);
        }
    }
    let all = results.runs.len();
    // Rooms are named only where they differ.
    let of = |rooms: &[&str]| if rooms.len() == all { "all".to_owned() } else { rooms.join(", ") };
    let machines = machines.iter().map(|(machine, rooms)| ("machine", machine.as_str(), rooms));
    let versions = versions.iter().map(|((program, version), rooms)| (*program, *version, rooms));
    let rows = machines
        .chain(versions)
        .map(|(what, which, rooms)| vec![what.to_owned(), which.to_owned(), of(rooms)]);
    table(&["", "", "rooms"], &rows.collect::<Vec<_>>())
}
