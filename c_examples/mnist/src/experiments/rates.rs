//! The learning rates of the sweep and the grid search: six to a decade, from 1e-6 to 100.

/// A rate of the grid: 10^(k/6), to the precision of f64 on every machine.
pub fn rate(k: i32) -> f64 {
    const SIXTHS: [&str; 6] = [
        "1",
        "1.4677992676220695",
        "2.154434690031884",
        "3.1622776601683795",
        "4.641588833612779",
        "6.812920690579613",
    ];
    // By way of text, since pow() of the system's library need not round correctly.
    let text = format!("{}e{}", SIXTHS[k.rem_euclid(6) as usize], k.div_euclid(6));
    text.parse().expect("a number")
}

/// Mack's 48 of them: k = -36 to 12 without 0; or every `every`-th.
pub fn grid(every: usize) -> impl Iterator<Item = i32> {
    (-36..=12).filter(|&k| k != 0).step_by(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_powers_of_ten() {
        assert_eq!(grid(1).count(), 48);
        for k in grid(1) {
            let expected = 10f64.powf(f64::from(k) / 6.0);
            assert!((rate(k) / expected - 1.0).abs() < 1e-15, "{k}: {} {expected}", rate(k));
        }
        assert_eq!([rate(-36), rate(-6), rate(12)], [1e-6, 0.1, 100.0]);
    }
}
