//! The beta-geometric family: BG/NBD, MBG/NBD, BG/CNBD-k and MBG/CNBD-k in one set of formulas.
//!
//! While alive a customer orders with Erlang-k gaps of rate λ (k = 1: exponential), λ ~ Gamma(r, α); after an order
//! the customer drops out with probability p ~ Beta(a, b). In the plain forms the first purchase is exempt, in the
//! modified ("M") forms it is not.
//!
//! Sources: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way; Batislam, Denizel and Filiztekin
//! (2007) and Hoppe and Wagner (2007) for MBG/NBD; Platzer and Reutterer (2016) and Reutterer, Platzer and Schröder
//! (2021) for (M)BG/CNBD-k.

mod expectation;
mod likelihood;
mod regular;

pub(crate) use likelihood::{Sums, constants};

use crate::counts::negative_binomial_tail;
use crate::error::InvalidValue;
use crate::model::Transactions;
use crate::root;
use crate::special::{logistic, softplus};
use crate::summary::Summary;

/// The largest supported regularity.
pub(crate) const MOST_REGULAR: u32 = 12;

/// A member of the beta-geometric family with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BetaGeometric {
    pub(crate) r: f64,
    pub(crate) alpha: f64,
    pub(crate) a: f64,
    pub(crate) b: f64,
    /// Erlang shape of the gaps.
    pub(crate) k: u32,
    /// Whether the first purchase can be the last (the modified forms).
    pub(crate) modified: bool,
}

impl BetaGeometric {
    /// The BG/NBD: r, a and b are shapes, alpha is in the unit of time.
    ///
    /// # Errors
    /// Unless every parameter is positive and finite.
    pub fn bg_nbd(r: f64, alpha: f64, a: f64, b: f64) -> Result<Self, InvalidValue> {
        Self::new([r, alpha, a, b], 1, false)
    }

    /// The MBG/NBD, in which the first purchase can be the last.
    ///
    /// # Errors
    /// Unless every parameter is positive and finite.
    pub fn mbg_nbd(r: f64, alpha: f64, a: f64, b: f64) -> Result<Self, InvalidValue> {
        Self::new([r, alpha, a, b], 1, true)
    }

    pub(crate) fn new([r, alpha, a, b]: [f64; 4], k: u32, modified: bool) -> Result<Self, InvalidValue> {
        if !(1..=MOST_REGULAR).contains(&k) {
            return Err(InvalidValue::new("k", "must lie between 1 and 12", k, "use 1 for exponential gaps"));
        }
        Ok(Self {
            r: InvalidValue::positive("r", r)?,
            alpha: InvalidValue::positive("alpha", alpha)?,
            a: InvalidValue::positive("a", a)?,
            b: InvalidValue::positive("b", b)?,
            k,
            modified,
        })
    }

    /// The shape of the rate's posterior: r + kx.
    fn rho(&self, it: &Summary) -> f64 {
        self.r + f64::from(self.k) * f64::from(it.x())
    }

    /// How often the customer has survived a chance to drop out, if alive.
    fn survived(&self, it: &Summary) -> f64 {
        f64::from(it.x()) + f64::from(u8::from(self.modified))
    }

    /// Posterior weights of the silent sub-events j = 0 … k−1 since the last order, for a customer who is alive.
    fn sub_events(&self, it: &Summary) -> Vec<f64> {
        let (rho, w) = (self.rho(it), it.silence() / (self.alpha + it.age()));
        let mut weights = vec![1.0];
        let mut term = 1.0;
        for j in 1..self.k {
            let j = f64::from(j);
            term *= (rho + j - 1.0) / j * w;
            weights.push(term);
        }
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|it| it / sum).collect()
    }

    /// ln of the odds of being dead against alive; −∞ where death is impossible.
    fn ln_odds_dead(&self, it: &Summary) -> f64 {
        let survived = self.survived(it);
        if survived == 0.0 {
            return f64::NEG_INFINITY;
        }
        let rho = self.rho(it);
        let w = it.silence() / (self.alpha + it.age());
        let (mut term, mut sum) = (1.0, 1.0);
        for j in 1..self.k {
            let j = f64::from(j);
            term *= (rho + j - 1.0) / j * w;
            sum += term;
        }
        (self.a / (self.b + survived - 1.0)).ln() + rho * (it.silence() / (self.alpha + it.t_x())).ln_1p()
            - sum.ln()
    }
}

