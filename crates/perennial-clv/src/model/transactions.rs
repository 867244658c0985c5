//! What every single model of transactions has to know; the rest follows from it.

use crate::quadrature::{GAUSS_4, GAUSS_8, GAUSS_12, Rule};
use crate::summary::Summary;

/// What a model of transactions can say. Times are in the unit of the data it was fitted to.
///
/// The provided methods hold for any model in which a customer who is dead never returns.
pub(crate) trait Transactions {
    fn ln_likelihood(&self, it: &Summary) -> f64;
    fn p_alive(&self, it: &Summary) -> f64;
    /// P(alive) to about 1e-12, where that is cheaper.
    fn p_alive_fast(&self, it: &Summary) -> f64 {
        self.p_alive(it)
    }
    fn ln_p_alive(&self, it: &Summary) -> f64;
    /// The time over which the posterior changes: α + T.
    fn scale(&self, it: &Summary) -> f64;
    fn expected_if_alive(&self, it: &Summary, times: &[f64]) -> Vec<f64>;
    /// P(X ≥ n), n = 0, 1, …, until less than `least` is left.
    fn tail_if_alive(&self, it: &Summary, t: f64, least: f64) -> Vec<f64>;
    fn order_within_if_alive(&self, it: &Summary, t: f64) -> f64;
    /// The chance that a customer who is alive ever orders again.
    fn order_ever_if_alive(&self, _: &Summary) -> f64 {
        1.0
    }
    /// A bound from below on that chance which costs nothing.
    fn order_ever_at_least(&self, _: &Summary) -> f64 {
        1.0
    }
    /// `q` in (0, 1).
    fn next_order_if_alive(&self, it: &Summary, q: f64) -> Option<f64>;
    /// `threshold` in (0, 1).
    fn lapse_after(&self, it: &Summary, threshold: f64) -> Option<f64>;

    /// ∫₀ʰ e^(−δt) dE(t) = e^(−δh) E(h) + δ ∫₀ʰ e^(−δt) E(t) dt for a customer who is alive; the integral by
    /// Gauss–Legendre in ln(1 + t/scale).
    fn discounted_if_alive(&self, it: &Summary, horizon: f64, rate: f64) -> f64 {
        self.orders_if_alive(it, horizon, rate, false).1
    }

    /// Expected orders, plain and discounted; `fast` takes fewer points where next to nothing is discounted (relative error
    /// about 1e−9).
    fn orders_if_alive(&self, it: &Summary, horizon: f64, rate: f64, fast: bool) -> (f64, f64) {
        if rate == 0.0 {
            let plain = self.expected_if_alive(it, &[horizon])[0];
            return (plain, plain);
        }
        let scale = self.scale(it);
        // Beyond 45 units of discount nothing is left to count.
        let end = horizon.min(45.0 / rate);
        let reach = (end / scale).ln_1p();
        // Neither E nor the discount may change much within a panel.
        let panels = (reach / 1.2).max(rate * end / 8.0).ceil().max(1.0);
        let width = reach / panels;
        let rule: &Rule = if fast && reach <= 1.2 && rate * end <= 0.5 {
            &GAUSS_4
        } else if reach <= 1.2 && rate * end <= 2.0 {
            &GAUSS_8
        } else {
            &GAUSS_12
        };
        let (mut times, mut weights) = (Vec::with_capacity(14), Vec::with_capacity(14));
        let mut panel = 0.0;
        while panel < panels {
            for &(u, weight) in &rule.points {
                let v = (panel + u) * width;
                let t = scale * v.exp_m1();
                times.push(t);
                // dt = (scale + t) dv
                weights.push(weight * width * (scale + t) * rate * (-rate * t).exp());
            }
            panel += 1.0;
        }
        times.push(end);
        weights.push((-rate * end).exp());
        if end < horizon {
            times.push(horizon);
            weights.push(0.0);
        }
        let expected = self.expected_if_alive(it, &times);
        let discounted = expected.iter().zip(&weights).filter(|it| *it.1 > 0.0).map(|(e, w)| e * w).sum();
        (expected.last().copied().unwrap_or_default(), discounted)
    }
}
