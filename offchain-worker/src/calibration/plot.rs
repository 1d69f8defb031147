//! The picture of a calibration: how far scores can be believed, and what they do to good and bad answers.

use super::stats::{reliability, Bin, BINS};
use plotters::{
    coord::{types::RangedCoordf64, Shift},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::path::Path;

const GREY: RGBColor = RGBColor(130, 130, 130);
const BLUE: RGBColor = RGBColor(40, 90, 170);
const GREEN: RGBColor = RGBColor(70, 150, 100);
const RED: RGBColor = RGBColor(200, 90, 70);

const SIZE: (u32, u32) = (980, 520);

/// Bins of the distributions, over 0..=1.
const STEPS: usize = 20;

/// Dots of a scatter plot at most: more make a file that no viewer opens, and a plot that shows no more.
const MAX_DOTS: usize = 5_000;

/// Data of the plots. All lists have one length.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// The evaluator's name.
    pub title: &'a str,
    /// Scores as they are now, 0 to 1.
    pub before: &'a [f64],
    /// Scores by the new map, 0 to 1, of pairs that had no part in it.
    pub after: &'a [f64],
    /// Values of the answers, 0 to 1.
    pub values: &'a [f64],
    /// Which of them are good.
    pub good: &'a [bool],
    /// Whether values are grades: drawn as dots, and not as two distributions.
    pub graded: bool,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws `picture` into an SVG file. Errors are one line for people.
pub fn draw(picture: Picture<'_>, path: &Path) -> Result<(), String> {
    // Drawing is in memory; a file is written only if all is well.
    let mut svg = String::new();
    draw_into(picture, &mut svg).map_err(|error| format!("the plot cannot be drawn: {error}"))?;
    std::fs::write(path, svg).map_err(|error| format!("{}: {error}", path.display()))
}

fn draw_into(picture: Picture<'_>, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(said)?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    reliability_diagram(picture, &left)?;
    if picture.graded {
        scatter(picture, &right)?;
    } else {
        distributions(picture, &right)?;
    }
    root.present().map_err(said)?;
    drop((left, right, root));
    Ok(())
}

/// The library's errors borrow what they are about.
fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn chart<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    axes: [&str; 2],
    top: f64,
) -> Result<Chart<'a, 'b>, Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .caption(title, ("sans-serif", 17))
        .x_label_area_size(42)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..1.0, 0.0..top)
        .map_err(said)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY.mix(0.25))
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|x| format!("{x:.1}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .x_desc(axes[0])
        .y_desc(axes[1])
        .label_style(("sans-serif", 13))
        .draw()
        .map_err(said)?;
    Ok(chart)
}

fn write(
    chart: &Chart<'_, '_>,
    text: &str,
    at: (f64, f64),
    colour: RGBColor,
    across: HPos,
) -> Result<(), Box<dyn std::error::Error>> {
    let style =
        TextStyle::from(("sans-serif", 12).into_font()).color(&colour).pos(Pos::new(across, VPos::Center));
    chart.plotting_area().draw(&Text::new(text.to_owned(), at, style)).map_err(said)?;
    Ok(())
}

/// Mean value over mean score, before and after, and how many pairs a bin has.
fn reliability_diagram(picture: Picture<'_>, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let title = format!("{}: reliability", picture.title);
    let mut chart = chart(area, &title, ["score", "mean value"], 1.0)?;
    chart
        .draw_series([PathElement::new(vec![(0.0, 0.0), (1.0, 1.0)], GREY.stroke_width(1))])
        .map_err(said)?;
    let curves = [(picture.before, GREY, "before"), (picture.after, BLUE, "after, on held-out questions")];
    for (place, (scores, colour, name)) in curves.into_iter().enumerate() {
        let bins = reliability(scores, picture.values);
        let points: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.score, bin.value)).collect();
        chart.draw_series([PathElement::new(points.clone(), colour.stroke_width(2))]).map_err(said)?;
        chart.draw_series(points.into_iter().map(|at| Circle::new(at, 4, colour.filled()))).map_err(said)?;
        let height = 0.96 - 0.05 * place as f64;
        chart.draw_series([Circle::new((0.03, height), 4, colour.filled())]).map_err(said)?;
        write(&chart, name, (0.05, height), BLACK, HPos::Left)?;
    }
    for Bin { count, score, value } in reliability(picture.after, picture.values) {
        // Beside the dot, on the side where there is room.
        let (across, at) = if score > 0.9 { (HPos::Right, score - 0.02) } else { (HPos::Left, score + 0.02) };
        write(&chart, &count.to_string(), (at, (value - 0.03).max(0.02)), BLUE, across)?;
    }
    Ok(())
}

