//! Pictures: figures of panels with axes, lines and points, as SVG, and as PNG made from it.
//!
//! An optimizer has the same colour in every picture, from a palette that colour-blind readers can tell apart.

pub mod curves;
pub mod landscape;
pub mod svg;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use resvg::{tiny_skia, usvg};

use crate::optimizer::Optimizer;
use crate::output;

/// Pixels of the PNG for each of the SVG's.
const SCALE: f32 = 2.0;
const FONT: &str = "sans-serif";
const LABEL: i32 = 15;
const LEGEND_LINE: i32 = 24;
/// plotters counts in whole pixels, between which slow curves would wobble: so it draws in quarters of them.
const FINE: i32 = 4;

fn fine(length: i32) -> i32 {
    length * FINE
}

/// A width or a radius.
fn stroke(length: u32) -> u32 {
    length * FINE as u32
}

fn font(size: i32) -> (&'static str, i32) {
    (FONT, fine(size))
}

/// What is less important than the data.
pub const GREY: RGBColor = RGBColor(150, 150, 150);

/// Okabe and Ito's palette.
pub const PALETTE: [RGBColor; 8] = [
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(240, 228, 66),
];

/// An optimizer's in every picture.
pub fn color(optimizer: Optimizer) -> RGBColor {
    PALETTE[optimizer as usize]
}

/// Of an ordered quantity, from 0 to 1: dark blue over green to yellow, whose lightness alone tells the order (a cut of
/// matplotlib's "viridis", which leaves out the lightest yellow).
pub fn ordered_color(fraction: f64) -> RGBColor {
    ViridisRGB.get_color(0.9 * fraction.clamp(0.0, 1.0))
}

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scale {
    Linear,
    Log,
}

/// One of a panel's two axes.
#[derive(Clone, Debug)]
pub struct Axis {
    title: String,
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// From `low` to `high`; with its unit in the title.
    pub fn new(title: &str, scale: Scale, low: f64, high: f64) -> Self {
        let ticks = match scale {
            Scale::Linear => linear_ticks(low, high),
            Scale::Log => log_ticks(low, high),
        };
        Self { title: title.to_owned(), scale, low, high, ticks }
    }

    /// Holds all finite values, with a margin; on a logarithmic scale, all positive ones.
    pub fn holding(title: &str, scale: Scale, values: impl IntoIterator<Item = f64>) -> Self {
        let usable = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
        let (low, high) = values
            .into_iter()
            .filter(usable)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = match scale {
            _ if low > high => (0.1, 1.0),
            Scale::Linear => {
                let margin = if high > low { 0.04 * (high - low) } else { 1.0 };
                (low - margin, high + margin)
            }
            Scale::Log => {
                let margin = (high / low).powf(0.04).max(1.05);
                (low / margin, high * margin)
            }
        };
        Self::new(title, scale, low, high)
    }

    /// Other ticks than those chosen.
    #[must_use]
    pub fn with_ticks(mut self, ticks: Vec<f64>) -> Self {
        self.ticks = ticks;
        self
    }

    /// Whether the value is on the axis.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// On the drawing, where every axis is linear.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    fn coordinates(&self) -> Coordinates {
        let (low, high) = (self.place(self.low), self.place(self.high));
        Coordinates {
            range: (low..high).into(),
            ticks: self.ticks.iter().map(|&tick| self.place(tick)).collect(),
        }
    }

    /// Of a tick, by its place.
    fn label(&self, place: f64) -> String {
        match self.scale {
            Scale::Linear => number(place),
            Scale::Log => {
                let power = place.round();
                let is_power = (place - power).abs() < 1e-9;
                if is_power && (self.high / self.low > 1e4 || power.abs() > 3.0) {
                    format!("10{}", superscript(power as i32))
                } else {
                    number(10f64.powf(place))
                }
            }
        }
    }
}

/// A linear axis with given ticks.
struct Coordinates {
    range: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Ranged for Coordinates {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.range()
    }
}

impl ValueFormatter<f64> for Coordinates {
    fn format(value: &f64) -> String {
        number(*value)
    }
}

/// What a series of points becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Mark {
    Line { width: u32 },
    Dashes { width: u32 },
    Dots { radius: u32 },
    Rings { radius: u32 },
    Crosses { radius: u32 },
    LineAndDots { width: u32, radius: u32 },
}

/// Points in a panel, in its axes' units.
#[derive(Clone, Debug)]
pub struct Series {
    /// In order.
    pub points: Vec<(f64, f64)>,
    /// How they are drawn.
    pub mark: Mark,
    /// In which colour.
    pub color: RGBColor,
    /// Down to 0, transparent.
    pub opacity: f64,
}

