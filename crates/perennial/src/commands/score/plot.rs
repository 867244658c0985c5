//! Pictures as SVG.

use std::ops::Range;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

const SIZE: (u32, u32) = (760, 440);
const FONT: &str = "sans-serif";
const ACTUAL: RGBColor = RGBColor(38, 70, 83);
const EXPECTED: RGBColor = RGBColor(231, 111, 81);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws onto a white sheet and gives the SVG.
fn drawn(draw: impl FnOnce(&Area<'_>) -> anyhow::Result<()>) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a picture cannot be drawn: {error}")
}

/// A range that holds all values, never empty.
fn reach(values: impl IntoIterator<Item = f64>) -> Range<f64> {
    let most = values.into_iter().filter(|it| it.is_finite()).fold(0.0, f64::max);
    0.0..if most > 0.0 { most * 1.05 } else { 1.0 }
}

/// A number along an axis: without decimals it does not need, thousands apart.
fn tick(value: &f64) -> String {
    if value.abs() < 10.0 && value.fract().abs() > 1e-6 {
        return format!("{value:.1}");
    }
    #[expect(clippy::cast_possible_truncation, reason = "an axis is not that long")]
    let whole = value.round() as i64;
    crate::output::count(whole)
}

/// Titles of a picture and its axes.
pub struct Titles<'a> {
    /// Above it.
    pub title: &'a str,
    /// Along the bottom.
    pub x: &'a str,
    /// Along the left.
    pub y: &'a str,
}

/// One line of a picture.
pub struct Line<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

const COLOURS: [RGBColor; 6] = [
    ACTUAL,
    EXPECTED,
    RGBColor(42, 157, 143),
    RGBColor(233, 196, 106),
    RGBColor(123, 104, 174),
    RGBColor(130, 130, 130),
];

type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A chart with its title and room for the names of its axes.
fn axes<'a>(
    area: &Area<'a>,
    titles: &Titles<'_>,
    wide: Range<f64>,
    high: Range<f64>,
) -> anyhow::Result<Chart<'a>> {
    ChartBuilder::on(area)
        .caption(titles.title, (FONT, 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(wide, high)
        .map_err(failed)
}

/// Says which series is which.
fn name_series<'a>(chart: &mut Chart<'a>) -> anyhow::Result<()> {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font((FONT, 13))
        .draw()
        .map_err(failed)
}

