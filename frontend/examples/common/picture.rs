//! Pictures of results, as SVG.

use super::Done;
use plotters::coord::Shift;
use plotters::prelude::*;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    /// A line.
    Line,
    /// Dots.
    Dots,
    /// A line, thin and grey, to compare with.
    Known,
    /// An area: its points go around it.
    Area,
}

/// Points of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Its name in the legend; none if empty.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// Where its points are.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// A series of these points.
    pub(crate) fn new(name: &str, mark: Mark, points: impl IntoIterator<Item = (f64, f64)>) -> Series {
        Series { name: name.to_owned(), mark, points: points.into_iter().collect() }
    }

    /// Values at 1, 2, 3, …
    pub(crate) fn counted(name: &str, values: impl IntoIterator<Item = f64>) -> Series {
        Series::new(name, Mark::Line, values.into_iter().enumerate().map(|(i, y)| ((i + 1) as f64, y)))
    }
}

/// A plot of series over one pair of axes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plot {
    /// What stands above it.
    pub title: String,
    /// What is along x.
    pub x: String,
    /// What is along y.
    pub y: String,
    /// Whether y is logarithmic.
    pub log: bool,
    /// What is drawn, in order.
    pub series: Vec<Series>,
}

/// Colours that are told apart by people who see fewer of them (Okabe and Ito's).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

const GREY: RGBColor = RGBColor(120, 120, 120);

impl Plot {
    /// The plot as SVG.
    ///
    /// # Errors
    /// If there is nothing to plot.
    pub(crate) fn svg(&self) -> Done<String> {
        let along = |y: f64| if self.log { y.log10() } else { y };
        let points = |s: &Series| -> Vec<(f64, f64)> {
            let scaled = s.points.iter().map(|(x, y)| (*x, along(*y)));
            scaled.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
        };
        let all: Vec<Vec<(f64, f64)>> = self.series.iter().map(points).collect();
        let range = |of: fn(&(f64, f64)) -> f64, margin: f64| {
            let values = || all.iter().flatten().map(of);
            let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
            let room = if high > low { margin * (high - low) } else { 1.0 };
            low - room..high + room
        };
        if all.iter().all(Vec::is_empty) {
            return Err(format!("there is nothing to plot of {}", self.title).into());
        }
        let power = |y: &f64| if self.log { format!("{:.1e}", 10f64.powf(*y)) } else { format!("{}", round(*y)) };
        let mut svg = String::new();
        {
            let root: DrawingArea<_, Shift> = SVGBackend::with_string(&mut svg, (720, 400)).into_drawing_area();
            root.fill(&WHITE)?;
            let below = root.margin(8, 0, 12, 0).titled(&self.title, ("sans-serif", 17))?;
            let (plot, legend) = below.split_horizontally(540);
            let mut chart = ChartBuilder::on(&plot)
                .margin(10)
                .x_label_area_size(44)
                .y_label_area_size(72)
                .build_cartesian_2d(range(|p| p.0, 0.0), range(|p| p.1, 0.05))?;
            chart
                .configure_mesh()
                .x_desc(&self.x)
                .y_desc(&self.y)
                .y_label_formatter(&power)
                .label_style(("sans-serif", 13))
                .axis_desc_style(("sans-serif", 14))
                .bold_line_style(RGBColor(215, 215, 215))
                .light_line_style(RGBColor(245, 245, 245))
                .draw()?;
            let mut colours = COLOURS.iter().cycle();
            let mut height = 30;
            for (s, points) in self.series.iter().zip(all) {
                let colour = if s.mark == Mark::Known { &GREY } else { colours.next().unwrap_or(&BLACK) };
                match s.mark {
                    Mark::Line => chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?,
                    Mark::Known => chart.draw_series(LineSeries::new(points, colour.stroke_width(1)))?,
                    Mark::Dots => chart.draw_series(points.into_iter().map(|p| Circle::new(p, 2, colour.filled())))?,
                    Mark::Area => chart.draw_series([Polygon::new(points, colour.mix(0.2))])?,
                };
                if !s.name.is_empty() {
                    legend.draw(&PathElement::new([(0, height), (18, height)], colour.stroke_width(3)))?;
                    legend.draw(&Text::new(s.name.clone(), (24, height - 7), ("sans-serif", 13)))?;
                    height += 22;
                }
            }
            root.present()?;
        }
        Ok(svg)
    }
}

/// Four digits after the point, which hides what rounding left.
fn round(y: f64) -> f64 {
    (y * 1e4).round() / 1e4
}

/// Fields of numbers, each `(name, values, columns)`, side by side: black is the least of a field,
/// white the largest.
pub(crate) fn fields(title: &str, fields: &[(String, Vec<f64>, usize)], across: usize) -> Done<String> {
    let (side, gap) = (150i32, 12i32);
    let rows = fields.len().div_ceil(across) as i32;
    let (width, height) = (gap + across as i32 * (side + gap), 36 + rows * (side + gap + 18));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width as u32, height as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        root.draw(&Text::new(title, (gap, 8), ("sans-serif", 16)))?;
        for (i, (name, values, columns)) in fields.iter().enumerate() {
            let (x0, y0) = ((i % across) as i32 * (side + gap) + gap, (i / across) as i32 * (side + gap + 18) + 34);
            root.draw(&Text::new(name.clone(), (x0, y0), ("sans-serif", 13)))?;
            let (low, high) =
                values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
            let lines = values.len() / columns;
            let edge = |k: usize, of: usize| (k as i32 * side) / of as i32;
            for (k, v) in values.iter().enumerate() {
                let (row, column) = (k / columns, k % columns);
                let level = (255.0 * (v - low) / (high - low).max(f64::MIN_POSITIVE)) as u8;
                let corner = |r: usize, c: usize| (x0 + edge(c, *columns), y0 + 16 + edge(r, lines));
                let colour = RGBColor(level, level, level);
                root.draw(&Rectangle::new([corner(row, column), corner(row + 1, column + 1)], colour.filled()))?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}
