//! A function of two variables as contours, with the paths of optimizers over it: a still picture with the heights
//! beside it, and a race, an SVG that moves by itself (SMIL, no script), so that it runs as an image in a web page.
//!
use std::collections::HashSet;
use std::f64::consts::TAU;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use contour::ContourBuilder;
use plotters::style::RGBColor;

use super::svg::{FAINT, Frame, INK, envelope, hex, label, line_through, open, tenths};
use super::{Axis, Scale, Side, color, number};
use crate::optimizer::Optimizer;

/// Of the grid on which the contours are found, in pixels.
const CELL: f64 = 2.0;
/// Cells around the frame, so that contours have their ends outside it.
const MARGIN: usize = 2;
/// How much a contour may be off for having fewer points, in pixels.
const TOLERANCE: f64 = 0.15;
/// Points of a path closer than this to the one before are left out, in pixels.
const APART: f64 = 0.5;
const HIGHEST: RGBColor = RGBColor(252, 252, 253);
const LOWEST: RGBColor = RGBColor(184, 192, 208);
const LINE: &str = "#a9b0be";

/// A place with a name.
#[derive(Clone, Copy, Debug)]
pub struct Landmark {
    /// In the axes' units.
    pub at: (f64, f64),
    /// Its name.
    pub name: &'static str,
    /// Where the name stands.
    pub side: Side,
}

/// Where the walkers want to be.
#[derive(Clone, Copy, Debug)]
pub enum Finish {
    /// In a circle.
    Circle {
        /// Its middle.
        center: (f64, f64),
        /// In the axes' units.
        radius: f64,
    },
    /// Beyond a line of constant y.
    Line(f64),
}

impl Finish {
    /// Where a walker is that has arrived.
    fn words(self) -> String {
        match self {
            Finish::Circle { radius, .. } => format!("within {} of the minimum", number(radius)),
            Finish::Line(y) => format!("beyond y = {}", number(y)),
        }
    }
}

/// An optimizer on its way.
#[derive(Clone, Debug)]
pub struct Walker {
    /// Which.
    pub optimizer: Optimizer,
    /// Its learning rate.
    pub rate: f64,
    /// The start and the place after each step.
    pub path: Vec<(f64, f64)>,
    /// The function above its infimum, at the same places.
    pub heights: Vec<f64>,
    /// The step at which it arrived, if it did.
    pub arrival: Option<usize>,
}

/// A function, what is to be seen of it, and who walks over it.
pub struct Landscape<'a> {
    /// Its name.
    pub title: &'a str,
    /// Its definition.
    pub formula: String,
    /// The function above its infimum.
    pub height: &'a dyn Fn(f64, f64) -> f64,
    /// Heights of the contours, ascending.
    pub levels: Vec<f64>,
    /// What is to be seen, horizontally.
    pub x: Axis,
    /// And vertically.
    pub y: Axis,
    /// The first is the start.
    pub landmarks: Vec<Landmark>,
    /// Where to.
    pub finish: Finish,
    /// Who.
    pub walkers: Vec<Walker>,
}

fn dot(svg: &mut String, (x, y): (f64, f64), optimizer: Optimizer) {
    let fill = hex(color(optimizer));
    let _ = write!(
        svg,
        r##"<circle cx="{x:.1}" cy="{y:.1}" r="5" fill="{fill}" stroke="#fff" stroke-width="1.5"/>"##
    );
}

/// Douglas and Peucker: without the points that are within `tolerance` of the line through those that remain.
fn simplified(points: &[(f64, f64)], tolerance: f64) -> Vec<(f64, f64)> {
    let mut kept = vec![false; points.len()];
    let mut open = vec![(0, points.len().saturating_sub(1))];
    while let Some((first, last)) = open.pop() {
        let (a, b) = (points[first], points[last]);
        (kept[first], kept[last]) = (true, true);
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let length = dx.hypot(dy);
        let off = |point: (f64, f64)| {
            let (x, y) = (point.0 - a.0, point.1 - a.1);
            if length > 0.0 { (x * dy - y * dx).abs() / length } else { x.hypot(y) }
        };
        let far = (first + 1..last).max_by(|&i, &j| off(points[i]).total_cmp(&off(points[j])));
        if let Some(far) = far.filter(|&far| off(points[far]) > tolerance) {
            open.extend([(first, far), (far, last)]);
        }
    }
    points.iter().zip(kept).filter(|(_, kept)| *kept).map(|(&point, _)| point).collect()
}

