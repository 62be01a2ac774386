//! The log's propensities are those of the sampler that chose, or null.

use std::{sync::Arc, time::Duration};

use trimtab_core::{
    Balancer, Context, Endpoint, Node, Outcome, Rng, Time,
    log::{DecisionLog, Row},
    policy::{Candidates, Choice, Picker, Policy, Refusal},
};

/// Takes the first, and says afterwards that its choice had these probabilities: as if other threads'
/// requests had changed the scores between the pick and its record.
#[derive(Clone, Copy, Debug)]
struct Says([f64; 2]);

impl Policy for Says {
    fn name(&self) -> &'static str {
        "says"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(*self)
    }
}

impl Picker for Says {
    fn pick(&self, _: &Candidates<'_>, _: &mut Rng) -> Result<Choice, Refusal> {
        Ok(0.into())
    }

    fn propensities(&self, _: &Candidates<'_>, out: &mut [f64]) -> bool {
        out.copy_from_slice(&self.0);
        true
    }
}

fn rows(says: [f64; 2], explore: f64) -> Vec<Row> {
    let log = Arc::new(DecisionLog::new("c", 1.0, 100, Duration::ZERO).unwrap());
    let balancer = Balancer::builder()
        .policy(Says(says))
        .endpoints(["a", "b"].map(Endpoint::new))
        .explore(explore)
        .log(Arc::clone(&log))
        .build()
        .unwrap();
    let mut rng = Rng::seeded(1);
    for _ in 0..100 {
        let lease = balancer.pick(Time::ZERO, &Context::new(), &mut rng).unwrap();
        lease.finish(Time::ZERO, Outcome::success());
    }
    std::iter::from_fn(|| log.pop()).collect()
}

fn told(row: &Row) -> (Option<f64>, Vec<Option<f64>>) {
    (row.propensity, row.candidates.iter().map(|seen| seen.propensity).collect())
}

#[test]
fn what_the_choice_contradicts_is_not_told() {
    for says in [[0.0, 1.0], [f64::NAN, 1.0], [f64::INFINITY, 0.0], [0.5, f64::NAN], [-0.5, 1.5]] {
        for row in rows(says, 0.0) {
            assert_eq!(told(&row), (None, vec![None, None]), "{says:?}");
        }
    }
    for row in rows([0.25, 0.75], 0.0) {
        assert_eq!(told(&row), (Some(0.25), vec![Some(0.25), Some(0.75)]));
    }
}

/// Exploration's share hides a contradiction in the sum, but chance itself contradicts nothing.
#[test]
fn exploration_excuses_only_its_own_choices() {
    let rows = rows([0.0, 1.0], 0.5);
    let (explored, chosen): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.explored);
    assert!(explored.len() > 20 && chosen.len() > 20, "{} of 100", explored.len());
    for row in chosen {
        assert_eq!(told(row), (None, vec![None, None]));
    }
    for row in explored {
        let of_chosen = if row.chosen == "a" { 0.25 } else { 0.75 };
        assert_eq!(told(row), (Some(of_chosen), vec![Some(0.25), Some(0.75)]));
    }
}
