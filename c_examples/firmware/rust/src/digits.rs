//! Handwritten digits of 8 x 8 pixels, small enough to lie in a microcontroller's flash.

pub const PIXELS: usize = 64;
pub const CLASSES: usize = 10;

/// The label, then two pixels of 4 bits in a byte, the left one in the lower bits; 15 is black.
pub type Digit = [u8; 1 + PIXELS / 2];

static DIGITS: &[Digit] = include_bytes!("../../data/digits.bin").as_chunks().0;

/// Digits to learn from.
pub fn training() -> &'static [Digit] {
    &DIGITS[..2000]
}

/// Other digits, to be tested on.
pub fn test() -> &'static [Digit] {
    &DIGITS[2000..]
}

pub fn label(digit: &Digit) -> usize {
    usize::from(digit[0])
}

pub fn pixels(digit: &Digit) -> impl Iterator<Item = f32> {
    let both = |pair: &u8| [pair & 15, pair >> 4];
    digit[1..].iter().flat_map(both).map(|level| f32::from(level) * 0.125)
}