impl Series {
    /// Opaque.
    pub fn new(points: Vec<(f64, f64)>, mark: Mark, color: RGBColor) -> Self {
        Self { points, mark, color, opacity: 1.0 }
    }

    /// Less than opaque.
    #[must_use]
    pub fn faint(mut self, opacity: f64) -> Self {
        self.opacity = opacity;
        self
    }
}

/// Where a note stands, seen from its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Side {
    Above,
    Below,
    Left,
    Right,
}

impl Side {
    fn anchor(self) -> Pos {
        match self {
            Side::Above => Pos::new(HPos::Center, VPos::Bottom),
            Side::Below => Pos::new(HPos::Center, VPos::Top),
            Side::Left => Pos::new(HPos::Right, VPos::Center),
            Side::Right => Pos::new(HPos::Left, VPos::Center),
        }
    }
}

/// A word at a point in a panel.
#[derive(Clone, Debug)]
pub struct Note {
    /// In the axes' units.
    pub at: (f64, f64),
    /// What to say.
    pub text: String,
    /// In which colour.
    pub color: RGBColor,
    /// Where it stands.
    pub side: Side,
}

/// A rectangle with axes.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// Horizontal.
    pub x: Axis,
    /// Vertical.
    pub y: Axis,
    /// The later ones above the earlier.
    pub series: Vec<Series>,
    /// Above all series.
    pub notes: Vec<Note>,
}

impl Panel {
    /// Empty.
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Self { title: title.to_owned(), x, y, series: Vec::new(), notes: Vec::new() }
    }

    fn draw(&self, area: &DrawingArea<SVGBackend, Shift>) -> Result<()> {
        let mut chart = ChartBuilder::on(area)
            .margin(fine(10))
            .margin_right(fine(22))
            .caption(&self.title, font(19))
            .x_label_area_size(fine(50))
            .y_label_area_size(fine(76))
            .build_cartesian_2d(self.x.coordinates(), self.y.coordinates())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .axis_style(BLACK.stroke_width(stroke(1)))
            .set_all_tick_mark_size(fine(5))
            .bold_line_style(BLACK.mix(0.12).stroke_width(stroke(1)))
            .x_desc(&self.x.title)
            .y_desc(&self.y.title)
            .x_label_formatter(&|place| self.x.label(*place))
            .y_label_formatter(&|place| self.y.label(*place))
            .label_style(font(LABEL))
            .axis_desc_style(font(16))
            .draw()?;
        for series in &self.series {
            self.draw_series(&mut chart, series)?;
        }
        for note in &self.notes {
            let style = font(LABEL).into_font().color(&note.color);
            let style = style.pos(note.side.anchor());
            let at = (self.x.place(note.at.0), self.y.place(note.at.1));
            chart.draw_series([Text::new(note.text.clone(), at, style)])?;
        }
        Ok(())
    }

    fn draw_series<'a>(
        &self,
        chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<Coordinates, Coordinates>>,
        series: &Series,
    ) -> Result<()> {
        // A line beyond the frame is cut at its points: plotters would draw it along the frame.
        let parts = series
            .points
            .split(|point| !(self.x.holds(point.0) && self.y.holds(point.1)))
            .map(|part| -> Vec<_> {
                part.iter().map(|&(x, y)| (self.x.place(x), self.y.place(y))).collect()
            });
        let color = series.color.mix(series.opacity);
        for part in parts {
            let line =
                |width| LineSeries::new(part.iter().copied(), color.stroke_width(stroke(width)));
            let dots = |radius: u32| {
                let style = color.filled();
                part.iter()
                    .map(move |&point| Circle::new(point, stroke(radius), style))
                    .collect::<Vec<_>>()
            };
            match series.mark {
                Mark::Line { width } => {
                    chart.draw_series(line(width))?;
                }
                Mark::Dashes { width } => {
                    let style = color.stroke_width(stroke(width));
                    let dashes =
                        DashedLineSeries::new(part.iter().copied(), stroke(6), stroke(5), style);
                    chart.draw_series(dashes)?;
                }
                Mark::Dots { radius } => {
                    chart.draw_series(dots(radius))?;
                }
                Mark::Rings { radius } => {
                    let style = color.stroke_width(stroke(2));
                    let rings = part.iter().map(|&at| Circle::new(at, stroke(radius), style));
                    chart.draw_series(rings)?;
                }
                Mark::Crosses { radius } => {
                    let style = color.stroke_width(stroke(1));
                    let crosses = part.iter().map(|&at| Cross::new(at, stroke(radius), style));
                    chart.draw_series(crosses)?;
                }
                Mark::LineAndDots { width, radius } => {
                    chart.draw_series(line(width))?;
                    chart.draw_series(dots(radius))?;
                }
            }
        }
        Ok(())
    }
}

