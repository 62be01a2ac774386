//! The distributions that the simulator draws from have the moments and quantiles they should.
#![cfg(feature = "sim")]

use trimtab_core::{
    Rng,
    sim::draw::{Gamma, Weibull},
};

const DRAWS: usize = 200_000;

fn draws(mut draw: impl FnMut(&mut Rng) -> f64) -> Vec<f64> {
    let mut rng = Rng::seeded(11);
    (0..DRAWS).map(|_| draw(&mut rng)).collect()
}

fn mean_and_cv(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt() / mean)
}

/// Share of the values up to `bound`.
fn below(values: &[f64], bound: f64) -> f64 {
    values.iter().filter(|value| **value <= bound).count() as f64 / values.len() as f64
}

/// A share of 200,000 draws strays from the truth by 0.005 in less than one of 100,000 seeds.
#[track_caller]
fn assert_share(found: f64, truth: f64) {
    assert!((found - truth).abs() < 0.005, "{found}, expected {truth}");
}

/// A mean strays by six of its standard errors in about one of 10^9 seeds where the tail is that of
/// a normal; the CV gets 6 % for the heavier tails, which is more than ten of its own at CV 2.
#[test]
fn gamma_has_its_mean_and_cv() {
    for (mean, cv) in [(1.0, 1.0), (0.25, 2.0), (3e-3, 0.2), (7.0, 1.4), (1e6, 0.9)] {
        let gamma = Gamma::with_cv(mean, cv).unwrap();
        assert!((gamma.mean() / mean - 1.0).abs() < 1e-12 && (gamma.cv() / cv - 1.0).abs() < 1e-12);
        let (found_mean, found_cv) = mean_and_cv(&draws(|rng| gamma.draw(rng)));
        let six_errors = 6.0 * cv / (DRAWS as f64).sqrt();
        assert!((found_mean / mean - 1.0).abs() < six_errors, "mean {found_mean} of {mean}, {cv}");
        assert!((found_cv / cv - 1.0).abs() < 0.06, "CV {found_cv} of {mean}, {cv}");
    }
}

#[test]
fn gamma_has_its_distribution_function_where_it_is_known() {
    // Shape 1: 1 - e^-x. Shape 2: 1 - e^-x (1 + x). Shape 1/2: that of half a squared normal.
    let one = draws(|rng| Gamma::new(1.0, 2.0).unwrap().draw(rng));
    assert_share(below(&one, 2.0), 1.0 - (-1.0_f64).exp());
    let two = draws(|rng| Gamma::new(2.0, 1.0).unwrap().draw(rng));
    assert_share(below(&two, 3.0), 1.0 - 4.0 * (-3.0_f64).exp());
    let half = draws(|rng| Gamma::new(0.5, 1.0).unwrap().draw(rng));
    assert_share(below(&half, 0.5), 0.682_689);
    assert_share(below(&half, 2.0), 0.954_500);
}

#[test]
fn weibull_has_its_distribution_function() {
    for (shape, scale) in [(1.0, 1.0), (0.375, 0.4), (2.0, 5.0), (0.1, 1.0)] {
        let weibull = Weibull::new(shape, scale).unwrap();
        let values = draws(|rng| weibull.draw(rng));
        for share in [0.1, 0.5, 0.9, 0.99] {
            let quantile = scale * (-(1.0_f64 - share).ln()).powf(1.0 / shape);
            assert_share(below(&values, quantile), share);
        }
    }
    // Shape 2: mean `scale x sqrt(pi) / 2`, CV `sqrt(4 / pi - 1)`.
    let (mean, cv) = mean_and_cv(&draws(|rng| Weibull::new(2.0, 1.0).unwrap().draw(rng)));
    assert!((mean - 0.886_227).abs() < 0.007 && (cv - 0.522_723).abs() < 0.01, "{mean} {cv}");
}

#[test]
fn draws_are_finite_at_the_edges_of_what_is_allowed() {
    let mut rng = Rng::seeded(3);
    for scale in [1e-100, 1.0, 1e100] {
        for shape in [1e-3, 1e-2, 0.999_999, 1.0, 1e6] {
            let gamma = Gamma::new(shape, scale).unwrap();
            assert!((0..1_000).all(|_| (0.0..=f64::MAX).contains(&gamma.draw(&mut rng))));
        }
        for shape in [1e-2, 1.0, 1e6] {
            let weibull = Weibull::new(shape, scale).unwrap();
            assert!((0..1_000).all(|_| (0.0..=f64::MAX).contains(&weibull.draw(&mut rng))));
        }
    }
}

#[test]
fn parameters_that_no_distribution_has() {
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-200, 1e200] {
        for error in [
            Gamma::new(wrong, 1.0).unwrap_err(),
            Gamma::new(1.0, wrong).unwrap_err(),
            Gamma::with_cv(wrong, 1.0).unwrap_err(),
            Gamma::with_cv(1.0, wrong).unwrap_err(),
            Weibull::new(wrong, 1.0).unwrap_err(),
            Weibull::new(1.0, wrong).unwrap_err(),
        ] {
            assert_eq!(
                error.to_string(),
                format!("{} = {wrong} must lie in {}", error.name, error.allowed)
            );
        }
    }
    let words = Weibull::new(-0.5, 1.0).unwrap_err().to_string();
    assert_eq!(words, "Weibull shape = -0.5 must lie in [1e-2, 1e6]");
}
