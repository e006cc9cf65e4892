//! Plots over batch size, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

/// A line of a plot: what it shows, and its points (batch size and value).
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points, by increasing batch size.
    pub points: Vec<(f64, f64)>,
}

/// Width and height in pixels.
const SIZE: (u32, u32) = (760, 440);

/// Colours that are told apart by people who see fewer of them (Okabe and Ito's).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
    RGBColor(0, 0, 0),
];

/// Median times (in nanoseconds) over batch size, both axes logarithmic.
///
/// # Errors
/// If nothing is to be plotted, or if plotting fails.
pub fn times(title: &str, series: &[Series]) -> Result<String, Box<dyn Error>> {
    draw(title, "time per call", series, &|ns| time(*ns), &[])
}

/// Ratios over batch size, both axes logarithmic, with a line at each of these values.
///
/// # Errors
/// As [`times`].
pub fn ratios(title: &str, series: &[Series], lines: &[f64]) -> Result<String, Box<dyn Error>> {
    draw(title, "ratio", series, &|r| format!("{r}"), lines)
}

/// The least and the largest of these numbers, if there are any.
fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |b, v| Some(b.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v)))))
}

fn draw(
    title: &str,
    label: &str,
    series: &[Series],
    format: &dyn Fn(&f64) -> String,
    marks: &[f64],
) -> Result<String, Box<dyn Error>> {
    let points = || series.iter().flat_map(|s| s.points.iter().copied());
    let (left, right) = bounds(points().map(|p| p.0)).ok_or("there is nothing to plot")?;
    let (low, high) = bounds(points().map(|p| p.1).chain(marks.iter().copied())).ok_or("there is nothing to plot")?;
    let mut svg = String::new();
    {
        let root: DrawingArea<_, Shift> = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        // Above the plot and the legend: some titles are long.
        let below = root.margin(8, 0, 12, 0).titled(title, ("sans-serif", 17))?;
        let (plot, legend) = below.split_horizontally(SIZE.0 - 210);
        let mut chart = ChartBuilder::on(&plot)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d((left / 1.3..right * 1.3).log_scale(), (low / 1.3..high * 1.3).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("batch size")
            .y_desc(label)
            .x_label_formatter(&|n| count(*n))
            .y_label_formatter(format)
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .bold_line_style(RGBColor(215, 215, 215))
            .light_line_style(RGBColor(242, 242, 242))
            .draw()?;
        for mark in marks {
            chart
                .draw_series([PathElement::new([(left / 1.3, *mark), (right * 1.3, *mark)], BLACK.stroke_width(1))])?;
        }
        for (i, s) in series.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            chart.draw_series(LineSeries::new(s.points.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_series(s.points.iter().map(|p| Circle::new(*p, 3, colour.filled())))?;
            let y = 30 + 24 * i as i32;
            legend.draw(&PathElement::new([(0, y), (22, y)], colour.stroke_width(3)))?;
            legend.draw(&Text::new(s.name.clone(), (30, y - 7), ("sans-serif", 14)))?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// A number of examples: `10`, `10k`, `10M`.
pub fn count(n: f64) -> String {
    match n {
        n if n >= 1e6 => format!("{}M", n / 1e6),
        n if n >= 1e3 => format!("{}k", n / 1e3),
        n => format!("{n}"),
    }
}

/// A time given in nanoseconds, with three significant digits.
pub fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns >= 0.9995e9 => (ns / 1e9, "s"),
        ns if ns >= 0.9995e6 => (ns / 1e6, "ms"),
        ns if ns >= 0.9995e3 => (ns / 1e3, "µs"),
        ns => (ns, "ns"),
    };
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        assert_eq!([10.0, 1e4, 1e7].map(count), ["10", "10k", "10M"]);
        assert_eq!([1.0, 12.34, 1e3, 999.9e3, 1e9].map(time), ["1 ns", "12.3 ns", "1 µs", "1 ms", "1 s"]);
        assert_eq!([100e3, 250.4e6].map(time), ["100 µs", "250 ms"]);
    }

    #[test]
    fn every_series_is_in_the_plot() {
        let line = |name: &str, y: f64| Series { name: name.to_owned(), points: vec![(10.0, y), (1000.0, 2.0 * y)] };
        let svg = times("the title", &[line("first", 100.0), line("second", 1e6)]).unwrap();
        for text in ["the title", "first", "second", "batch size", "1k"] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(times("none", &[]).is_err());
    }
}