/// A path in pixels, and how far along it some of its steps are.
struct Trail {
    points: Vec<(i64, i64)>,
    along: Vec<f64>,
}

impl Trail {
    /// Through the places after these steps.
    fn new(frame: &Frame<'_>, path: &[(f64, f64)], steps: &[usize]) -> Self {
        let mut points: Vec<(i64, i64)> = Vec::new();
        let mut length = 0.0;
        let along = steps
            .iter()
            .map(|&step| {
                let point = tenths(frame.at(path[step.min(path.len() - 1)]));
                match points.last() {
                    None => points.push(point),
                    Some(last) => {
                        let apart =
                            ((point.0 - last.0) as f64).hypot((point.1 - last.1) as f64) / 10.0;
                        if apart >= APART {
                            length += apart;
                            points.push(point);
                        }
                    }
                }
                length
            })
            .collect();
        Self { points, along }
    }

    fn length(&self) -> f64 {
        self.along.last().copied().unwrap_or(0.0)
    }

    /// As the data of an SVG path.
    fn data(&self) -> String {
        let mut data = String::new();
        line_through(&mut data, &self.points);
        data
    }

    /// Likewise, without what has been drawn already, as where an optimizer swings to and fro.
    fn data_drawn_once(&self) -> String {
        let mut data = String::new();
        let mut drawn = HashSet::new();
        let mut line: Vec<(i64, i64)> = Vec::new();
        for pair in self.points.windows(2) {
            let ends = [pair[0], pair[1]].map(|(x, y)| (x.div_euclid(10), y.div_euclid(10)));
            if drawn.insert(ends.iter().min().copied().zip(ends.iter().max().copied())) {
                if line.is_empty() {
                    line.push(pair[0]);
                }
                line.push(pair[1]);
            } else {
                line_through(&mut data, &line);
                line.clear();
            }
        }
        line_through(&mut data, &line);
        data
    }
}

