//! Draws from the distributions that arrivals and service times are fitted with.
//!
//! Gamma by Marsaglia and Tsang's squeeze ("A simple method for generating gamma variables", 2000),
//! with their lift `gamma(k) = gamma(k + 1) x u^(1/k)` below shape 1; Weibull by inverting its
//! distribution function. Both have the shapes of burstiness: at shape 1 they are exponential (a
//! Poisson process has such gaps), below it gaps come in bursts, above it they are more regular.
//!
//! Guards against a draw that never ends or is not a number: the parameters are checked once.
//! Cost: about 1.05 normal draws for a Gamma, one logarithm and one power for a Weibull.

use crate::Rng;

/// A Gamma distribution.
///
/// ```
/// use trimtab_core::{Rng, sim::draw::Gamma};
/// let gaps = Gamma::with_cv(0.25, 3.0)?; // four a second, in bursts
/// assert_eq!((gaps.mean(), gaps.cv()), (0.25, 3.0));
/// assert!(gaps.draw(&mut Rng::seeded(1)) >= 0.0);
/// # Ok::<(), trimtab_core::sim::draw::DrawError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gamma {
    shape: f64,
    scale: f64,
}

impl Gamma {
    /// With the given shape and scale: mean `shape x scale`, coefficient of variation
    /// `1 / sqrt(shape)`.
    ///
    /// # Errors
    /// [`DrawError`] for a shape outside `[1e-3, 1e6]` or a scale outside `[1e-100, 1e100]`.
    pub fn new(shape: f64, scale: f64) -> Result<Self, DrawError> {
        check("Gamma shape", shape, 1e-3, 1e6, "[1e-3, 1e6]")?;
        check("Gamma scale", scale, 1e-100, 1e100, "[1e-100, 1e100]")?;
        Ok(Self { shape, scale })
    }

    /// With the given mean and coefficient of variation.
    ///
    /// # Errors
    /// [`DrawError`] for a mean outside `[1e-90, 1e90]` or a CV outside `[1e-3, 31]`.
    pub fn with_cv(mean: f64, cv: f64) -> Result<Self, DrawError> {
        check("Gamma mean", mean, 1e-90, 1e90, "[1e-90, 1e90]")?;
        check("Gamma CV", cv, 1e-3, 31.0, "[1e-3, 31]")?;
        Self::new(1.0 / (cv * cv), mean * cv * cv)
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.shape * self.scale
    }

    /// The coefficient of variation: standard deviation over mean.
    pub fn cv(&self) -> f64 {
        1.0 / self.shape.sqrt()
    }

    /// One draw; 0 if a tiny shape makes it smaller than any float.
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        if self.shape < 1.0 {
            let lifted = marsaglia_tsang(self.shape + 1.0, rng);
            return self.scale * lifted * rng.unit().powf(1.0 / self.shape);
        }
        self.scale * marsaglia_tsang(self.shape, rng)
    }
}

/// A Weibull distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weibull {
    shape: f64,
    scale: f64,
}

impl Weibull {
    /// With the given shape and scale: a share `1 / e` of the draws lies above the scale.
    ///
    /// # Errors
    /// [`DrawError`] for a shape outside `[1e-2, 1e6]` or a scale outside `[1e-100, 1e100]`.
    pub fn new(shape: f64, scale: f64) -> Result<Self, DrawError> {
        check("Weibull shape", shape, 1e-2, 1e6, "[1e-2, 1e6]")?;
        check("Weibull scale", scale, 1e-100, 1e100, "[1e-100, 1e100]")?;
        Ok(Self { shape, scale })
    }

    /// With the given mean and coefficient of variation. The shape is found by halving: the CV falls
    /// as the shape grows.
    ///
    /// # Errors
    /// [`DrawError`] for a mean outside `[1e-90, 1e90]` or a CV outside `[0.01, 31]`.
    pub fn with_cv(mean: f64, cv: f64) -> Result<Self, DrawError> {
        check("Weibull mean", mean, 1e-90, 1e90, "[1e-90, 1e90]")?;
        check("Weibull CV", cv, 0.01, 31.0, "[0.01, 31]")?;
        let cv_of = |shape: f64| {
            let (first, second) = (ln_gamma(1.0 + 1.0 / shape), ln_gamma(1.0 + 2.0 / shape));
            ((second - 2.0 * first).exp() - 1.0).max(0.0).sqrt()
        };
        let (mut low, mut high) = (0.1_f64, 200.0_f64);
        for _ in 0..100 {
            let middle = (low * high).sqrt();
            if cv_of(middle) > cv {
                low = middle;
            } else {
                high = middle;
            }
        }
        Self::new(low, mean / ln_gamma(1.0 + 1.0 / low).exp())
    }

    /// One draw.
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        self.scale * (-(1.0 - rng.unit()).ln()).powf(1.0 / self.shape)
    }
}

/// A parameter that no distribution here can have.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{name} = {value} must lie in {allowed}")]
#[non_exhaustive]
pub struct DrawError {
    /// Which parameter of which distribution.
    pub name: &'static str,
    /// What was given.
    pub value: f64,
    /// What is allowed, as an interval.
    pub allowed: &'static str,
}

fn check(
    name: &'static str,
    value: f64,
    least: f64,
    most: f64,
    allowed: &'static str,
) -> Result<(), DrawError> {
    // Not-a-number lies in no interval.
    if (least..=most).contains(&value) { Ok(()) } else { Err(DrawError { name, value, allowed }) }
}

/// The logarithm of the gamma function for x of at least 1: Stirling's series, after lifting x above 8
/// by the recurrence; exact to nine digits there.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut lifted) = (x, 0.0);
    while x < 8.0 {
        lifted += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - lifted
}

/// A Gamma draw of scale 1; `shape` is at least 1, so that more than 95 % of the tries are taken.
fn marsaglia_tsang(shape: f64, rng: &mut Rng) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        if v <= 0.0 {
            continue;
        }
        if (1.0 - rng.unit()).ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return d * v;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_gamma_function_is_the_factorial() {
        for (x, gamma) in
            [(1.0, 1.0), (1.5, 0.886_226_925_452_758), (5.0, 24.0), (11.0, 3_628_800.0)]
        {
            assert!((ln_gamma(x) - f64::ln(gamma)).abs() < 1e-9, "{x}");
        }
    }

    #[test]
    fn a_weibull_by_its_cv_has_the_shape_of_the_tables() -> Result<(), DrawError> {
        // CV 1 is the exponential; shape 0.5 has mean 2 and CV sqrt(5).
        let exponential = Weibull::with_cv(3.0, 1.0)?;
        assert!((exponential.shape - 1.0).abs() < 1e-7 && (exponential.scale - 3.0).abs() < 1e-7);
        let bursty = Weibull::with_cv(2.0, 5.0_f64.sqrt())?;
        assert!((bursty.shape - 0.5).abs() < 1e-7 && (bursty.scale - 1.0).abs() < 1e-7);
        Ok(())
    }
}
