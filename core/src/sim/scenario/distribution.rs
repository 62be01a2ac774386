//! Distributions that work and tokens are drawn from.

use serde::Deserialize;

use crate::rng::Rng;

/// A distribution of values of at least 0, of which `T` is the unit: lengths of time or counts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Distribution<T> {
    /// Always the same.
    Constant(T),
    /// Exponential, by its mean.
    Exponential(T),
    /// Normal, cut at 0: what is drawn below is drawn again. The mean of what is left is higher than
    /// `mean`, 1.29 times with `deviation` equal to it.
    Normal {
        /// The mean before the cut.
        mean: T,
        /// The standard deviation before the cut.
        deviation: T,
    },
    /// Lognormal.
    Lognormal {
        /// The mean.
        mean: T,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
    /// Pareto: heavy tails.
    Pareto {
        /// The mean.
        mean: T,
        /// The tail's exponent, above 1; the variance is infinite up to 2.
        shape: f64,
    },
    /// Uniform from the first to the second.
    Uniform(T, T),
    /// By equally spaced quantiles from the smallest to the largest value, with straight lines between.
    Quantiles(Vec<T>),
}

/// Longest value drawn, over the mean: what lies beyond says nothing of any server.
const LONGEST: f64 = 1e4;

impl<T: Copy + Into<f64>> Distribution<T> {
    /// What is wrong with its parameters, if anything is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Lognormal { sigma, .. } if !(0.0..=5.0).contains(sigma) => {
                Some("sigma must lie in [0, 5]")
            }
            Self::Pareto { shape, .. } if !(*shape > 1.0 && *shape <= 100.0) => {
                Some("shape must lie in (1, 100]")
            }
            Self::Uniform(from, to) if (*from).into() > (*to).into() => {
                Some("uniform must go from the lower to the higher value")
            }
            Self::Quantiles(values) if values.is_empty() => Some("quantiles must not be empty"),
            Self::Quantiles(values) if !values.is_sorted_by(|a, b| (*a).into() <= (*b).into()) => {
                Some("quantiles must ascend")
            }
            _ if self.mean() <= 0.0 => Some("the mean must be above 0"),
            _ => None,
        }
    }

    /// The mean of what is drawn.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Constant(value) | Self::Exponential(value) => (*value).into(),
            Self::Normal { mean, deviation } => {
                cut_normal_mean((*mean).into(), (*deviation).into())
            }
            Self::Lognormal { mean, .. } | Self::Pareto { mean, .. } => (*mean).into(),
            Self::Uniform(from, to) => f64::midpoint((*from).into(), (*to).into()),
            Self::Quantiles(values) => match values.as_slice() {
                [only] => (*only).into(),
                values => {
                    let pairs = values.windows(2);
                    let sum: f64 = pairs.map(|p| f64::midpoint(p[0].into(), p[1].into())).sum();
                    sum / (values.len() - 1) as f64
                }
            },
        }
    }

    /// One value.
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        match self {
            Self::Constant(value) => (*value).into(),
            Self::Exponential(mean) => rng.exponential((*mean).into()),
            Self::Normal { mean, deviation } => loop {
                let value = (*mean).into() + (*deviation).into() * rng.normal();
                if value >= 0.0 {
                    break value;
                }
            },
            Self::Lognormal { mean, sigma } => {
                (*mean).into() * (sigma * rng.normal() - sigma * sigma / 2.0).exp()
            }
            Self::Pareto { mean, shape } => {
                let mean: f64 = (*mean).into();
                let least = mean * (shape - 1.0) / shape;
                (least * (1.0 - rng.unit()).powf(-1.0 / shape)).min(mean * LONGEST)
            }
            Self::Uniform(from, to) => {
                let (from, to): (f64, f64) = ((*from).into(), (*to).into());
                from + (to - from) * rng.unit()
            }
            Self::Quantiles(values) => {
                let place = rng.unit() * (values.len() - 1) as f64;
                let low = place as usize;
                let (a, b): (f64, f64) =
                    (values[low].into(), values[(low + 1).min(values.len() - 1)].into());
                a + (b - a) * (place - low as f64)
            }
        }
    }
}

/// The mean of a normal distribution of which only what lies above 0 is kept: by Simpson's rule over
/// the part that matters.
fn cut_normal_mean(mean: f64, deviation: f64) -> f64 {
    const STEPS: u32 = 2000;
    if deviation <= 0.0 {
        return mean;
    }
    let (from, to) = ((mean - 12.0 * deviation).max(0.0), mean + 12.0 * deviation);
    let step = (to - from) / f64::from(STEPS);
    let (mut mass, mut moment) = (0.0, 0.0);
    for index in 0..=STEPS {
        let x = from + step * f64::from(index);
        let z = (x - mean) / deviation;
        let weight = match index {
            0 | STEPS => 1.0,
            _ if index % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let density = weight * (-z * z / 2.0).exp();
        mass += density;
        moment += density * x;
    }
    moment / mass
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400,000 draws: the mean is off by more than 2 % of the mean with a probability under 1e-6 for
    /// all but Pareto, whose shape of 3 has a deviation of 0.87 means.
    #[test]
    fn draws_have_the_mean_they_say() {
        let all = [
            Distribution::Constant(2.0),
            Distribution::Exponential(2.0),
            Distribution::Normal { mean: 2.0, deviation: 2.0 },
            Distribution::Lognormal { mean: 2.0, sigma: 0.5 },
            Distribution::Pareto { mean: 2.0, shape: 3.0 },
            Distribution::Uniform(1.0, 3.0),
            Distribution::Quantiles(vec![0.0, 1.0, 4.0]),
            Distribution::Quantiles(vec![3.0]),
        ];
        for distribution in all {
            let mut rng = Rng::seeded(5);
            let sum: f64 = (0..400_000).map(|_| distribution.draw(&mut rng)).sum();
            let (drawn, said) = (sum / 400_000.0, distribution.mean());
            assert!((drawn / said - 1.0).abs() < 0.02, "{distribution:?}: {drawn} against {said}");
        }
    }

    #[test]
    fn a_normal_cut_at_zero_has_a_higher_mean() {
        let ratio = Distribution::Normal { mean: 1.0, deviation: 1.0 }.mean();
        assert!((ratio - 1.2876).abs() < 1e-3, "{ratio}");
    }
}
