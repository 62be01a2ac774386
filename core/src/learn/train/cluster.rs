//! Endpoints without labels, grouped by what they cost: agglomerative clustering with complete linkage.
//!
//! Two endpoints are as far apart as the class on which their costs differ most, by ratio; a group never
//! spans more than the tolerance. The input is in order of name and ties go to the first pair, so the
//! same costs always give the same groups. Cubic in at most 256 endpoints, those with the most rows;
//! the others join the group they fit in, or make one of their own.

const AGGLOMERATED: usize = 256;

/// One endpoint's cost by class, `None` where it has too few rows.
#[derive(Clone, Debug)]
pub(super) struct Costs {
    pub(super) by_class: Vec<Option<f64>>,
    pub(super) rows: u64,
}

/// Groups of indices, each in order, in order of their first.
pub(super) fn cluster(endpoints: &[Costs], tolerance: f64) -> Vec<Vec<usize>> {
    let widest = tolerance.ln_1p();
    let mut order: Vec<usize> = (0..endpoints.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(endpoints[*index].rows));
    let rest = order.split_off(order.len().min(AGGLOMERATED));
    order.sort_unstable();
    let mut groups: Vec<Vec<usize>> = order.into_iter().map(|index| vec![index]).collect();
    while let Some((distance, a, b)) = closest(endpoints, &groups) {
        if distance > widest {
            break;
        }
        let joined = groups.remove(b);
        groups[a].extend(joined);
        groups[a].sort_unstable();
    }
    for index in rest {
        let near = groups
            .iter()
            .enumerate()
            .map(|(place, group)| (linkage(endpoints, group, &[index]), place))
            .filter(|(distance, _)| *distance <= widest)
            .min_by(|a, b| a.0.total_cmp(&b.0));
        match near {
            Some((_, place)) => groups[place].push(index),
            None => groups.push(vec![index]),
        }
    }
    for group in &mut groups {
        group.sort_unstable();
    }
    groups.sort_unstable();
    groups
}

fn closest(endpoints: &[Costs], groups: &[Vec<usize>]) -> Option<(f64, usize, usize)> {
    let pairs = (0..groups.len()).flat_map(|a| (a + 1..groups.len()).map(move |b| (a, b)));
    pairs
        .map(|(a, b)| (linkage(endpoints, &groups[a], &groups[b]), a, b))
        .min_by(|x, y| x.0.total_cmp(&y.0))
}

/// The largest distance between members of two groups.
fn linkage(endpoints: &[Costs], a: &[usize], b: &[usize]) -> f64 {
    let pairs = a.iter().flat_map(|i| b.iter().map(move |j| (*i, *j)));
    pairs.map(|(i, j)| distance(&endpoints[i], &endpoints[j])).fold(0.0, f64::max)
}

/// Log ratio on the class where they differ most; infinite if no class is known of both.
fn distance(a: &Costs, b: &Costs) -> f64 {
    let shared = a.by_class.iter().zip(&b.by_class).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
    shared.map(|(a, b)| (a / b).ln().abs()).reduce(f64::max).unwrap_or(f64::INFINITY)
}
