//! Confidence intervals over seeds.
//!
//! The mean of n independent runs, with Student's t: `mean +- t(0.975, n - 1) x s / sqrt(n)`. Ratios of
//! two policies are paired by seed, since both met the same requests: by the delta method on the pairs,
//! `r = mean(x) / mean(y)`, with the deviation of `x - r y`.

use serde::Serialize;

/// A mean and where it lies with 95 % confidence, over seeds. With one seed the bounds are `None`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Interval {
    /// The mean.
    pub mean: Option<f64>,
    /// Lower bound.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
}

/// A ratio of means and where it lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ratio {
    /// The ratio.
    pub ratio: f64,
    /// Lower bound.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
}

impl Interval {
    /// Of the values that there are.
    pub fn of(values: impl IntoIterator<Item = Option<f64>>) -> Self {
        let values: Vec<f64> = values.into_iter().flatten().collect();
        if values.is_empty() {
            return Self { mean: None, low: None, high: None };
        }
        let mean = mean(&values);
        let half = half_width(values.iter().map(|value| value - mean), values.len());
        Self {
            mean: Some(mean),
            low: half.map(|half| mean - half),
            high: half.map(|half| mean + half),
        }
    }
}

impl Ratio {
    /// Of the means of pairs, the first of each over the second. `None` where a pair lacks one or the
    /// second's mean is zero.
    pub fn of(pairs: &[(Option<f64>, Option<f64>)]) -> Option<Self> {
        let pairs: Option<Vec<(f64, f64)>> =
            pairs.iter().map(|(x, y)| Some(((*x)?, (*y)?))).collect();
        let pairs = pairs.filter(|pairs| !pairs.is_empty())?;
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let below = mean(&y);
        if below == 0.0 {
            return None;
        }
        let ratio = mean(&x) / below;
        let rest = x.iter().zip(&y).map(|(x, y)| (x - ratio * y) / below);
        let half = half_width(rest, x.len());
        Some(Self {
            ratio,
            low: half.map(|half| ratio - half),
            high: half.map(|half| ratio + half),
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Half the interval's width, by deviations from the mean.
fn half_width(deviations: impl Iterator<Item = f64>, n: usize) -> Option<f64> {
    if n < 2 {
        return None;
    }
    let variance = deviations.map(|d| d * d).sum::<f64>() / (n - 1) as f64;
    Some(student_t_975(n - 1) * (variance / n as f64).sqrt())
}

/// The 0.975 quantile of Student's t: a table for few degrees of freedom, then the expansion of Cornish
/// and Fisher about the normal quantile, which is exact there to four digits.
fn student_t_975(freedom: usize) -> f64 {
    const TABLE: [f64; 10] =
        [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281];
    if let Some(t) = TABLE.get(freedom - 1) {
        return *t;
    }
    let (z, n) = (1.959_964_f64, freedom as f64);
    let [first, second, third] = [
        z.powi(3) + z,
        5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z,
        3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z,
    ];
    z + first / (4.0 * n) + second / (96.0 * n * n) + third / (384.0 * n * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_those_of_the_tables() {
        for (freedom, t) in [(1, 12.706), (9, 2.2622), (11, 2.2010), (19, 2.0930), (60, 2.0003)] {
            assert!((student_t_975(freedom) - t).abs() < 1e-3, "{freedom}");
        }
    }

    #[test]
    fn one_seed_has_no_interval() {
        assert_eq!(Interval::of([Some(3.0)]), Interval { mean: Some(3.0), low: None, high: None });
        assert_eq!(Interval::of([None]).mean, None);
    }

    #[test]
    fn pairs_that_move_together_leave_no_doubt() {
        let pairs: Vec<_> =
            (1..=10).map(|y| (Some(f64::from(y) * 2.0), Some(f64::from(y)))).collect();
        let ratio = Ratio::of(&pairs).expect("all pairs whole");
        assert!(
            (ratio.ratio - 2.0).abs() < 1e-12 && ratio.high.is_some_and(|high| high < 2.000_001)
        );
    }
}
