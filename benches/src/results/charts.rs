//! The charts, and the figures in each.

use crate::results::{
    chart::{self, Panel},
    Results,
};
use anyhow::Context as _;
use std::path::Path;

/// A chart. Names of figures have `{}` in the place of the number on the x axis.
struct Chart {
    /// Name of its file, without the ending.
    name: &'static str,
    title: &'static str,
    /// Titles of the x and the y axis.
    axes: [&'static str; 2],
    /// Titles of panels, with the names of lines and their figures.
    panels: &'static [(&'static str, &'static [(&'static str, &'static str)])],
}

/// The lines of one panel of the scoring chart.
macro_rules! scoring_lines {
    ($batch:literal) => {
        [
            ("fp32, ours", concat!("scoring/ours fp32, batch of ", $batch, ", {} tokens")),
            ("fp32, onnxruntime", concat!("scoring/onnxruntime fp32, batch of ", $batch, ", {} tokens")),
            (
                "fp32, sentence-transformers",
                concat!("scoring/sentence-transformers fp32, batch of ", $batch, ", {} tokens"),
            ),
            ("int8, ours", concat!("scoring/ours int8, batch of ", $batch, ", {} tokens")),
            ("int8, onnxruntime", concat!("scoring/onnxruntime int8, batch of ", $batch, ", {} tokens")),
        ]
    };
}

const CHARTS: [Chart; 4] = [
    Chart {
        name: "consensus",
        title: "Consensus: time by number of quality validators",
        axes: ["scores of one answer", "microseconds"],
        panels: &[
            (
                "the default rule, one answer",
                &[
                    ("consensus, native", "consensus/weighted-median, consensus, {} scores, native"),
                    ("consensus, Wasm", "consensus/weighted-median, consensus, {} scores, Wasm"),
                    ("leave-one-out, native", "consensus/weighted-median, leave-one-out, {} scores, native"),
                    ("leave-one-out, Wasm", "consensus/weighted-median, leave-one-out, {} scores, Wasm"),
                ],
            ),
            (
                "16 answers settled, or an epoch of Yuma with 16 servers",
                &[
                    ("settled, native", "consensus/settling, {} validators x 16, native"),
                    ("settled, Wasm", "consensus/settling, {} validators x 16, Wasm"),
                    ("Yuma, native", "consensus/Yuma, {} validators x 16, native"),
                    ("Yuma, Wasm", "consensus/Yuma, {} validators x 16, Wasm"),
                ],
            ),
        ],
    },
    Chart {
        name: "scoring",
        title: "Scoring: time by length, MiniLM-L6",
        axes: ["tokens of a pair", "milliseconds"],
        panels: &[
            ("1 pair", &scoring_lines!(1)),
            ("batch of 8", &scoring_lines!(8)),
            ("batch of 32", &scoring_lines!(32)),
        ],
    },
    Chart {
        name: "blocks",
        title: "Blocks: time to execute one",
        axes: ["their number", "milliseconds"],
        panels: &[
            (
                "by open requests, with 100 operators",
                &[
                    ("empty", "chain/empty block, {} open requests, 100 operators"),
                    ("takes a request", "chain/block that takes a request, {} open requests, 100 operators"),
                    (
                        "settles a request",
                        "chain/block that settles a request, {} open requests, 100 operators",
                    ),
                ],
            ),
            (
                "by operators, with 100 open requests",
                &[
                    ("empty", "chain/empty block, 100 open requests, {} operators"),
                    ("takes a request", "chain/block that takes a request, 100 open requests, {} operators"),
                    (
                        "settles a request",
                        "chain/block that settles a request, 100 open requests, {} operators",
                    ),
                ],
            ),
        ],
    },
    Chart {
        name: "latency",
        title: "From the last output revealed to settled",
        axes: ["committee", "milliseconds"],
        panels: &[(
            "on a local network",
            &[(
                "time of the chain",
                "latency/last output revealed to settled, committee of {}: time of the chain",
            )],
        )],
    },
];

/// Draws the chart of that name; returns its title. `None`, and no file, if it has no figures.
pub fn draw(name: &str, results: &Results, path: &Path) -> anyhow::Result<Option<&'static str>> {
    let chart = CHARTS.iter().find(|chart| chart.name == name).with_context(|| format!("no plot {name}"))?;
    let panels = chart.panels.iter().map(|(title, lines)| {
        let lines = lines.iter().map(|(name, pattern)| ((*name).to_owned(), points(pattern, results)));
        Panel { title: (*title).to_owned(), lines: lines.filter(|(_, points)| !points.is_empty()).collect() }
    });
    let panels: Vec<Panel> = panels.filter(|panel| !panel.lines.is_empty()).collect();
    if panels.is_empty() {
        return Ok(None);
    }
    chart::draw(path, chart.title, chart.axes, &panels)?;
    Ok(Some(chart.title))
}

/// The figures whose names are the pattern with a number in it, by that number.
fn points(pattern: &str, results: &Results) -> Vec<(f64, f64)> {
    let Some((before, after)) = pattern.split_once("{}") else { return Vec::new() };
    let number = |name: &str| name.strip_prefix(before)?.strip_suffix(after)?.parse().ok();
    let mut points: Vec<(f64, f64)> =
        results.figures.iter().filter_map(|figure| Some((number(&figure.name)?, figure.value))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    // A logarithmic axis has no zero.
    points.retain(|(x, y)| *x > 0.0 && *y > 0.0);
    points
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use poq_benches::report::Figure;

    #[test]
    fn a_chart_has_the_lines_that_have_figures() {
        let name = |size: u32| format!("consensus/weighted-median, consensus, {size} scores, native");
        let figures: Vec<Figure> =
            [10, 1_000, 100].map(|size| Figure::new(name(size), f64::from(size), "µs")).to_vec();
        let results = Results { figures, runs: Default::default() };
        let all = "consensus/weighted-median, consensus, {} scores, native";
        assert_eq!(points(all, &results), [(10.0, 10.0), (100.0, 100.0), (1_000.0, 1_000.0)]);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("consensus.svg");
        assert!(draw("consensus", &results, &file).unwrap().is_some());
        let svg = std::fs::read_to_string(&file).unwrap();
        assert!(svg.contains("consensus, native") && !svg.contains("Yuma, native"), "{svg}");
        draw("unheard-of", &results, &file).unwrap_err();
    }
}
