//! The text with its placeholders filled in.
//!
//! A line that holds nothing else: `<!-- targets -->` the table of targets, `<!-- runs -->` machine and versions,
//! `<!-- room NAME -->` all figures of a room, `<!-- plot NAME -->` a plot, `<!-- picture FILE TITLE -->` one that a bench has
//! drawn. Within a line: `[[value NAME]]`, `[[ratio NAME]]`,
//! NAME that of a figure, and `[[times NUMBER NAME]]`, how often the figure goes into the number, which is given in the
//! figure's unit.

use crate::results::{charts, tables, targets, Results};
use anyhow::{bail, Context as _};
use poq_benches::report::number;
use std::path::Path;

/// Text in the place of a missing figure.
const NOT_MEASURED: &str = "(not measured)";

/// The page. Plots are written into `folder`. An unknown placeholder is an error; missing figures are not.
pub fn fill(text: &str, results: &Results, folder: &Path) -> anyhow::Result<String> {
    let mut page = String::from("<!-- Made by `make bench` of RESULTS.in.md; change that one. -->\n\n");
    for (at, line) in text.lines().enumerate() {
        let filled = match line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) {
            Some(place) => block(place, results, folder),
            None => inline(line, results),
        };
        page += filled.with_context(|| format!("line {}", at.saturating_add(1)))?.trim_end();
        page.push('\n');
    }
    Ok(page)
}

fn block(place: &str, results: &Results, folder: &Path) -> anyhow::Result<String> {
    match place.split_once(' ').unwrap_or((place, "")) {
        ("targets", "") => Ok(targets::table(results)),
        ("runs", "") => Ok(tables::runs(results)),
        ("room", room) => Ok(tables::room(results, room).unwrap_or_else(|| NOT_MEASURED.to_owned())),
        ("picture", picture) => {
            let (file, title) = picture.split_once(' ').context("a picture is a file and a title")?;
            let there = folder.join(file).exists();
            Ok(if there { format!("![{title}]({file})") } else { NOT_MEASURED.to_owned() })
        }
        ("plot", name) => {
            let file = format!("{name}.svg");
            let title = charts::draw(name, results, &folder.join(&file))?;
            Ok(title.map_or_else(|| NOT_MEASURED.to_owned(), |title| format!("![{title}]({file})")))
        }
        _ => bail!("nobody knows <!-- {place} -->"),
    }
}

fn inline(line: &str, results: &Results) -> anyhow::Result<String> {
    let mut filled = String::new();
    let mut rest = line;
    while let Some((before, place)) = rest.split_once("[[") {
        let (place, after) = place.split_once("]]").context("[[ without ]]")?;
        filled += before;
        filled += &figure(place, results)?;
        rest = after;
    }
    Ok(filled + rest)
}

fn figure(place: &str, results: &Results) -> anyhow::Result<String> {
    let (what, name) = place.split_once(' ').with_context(|| format!("[[{place}]] names no figure"))?;
    let (other, name) = match what {
        "times" => name.split_once(' ').map(|(number, name)| (number.parse::<f64>().ok(), name)),
        _ => Some((None, name)),
    }
    .with_context(|| format!("[[{place}]] names no figure"))?;
    let Some(figure) = results.named(name) else { return Ok(NOT_MEASURED.to_owned()) };
    Ok(match (what, other) {
        ("value", _) => format!("{} {}", number(figure.value), figure.unit),
        ("ratio", _) => figure.ratio.map_or_else(|| NOT_MEASURED.to_owned(), number),
        ("times", Some(other)) => number(other / figure.value),
        _ => bail!("nobody knows [[{place}]]"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use poq_benches::report::Figure;

    fn results() -> Results {
        let figure = Figure::of("engine/a", &[2.0], "ms").at_most(1.0).against("another", 1.5);
        Results { figures: vec![figure], runs: Default::default() }
    }

    #[test]
    fn places_are_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let fill = |text: &str| fill(text, &results(), folder.path());
        let page =
            fill("It took [[value engine/a]], [[ratio engine/a]] times as good, [[times 30 engine/a]].")
                .unwrap();
        assert!(page.ends_with("It took 2.000 ms, 1.500 times as good, 15.00.\n"), "{page}");
        assert!(fill("[[value engine/b]]").unwrap().contains(NOT_MEASURED));
        let room = fill("<!-- room engine -->").unwrap();
        assert!(
            room.contains("| a ") && room.contains("another") && room.contains("missed by 100%"),
            "{room}"
        );
        assert!(fill("<!-- room chain -->").unwrap().contains(NOT_MEASURED));
        assert!(fill("<!-- plot consensus -->").unwrap().contains(NOT_MEASURED));
    }

    #[test]
    fn a_place_that_nobody_knows_is_an_error_that_names_its_line() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["one\n<!-- target -->", "one\n[[worth engine/a]]", "one\n[[value engine/a"] {
            let error = fill(text, &results(), folder.path()).unwrap_err();
            assert_eq!(error.to_string(), "line 2", "{text}");
        }
    }
}
