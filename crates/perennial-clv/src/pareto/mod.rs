//! The Pareto/NBD: Poisson orders, λ ~ Gamma(r, α), until an unseen exponential lifetime ends, μ ~ Gamma(s, β).
//!
//! Source: Schmittlein, Morrison and Colombo (1987); Fader and Hardie (2005), "A Note on Deriving the Pareto/NBD
//! Model". The chance of being dead is an integral here, not a difference of hypergeometric functions.

mod kernel;
mod likelihood;

pub(crate) use likelihood::add;

use crate::counts::{LEAST, negative_binomial_tail};
use crate::error::InvalidValue;
use crate::model::Transactions;
use crate::root;
use crate::special::{logistic, saturation, softplus};
use crate::summary::Summary;
use kernel::Kernel;

/// The Pareto/NBD with its parameters: shapes r and s, scales α and β in the unit of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParetoNbd {
    pub(crate) r: f64,
    pub(crate) alpha: f64,
    pub(crate) s: f64,
    pub(crate) beta: f64,
}

impl ParetoNbd {
    /// The model with these parameters.
    ///
    /// # Errors
    /// Unless every parameter is positive and finite.
    pub fn new(r: f64, alpha: f64, s: f64, beta: f64) -> Result<Self, InvalidValue> {
        Ok(Self {
            r: InvalidValue::positive("r", r)?,
            alpha: InvalidValue::positive("alpha", alpha)?,
            s: InvalidValue::positive("s", s)?,
            beta: InvalidValue::positive("beta", beta)?,
        })
    }

    fn rho(&self, it: &Summary) -> f64 {
        self.r + f64::from(it.x())
    }

    /// ln of the odds of being dead against alive:
    /// s ∫_{t_x}^T ((α+T)/(α+y))^(r+x) ((β+T)/(β+y))^s dy/(β+y).
    fn ln_odds_dead(&self, it: &Summary, fast: bool) -> f64 {
        let kernel = self.kernel(it, it.t_x());
        let silence = it.silence();
        let mut sum = 0.0;
        kernel.visit(silence, fast, 0.0, |point| sum += point.mass / point.dropout);
        (self.s * sum).ln()
            + kernel.rho * (silence / kernel.of_orders).ln_1p()
            + self.s * (silence / kernel.of_dropout).ln_1p()
    }

    /// The integral's shapes, with time counted from `start`.
    fn kernel(&self, it: &Summary, start: f64) -> Kernel {
        Kernel { rho: self.rho(it), s: self.s, of_orders: self.alpha + start, of_dropout: self.beta + start }
    }
}

impl Transactions for ParetoNbd {
    fn ln_likelihood(&self, it: &Summary) -> f64 {
        likelihood::ln_likelihood(self, it)
    }

    fn p_alive(&self, it: &Summary) -> f64 {
        logistic(-self.ln_odds_dead(it, false))
    }

    fn p_alive_fast(&self, it: &Summary) -> f64 {
        logistic(-self.ln_odds_dead(it, true))
    }

    fn ln_p_alive(&self, it: &Summary) -> f64 {
        -softplus(self.ln_odds_dead(it, false))
    }

    fn scale(&self, it: &Summary) -> f64 {
        self.beta + it.age()
    }

    /// (r+x)/(α+T) · (β+T) · (1 − ((β+T)/(β+T+t))^(s−1))/(s−1), the removable point s = 1 included.
    fn expected_if_alive(&self, it: &Summary, times: &[f64]) -> Vec<f64> {
        let scale = self.beta + it.age();
        let rate = self.rho(it) / (self.alpha + it.age());
        times.iter().map(|t| rate * scale * saturation(self.s - 1.0, (t / scale).ln_1p())).collect()
    }