impl Landscape<'_> {
    /// Bands between the contours, from dark in the valleys to white.
    fn terrain(&self, svg: &mut String, frame: &Frame<'_>) -> Result<()> {
        let columns = (frame.width / CELL) as usize + 2 * MARGIN;
        let rows = (frame.height / CELL) as usize + 2 * MARGIN;
        // The value of a cell is that at its middle.
        let offset = |index: usize| (index as f64 + 0.5 - MARGIN as f64) * CELL;
        let value = |row: usize, column: usize| {
            let (x, y) = (&self.x, &self.y);
            let x = x.low + offset(column) / frame.width * (x.high - x.low);
            let y = y.high - offset(row) / frame.height * (y.high - y.low);
            (self.height)(x, y).max(f64::MIN_POSITIVE).log10()
        };
        let values: Vec<f64> =
            (0..rows).flat_map(|row| (0..columns).map(move |column| value(row, column))).collect();
        let levels: Vec<f64> = self.levels.iter().map(|level| level.log10()).collect();
        let contours = ContourBuilder::new(columns, rows, true)
            .x_origin(frame.left - MARGIN as f64 * CELL)
            .y_origin(frame.top - MARGIN as f64 * CELL)
            .x_step(CELL)
            .y_step(CELL)
            .lines(&values, &levels)
            .context("no contours")?;
        let Frame { left, top, width, height, .. } = frame;
        let _ = write!(
            svg,
            r#"<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="{}"/>"#,
            hex(LOWEST)
        );
        for (index, contour) in contours.iter().enumerate() {
            let mut data = String::new();
            for ring in contour.geometry() {
                let points: Vec<_> = ring.0.iter().map(|point| (point.x, point.y)).collect();
                let points = simplified(&points, TOLERANCE);
                line_through(&mut data, &points.into_iter().map(tenths).collect::<Vec<_>>());
                data.push('z');
            }
            let fraction = (index + 1) as f64 / contours.len() as f64;
            let between = |low: u8, high: u8| {
                (f64::from(low) + fraction * (f64::from(high) - f64::from(low))).round() as u8
            };
            let fill = RGBColor(
                between(LOWEST.0, HIGHEST.0),
                between(LOWEST.1, HIGHEST.1),
                between(LOWEST.2, HIGHEST.2),
            );
            let _ = write!(
                svg,
                r#"<path d="{data}" fill="{}" fill-rule="evenodd" stroke="{LINE}" stroke-width=".6"/>"#,
                hex(fill)
            );
        }
        let finish = match self.finish {
            Finish::Circle { center, radius } => {
                let points: Vec<_> = (0..=48)
                    .map(|turn| {
                        let (sin, cos) = (f64::from(turn) / 48.0 * TAU).sin_cos();
                        tenths(frame.at((center.0 + radius * cos, center.1 + radius * sin)))
                    })
                    .collect();
                points
            }
            Finish::Line(y) => [self.x.low, self.x.high].map(|x| tenths(frame.at((x, y)))).to_vec(),
        };
        let mut data = String::new();
        line_through(&mut data, &finish);
        let _ =
            write!(svg, r##"<path d="{data}" fill="none" stroke="#333" stroke-dasharray="4 3"/>"##);
        Ok(())
    }

    /// The start as a circle, what else there is as a cross; names on a halo, to be read above the paths.
    fn draw_landmarks(&self, svg: &mut String, frame: &Frame<'_>) {
        for (index, landmark) in self.landmarks.iter().enumerate() {
            let (x, y) = frame.at(landmark.at);
            if index == 0 {
                let _ = write!(
                    svg,
                    r##"<circle cx="{x:.1}" cy="{y:.1}" r="5.5" fill="#fff" stroke="#000" stroke-width="2"/>"##
                );
            } else {
                let cross = format!("M{:.1} {:.1}l10 10m0-10l-10 10", x - 5.0, y - 5.0);
                let _ = write!(
                    svg,
                    r##"<path d="{cross}" fill="none" stroke="#fff" stroke-width="5"/><path d="{cross}" fill="none" stroke="#000" stroke-width="2.2"/>"##
                );
            }
            let (anchor, dx, dy) = match landmark.side {
                Side::Above => ("middle", 0.0, -14.0),
                Side::Below => ("middle", 0.0, 27.0),
                Side::Left => ("end", -12.0, 5.0),
                Side::Right => ("start", 12.0, 5.0),
            };
            let _ = write!(
                svg,
                r##"<text x="{:.1}" y="{:.1}" font-size="15" text-anchor="{anchor}" stroke="#fff" stroke-width="4" stroke-linejoin="round" stroke-opacity=".85" paint-order="stroke">{}</text>"##,
                x + dx,
                y + dy,
                landmark.name
            );
        }
    }

    /// By path, the longest first: short ones are drawn above them, which would otherwise be hidden.
    fn trails(&self, frame: &Frame<'_>, steps: &[usize]) -> Vec<(&Walker, Trail)> {
        let mut trails: Vec<_> = self
            .walkers
            .iter()
            .map(|walker| (walker, Trail::new(frame, &walker.path, steps)))
            .collect();
        trails.sort_by(|a, b| b.1.length().total_cmp(&a.1.length()));
        trails
    }

    fn first_arrival(&self) -> Option<usize> {
        self.walkers.iter().filter_map(|walker| walker.arrival).min()
    }

    fn steps(&self) -> usize {
        self.walkers.iter().map(|walker| walker.path.len().saturating_sub(1)).max().unwrap_or(0)
    }

    /// Contours with all paths, and beside them height against steps.
    pub fn still(&self) -> Result<String> {
        let mut svg = open(1200, 640);
        label(&mut svg, (28.0, 32.0), 20, "start", INK, self.title);
        let mut subtitle =
            format!("{}. Figures: first step {} (dashed)", self.formula, self.finish.words());
        if let Some(step) = self.first_arrival() {
            let _ = write!(subtitle, "; dots: all at step {}", number(step as f64));
        }
        label(&mut svg, (28.0, 57.0), 15, "start", FAINT, &subtitle);
        for (index, walker) in self.walkers.iter().enumerate() {
            let x = 28.0 + 290.0 * (index % 4) as f64;
            let y = 86.0 + 25.0 * (index / 4) as f64;
            let end = x + 24.0;
            let middle = y - 5.0;
            let _ = write!(
                svg,
                r#"<path d="M{x} {middle}H{end}" stroke="{}" stroke-width="4"/>"#,
                hex(color(walker.optimizer))
            );
            let arrival = walker.arrival.map_or("never".to_owned(), |step| number(step as f64));
            let name = walker.optimizer.name();
            let text = format!("{name}, rate {}: {arrival}", number(walker.rate));
            label(&mut svg, (x + 32.0, y), 15, "start", INK, &text);
        }
        let frame =
            Frame { left: 92.0, top: 136.0, width: 500.0, height: 440.0, x: &self.x, y: &self.y };
        frame.clip(&mut svg, "map");
        svg.push_str(r#"<g clip-path="url(#map)">"#);
        self.terrain(&mut svg, &frame)?;
        let steps: Vec<usize> = (0..=self.steps()).collect();
        svg.push_str(r#"<g fill="none" stroke-linejoin="round" stroke-linecap="round">"#);
        for (index, (walker, trail)) in self.trails(&frame, &steps).iter().enumerate() {
            // Ever thinner: where paths are the same, the lower ones are seen on both sides.
            let _ = write!(
                svg,
                r#"<path d="{}" stroke="{}" stroke-width="{:.1}"/>"#,
                trail.data_drawn_once(),
                hex(color(walker.optimizer)),
                4.0 - 0.4 * index as f64,
            );
        }
        svg.push_str("</g>");
        if let Some(step) = self.first_arrival() {
            for walker in &self.walkers {
                if let Some(&place) = walker.path.get(step) {
                    dot(&mut svg, frame.at(place), walker.optimizer);
                }
            }
        }
        self.draw_landmarks(&mut svg, &frame);
        svg.push_str("</g>");
        frame.axes(&mut svg, false);
        self.heights(&mut svg);
        svg.push_str("</svg>");
        Ok(svg)
    }

    fn heights(&self, svg: &mut String) {
        let last = self.steps().max(2) as f64;
        let digits: &[f64] = if last > 500.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let ticks =
            (0..9).flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        let ticks = ticks.filter(|tick| *tick <= last).collect();
        let x = Axis::new("step", Scale::Log, 1.0, last).with_ticks(ticks);
        let all = self.walkers.iter().flat_map(|walker| walker.heights.iter().copied());
        // Below that the tables have no digits.
        let y = Axis::holding(
            "f above its infimum",
            Scale::Log,
            all.map(|height| height.clamp(1e-7, 1e12)),
        );
        let frame = Frame { left: 690.0, top: 136.0, width: 482.0, height: 440.0, x: &x, y: &y };
        frame.axes(svg, true);
        frame.clip(svg, "heights");
        svg.push_str(
            r#"<g clip-path="url(#heights)" fill="none" stroke-width="2" stroke-linejoin="round">"#,
        );
        for walker in &self.walkers {
            let points: Vec<_> = (1..walker.heights.len())
                .map(|step| frame.at((step as f64, walker.heights[step].max(1e-300))))
                .collect();
            let mut data = String::new();
            line_through(&mut data, &envelope(&points).into_iter().map(tenths).collect::<Vec<_>>());
            let stroke = hex(color(walker.optimizer));
            let _ = write!(svg, r#"<path d="{data}" stroke="{stroke}" stroke-opacity=".9"/>"#);
        }
        svg.push_str("</g>");
        for walker in &self.walkers {
            if let Some(step) = walker.arrival {
                dot(svg, frame.at((step as f64, walker.heights[step])), walker.optimizer);
            }
        }
    }

    /// All paths at once, in motion; without a program that moves SVG it shows all paths whole.
    pub fn race(&self) -> Result<String> {
        const FRAMES: usize = 120;
        const RUNNING: f64 = 10.0;
        const RESTING: f64 = 2.5;
        let seconds = RUNNING + RESTING;
        let steps = self.steps().max(1) as f64;
        // Steps pass ever faster, so that the first arrival is after a third of the time.
        let first = self.first_arrival().unwrap_or(1).max(1);
        let power = ((first as f64 / steps).ln() / (1.0f64 / 3.0).ln()).clamp(1.0, 4.0);
        let time_of = |step: f64| (step / steps).powf(1.0 / power) * RUNNING / seconds;
        let step_at =
            |index: usize| (steps * (index as f64 / FRAMES as f64).powf(power)).round() as usize;
        let list = |value: &dyn Fn(usize) -> String| {
            // The last once more, for the rest.
            (0..=FRAMES).chain([FRAMES]).map(value).collect::<Vec<_>>().join(";")
        };
        let times = {
            let mut times =
                list(&|index| format!("{:.4}", index as f64 / FRAMES as f64 * RUNNING / seconds));
            times.truncate(times.rfind(';').unwrap_or(0));
            times + ";1"
        };
        let repeat = format!(r#"dur="{seconds}s" repeatCount="indefinite""#);

        let mut svg = open(850, 560);
        label(&mut svg, (24.0, 32.0), 20, "start", INK, self.title);
        label(&mut svg, (24.0, 56.0), 14, "start", FAINT, &self.formula);
        let frame =
            Frame { left: 84.0, top: 76.0, width: 500.0, height: 420.0, x: &self.x, y: &self.y };
        frame.clip(&mut svg, "map");
        svg.push_str(r#"<g clip-path="url(#map)">"#);
        self.terrain(&mut svg, &frame)?;
        self.draw_landmarks(&mut svg, &frame);
        let stops: Vec<usize> = (1..=FRAMES)
            .flat_map(|index| {
                // More in a twelfth of a second is not to be seen.
                let (from, to) = (step_at(index - 1), step_at(index));
                (from..to).step_by((to - from).div_ceil(12).max(1))
            })
            .chain([self.steps()])
            .collect();
        let stop_at = |index: usize| stops.partition_point(|&stop| stop < step_at(index));
        let trails = self.trails(&frame, &stops);
        svg.push_str(r#"<g fill="none" stroke-linejoin="round">"#);
        for (walker, trail) in &trails {
            let key = walker.optimizer.key();
            let stroke = hex(color(walker.optimizer));
            let _ = write!(svg, r#"<defs><path id="{key}" d="{}"/></defs>"#, trail.data());
            // The whole way, faint, and two shorter and stronger pieces behind the walker.
            for (behind, width, opacity) in [(FRAMES, 1.6, 0.3), (16, 2.2, 0.5), (6, 3.0, 0.9)] {
                let dashes = list(&|index| {
                    let [from, to] = [index.saturating_sub(behind), index]
                        .map(|index| trail.along[stop_at(index)]);
                    format!("0,{from:.0},{:.1},9999", to - from)
                });
                let _ = write!(
                    svg,
                    r##"<use href="#{key}" stroke="{stroke}" stroke-width="{width}" stroke-opacity="{opacity}"><animate attributeName="stroke-dasharray" {repeat} values="{dashes}" keyTimes="{times}"/></use>"##
                );
            }
        }
        svg.push_str("</g>");
        for (walker, trail) in &trails {
            let key = walker.optimizer.key();
            let points = list(&|index| {
                let length = trail.length().max(f64::MIN_POSITIVE);
                format!("{:.4}", trail.along[stop_at(index)] / length)
            });
            let _ = write!(
                svg,
                r##"<circle r="6" fill="{}" stroke="#fff" stroke-width="1.5"><animateMotion {repeat} calcMode="linear" keyPoints="{points}" keyTimes="{times}"><mpath href="#{key}"/></animateMotion></circle>"##,
                hex(color(walker.optimizer))
            );
        }
        svg.push_str("</g>");
        frame.axes(&mut svg, false);

        label(&mut svg, (612.0, 100.0), 16, "start", FAINT, "step");
        // A column of numbers behind a window; it rests on the last.
        let counter: String = (0..=FRAMES).fold(String::new(), |mut counter, index| {
            let text = number(step_at(index) as f64);
            label(&mut counter, (802.0, 104.0 + 40.0 * index as f64), 28, "end", INK, &text);
            counter
        });
        let at = list(&|index| format!("0 {}", -40 * index as i64));
        let _ = write!(
            svg,
            r#"<clipPath id="window"><rect x="660" y="76" width="150" height="36"/></clipPath><g clip-path="url(#window)"><g transform="translate(0 {})"><animateTransform attributeName="transform" type="translate" calcMode="discrete" {repeat} values="{at}" keyTimes="{times}"/>{counter}</g></g>"#,
            -40 * FRAMES as i64
        );
        label(&mut svg, (802.0, 140.0), 13, "end", FAINT, "arrived at");
        for (index, walker) in self.walkers.iter().enumerate() {
            let y = 170.0 + 43.0 * index as f64;
            let _ = write!(
                svg,
                r#"<circle cx="620" cy="{}" r="7" fill="{}"/>"#,
                y - 5.0,
                hex(color(walker.optimizer))
            );
            label(&mut svg, (636.0, y), 16, "start", INK, walker.optimizer.name());
            let rate = format!("rate {}", number(walker.rate));
            label(&mut svg, (636.0, y + 17.0), 12, "start", FAINT, &rate);
            let (time, text, fill) = match walker.arrival {
                Some(step) => (time_of(step as f64), number(step as f64), INK),
                None => (RUNNING / seconds, "never".to_owned(), FAINT),
            };
            let _ = write!(
                svg,
                r#"<g><animate attributeName="opacity" calcMode="discrete" {repeat} values="0;1" keyTimes="0;{time:.4}"/>"#
            );
            label(&mut svg, (802.0, y), 16, "end", fill, &text);
            svg.push_str("</g>");
        }
        let arrived = format!("arrived: {}", self.finish.words());
        label(&mut svg, (612.0, 476.0), 12, "start", FAINT, &arrived);
        let clock = format!("the clock quickens: step ∝ time^{power:.1}");
        label(&mut svg, (612.0, 496.0), 12, "start", FAINT, &clock);
        svg.push_str("</svg>");
        Ok(svg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simplified_lines_keep_their_shape() {
        let circle: Vec<_> = (0..=720).map(|i| (f64::from(i) / 720.0 * TAU).sin_cos()).collect();
        let few = simplified(&circle, 0.01);
        assert!(few.len() < 40, "{}", few.len());
        assert_eq!((few[0], few[few.len() - 1]), (circle[0], circle[720]));
        for pair in few.windows(2) {
            let (x, y) = ((pair[0].0 + pair[1].0) / 2.0, (pair[0].1 + pair[1].1) / 2.0);
            assert!(x.hypot(y) > 0.98, "{pair:?}");
        }
        let line = [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)];
        assert_eq!(simplified(&line, 0.1), [line[0], line[2]]);
    }

    #[test]
    fn a_path_to_and_fro_is_drawn_once() {
        let axis = || Axis::new("", Scale::Linear, 0.0, 100.0);
        let (x, y) = (axis(), axis());
        let frame = Frame { left: 0.0, top: 0.0, width: 100.0, height: 100.0, x: &x, y: &y };
        let path = [(0.0, 100.0), (50.0, 100.0), (0.0, 100.0), (50.0, 100.0), (50.0, 50.0)];
        let trail = Trail::new(&frame, &path, &[0, 1, 2, 3, 4]);
        assert_eq!(trail.along, [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(trail.data(), "M0 0l50 0 -50 0 50 0 0 50");
        assert_eq!(trail.data_drawn_once(), "M0 0l50 0M50 0l0 50");
    }
}
