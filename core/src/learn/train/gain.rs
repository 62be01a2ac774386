//! What routing by class could gain, if the fitted costs are right: a small linear program.
//!
//! ```text
//! minimise U  subject to  sum_a x[c,a] = 1 for each class,
//!                         sum_c rate[c] x[c,a] cost[c,a] <= U servers[a] for each archetype
//! ```
//!
//! `U` is the utilisation of the busiest archetype. A policy that cannot see classes sends the same
//! share of every class to an archetype; its best is `1 / sum_a (servers[a] / mean cost[a])`. The ratio
//! of the two is how much more load the fleet carries. Where it is near 1, a table has nothing to win.

use microlp::{ComparisonOp, OptimizationDirection, Problem};

/// The best that routing by class and archetype can do.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Gain {
    /// Capacity over that of the best class-blind routing; at least 1.
    pub ratio: f64,
    /// The share of each class that the optimum sends to each archetype.
    pub shares: Vec<Vec<f64>>,
}

/// Solves it for costs by class and archetype, arrival rates by class and servers by archetype, in any
/// units. `None` if there is nothing to solve or a number is not positive.
pub fn gain(costs: &[Vec<f64>], rates: &[f64], servers: &[f64]) -> Option<Gain> {
    let positive = |numbers: &[f64]| numbers.iter().all(|n| n.is_finite() && *n > 0.0);
    let sound = costs.len() == rates.len()
        && costs.iter().all(|row| row.len() == servers.len() && positive(row))
        && positive(rates)
        && positive(servers);
    if !sound || costs.is_empty() || servers.is_empty() {
        return None;
    }
    // Utilisation that each class puts on an archetype if it gets all of it, scaled to 1 for the
    // class-blind optimum, so that the program's numbers are near 1 whatever the units.
    let load = |class: usize, a: usize| rates[class] * costs[class][a] / servers[a];
    let blind: f64 = (0..servers.len())
        .map(|a| 1.0 / (0..costs.len()).map(|class| load(class, a)).sum::<f64>())
        .sum::<f64>()
        .recip();
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let utilisation = problem.add_var(1.0, (0.0, f64::INFINITY));
    let shares: Vec<Vec<_>> = costs
        .iter()
        .map(|row| row.iter().map(|_| problem.add_var(0.0, (0.0, 1.0))).collect())
        .collect();
    for row in &shares {
        let whole: Vec<_> = row.iter().map(|share| (*share, 1.0)).collect();
        problem.add_constraint(&whole, ComparisonOp::Eq, 1.0);
    }
    for a in 0..servers.len() {
        let mut sum = vec![(utilisation, -1.0)];
        let loads = shares.iter().enumerate();
        sum.extend(loads.map(|(class, row)| (row[a], load(class, a) / blind)));
        problem.add_constraint(&sum, ComparisonOp::Le, 0.0);
    }
    let solution = problem.solve().ok()?.into_solution().ok()?;
    let value = |share: &microlp::Variable| solution.var_value(*share).clamp(0.0, 1.0);
    Some(Gain {
        ratio: (1.0 / solution.objective()).max(1.0),
        shares: shares.iter().map(|row| row.iter().map(value).collect()).collect(),
    })
}