/// Lines over a common axis, and a vertical mark if there is one.
pub fn lines(titles: &Titles<'_>, lines: &[Line<'_>], mark: Option<(f64, &str)>) -> anyhow::Result<String> {
    drawn(|area| {
        let points = || lines.iter().flat_map(|it| it.points.iter());
        let (wide, high) = (reach(points().map(|it| it.0)), reach(points().map(|it| it.1)));
        let top = high.end;
        let mut chart = axes(area, titles, wide, high)?;
        chart
            .configure_mesh()
            .x_desc(titles.x)
            .y_desc(titles.y)
            .x_label_formatter(&tick)
            .y_label_formatter(&tick)
            .light_line_style(WHITE)
            .draw()
            .map_err(failed)?;
        if let Some((at, name)) = mark {
            let grey = RGBColor(110, 110, 110);
            chart
                .draw_series(LineSeries::new([(at, 0.0), (at, top)], grey.stroke_width(1)))
                .map_err(failed)?;
            let text = Text::new(format!(" {name}"), (at, 0.06 * top), (FONT, 13).into_font().color(&grey));
            chart.draw_series([text]).map_err(failed)?;
        }
        for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
            let drawn = chart.draw_series(series).map_err(failed)?;
            drawn
                .label(line.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        name_series(&mut chart)
    })
}

/// One of a pair.
type Side = fn(&(f64, f64)) -> f64;

/// Pairs of bars, the second one beside the first.
pub fn bars(titles: &Titles<'_>, names: [&str; 2], pairs: &[(f64, f64)]) -> anyhow::Result<String> {
    drawn(|area| {
        let high = reach(pairs.iter().flat_map(|it| [it.0, it.1]));
        let mut chart = axes(area, titles, 0.5..pairs.len() as f64 + 0.5, high)?;
        chart
            .configure_mesh()
            .x_desc(titles.x)
            .y_desc(titles.y)
            .light_line_style(WHITE)
            .disable_x_mesh()
            .x_labels(pairs.len().max(1))
            .x_label_formatter(&|it| format!("{it:.0}"))
            .y_label_formatter(&tick)
            .draw()
            .map_err(failed)?;
        let sides: [(Side, f64, RGBColor); 2] = [(|it| it.0, -0.38, EXPECTED), (|it| it.1, 0.02, ACTUAL)];
        for ((value, left, colour), name) in sides.into_iter().zip(names) {
            let bars = pairs.iter().enumerate().map(|(i, pair)| {
                let from = i as f64 + 1.0 + left;
                Rectangle::new([(from, 0.0), (from + 0.36, value(pair))], colour.filled())
            });
            let drawn = chart.draw_series(bars).map_err(failed)?;
            drawn
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
        }
        name_series(&mut chart)
    })
}

/// Bars next to each other, each under its own name.
pub fn histogram(titles: &Titles<'_>, columns: &[(String, f64)]) -> anyhow::Result<String> {
    drawn(|area| {
        let high = reach(columns.iter().map(|it| it.1));
        let mut chart = axes(area, titles, 0.5..columns.len().max(1) as f64 + 0.5, high)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number of a column")]
        let name = |at: &f64| {
            let name =
                columns.get((at.round().max(1.0) - 1.0) as usize).filter(|_| (at - at.round()).abs() < 0.01);
            name.map(|it| it.0.clone()).unwrap_or_default()
        };
        chart
            .configure_mesh()
            .x_desc(titles.x)
            .y_desc(titles.y)
            .light_line_style(WHITE)
            .disable_x_mesh()
            .x_labels(columns.len().max(1))
            .x_label_formatter(&name)
            .y_label_formatter(&tick)
            .draw()
            .map_err(failed)?;
        let bars = columns.iter().enumerate().map(|(i, it)| {
            let from = i as f64 + 0.54;
            Rectangle::new([(from, 0.0), (from + 0.92, it.1)], ACTUAL.filled())
        });
        chart.draw_series(bars).map_err(failed)?;
        Ok(())
    })
}

/// A table of shares from 0 to 1 as colours, beside the scale of them: `value(column, row)` over `columns` × `rows`, each a step along its axis.
pub fn heat(
    titles: &Titles<'_>,
    (columns, rows): (u32, u32),
    (wide, high): (f64, f64),
    value: impl Fn(f64, f64) -> Option<f64>,
) -> anyhow::Result<String> {
    drawn(|sheet| {
        let (area, scale) = sheet.split_horizontally(SIZE.0 - 84);
        let mut legend = ChartBuilder::on(&scale)
            .margin_top(44)
            .margin_bottom(56)
            .margin_right(48)
            .margin_left(4)
            .right_y_label_area_size(0)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)
            .map_err(failed)?;
        let steps = (0..50_u32).map(|n| {
            let (from, to) = (f64::from(n) / 50.0, f64::from(n + 1) / 50.0);
            Rectangle::new([(0.0, from), (1.0, to)], shade(from + 0.01).filled())
        });
        legend.draw_series(steps).map_err(failed)?;
        for n in 0..=4_u32 {
            let share = f64::from(n) / 4.0;
            let text = Text::new(format!("  {share:.2}"), (1.0, share + 0.015), (FONT, 12).into_font());
            legend.plotting_area().draw(&text).map_err(failed)?;
        }
        let mut chart = axes(&area, titles, 0.0..wide, 0.0..high)?;
        chart
            .configure_mesh()
            .x_desc(titles.x)
            .y_desc(titles.y)
            .x_label_formatter(&tick)
            .y_label_formatter(&tick)
            .disable_mesh()
            .draw()
            .map_err(failed)?;
        let (w, h) = (wide / f64::from(columns), high / f64::from(rows));
        let cells = (0..columns).flat_map(|c| (0..rows).map(move |r| (f64::from(c), f64::from(r))));
        let cells = cells.filter_map(|(c, r)| {
            let share = value((c + 0.5) * w, (r + 0.5) * h)?.clamp(0.0, 1.0);
            Some(Rectangle::new([(c * w, r * h), ((c + 1.0) * w, (r + 1.0) * h)], shade(share).filled()))
        });
        chart.draw_series(cells).map_err(failed)?;
        Ok(())
    })
}

/// From pale yellow to deep blue.
fn shade(share: f64) -> RGBColor {
    const STOPS: [[f64; 3]; 4] =
        [[255.0, 255.0, 217.0], [127.0, 205.0, 187.0], [44.0, 127.0, 184.0], [8.0, 29.0, 88.0]];
    let at = share * 3.0;
    let low = at.floor().clamp(0.0, 2.0);
    let part = at - low;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2, and between 0 and 255"
    )]
    let channel = |k: usize| {
        let (a, b) = (STOPS[low as usize][k], STOPS[low as usize + 1][k]);
        (a + part * (b - a)).round() as u8
    };
    RGBColor(channel(0), channel(1), channel(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_svg_and_never_fail_for_want_of_data() {
        let titles = Titles { title: "a < b", x: "x", y: "y" };
        let line = Line { name: "one", points: vec![(0.0, 1.0), (2.0, 3.0)] };
        for svg in [
            lines(&titles, &[line], Some((1.0, "cutoff"))).unwrap(),
            histogram(&titles, &[("1".to_owned(), 3.0), ("2 +".to_owned(), 0.0)]).unwrap(),
            histogram(&titles, &[]).unwrap(),
            lines(&titles, &[], None).unwrap(),
            bars(&titles, ["expected", "actual"], &[(1.0, 2.0), (f64::NAN, 0.0)]).unwrap(),
            bars(&titles, ["expected", "actual"], &[]).unwrap(),
            heat(&titles, (4, 3), (10.0, 5.0), |x, y| (x > y).then_some(x / 10.0)).unwrap(),
        ] {
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(svg.contains("a &lt; b"));
        }
        assert_eq!((shade(0.0), shade(1.0)), (RGBColor(255, 255, 217), RGBColor(8, 29, 88)));
    }
}