/// Distributions of the scores of good and of bad answers.
fn distributions(picture: Picture<'_>, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let shares = |kind: bool| {
        let of_kind = picture.after.iter().zip(picture.good).filter(|(_, good)| **good == kind);
        shares(of_kind.map(|(score, _)| *score))
    };
    let kinds = [(shares(false), RED, "bad answers"), (shares(true), GREEN, "good answers")];
    let highest = kinds.iter().flat_map(|(shares, _, _)| shares.iter().copied()).fold(0.0, f64::max);
    let top = highest.max(0.05) * 1.2;
    let mut chart = chart(area, "scores after, by kind of answer", ["score", "share of the kind"], top)?;
    for (place, (shares, colour, name)) in kinds.into_iter().enumerate() {
        let width = 1.0 / STEPS as f64;
        let bars = shares.iter().enumerate().map(|(step, share)| {
            let from = step as f64 * width;
            Rectangle::new([(from, 0.0), (from + width, *share)], colour.mix(0.5).filled())
        });
        chart.draw_series(bars).map_err(said)?;
        let height = top * (0.96 - 0.05 * place as f64);
        chart.draw_series([Circle::new((0.36, height), 5, colour.mix(0.5).filled())]).map_err(said)?;
        write(&chart, name, (0.38, height), BLACK, HPos::Left)?;
    }
    Ok(())
}

fn shares(scores: impl Iterator<Item = f64>) -> [f64; STEPS] {
    let mut shares = [0.0; STEPS];
    let mut count = 0.0_f64;
    for score in scores {
        let place = ((score * STEPS as f64) as usize).min(STEPS - 1);
        if let Some(share) = shares.get_mut(place) {
            *share += 1.0;
        }
        count += 1.0;
    }
    shares.map(|share| share / count.max(1.0))
}

/// Score over value, a dot for each pair.
fn scatter(picture: Picture<'_>, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let mut chart = chart(area, "scores after, by value", ["value", "score"], 1.0)?;
    let every = picture.after.len().div_ceil(MAX_DOTS).max(1);
    let dots = picture.values.iter().zip(picture.after).step_by(every);
    chart
        .draw_series(dots.map(|(value, score)| Circle::new((*value, *score), 3, BLUE.mix(0.4).filled())))
        .map_err(said)?;
    Ok(())
}

// The bins of both panels are wide enough to be seen.
const _: () = assert!(BINS <= STEPS);

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(count: usize) -> (Vec<f64>, Vec<f64>, Vec<bool>) {
        let scores: Vec<f64> = (0..count).map(|n| n as f64 / (count.max(2) - 1) as f64).collect();
        let good: Vec<bool> = scores.iter().map(|score| *score > 0.5).collect();
        (scores.clone(), good.iter().map(|good| f64::from(u8::from(*good))).collect(), good)
    }

    #[test]
    fn pictures_are_svg_and_say_what_they_show() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        for count in [0, 1, 2, 40, 20_000] {
            for graded in [false, true] {
                let (scores, values, good) = lists(count);
                let title = "a <name> & more";
                let picture =
                    Picture { title, before: &scores, after: &scores, values: &values, good: &good, graded };
                draw(picture, &path).unwrap();
                let svg = std::fs::read_to_string(&path).unwrap();
                assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
                assert!(svg.contains("reliability") && svg.contains("a &lt;name&gt; &amp; more"), "{svg}");
                assert!(
                    svg.contains("good answers") != graded && !svg.contains("NaN") && !svg.contains("inf")
                );
                assert!(svg.len() < 2_000_000, "{}", svg.len());
            }
        }
        let (scores, values, good) = lists(9);
        let picture = Picture {
            title: "",
            before: &scores,
            after: &scores,
            values: &values,
            good: &good,
            graded: false,
        };
        assert!(draw(picture, &folder.path().join("no/folder.svg")).unwrap_err().contains("folder.svg"));
    }
}
