//! The likelihood and its gradient, grouped so that no large terms cancel.

use super::BetaGeometric;
use crate::rows::Row;
use crate::special::{digamma_rise, ln_gamma, ln_rising};
use crate::summary::Summary;

/// The log-likelihood of one customer's purchase times, constants of k > 1 included:
///
/// ln (r)_{kx} − kx ln(α+T) − r ln(1+T/α) + ln Σ_{j<k} (r+kx)_j/j! · w^j + ln (b)_m − ln (a+b)_m + ln(1 + odds)
/// + (k−1) Σ ln gap − x ln Γ(k), with m = x + d and w = (T−t_x)/(α+T).
pub(super) fn ln_likelihood(model: &BetaGeometric, it: &Summary) -> f64 {
    let row = Row { x: f64::from(it.x()), t_x: it.t_x(), age: it.age(), weight: 1.0 };
    let mut sums = [0.0; 5];
    Sums::new(model).add(&[row], &mut sums);
    sums[0] + constants(model.k, f64::from(it.x()), it.ln_gaps())
}

/// What of the likelihood does not depend on the parameters.
pub(crate) fn constants(k: u32, x: f64, ln_gaps: f64) -> f64 {
    if k == 1 { 0.0 } else { f64::from(k - 1) * ln_gaps - x * ln_gamma(f64::from(k)) }
}

/// The likelihood and gradient by r, α, a, b of many rows at one set of parameters.
pub(crate) struct Sums<'a> {
    model: &'a BetaGeometric,
    /// 1 in the modified forms.
    d: f64,
}

/// What depends on x alone; rows come sorted by it.
struct OfX {
    rho: f64,
    value: f64,
    by_r: f64,
    by_a: f64,
    by_b: f64,
    /// ln of a / (b + m − 1); unused for m = 0.
    ln_drop: f64,
    one_by_b: f64,
}

impl<'a> Sums<'a> {
    pub(crate) fn new(model: &'a BetaGeometric) -> Self {
        Self { model, d: f64::from(u8::from(model.modified)) }
    }

    /// Adds value and gradient of the rows onto five sums.
    pub(crate) fn add(&self, rows: &[Row], sums: &mut [f64]) {
        let BetaGeometric { r, alpha, a, k, .. } = *self.model;
        let shape = f64::from(k);
        let (mut at_x, mut of_x) = (f64::NAN, self.of_x(0.0));
        let (mut at_age, mut ln_growth, mut ln_scale, mut one_by_scale) = (f64::NAN, 0.0, 0.0, 0.0);
        let mut total = [0.0; 5];
        for row in rows {
            if row.x != at_x {
                at_x = row.x;
                of_x = self.of_x(row.x);
            }
            if row.age != at_age {
                at_age = row.age;
                ln_growth = (row.age / alpha).ln_1p();
                ln_scale = (alpha + row.age).ln();
                one_by_scale = 1.0 / (alpha + row.age);
            }
            let rho = of_x.rho;
            let kx = shape * row.x;
            let mut value = of_x.value - kx * ln_scale - r * ln_growth;
            let mut by_r = of_x.by_r - ln_growth;
            let mut by_alpha = (r * row.age / alpha - kx) * one_by_scale;
            let (mut by_a, mut by_b) = (of_x.by_a, of_x.by_b);
            // The Erlang sum over sub-events since the last order; 1 for k = 1.
            let silence = row.age - row.t_x;
            let (mut ln_sum, mut sum_by_r, mut sum_by_alpha) = (0.0, 0.0, 0.0);
            if k > 1 {
                let w = silence * one_by_scale;
                let (mut term, mut rise, mut sum, mut moment, mut slope) = (1.0, 0.0, 1.0, 0.0, 0.0);
                for j in 1..k {
                    let j = f64::from(j);
                    term *= (rho + j - 1.0) / j * w;
                    rise += 1.0 / (rho + j - 1.0);
                    sum += term;
                    moment += j * term;
                    slope += rise * term;
                }
                ln_sum = sum.ln();
                sum_by_r = slope / sum;
                sum_by_alpha = -moment / sum * one_by_scale;
            }
            value += ln_sum;
            by_r += sum_by_r;
            by_alpha += sum_by_alpha;
            if row.x + self.d > 0.0 {
                let before = 1.0 / (alpha + row.t_x);
                let ln_gap = (silence * before).ln_1p();
                let ln_odds = of_x.ln_drop + rho * ln_gap - ln_sum;
                // ln(1 + odds) and P(dead) from one exponential.
                let small = (-ln_odds.abs()).exp();
                let share = 1.0 / (1.0 + small);
                let dead = if ln_odds > 0.0 { share } else { small * share };
                value += ln_odds.max(0.0) + small.ln_1p();
                by_r += dead * (ln_gap - sum_by_r);
                by_alpha += dead * (-rho * silence * before * one_by_scale - sum_by_alpha);
                by_a += dead / a;
                by_b -= dead * of_x.one_by_b;
            }
            for (total, it) in total.iter_mut().zip([value, by_r, by_alpha, by_a, by_b]) {
                *total += row.weight * it;
            }
        }
        for (sum, it) in sums.iter_mut().zip(total) {
            *sum += it;
        }
    }

    fn of_x(&self, x: f64) -> OfX {
        let BetaGeometric { r, a, b, k, .. } = *self.model;
        let (kx, m) = (f64::from(k) * x, x + self.d);
        let both = digamma_rise(a + b, m);
        OfX {
            rho: r + kx,
            value: ln_rising(r, kx) + ln_rising(b, m) - ln_rising(a + b, m),
            by_r: digamma_rise(r, kx),
            by_a: -both,
            by_b: digamma_rise(b, m) - both,
            ln_drop: if m > 0.0 { (a / (b + m - 1.0)).ln() } else { 0.0 },
            one_by_b: if m > 0.0 { 1.0 / (b + m - 1.0) } else { 0.0 },
        }
    }
}
