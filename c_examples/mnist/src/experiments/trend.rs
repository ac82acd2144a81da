//! A straight line through measurements, and how much of them it explains.

/// y = intercept + slope x, by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// At x = 0.
    pub intercept: f64,
    /// For each of x.
    pub slope: f64,
    /// The part of the variance of y that the line explains, from 0 to 1.
    pub r2: f64,
}

impl Trend {
    /// None of fewer than three points, through which a line says nothing, or where all have the same x.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|&(x, y)| of(x - x_mean, y - y_mean)).sum()
        };
        let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
        if points.len() < 3 || xx == 0.0 {
            return None;
        }
        let slope = xy / xx;
        let r2 = if yy == 0.0 { 1.0 } else { slope * xy / yy };
        Some(Self { intercept: y_mean - slope * x_mean, slope, r2 })
    }

    /// On the line.
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }

    /// Its two ends over these points, for a panel that ends at y = 0.
    pub fn line(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let xs = || points.iter().map(|point| point.0);
        let ends = [xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max)];
        let above = |x: f64| match self.at(x) {
            y if y < 0.0 => (-self.intercept / self.slope, 0.0),
            y => (x, y),
        };
        ends.map(above).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_noise_is_not_explained() {
        let line = [(1.0, 5.0), (2.0, 7.0), (4.0, 11.0)];
        let trend = Trend::of(&line).unwrap();
        assert_eq!(trend, Trend { intercept: 3.0, slope: 2.0, r2: 1.0 });
        assert_eq!(trend.line(&line), [(1.0, 5.0), (4.0, 11.0)]);
        let steep = Trend { intercept: -4.0, slope: 2.0, r2: 1.0 };
        assert_eq!(steep.line(&line), [(2.0, 0.0), (4.0, 4.0)]);
        // By hand: the line is 1.5 + 0.6 x, the residuals' squares add to 4.2 of 6.
        let noisy = [(1.0, 3.0), (2.0, 1.0), (3.0, 4.0), (4.0, 4.0)];
        let trend = Trend::of(&noisy).unwrap();
        assert!((trend.intercept - 1.5).abs() < 1e-12 && (trend.slope - 0.6).abs() < 1e-12);
        assert!((trend.r2 - 0.3).abs() < 1e-12, "{trend:?}");
    }

    #[test]
    fn too_few_points_have_no_line() {
        assert_eq!(Trend::of(&[(1.0, 1.0), (2.0, 2.0)]), None);
        assert_eq!(Trend::of(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
    }
}
