//! The distribution of the sum of a random number of orders, and its quantiles.

use crate::counts::Counts;
use crate::special::{beta_inc, normal};
use std::sync::LazyLock;

/// About this many counts carry their own term in an interval; beyond it neighbours share one.
const MOST_TERMS: usize = 48;

/// Terms that are worked on side by side.
const LANES: usize = 4;

/// Newton's method squares what it is off by: from this many times the tolerance the next step is within it.
const CLOSE: f64 = 30.0;

/// Below this many degrees of freedom the normal approximation of a sum of orders gives way to the exact form.
const FEW: f64 = 1.5;

/// n^(−1/3) of the counts that are asked for again and again.
static INVERSE_ROOTS: LazyLock<Vec<f64>> =
    LazyLock::new(|| (0..64).map(|n| f64::from(n).cbrt().recip()).collect());

/// What the counts say of a sum of orders, whoever's orders they are.
pub(super) struct Sums {
    /// P(N = 0).
    nothing: f64,
    /// The counts, by fours.
    terms: Vec<Terms>,
    /// The probability of all of them together, P(N = 0) included.
    held: f64,
}

/// Some counts: the probability of each, pn, and what Paulson's form needs: (pn)^(−1/3) and 1/(9pn). What is over has
/// probability 0.
struct Terms {
    chance: [f64; LANES],
    pn: [f64; LANES],
    inverse_root: [f64; LANES],
    ninth: [f64; LANES],
}

/// The predictive distribution of the sum of a random number of orders, in units of the customer's scale γ + xm.
pub(super) struct Total<'a> {
    sums: &'a Sums,
    /// The shape q + px of the customer's scale.
    shape: f64,
    /// Its cube root.
    root: f64,
    exact: bool,
}

impl Sums {
    /// `p` is the shape of one order's value.
    pub(super) fn new(counts: &Counts, p: f64) -> Self {
        // The counts that matter, from where almost nothing lies below to where almost nothing lies above.
        let first = (1..=counts.largest()).find(|&n| counts.at_most(n) > 1e-6).unwrap_or(1);
        let last =
            (first..=counts.largest()).take_while(|&n| counts.at_least(n) > 1e-4).last().unwrap_or(first);
        let widest = (last - first).div_ceil(MOST_TERMS).max(1);
        let one = p.cbrt().recip();
        let nothing = counts.exactly(0);
        let mut held = nothing;
        let mut terms = Vec::with_capacity((last - first + 1).min(2 * MOST_TERMS).div_ceil(LANES));
        let (mut n, mut lane) = (first, LANES);
        while n <= last {
            if lane == LANES {
                terms.push(Terms {
                    chance: [0.0; LANES],
                    pn: [1.0; LANES],
                    inverse_root: [1.0; LANES],
                    ninth: [1.0; LANES],
                });
                lane = 0;
            }
            // Neighbours may share a term only where they differ by little.
            let stride = widest.min((n / 16).max(1));
            let chance = counts.at_least(n) - counts.at_least(n + stride);
            let mean = n as f64 + 0.5 * (stride as f64 - 1.0);
            if let Some(it) = terms.last_mut() {
                it.chance[lane] = chance;
                it.pn[lane] = p * mean;
                it.inverse_root[lane] = match INVERSE_ROOTS.get(n).filter(|_| stride == 1) {
                    Some(root) => one * root,
                    None => one * mean.cbrt().recip(),
                };
                it.ninth[lane] = 1.0 / (9.0 * p * mean);
            }
            held += chance;
            lane += 1;
            n += stride;
        }
        Self { nothing, terms, held }
    }

    /// Probability and pn of each count, ascending.
    fn each(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.terms.iter().flat_map(|it| it.chance.into_iter().zip(it.pn)).filter(|it| it.0 > 0.0)
    }
}

impl<'a> Total<'a> {
    /// `shape` is that of the customer's scale, q + px.
    pub(super) fn new(sums: &'a Sums, shape: f64) -> Self {
        Self { sums, shape, root: shape.cbrt(), exact: shape < FEW }
    }

