//! The distribution of how many orders a customer will place, kept as upper tails so that small chances stay exact.

use crate::special::{ln_gamma, ln_rising};
use serde::{Deserialize, Serialize};

/// The longest table of counts; beyond it all remaining chance sits on the last count.
const LONGEST: usize = 1 << 18;

/// Chances below this are not worth naming.
pub(crate) const LEAST: f64 = 1e-18;

/// P(X ≥ n) for every n with a chance worth naming.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// `tail[n]` = P(X ≥ n); the first is 1, and beyond the last it is 0.
    tail: Vec<f64>,
}

impl Counts {
    /// From the tails of a customer who is alive and the chance of that; `alive[0]` is taken as 1.
    pub(crate) fn new(p_alive: f64, mut alive: Vec<f64>) -> Self {
        if alive.is_empty() {
            alive.push(1.0);
        }
        for it in alive.iter_mut().skip(1) {
            *it *= p_alive;
        }
        alive[0] = 1.0;
        Self { tail: alive }
    }

    /// The mixture of several distributions, whose weights add up to 1.
    pub(crate) fn mixed(parts: impl Iterator<Item = (f64, Self)>) -> Self {
        let mut tail = vec![1.0];
        for (weight, part) in parts {
            if tail.len() < part.tail.len() {
                tail.resize(part.tail.len(), 0.0);
            }
            for (sum, it) in tail.iter_mut().zip(&part.tail).skip(1) {
                *sum += weight * it;
            }
        }
        Self { tail }
    }

    /// With every chance of one order or more multiplied by a factor, as far as there is room for it.
    pub(crate) fn scaled(mut self, factor: f64) -> Self {
        let room = 1.0 / self.at_least(1).max(f64::MIN_POSITIVE);
        for it in self.tail.iter_mut().skip(1) {
            *it *= factor.min(room);
        }
        self
    }

    /// P(X ≥ n).
    #[must_use]
    pub fn at_least(&self, n: usize) -> f64 {
        self.tail.get(n).copied().unwrap_or(0.0)
    }

    /// P(X = n).
    #[must_use]
    pub fn exactly(&self, n: usize) -> f64 {
        (self.at_least(n) - self.at_least(n + 1)).max(0.0)
    }

    /// P(X ≤ n).
    #[must_use]
    pub fn at_most(&self, n: usize) -> f64 {
        1.0 - self.at_least(n + 1)
    }

    /// The smallest n with P(X ≤ n) ≥ `q`.
    #[must_use]
    pub fn quantile(&self, q: f64) -> usize {
        let above = 1.0 - q.clamp(0.0, 1.0);
        // The first n whose tail beyond it is small enough.
        self.tail.iter().skip(1).position(|it| *it <= above).unwrap_or(self.largest())
    }

    /// The mean, Σ P(X ≥ n).
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.tail.iter().skip(1).rev().sum()
    }

    /// The variance, Σ (2n − 1) P(X ≥ n) − mean².
    #[must_use]
    pub fn variance(&self) -> f64 {
        let square: f64 =
            self.tail.iter().enumerate().skip(1).rev().map(|(n, it)| (2.0 * n as f64 - 1.0) * it).sum();
        (square - self.mean().powi(2)).max(0.0)
    }

    /// The largest count with a chance worth naming.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.tail.len().saturating_sub(1)
    }
}

/// P(N ≥ n), n = 0, 1, …, for the negative binomial of a Poisson process whose rate is Gamma(`rho`, scale), over a
/// stretch with `growth` = ln(1 + t / scale). The table ends where less
/// than `least` is left; sums run from its end, so each tail is relatively exact.
pub(crate) fn negative_binomial_tail(rho: f64, growth: f64, least: f64) -> Vec<f64> {
    if growth <= 0.0 {
        return vec![1.0];
    }
    let z = -(-growth).exp_m1();
    let odds = growth.exp_m1();
    let mean = rho * odds;
    let (mut n, mut ln_p) = (0_usize, -rho * growth);
    if ln_p < -600.0 {
        // Start a dozen standard deviations below the mean, where nothing of worth lies beneath.
        let spread = (mean * (1.0 + odds)).sqrt();
        n = (mean - 12.0 * spread).max(0.0).min(LONGEST as f64 / 2.0) as usize;
        let m = n as f64;
        ln_p = ln_rising(rho, m) - ln_gamma(m + 1.0) + m * z.ln() - rho * growth;
    }
    let mut mass = vec![0.0; n];
    let mut p = ln_p.exp();
    loop {
        mass.push(p);
        let m = n as f64;
        let ratio = z * (rho + m) / (m + 1.0);
        n += 1;
        if n >= LONGEST || (ratio < 1.0 && m > mean && p * ratio < least * (1.0 - ratio)) {
            break;
        }
        p *= ratio;
    }
    for i in (1..mass.len()).rev() {
        mass[i - 1] += mass[i];
    }
    // What the first entry lacks to one is rounding, or else the chance beyond the longest table.
    let total = mass[0];
    for it in &mut mass {
        *it = if (total - 1.0).abs() < 1e-6 { *it / total } else { (*it + 1.0 - total).clamp(0.0, 1.0) };
    }
    mass[0] = 1.0;
    mass
}