/// A line of the legend.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it stands for.
    pub text: String,
    /// As the series that it stands for.
    pub mark: Mark,
    /// Likewise.
    pub color: RGBColor,
}

impl Entry {
    /// For a series like this.
    pub fn new(text: impl Into<String>, mark: Mark, color: RGBColor) -> Self {
        Self { text: text.into(), mark, color }
    }

    fn width(&self) -> i32 {
        // DejaVu Sans needs 0.6 of its size for a letter, in the mean.
        40 + (self.text.chars().count() as f64 * 0.6 * f64::from(LABEL)) as i32
    }

    fn draw(&self, area: &DrawingArea<SVGBackend, Shift>, x: i32, y: i32) -> Result<()> {
        let at = |dx: i32| (fine(x + dx), fine(y));
        match self.mark {
            Mark::Line { .. } | Mark::LineAndDots { .. } => {
                area.draw(&PathElement::new([at(0), at(22)], self.color.stroke_width(stroke(4))))?;
            }
            Mark::Dashes { .. } => {
                for begin in [0, 13] {
                    let dash = [at(begin), at(begin + 8)];
                    area.draw(&PathElement::new(dash, self.color.stroke_width(stroke(3))))?;
                }
            }
            Mark::Dots { radius } => {
                area.draw(&Circle::new(at(11), stroke(radius.max(4)), self.color.filled()))?;
            }
            Mark::Rings { radius } => {
                let style = self.color.stroke_width(stroke(2));
                area.draw(&Circle::new(at(11), stroke(radius.max(4)), style))?;
            }
            Mark::Crosses { radius } => {
                let style = self.color.stroke_width(stroke(1));
                area.draw(&Cross::new(at(11), stroke(radius.max(4)), style))?;
            }
        }
        let style = font(LABEL).into_font().color(&BLACK);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        Ok(area.draw(&Text::new(self.text.clone(), at(29), style))?)
    }
}

/// Panels side by side under a common legend.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Of the SVG, in its pixels.
    pub size: (u32, u32),
    /// A line of small print, or none.
    pub caption: String,
    /// Broken into lines where it is too long for one.
    pub legend: Vec<Entry>,
    /// From left to right, row by row.
    pub panels: Vec<Panel>,
    /// How many panels make a row.
    pub columns: usize,
}

impl Figure {
    /// In one row.
    pub fn new(size: (u32, u32), caption: impl Into<String>, legend: Vec<Entry>) -> Self {
        Self { size, caption: caption.into(), legend, panels: Vec::new(), columns: usize::MAX }
    }

    /// As SVG.
    pub fn svg(&self) -> Result<String> {
        let (width, height) = self.size;
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (stroke(width), stroke(height)))
                .into_drawing_area();
            root.fill(&WHITE)?;
            let top = self.draw_top(&root)?;
            let columns = self.columns.clamp(1, self.panels.len().max(1));
            let rows = self.panels.len().div_ceil(columns).max(1);
            let areas = root.split_vertically(fine(top)).1.split_evenly((rows, columns));
            for (panel, area) in self.panels.iter().zip(&areas) {
                panel.draw(area)?;
            }
            root.present()?;
        }
        let drawn = format!("width=\"{}\" height=\"{}\"", stroke(width), stroke(height));
        Ok(svg.replacen(&drawn, &format!("width=\"{width}\" height=\"{height}\""), 1))
    }

    /// Caption and legend; gives the height that they take.
    fn draw_top(&self, area: &DrawingArea<SVGBackend, Shift>) -> Result<i32> {
        let mut y = 18;
        if !self.caption.is_empty() {
            let style = font(LABEL).into_font().color(&BLACK.mix(0.7));
            let style = style.pos(Pos::new(HPos::Left, VPos::Center));
            area.draw(&Text::new(self.caption.clone(), (fine(24), fine(y)), style))?;
            y += LEGEND_LINE;
        }
        let mut x = 24;
        for entry in &self.legend {
            if x > 24 && x + entry.width() > self.size.0 as i32 - 12 {
                x = 24;
                y += LEGEND_LINE;
            }
            entry.draw(area, x, y)?;
            x += entry.width();
        }
        Ok(if self.legend.is_empty() { y - 10 } else { y + 14 })
    }

    /// Writes `<stem>.svg` and `<stem>.png`.
    pub fn save(&self, dir: &Path, stem: &str) -> Result<[PathBuf; 2]> {
        save(dir, stem, &self.svg()?)
    }
}