    /// The same without Paulson's approximation: a hundred times slower.
    pub(super) fn exact(sums: &'a Sums, shape: f64) -> Self {
        Self { exact: true, ..Self::new(sums, shape) }
    }

    /// P(S ≤ s) and its slope by ln s at y = ln s.
    fn at_most(&self, y: f64) -> (f64, f64) {
        if self.exact {
            return (self.exactly_at_most(y.exp()), 0.0);
        }
        // f = (S/pn) · shape is distributed as F with 2pn and 2·shape degrees of freedom.
        let root = self.root * (y / 3.0).exp();
        let ours = 1.0 / (9.0 * self.shape);
        let (mut sums, mut slopes) = ([0.0; LANES], [0.0; LANES]);
        for it in &self.sums.terms {
            for k in 0..LANES {
                let f = root * it.inverse_root[k];
                let variance = ours * f * f + it.ninth[k];
                let deviation = 1.0 / variance.sqrt();
                let z = ((1.0 - ours) * f - (1.0 - it.ninth[k])) * deviation;
                let (chance, density) = normal(z);
                sums[k] += it.chance[k] * chance;
                // dz/d ln s = f/3 · dz/df
                let steepness = (1.0 - ours) - z * deviation * ours * f;
                slopes[k] += it.chance[k] * density * f * steepness * deviation;
            }
        }
        (self.sums.nothing + sums.iter().sum::<f64>(), slopes.iter().sum::<f64>() / 3.0)
    }

    /// The same from incomplete beta functions, from the near end: a heavy tail lies where the other share has
    /// rounded to one.
    fn exactly_at_most(&self, ratio: f64) -> f64 {
        let upper = |pn: f64| 1.0 - beta_inc(self.shape, pn, 1.0 / (1.0 + ratio));
        let lower = |pn: f64| beta_inc(pn, self.shape, ratio / (1.0 + ratio));
        let of = |(chance, pn): (f64, f64)| chance * if ratio > 1.0 { upper(pn) } else { lower(pn) };
        self.sums.nothing + self.sums.each().map(of).sum::<f64>()
    }

    /// The logarithm of the q-quantile, which is not below `below`; −∞ where it is nought. Newton steps in ln s, and
    /// halves of the bracket where they leave it.
    pub(super) fn ln_quantile(&self, q: f64, below: f64) -> f64 {
        let Sums { nothing, terms, held } = self.sums;
        if q <= *nothing || terms.is_empty() {
            return f64::NEG_INFINITY;
        }
        // Aim inside what the terms hold: the far tail was cut off.
        let q = q.min(held * (1.0 - 1e-9));
        let (near, narrow) =
            if self.exact { (1e-13, 1e-12) } else { (1e-3 * (1.0 - q).min(q - nothing), 1e-6) };
        let (mut low, mut high) = (below.max(-700.0), 700.0);
        let mut y = self.guess(q).ln().clamp(-600.0, 600.0).max(low);
        for _ in 0..200 {
            let (value, slope) = self.at_most(y);
            let off = value - q;
            if off.abs() < near || high - low < narrow {
                break;
            }
            if off > 0.0 {
                high = y
            } else {
                low = y
            }
            let step = (off / slope).clamp(-2.0, 2.0);
            let newton = y - step;
            y = if slope > 0.0 && newton > low && newton < high {
                if off.abs() < CLOSE * near {
                    return newton;
                }
                newton
            } else if high - low > 20.0 && self.exact {
                // Both ends are still far: walk before halving.
                (y - 4.0 * off.signum()).clamp(low, high)
            } else {
                0.5 * (low + high)
            };
        }
        y
    }

    /// About where the quantile lies: the mean of the count at which it falls.
    fn guess(&self, q: f64) -> f64 {
        let (mut below, mut mean) = (self.sums.nothing, 1.0);
        for (chance, pn) in self.sums.each() {
            (below, mean) = (below + chance, pn / self.shape.max(1.0));
            if below >= q {
                break;
            }
        }
        mean
    }
}