    /// Negative binomials up to death or the horizon, whichever is first, mixed over the time of death.
    fn tail_if_alive(&self, it: &Summary, t: f64, least: f64) -> Vec<f64> {
        let rho = self.rho(it);
        let orders = self.alpha + it.age();
        let dropout = self.beta + it.age();
        let deaths = Kernel { rho: 1e-9, s: self.s, of_orders: orders, of_dropout: dropout };
        let mut tail = negative_binomial_tail(rho, (t / orders).ln_1p(), least);
        let survives = (-self.s * (t / dropout).ln_1p()).exp();
        for it in &mut tail {
            *it *= survives;
        }
        let ratios: Vec<f64> = (0..tail.len()).map(|n| (rho + n as f64) / (n as f64 + 1.0)).collect();
        let mut mass = vec![0.0; tail.len()];
        // The chance of no order falls by as many e-folds as orders are expected.
        let expected = rho * t / orders;
        // High counts are high powers of time, which few points cannot see.
        let fast = least > LEAST;
        deaths.visit(t, fast, expected.min(600.0), |point| {
            let chance = self.s * point.mass / point.dropout;
            if chance < 1e-14 {
                return;
            }
            let ln_none = -rho * point.ln_orders;
            if ln_none < -600.0 {
                for (sum, it) in tail.iter_mut().zip(negative_binomial_tail(rho, point.ln_orders, least)) {
                    *sum += chance * it;
                }
                return;
            }
            let z = 1.0 - orders / point.orders;
            let mut p = chance * ln_none.exp();
            for (sum, ratio) in mass.iter_mut().zip(&ratios) {
                *sum += p;
                p *= z * ratio;
                // Beyond the mode each term is less than the one before.
                if p < least && z * ratio < 1.0 {
                    break;
                }
            }
        });
        let mut above = 0.0;
        for (sum, it) in tail.iter_mut().zip(mass).rev() {
            above += it;
            *sum += above;
        }
        tail
    }

    /// (r+x) ∫₀ᵗ ((α+T)/(α+T+u))^(r+x) ((β+T)/(β+T+u))^s du/(α+T+u).
    fn order_within_if_alive(&self, it: &Summary, t: f64) -> f64 {
        let kernel = self.kernel(it, it.age());
        let mut sum = 0.0;
        kernel.visit(t, true, 0.0, |point| sum += point.mass / point.orders);
        (kernel.rho * sum).min(1.0)
    }

    fn order_ever_if_alive(&self, it: &Summary) -> f64 {
        self.order_within_if_alive(it, f64::INFINITY)
    }

    /// Were dropping out on the faster of the two scales, (r+x)/(r+x+s).
    fn order_ever_at_least(&self, it: &Summary) -> f64 {
        if self.alpha <= self.beta { self.rho(it) / (self.rho(it) + self.s) } else { 0.0 }
    }

    /// Newton on −ln(1 − F) in v = ln(1 + t/(α+T)), which without dropout is a straight line;
    /// dF/dt = (r+x)/(α+T+t) · ((α+T)/(α+T+t))^(r+x) ((β+T)/(β+T+t))^s.
    fn next_order_if_alive(&self, it: &Summary, q: f64) -> Option<f64> {
        let kernel = self.kernel(it, it.age());
        let goal = -(-q).ln_1p();
        let v = root::newton(goal / kernel.rho, |v| {
            let t = kernel.of_orders * v.exp_m1();
            let came = self.order_within_if_alive(it, t);
            let slope = kernel.rho * (-kernel.rho * v - self.s * (t / kernel.of_dropout).ln_1p()).exp();
            (-(-came).ln_1p() - goal, slope / (1.0 - came))
        })?;
        Some((kernel.of_orders * v.exp_m1()).min(f64::MAX))
    }

    /// Newton on the log odds of being dead in v = ln(1 + silence/(β+t_x)):
    /// d odds/dT = (r+x)/(α+T) · odds + s/(β+T) · (1 + odds).
    fn lapse_after(&self, it: &Summary, threshold: f64) -> Option<f64> {
        let scale = self.beta + it.t_x();
        let goal = ((1.0 - threshold) / threshold).ln();
        let v = root::newton(0.1, |v| {
            let silence = scale * v.exp_m1();
            let Some(later) = it.at_age(it.t_x() + silence) else { return (f64::INFINITY, 1.0) };
            let ln_odds = self.ln_odds_dead(&later, true);
            let (orders, dropout) = (self.alpha + later.age(), self.beta + later.age());
            let slope = self.rho(it) / orders + self.s / dropout * (1.0 + (-ln_odds).exp());
            (ln_odds - goal, slope * dropout)
        })?;
        Some((scale * v.exp_m1()).min(f64::MAX))
    }
}
