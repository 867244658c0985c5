//! Expected orders of a customer who is alive, to any horizon.

use super::{BetaGeometric, regular};
use crate::special::saturation;
use crate::summary::Summary;

/// Terms of the series after which the integral is cheaper and safer.
const MOST_TERMS: usize = 3000;

/// The expectation at each time, times ascending or not.
pub(super) fn if_alive(model: &BetaGeometric, it: &Summary, times: &[f64]) -> Vec<f64> {
    if model.k > 1 {
        return times.iter().map(|&t| regular::if_alive(model, it, t)).collect();
    }
    let series = Series::new(model, it);
    let mut coefficients = Vec::new();
    times.iter().map(|&t| series.at(t, &mut coefficients).unwrap_or_else(|| series.integral(t))).collect()
}

/// Euler's transformation of the textbook ₂F₁:
///
/// E = c·(1 − e^(−(a−1)L))/(a−1) − e^(−(a−1)L) · Σ_{n≥1} (a)_{n−1} (δ)_n zⁿ / ((c+1)_{n−1} n!)
///
/// with c = a+b+x−1+d, δ = c−r−x, z = t/(α+T+t), L = −ln(1−z). x stands only in c, so many purchases converge
/// faster, a = 1 is a removable point, and nothing overflows.
struct Series {
    a: f64,
    /// The second shape of the posterior of p: b + x + d.
    lives: f64,
    rho: f64,
    scale: f64,
}

impl Series {
    fn new(model: &BetaGeometric, it: &Summary) -> Self {
        Self {
            a: model.a,
            lives: model.b + model.survived(it),
            rho: model.rho(it),
            scale: model.alpha + it.age(),
        }
    }

    /// The series, or nothing where it converges slowly or cancels. The coefficients are shared between times.
    fn at(&self, t: f64, coefficients: &mut Vec<f64>) -> Option<f64> {
        if t <= 0.0 {
            return Some(0.0);
        }
        let c = self.a + self.lives - 1.0;
        let delta = c - self.rho;
        let growth = (t / self.scale).ln_1p();
        let z = t / (self.scale + t);
        let (mut sum, mut most, mut power) = (0.0_f64, 0.0_f64, 1.0);
        let mut n = 0;
        loop {
            if n == coefficients.len() {
                let m = n as f64;
                let next = match coefficients.last() {
                    None => delta,
                    Some(last) => last * (self.a + m - 1.0) * (delta + m) / ((c + m) * (m + 1.0)),
                };
                coefficients.push(next);
            }
            power *= z;
            let term = coefficients[n] * power;
            sum += term;
            most = most.max(term.abs());
            n += 1;
            // Signs may alternate and terms may grow while n < −δ.
            if term.abs() <= 1e-17 * sum.abs() && n as f64 > -delta {
                break;
            }
            if n == MOST_TERMS || !sum.is_finite() {
                return None;
            }
        }
        let first = c * saturation(self.a - 1.0, growth);
        let factor = (-(self.a - 1.0) * growth).exp();
        let value = first - factor * sum;
        // What is left must not be the rounding of what cancelled.
        (value > 0.02 * first.abs().max(factor * most)).then_some(value)
    }

    /// ∫ (1 − (1+pτ)^(−ρ))/p over the posterior of p, τ = t/(α+T).
    fn integral(&self, t: f64) -> f64 {
        let tau = t / self.scale;
        posterior_mean(self.a, self.lives, |p| {
            if p * tau < 1e-200 { self.rho * tau } else { -(-self.rho * (p * tau).ln_1p()).exp_m1() / p }
        })
    }
}

/// The mean of `f` over p ~ Beta(a, b): the trapezoidal rule in w, logit p = centre + width · sinh w, which decays
/// doubly exponentially whatever the shapes.
pub(super) fn posterior_mean(a: f64, b: f64, f: impl Fn(f64) -> f64) -> f64 {
    let centre = (a / b).ln();
    let width = (1.0 / a + 1.0 / b).sqrt().min(1.0);
    let share = a / (a + b);
    let at = |w: f64| -> (f64, f64) {
        let u = width * w.sinh();
        // ln density relative to the centre: a·u − (a+b)·ln(1 + s(eᵘ − 1)), s = a/(a+b); from the other end for u > 0.
        let height = if u > 0.0 {
            -b * u - (a + b) * ((1.0 - share) * (-u).exp_m1()).ln_1p()
        } else {
            a * u - (a + b) * (share * u.exp_m1()).ln_1p()
        };
        let density = height.exp() * w.cosh();
        let p = 1.0 / (1.0 + (-(centre + u)).exp());
        (density, if density > 0.0 { density * f(p) } else { 0.0 })
    };
    // Fifty units of exponential decay, or twelve standard deviations where the posterior is narrow.
    let reach = |shape: f64| (50.0 / (shape * width)).max(12.0).asinh().min(600.0);
    let (left, right) = (-reach(a), reach(b));
    let (mut steps, mut sums) = (64_u32, (0.0, 0.0));
    let mut before = f64::NAN;
    loop {
        let h = (right - left) / f64::from(steps);
        // Every point at first, then only those between the ones before.
        let (first, stride) = if steps == 64 { (0, 1) } else { (1, 2) };
        for i in (first..=steps).step_by(stride) {
            let (density, value) = at(left + h * f64::from(i));
            sums = (sums.0 + density, sums.1 + value);
        }
        let (mass, sum) = sums;
        let mean = sum / mass;
        if (mean - before).abs() <= 1e-13 * mean.abs() || steps >= 4096 {
            return mean;
        }
        before = mean;
        steps *= 2;
    }
}
