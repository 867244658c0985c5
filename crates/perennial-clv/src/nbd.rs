//! The NBD: purchases of customers who never drop out (Ehrenberg 1959). It is the limit of every other model here
//! as dropping out becomes impossible, and the honest answer when data show none.

use crate::counts::negative_binomial_tail;
use crate::error::InvalidValue;
use crate::model::Transactions;
use crate::rows::Row;
use crate::special::{digamma_rise, ln_gamma, ln_rising};
use crate::summary::Summary;

/// Poisson purchases with rates λ ~ Gamma(r, α).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nbd {
    pub(crate) r: f64,
    pub(crate) alpha: f64,
}

impl Nbd {
    /// The model with shape r and scale alpha (in the unit of time).
    ///
    /// # Errors
    /// Unless both are positive and finite.
    pub fn new(r: f64, alpha: f64) -> Result<Self, InvalidValue> {
        Ok(Self { r: InvalidValue::positive("r", r)?, alpha: InvalidValue::positive("alpha", alpha)? })
    }

    /// ln P(X = x) of a count over the age: the likelihood of purchase times plus x ln T − ln x!, which is what
    /// packages that model counts report.
    #[must_use]
    pub fn ln_count_likelihood(&self, it: &Summary) -> f64 {
        let x = f64::from(it.x());
        let times = if it.x() == 0 { 0.0 } else { x * it.age().ln() - ln_gamma(x + 1.0) };
        self.ln_likelihood(it) + times
    }

    fn rho(&self, it: &Summary) -> f64 {
        self.r + f64::from(it.x())
    }

    /// Adds value and gradient by r, α of the rows onto three sums.
    pub(crate) fn add(&self, rows: &[Row], sums: &mut [f64]) {
        for row in rows {
            let growth = (row.age / self.alpha).ln_1p();
            let scale = self.alpha + row.age;
            sums[0] += row.weight * (ln_rising(self.r, row.x) - row.x * scale.ln() - self.r * growth);
            sums[1] += row.weight * (digamma_rise(self.r, row.x) - growth);
            sums[2] += row.weight * (self.r * row.age / self.alpha - row.x) / scale;
        }
    }
}

impl Transactions for Nbd {
    /// ln (r)_x − x ln(α+T) − r ln(1 + T/α).
    fn ln_likelihood(&self, it: &Summary) -> f64 {
        let mut sums = [0.0; 3];
        self.add(&[Row { x: f64::from(it.x()), t_x: it.t_x(), age: it.age(), weight: 1.0 }], &mut sums);
        sums[0]
    }

    fn p_alive(&self, _: &Summary) -> f64 {
        1.0
    }

    fn ln_p_alive(&self, _: &Summary) -> f64 {
        0.0
    }

    fn scale(&self, it: &Summary) -> f64 {
        self.alpha + it.age()
    }

    /// (r+x)/(α+T) · t.
    fn expected_if_alive(&self, it: &Summary, times: &[f64]) -> Vec<f64> {
        times.iter().map(|t| self.rho(it) / self.scale(it) * t).collect()
    }

    fn tail_if_alive(&self, it: &Summary, t: f64, least: f64) -> Vec<f64> {
        negative_binomial_tail(self.rho(it), (t / self.scale(it)).ln_1p(), least)
    }

    fn order_within_if_alive(&self, it: &Summary, t: f64) -> f64 {
        -(-self.rho(it) * (t / self.scale(it)).ln_1p()).exp_m1()
    }

    fn next_order_if_alive(&self, it: &Summary, q: f64) -> Option<f64> {
        Some((self.scale(it) * (-(-q).ln_1p() / self.rho(it)).exp_m1()).min(f64::MAX))
    }

    fn lapse_after(&self, _: &Summary, _: f64) -> Option<f64> {
        None
    }
}