impl Transactions for BetaGeometric {
    fn ln_likelihood(&self, it: &Summary) -> f64 {
        likelihood::ln_likelihood(self, it)
    }

    /// 1 / (1 + odds), odds = a/(b+x−1+d) · ((α+T)/(α+t_x))^(r+kx) / Σ_{j<k} (r+kx)_j/j! · ((T−t_x)/(α+T))^j,
    /// d = 1 in the modified forms; 1 for x = 0 in the plain ones.
    fn p_alive(&self, it: &Summary) -> f64 {
        logistic(-self.ln_odds_dead(it))
    }

    fn ln_p_alive(&self, it: &Summary) -> f64 {
        -softplus(self.ln_odds_dead(it))
    }

    fn scale(&self, it: &Summary) -> f64 {
        self.alpha + it.age()
    }

    fn expected_if_alive(&self, it: &Summary, times: &[f64]) -> Vec<f64> {
        expectation::if_alive(self, it, times)
    }

    /// P(X ≥ n) = E[(1−p)^(n−1)] · P(the n-th order falls within t).
    fn tail_if_alive(&self, it: &Summary, t: f64, least: f64) -> Vec<f64> {
        let growth = (t / self.scale(it)).ln_1p();
        let k = self.k as usize;
        let rho = self.rho(it);
        let mut tail = if k == 1 {
            negative_binomial_tail(rho, growth, least)
        } else {
            let mut tail: Vec<f64> = Vec::new();
            for (j, weight) in self.sub_events(it).into_iter().enumerate() {
                let steps = negative_binomial_tail(rho + j as f64, growth, least);
                // n orders need nk sub-events, j of which have already happened.
                for (n, chance) in
                    (0..).map_while(|n: usize| Some((n, *steps.get((n * k).saturating_sub(j))?)))
                {
                    if tail.len() <= n {
                        tail.push(0.0);
                    }
                    tail[n] += weight * chance;
                }
            }
            tail
        };
        let lives = self.b + self.survived(it);
        let mut still_there = 1.0;
        for (n, it) in tail.iter_mut().enumerate().skip(1) {
            *it *= still_there;
            let n = n as f64;
            still_there *= (lives + n - 1.0) / (self.a + lives + n - 1.0);
        }
        tail
    }

    fn order_within_if_alive(&self, it: &Summary, t: f64) -> f64 {
        let growth = (t / self.scale(it)).ln_1p();
        let rho = self.rho(it);
        if self.k == 1 {
            return -(-rho * growth).exp_m1();
        }
        let z = -(-growth).exp_m1();
        let mut none = 0.0;
        for (j, weight) in self.sub_events(it).into_iter().enumerate() {
            let rho = rho + j as f64;
            let mut term = (-rho * growth).exp();
            for n in 0..self.k as usize - j {
                none += weight * term;
                term *= (rho + n as f64) / (n as f64 + 1.0) * z;
            }
        }
        (1.0 - none).clamp(0.0, 1.0)
    }

    /// (α+T)·[(1−q)^(−1/(r+x)) − 1] for k = 1.
    fn next_order_if_alive(&self, it: &Summary, q: f64) -> Option<f64> {
        if self.k == 1 {
            let t = self.scale(it) * (-(-q).ln_1p() / self.rho(it)).exp_m1();
            return Some(t.min(f64::MAX));
        }
        root::next_order(self, it, q)
    }

    fn lapse_after(&self, it: &Summary, threshold: f64) -> Option<f64> {
        let last = it.at_last_purchase();
        let survived = self.survived(it);
        if survived == 0.0 {
            return None;
        }
        // The silence at which ln odds reach this.
        let odds = ((1.0 - threshold) / threshold).ln();
        if self.ln_odds_dead(&last) > odds {
            return Some(0.0);
        }
        if self.k == 1 {
            let needed = odds - (self.a / (self.b + survived - 1.0)).ln();
            return Some(((self.alpha + it.t_x()) * (needed / self.rho(it)).exp_m1()).clamp(0.0, f64::MAX));
        }
        root::lapse(self, it, threshold, |later| self.ln_p_alive(later))
    }
}
