//! Numbers for the rules to compute with.
//!
//! Needs only `core`: the conformance program compiles this file, too.

/// SplitMix64: integers only, so every platform draws the same numbers.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// From 2^-20 to 2^7, about 1e-6 to 1e2, each octave alike.
    pub fn magnitude(&mut self) -> f32 {
        let exponent = 127 - 20 + self.below(27) as u32;
        f32::from_bits(exponent << 23 | (self.next() >> 41) as u32)
    }

    pub fn sign(&mut self) -> f32 {
        if self.next() & 1 == 0 { 1.0 } else { -1.0 }
    }

    /// A magnitude with a sign; one in eight is a zero, of either sign.
    pub fn number(&mut self) -> f32 {
        self.sign() * if self.below(8) == 0 { 0.0 } else { self.magnitude() }
    }

    /// Anything, and often what makes trouble.
    pub fn wild(&mut self) -> f32 {
        let special = [
            0.0,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            f32::from_bits(0x7f_ffff),
            1e-40,
            1e-19,
            1e19,
            1e38,
            f32::MAX,
            f32::INFINITY,
            f32::NAN,
            1.0,
        ];
        match self.below(4) {
            0 => f32::from_bits(self.next() as u32),
            1 => self.sign() * special[self.below(special.len())],
            _ => self.number(),
        }
    }
}

/// Whether a buffer of this name holds squares, which are not negative.
pub fn is_square(name: &str) -> bool {
    match name {
        "sum" | "square_avg" | "acc_delta" | "exp_avg_sq" | "max_exp_avg_sq" => true,
        "momentum_buffer" | "exp_avg" | "grad_avg" => false,
        _ => panic!("a buffer that the tests do not know: {name}"),
    }
}

/// A number that a buffer of this name may have reached. The average of the squares, a rule's first
/// buffer, is not below the square of the average.
pub fn reached(name: &str, first: Option<f32>, rng: &mut Rng) -> f32 {
    if is_square(name) {
        let root = rng.number();
        root * root
    } else if name == "grad_avg" {
        libm::sqrtf(first.unwrap()) * (rng.unit() * 2.0 - 1.0) * 0.95
    } else {
        rng.number()
    }
}
