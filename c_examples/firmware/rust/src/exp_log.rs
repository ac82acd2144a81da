//! exp and log from + - * / alone: the same bits on every processor. See `../../c/exp_log.h`.

/// ln 2 in two parts: the first has so few digits that its product with a small integer is exact.
const LN2_HIGH: f32 = f32::from_bits(0x3f31_7200);
const LN2_LOW: f32 = f32::from_bits(0x35bf_be8e);

/// e^x for x <= 0; 0 below -80.
pub fn exp(x: f32) -> f32 {
    if x < -80.0 {
        return 0.0;
    }
    // x = k ln 2 + r with |r| <= ln 2 / 2, and e^r from its Taylor series by Horner's rule.
    let k = (x * core::f32::consts::LOG2_E - 0.5) as i32;
    let r = x - k as f32 * LN2_HIGH - k as f32 * LN2_LOW;
    let mut sum = 1.0 / 5040.0;
    for inverse in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        sum = sum * r + 1.0 / inverse;
    }
    f32::from_bits(sum.to_bits().wrapping_add_signed(k << 23)) // times 2^k
}

/// The natural logarithm of a normal x > 0.
pub fn log(x: f32) -> f32 {
    // x = m 2^k with m in [3/4, 3/2); log m = 2 artanh(z) with z = (m - 1) / (m + 1).
    let bits = x.to_bits();
    let upper = bits >> 22 & 1;
    let k = (bits >> 23).wrapping_sub(127).wrapping_add(upper) as i32 as f32;
    let m = f32::from_bits(bits & 0x7f_ffff | (127 - upper) << 23);
    let z = (m - 1.0) / (m + 1.0);
    let s = z * z;
    let mut sum = 1.0 / 9.0;
    for odd in [7.0, 5.0, 3.0, 1.0] {
        sum = sum * s + 1.0 / odd;
    }
    2.0 * z * sum + k * LN2_LOW + k * LN2_HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance in units of the last place of `exact`.
    fn ulps(value: f32, exact: f64) -> f64 {
        let last_place = 2.0_f64.powi(exact.abs().log2().floor() as i32 - 23);
        (f64::from(value) - exact).abs() / last_place
    }

    #[test]
    fn at_most_3_ulp_off() {
        let to = (-80.0_f32).to_bits();
        let worst = ((-0.0_f32).to_bits()..=to).step_by(199).map(f32::from_bits);
        let worst = worst.map(|x| ulps(exp(x), f64::from(x).exp())).fold(0.0, f64::max);
        assert!(worst < 3.0, "exp: {worst} ULP");

        let one = 1.0_f32.to_bits();
        assert_eq!(log(1.0), 0.0);
        let worst = (one + 1..10.0_f32.to_bits()).step_by(7).map(f32::from_bits);
        let worst = worst.map(|x| ulps(log(x), f64::from(x).ln())).fold(0.0, f64::max);
        assert!(worst < 3.0, "log: {worst} ULP");
    }
}
