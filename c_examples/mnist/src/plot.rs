//! The training curves, as SVG, and as PNG made from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use resvg::{tiny_skia, usvg};

use crate::cli::Schedule;
use crate::optimizer::Optimizer;
use crate::output;
use crate::run::Run;

const SIZE: (u32, u32) = (1200, 560);
/// Pixels of the PNG for each of the SVG's.
const SCALE: f32 = 2.0;
const LEGEND_HEIGHT: u32 = 72;

/// Writes `curves.svg` and `curves.png`.
pub fn write(dir: &Path, runs: &[Run]) -> Result<Vec<PathBuf>> {
    let svg = draw(runs)?;
    let png = rasterize(&svg)?;
    let paths = vec![dir.join("curves.svg"), dir.join("curves.png")];
    output::write(&paths[0], svg.as_bytes())?;
    output::write(&paths[1], &png)?;
    Ok(paths)
}

/// Okabe and Ito's palette, which colour-blind readers can tell apart; an optimizer keeps its colour in every plot.
fn color(optimizer: Optimizer) -> RGBColor {
    match optimizer {
        Optimizer::Sgd => RGBColor(0, 0, 0),
        Optimizer::Momentum => RGBColor(230, 159, 0),
        Optimizer::Nesterov => RGBColor(86, 180, 233),
        Optimizer::AdaGrad => RGBColor(0, 158, 115),
        Optimizer::RmsProp => RGBColor(204, 121, 167),
        Optimizer::AdaDelta => RGBColor(0, 114, 178),
        Optimizer::Adam => RGBColor(213, 94, 0),
        Optimizer::AdamW => RGBColor(240, 228, 66),
    }
}

/// A curve in the plane of one panel.
struct Curve {
    optimizer: Optimizer,
    points: Vec<(f64, f64)>,
    marked: bool,
}

fn draw(runs: &[Run]) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (legend, panels) = root.split_vertically(LEGEND_HEIGHT);
        draw_legend(&legend, runs)?;
        let panels = panels.split_evenly((1, 2));
        let epochs = runs
            .iter()
            .map(|run| run.steps.len() as f64 / run.steps_per_epoch as f64)
            .fold(1.0, f64::max);
        let losses: Vec<Curve> = runs.iter().map(smoothed_loss).collect();
        let errors: Vec<Curve> = runs.iter().map(test_error).collect();
        draw_panel(
            &panels[0],
            "Training loss",
            "cross-entropy (nats), running mean",
            epochs,
            &losses,
        )?;
        draw_panel(&panels[1], "Test error", "test digits misread (%)", epochs, &errors)?;
        root.present()?;
    }
    Ok(svg)
}

/// The mean of the last twentieth of all steps (of those before it, at first), so that the curves do not hide each
/// other under noise; a point for every half of a percent.
fn smoothed_loss(run: &Run) -> Curve {
    let window = run.steps.len().div_ceil(20);
    let points = (1..=run.steps.len())
        .step_by(run.steps.len().div_ceil(200))
        .map(|step| {
            let recent = &run.steps[step.saturating_sub(window)..step];
            let loss = recent.iter().map(|step| step.loss).sum::<f64>() / recent.len() as f64;
            (step as f64 / run.steps_per_epoch as f64, loss)
        })
        .filter(|(_, loss)| loss.is_finite())
        .collect();
    Curve { optimizer: run.optimizer, points, marked: false }
}

fn test_error(run: &Run) -> Curve {
    let points = run
        .epochs
        .iter()
        .enumerate()
        .map(|(index, epoch)| ((index + 1) as f64, 100.0 * (1.0 - epoch.test.accuracy)))
        .collect();
    Curve { optimizer: run.optimizer, points, marked: true }
}

fn draw_legend(area: &DrawingArea<SVGBackend, Shift>, runs: &[Run]) -> Result<()> {
    let width = (SIZE.0 as i32 - 80) / runs.len().max(4) as i32;
    if let Some(run) = runs.first() {
        let text = format!(
            "batches of {}, preset {}, seed {}; behind each optimizer its learning rate{}",
            run.batch_size,
            run.preset,
            run.seed,
            if run.schedule == Schedule::Linear {
                ", which falls to 0 in a straight line"
            } else {
                ""
            }
        );
        area.draw(&Text::new(
            text,
            (60, 14),
            ("sans-serif", 15).into_font().color(&BLACK.mix(0.7)),
        ))?;
    }
    let y = LEGEND_HEIGHT as i32 - 18;
    for (index, run) in runs.iter().enumerate() {
        let x = 60 + index as i32 * width;
        let line = color(run.optimizer).stroke_width(4);
        area.draw(&PathElement::new(vec![(x, y), (x + 20, y)], line))?;
        let label = format!("{} {}", run.optimizer.name(), run.lr);
        area.draw(&Text::new(label, (x + 26, y - 5), ("sans-serif", 14)))?;
    }
    Ok(())
}

/// Values against epochs, on a logarithmic scale that holds all of them.
fn draw_panel(
    area: &DrawingArea<SVGBackend, Shift>,
    title: &str,
    unit: &str,
    epochs: f64,
    curves: &[Curve],
) -> Result<()> {
    let values = || {
        curves
            .iter()
            .flat_map(|curve| &curve.points)
            .map(|point| point.1)
            .filter(|&value| value > 0.0)
    };
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let (low, high) =
        if low <= high { (low * 0.85, (high * 1.15).min(low * 1e9)) } else { (0.1, 10.0) };
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .caption(title, ("sans-serif", 22))
        .x_label_area_size(48)
        .y_label_area_size(70)
        .build_cartesian_2d(
            0.0..epochs,
            (low..high).log_scale().with_key_points(ticks(low, high)),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.15))
        .x_desc("epoch")
        .y_desc(unit)
        .x_labels(if epochs <= 12.0 { epochs as usize + 1 } else { 11 })
        .x_label_formatter(&|x| format!("{x}"))
        .y_label_formatter(&|y| format!("{y}"))
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    for curve in curves {
        let style = color(curve.optimizer).stroke_width(2);
        let points: Vec<_> =
            curve.points.iter().copied().filter(|point| (low..=high).contains(&point.1)).collect();
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        if curve.marked {
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, style.filled())))?;
        }
    }
    Ok(())
}

/// Round values: the fewer per decade, the more decades there are.
fn ticks(low: f64, high: f64) -> Vec<f64> {
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
    // Dividing by a power of ten keeps 0.2 from becoming 0.20000000000000001.
    let value = |exponent: i32, digit: f64| {
        if exponent < 0 { digit / 10f64.powi(-exponent) } else { digit * 10f64.powi(exponent) }
    };
    (low.log10().floor() as i32..=high.log10().ceil() as i32)
        .flat_map(|exponent| digits.iter().map(move |&digit| value(exponent, digit)))
        .filter(|tick| (low..=high).contains(tick))
        .collect()
}

fn rasterize(svg: &str) -> Result<Vec<u8>> {
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
