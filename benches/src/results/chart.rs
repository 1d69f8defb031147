//! Line charts with logarithmic axes, side by side.

use anyhow::anyhow;
use plotters::prelude::*;
use poq_benches::report::number;
use std::{fmt::Display, ops::Range, path::Path};

const WIDTH: u32 = 430;
const HEIGHT: u32 = 400;
const TITLE: u32 = 34;
const GREY: RGBColor = RGBColor(90, 90, 90);

/// Colours that people who cannot tell red from green can tell apart.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

/// One chart of several.
pub struct Panel {
    /// Title above it.
    pub title: String,
    /// Names and points of its lines. All coordinates are above 0.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Draws the panels with the same axes, so that they can be compared.
pub fn draw(path: &Path, title: &str, axes: [&str; 2], panels: &[Panel]) -> anyhow::Result<()> {
    let failed = |error: &dyn Display| anyhow!("cannot draw {}: {error}", path.display());
    let size = (WIDTH * panels.len() as u32, TITLE + HEIGHT);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    let style = TextStyle::from(("sans-serif", 17).into_font());
    root.draw(&Text::new(title.to_owned(), (12, 10), style)).map_err(|error| failed(&error))?;
    let (_, below) = root.split_vertically(TITLE);
    let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|(_, points)| points);
    let ranges = [around(points().map(|(x, _)| *x)), around(points().map(|(_, y)| *y))];
    for (area, panel) in below.split_evenly((1, panels.len())).iter().zip(panels) {
        one(area, panel, axes, ranges.clone()).map_err(|error| failed(&error))?;
    }
    root.present().map_err(|error| failed(&error))
}

fn one<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    panel: &Panel,
    [x_axis, y_axis]: [&str; 2],
    [x, y]: [Range<f64>; 2],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    // Room for the names above the lines.
    let y = y.start..y.end * (y.end / y.start).powf(0.05 + 0.07 * panel.lines.len() as f64);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(&panel.title, ("sans-serif", 14).into_font().color(&GREY))
        .x_label_area_size(38)
        .y_label_area_size(58)
        .build_cartesian_2d(x.log_scale(), y.log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(RGBColor(240, 240, 240))
        .bold_line_style(RGBColor(220, 220, 220))
        .x_desc(x_axis)
        .y_desc(y_axis)
        .x_label_formatter(&|value| plain(*value))
        .y_label_formatter(&|value| plain(*value))
        .draw()?;
    for ((name, points), colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
        let line = PathElement::new(points.clone(), colour.stroke_width(2));
        let series = chart.draw_series([line])?;
        series
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .label_font(("sans-serif", 12))
        .draw()?;
    Ok(())
}

/// A range from 80% of the least to 125% of the greatest value.
fn around(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) = values
        .fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| (least.min(value), most.max(value)));
    least * 0.8..most * 1.25
}

/// A number on an axis, without trailing zeros.
fn plain(value: f64) -> String {
    let text = number(value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