/// Writes a drawing as `<stem>.svg` and `<stem>.png`.
pub fn save(dir: &Path, stem: &str, svg: &str) -> Result<[PathBuf; 2]> {
    let paths = [dir.join(format!("{stem}.svg")), dir.join(format!("{stem}.png"))];
    output::write(&paths[0], svg.as_bytes())?;
    output::write(&paths[1], &rasterize(svg)?)?;
    Ok(paths)
}

/// A PNG, whose text does not depend on the fonts of the machine.
pub fn rasterize(svg: &str) -> Result<Vec<u8>> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = usvg::Options { fontdb: Arc::new(fonts), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options)?;
    let size = tree.size().to_int_size();
    let pixels = |length: u32| (length as f32 * SCALE) as u32;
    let mut image = tiny_skia::Pixmap::new(pixels(size.width()), pixels(size.height()))
        .ok_or_else(|| anyhow!("the plot has no area"))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut image.as_mut());
    Ok(image.encode_png()?)
}

/// Five to ten round values.
fn linear_ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 8.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|digit| digit * power);
    let step = step.into_iter().find(|&step| step >= raw).unwrap_or(10.0 * power);
    ((low / step).ceil() as i64..=(high / step).floor() as i64)
        .map(|index| index as f64 * step)
        .collect()
}

/// Round values: the fewer per decade, the more decades there are.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let digits: &[f64] = if decades < 0.7 {
        &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    } else if decades < 1.3 {
        &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]
    } else if decades < 4.0 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let every = if decades > 12.0 { (decades / 8.0).ceil() as i32 } else { 1 };
    (low.log10().floor() as i32..=high.log10().ceil() as i32)
        .filter(|exponent| exponent % every == 0)
        .flat_map(|exponent| digits.iter().map(move |&digit| digit * 10f64.powi(exponent)))
        .filter(|tick| (low * 0.999_999..=high * 1.000_001).contains(tick))
        .collect()
}

/// Without the digits that only rounding made, and with its thousands apart.
pub fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    let short = if value.abs() >= 1e-4 || value == 0.0 {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        let text = format!("{value:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'))
    };
    let (sign, rest) = short.strip_prefix('-').map_or(("", short.as_str()), |rest| ("−", rest));
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(a, b)| (a, Some(b)));
    let whole = if whole.len() > 3 && whole.bytes().all(|byte| byte.is_ascii_digit()) {
        let groups: Vec<&str> = whole
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(|group| std::str::from_utf8(group).expect("digits"))
            .collect();
        groups.join(",")
    } else {
        whole.to_owned()
    };
    let fraction = fraction.map_or(String::new(), |fraction| format!(".{fraction}"));
    let sign = if whole == "0" && fraction.is_empty() { "" } else { sign };
    format!("{sign}{whole}{fraction}")
}

/// Three digits, for a learning rate.
pub fn rounded(value: f64) -> String {
    number(format!("{value:.2e}").parse().unwrap_or(value))
}

fn superscript(power: i32) -> String {
    power
        .to_string()
        .chars()
        .map(|digit| match digit {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            digit => char::from_u32('⁰' as u32 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (0.2, "0.2"),
            (3.0 * 0.1, "0.3"),
            (97.5, "97.5"),
            (-1.5, "−1.5"),
            (12_345.0, "12,345"),
            (-1_000.0, "−1,000"),
            (0.000_02, "2e-5"),
            (0.000_022_7, "2.27e-5"),
        ];
        assert_eq!(rounded(0.014_677_992), "0.0147");
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
        assert_eq!(superscript(-12), "⁻¹²");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(linear_ticks(0.0, 100.0).len(), 6);
        assert_eq!(log_ticks(1e-6, 100.0).len(), 9);
        for (low, high) in [(0.9, 1.1), (-3.0, 17.0), (1e-6, 2e-6)] {
            let ticks = linear_ticks(low, high);
            assert!(ticks.len() >= 4, "{low} to {high}: {ticks:?}");
            assert!(ticks.iter().all(|tick| (low - 1e-12..=high + 1e-12).contains(tick)));
        }
        for (low, high) in [(1.0, 3.0), (0.02, 0.9), (5.0, 7e4), (1e-30, 1e30)] {
            let ticks = log_ticks(low, high);
            assert!((3..=14).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
        }
    }

    #[test]
    fn an_empty_figure_can_be_drawn() {
        let mut figure = Figure::new((400, 300), "nothing", Vec::new());
        let axis = || Axis::holding("x", Scale::Log, [f64::NAN, -1.0]);
        figure.panels.push(Panel::new("empty", axis(), axis()));
        assert!(rasterize(&figure.svg().unwrap()).unwrap().starts_with(b"\x89PNG"));
    }
}
