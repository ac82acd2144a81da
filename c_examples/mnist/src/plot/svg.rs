//! SVG written directly, where whole pixels, which are all that plotters knows, are too coarse.

use std::fmt::Write as _;

use plotters::style::RGBColor;

use super::Axis;

/// Colour of text.
pub const INK: &str = "#000";
/// Of what is less important.
pub const FAINT: &str = "#555";

/// A rectangle of pixels with axes.
#[allow(missing_docs)]
pub struct Frame<'a> {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    pub x: &'a Axis,
    pub y: &'a Axis,
}

impl Frame<'_> {
    /// The pixel of a point; one far outside is brought nearer.
    pub fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let along = |axis: &Axis, value: f64| {
            let (low, high) = (axis.place(axis.low), axis.place(axis.high));
            ((axis.place(value) - low) / (high - low)).clamp(-9.0, 9.0)
        };
        (
            self.left + self.width * along(self.x, x),
            self.top + self.height * (1.0 - along(self.y, y)),
        )
    }

    /// Defines the clip path `name`, which ends what is drawn at the frame.
    pub fn clip(&self, svg: &mut String, name: &str) {
        let Self { left, top, width, height, .. } = self;
        let _ = write!(
            svg,
            r#"<clipPath id="{name}"><rect x="{left}" y="{top}" width="{width}" height="{height}"/></clipPath>"#
        );
    }

    /// Border, ticks, labels and titles; lines across the frame where there are no contours to be disturbed.
    pub fn axes(&self, svg: &mut String, lines: bool) {
        let Self { left, top, width, height, x, y } = *self;
        let (right, bottom) = (left + width, top + height);
        let mut ticks = String::new();
        for &tick in &x.ticks {
            let at = self.at((tick, y.low)).0;
            let from = if lines { top } else { bottom };
            let _ = write!(ticks, "M{at:.1} {from}V{}", bottom + 5.0);
            label(svg, (at, bottom + 21.0), 15, "middle", INK, &x.label(x.place(tick)));
        }
        let mut longest = 0;
        for &tick in &y.ticks {
            let at = self.at((x.low, tick)).1;
            let from = if lines { right } else { left };
            let _ = write!(ticks, "M{from} {at:.1}H{}", left - 5.0);
            let text = y.label(y.place(tick));
            label(svg, (left - 9.0, at + 5.0), 15, "end", INK, &text);
            longest = longest.max(text.chars().count());
        }
        let _ = write!(
            svg,
            r##"<path d="{ticks}" stroke="#000" stroke-opacity="{}"/>"##,
            if lines { 0.13 } else { 1.0 }
        );
        let _ = write!(
            svg,
            r##"<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#000"/>"##
        );
        label(svg, (left + width / 2.0, bottom + 44.0), 16, "middle", INK, &x.title);
        let (x, middle) = (left - 20.0 - 9.0 * longest as f64, top + height / 2.0);
        let _ = write!(svg, r#"<g transform="rotate(-90 {x} {middle})">"#);
        label(svg, (x, middle), 16, "middle", INK, &y.title);
        svg.push_str("</g>");
    }
}

/// A text whose baseline begins, has its middle or ends at a point.
pub fn label(
    svg: &mut String,
    (x, y): (f64, f64),
    size: u32,
    anchor: &str,
    fill: &str,
    text: &str,
) {
    let _ = write!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{text}</text>"#
    );
}

/// As SVG writes it.
pub fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The beginning of a drawing, white.
pub fn open(width: u32, height: u32) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="DejaVu Sans, Verdana, sans-serif"><rect width="{width}" height="{height}" fill="#fff"/>"##
    )
}

/// In tenths of pixels, which is exact enough and short.
pub fn tenths((x, y): (f64, f64)) -> (i64, i64) {
    ((x * 10.0).round() as i64, (y * 10.0).round() as i64)
}

/// Adds to the data of an SVG path.
pub fn line_through(data: &mut String, points: &[(i64, i64)]) {
    let pixels = |tenths: i64| tenths as f64 / 10.0;
    let mut last = (0, 0);
    for (index, &(x, y)) in points.iter().enumerate() {
        let command = ["M", "l", " "][index.min(2)];
        let _ = write!(data, "{command}{} {}", pixels(x - last.0), pixels(y - last.1));
        last = (x, y);
    }
}

/// Of the points that share a column of pixels, the first, the lowest, the highest and the last, in their order.
pub fn envelope(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points
        .chunk_by(|a, b| a.0.floor() == b.0.floor())
        .flat_map(|column| {
            let by_height = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
            let low = (0..column.len()).min_by(by_height).unwrap_or(0);
            let high = (0..column.len()).max_by(by_height).unwrap_or(0);
            let mut kept = vec![0, low, high, column.len() - 1];
            kept.sort_unstable();
            kept.dedup();
            kept.into_iter().map(|index| column[index]).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_keeps_the_extremes_of_each_column() {
        let points = [(0.1, 5.0), (0.2, 1.0), (0.3, 4.0), (0.4, 9.0), (0.5, 6.0), (1.5, 2.0)];
        let kept = [points[0], points[1], points[3], points[4], points[5]];
        assert_eq!(envelope(&points), kept);
    }
}
