//! What was foretold of each customer, beside what came.

use super::calibration::randomised_pit;
use super::purchases::Purchases;
use crate::boosting::Boosted;
use crate::counts::Counts;
use crate::model::Model;
use crate::parallel;
use crate::summary::Summary;

/// Seed of the draws that make discrete chances uniform.
const SEED: u64 = 7;

/// What a model says of one customer, and how that compares with what came.
#[derive(Clone, Copy, Default)]
pub(super) struct Foretold {
    pub(super) mean: f64,
    pub(super) variance: f64,
    pub(super) median: f64,
    pub(super) chance: f64,
    pub(super) pit: f64,
    pub(super) covered: bool,
}

impl Foretold {
    fn new(
        counts: &Counts,
        (mean, variance): (f64, f64),
        (low, median, high): (usize, usize, usize),
        (i, n): (usize, usize),
    ) -> Self {
        Self {
            mean,
            variance,
            median: median as f64,
            chance: counts.exactly(n).max(1e-9),
            pit: randomised_pit(counts, n, SEED, i as u64),
            covered: (low..=high).contains(&n),
        }
    }
}

/// What boosted trees say of everybody.
pub(super) fn foretell_boosted<P: Purchases>(
    it: &Boosted,
    known: &[&P],
    actual: &[f64],
    cutoff: i32,
) -> Vec<Foretold> {
    let pairs: Vec<(usize, &P)> = known.iter().copied().enumerate().collect();
    let parts = parallel::map(&pairs, |pairs| {
        let one = |(i, customer): &(usize, &P)| {
            let (mean, counts) = it.foretell(*customer, cutoff)?;
            let quantiles = (counts.quantile(0.1), counts.quantile(0.5), counts.quantile(0.9));
            Some(Foretold::new(&counts, (mean, counts.variance()), quantiles, (*i, actual[*i] as usize)))
        };
        pairs.iter().map(|it| one(it).unwrap_or_default()).collect::<Vec<_>>()
    });
    parts.into_iter().flatten().collect()
}

/// A history, and what all who share it have in common: counts, mean, variance, and the 0.1, 0.5 and 0.9 quantiles.
type Shared = ((u32, u64, u64), Counts, f64, f64, (usize, usize, usize));

/// Customers with the same history share their distribution.
pub(super) fn foretell<P: Purchases>(
    model: &Model,
    known: &[(&P, Summary)],
    actual: &[f64],
    horizon: f64,
) -> Vec<Foretold> {
    let mut order: Vec<usize> = (0..known.len()).collect();
    let key = |i: usize| {
        let it = &known[i].1;
        (it.x(), it.age().to_bits(), it.t_x().to_bits())
    };
    order.sort_unstable_by_key(|&i| key(i));
    let parts = parallel::map(&order, |order| {
        // The history, and what is the same for all who share it.
        let mut before: Option<Shared> = None;
        let mut found = Vec::with_capacity(order.len());
        for &i in order {
            let it = match before.take() {
                Some(it) if it.0 == key(i) => it,
                _ => {
                    let it = &known[i].1;
                    let counts: Counts = model.counts_to(it, horizon, 1e-10);
                    let variance = counts.variance();
                    let quantiles = (counts.quantile(0.1), counts.quantile(0.5), counts.quantile(0.9));
                    (key(i), counts, model.expected(it, horizon), variance, quantiles)
                }
            };
            let (_, counts, mean, variance, quantiles) = &it;
            found.push((i, Foretold::new(counts, (*mean, *variance), *quantiles, (i, actual[i] as usize))));
            before = Some(it);
        }
        found
    });
    let mut all = vec![Foretold::default(); known.len()];
    for (i, it) in parts.into_iter().flatten() {
        all[i] = it;
    }
    all
}
