//! A network of one hidden layer: 64 pixels, 10 units with a leaky ReLU, 10 classes with softmax
//! and cross-entropy. The same one as `../../c/model.c`, sum by sum.

use crate::digits::{CLASSES, Digit, PIXELS, label, pixels};
use crate::exp_log::{exp, log};

const HIDDEN: usize = 10;
pub const WEIGHTS: usize = (PIXELS + 1) * HIDDEN + (HIDDEN + 1) * CLASSES;

/// All weights in one array, or their gradient.
pub type Weights = [f32; WEIGHTS];

/// Its parts, each row being what one pixel (or one unit) is multiplied with.
struct Parts<T, U> {
    hidden: T,
    hidden_bias: U,
    output: T,
    output_bias: U,
}

fn parts(weights: &Weights) -> Parts<&[[f32; 10]], &[f32]> {
    let (hidden, rest) = weights.split_at(PIXELS * HIDDEN);
    let (hidden_bias, rest) = rest.split_at(HIDDEN);
    let (output, output_bias) = rest.split_at(HIDDEN * CLASSES);
    Parts { hidden: hidden.as_chunks().0, hidden_bias, output: output.as_chunks().0, output_bias }
}

fn parts_mut(weights: &mut Weights) -> Parts<&mut [[f32; 10]], &mut [f32]> {
    let (hidden, rest) = weights.split_at_mut(PIXELS * HIDDEN);
    let (hidden_bias, rest) = rest.split_at_mut(HIDDEN);
    let (output, output_bias) = rest.split_at_mut(HIDDEN * CLASSES);
    Parts {
        hidden: hidden.as_chunks_mut().0,
        hidden_bias,
        output: output.as_chunks_mut().0,
        output_bias,
    }
}

/// Initial weights, the same ones for the same seed.
pub fn init(weights: &mut Weights, mut seed: u32) {
    // Marsaglia's xorshift; its upper 24 bits are uniform in [0, 1), and exact as a float.
    let mut fill = |rows: &mut [[f32; 10]], limit: f32| {
        for weight in rows.as_flattened_mut() {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            let uniform = (seed >> 8) as f32 / (1 << 23) as f32 - 1.0;
            *weight = uniform * limit;
        }
    };
    let parts = parts_mut(weights);
    fill(parts.hidden, 0.2);
    fill(parts.output, 0.5);
    parts.hidden_bias.fill(0.0);
    parts.output_bias.fill(0.0);
}

/// The class that the digit most likely is.
pub fn classify(weights: &Weights, digit: &Digit) -> usize {
    largest(&forward(weights, digit).1)
}

/// Adds the derivatives of the digit's loss to `gradient`, and gives the loss.
pub fn learn(weights: &Weights, digit: &Digit, gradient: &mut Weights) -> f32 {
    let (hidden, output) = forward(weights, digit);
    let (loss, slope) = cross_entropy(output, label(digit));

    let output_rows = parts(weights).output;
    let gradient = parts_mut(gradient);
    add_scaled(gradient.output_bias, 1.0, &slope);
    let mut hidden_slope = [0.0; HIDDEN];
    for (j, unit) in hidden.into_iter().enumerate() {
        add_scaled(&mut gradient.output[j], unit, &slope);
        let sum = output_rows[j].iter().zip(&slope).fold(0.0, |sum, (w, s)| sum + w * s);
        hidden_slope[j] = sum * leak(unit);
    }
    add_scaled(gradient.hidden_bias, 1.0, &hidden_slope);
    for (row, pixel) in gradient.hidden.iter_mut().zip(pixels(digit)) {
        add_scaled(row, pixel, &hidden_slope);
    }
    loss
}

/// 64-bit FNV-1a of the weights' bits, little-endian: equal hashes, equal bits.
pub fn hash(weights: &Weights) -> u64 {
    let bytes = weights.iter().flat_map(|weight| weight.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The hidden units, and the classes' logits.
fn forward(weights: &Weights, digit: &Digit) -> ([f32; HIDDEN], [f32; CLASSES]) {
    let parts = parts(weights);
    let (mut hidden, mut output) = ([0.0; HIDDEN], [0.0; CLASSES]);
    hidden.copy_from_slice(parts.hidden_bias);
    for (row, pixel) in parts.hidden.iter().zip(pixels(digit)) {
        add_scaled(&mut hidden, pixel, row);
    }
    output.copy_from_slice(parts.output_bias);
    for (row, unit) in parts.output.iter().zip(&mut hidden) {
        *unit *= leak(*unit);
        add_scaled(&mut output, *unit, row);
    }
    (hidden, output)
}

/// The slope of a leaky ReLU; what has passed it has kept its sign.
fn leak(x: f32) -> f32 {
    if x > 0.0 { 1.0 } else { 0.125 }
}

/// `sum += factor * row`. Most pixels are white, and cost nothing.
fn add_scaled(sum: &mut [f32], factor: f32, row: &[f32]) {
    if factor != 0.0 {
        for (sum, x) in sum.iter_mut().zip(row) {
            *sum += factor * x;
        }
    }
}

fn largest(output: &[f32; CLASSES]) -> usize {
    (1..CLASSES).fold(0, |best, k| if output[k] > output[best] { k } else { best })
}

/// The loss, and its derivatives by the logits.
fn cross_entropy(output: [f32; CLASSES], label: usize) -> (f32, [f32; CLASSES]) {
    let most = output[largest(&output)];
    let exps = output.map(|x| exp(x - most));
    let total = exps.iter().fold(0.0, |total, x| total + x);
    let mut slope = exps.map(|x| x / total);
    slope[label] -= 1.0;
    (log(total) - (output[label] - most), slope)
}
