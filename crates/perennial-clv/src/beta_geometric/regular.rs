//! Expected orders of a regular buyer (k > 1) who is alive: no closed form, but two exact ones.

use super::BetaGeometric;
use super::expectation::posterior_mean;
use crate::counts::LEAST;
use crate::model::Transactions;
use crate::summary::Summary;

/// Sub-events expected beyond which their distribution is not summed one by one.
const MANY: f64 = 4000.0;

/// Σ P(X ≥ n) where the counts are few, else the integral over p.
pub(super) fn if_alive(model: &BetaGeometric, it: &Summary, t: f64) -> f64 {
    if t <= 0.0 {
        return 0.0;
    }
    // The tail of the negative binomial falls as e^(−n/(1 + t/scale)).
    let length = (model.rho(it) + f64::from(model.k) + 40.0) * t / model.scale(it);
    if length < MANY {
        model.tail_if_alive(it, t, LEAST).iter().skip(1).rev().sum()
    } else {
        Integral::new(model, it, t).mean()
    }
}

/// E[(1 − (1−p)^m)/p] over p, with m = ⌊(j+N)/k⌋ orders after N sub-events of which j had passed before.
///
/// With σ = (1−p)^(1/k) and the k-th roots of unity ω^i, the indicator of a remainder turns E[(1−p)^m] into k values
/// of the generating function of N at σω^i. The term i = 0 is 1 − E up to an expm1; the others vanish with p as
/// Σ_l (σ^(−l) − 1) ω^(−il). Nothing cancels for small p.
struct Integral<'a> {
    model: &'a BetaGeometric,
    lives: f64,
    rho: f64,
    /// t / (α+T).
    tau: f64,
    weights: Vec<f64>,
    /// P(no order within t).
    none: f64,
    /// The k-th roots of unity: cosine and sine.
    roots: Vec<(f64, f64)>,
}

impl<'a> Integral<'a> {
    fn new(model: &'a BetaGeometric, it: &Summary, t: f64) -> Self {
        Self {
            model,
            lives: model.b + model.survived(it),
            rho: model.rho(it),
            tau: t / model.scale(it),
            weights: model.sub_events(it),
            none: 1.0 - model.order_within_if_alive(it, t),
            roots: (0..model.k)
                .map(|i| std::f64::consts::TAU * f64::from(i) / f64::from(model.k))
                .map(|turn| (turn.cos(), turn.sin()))
                .collect(),
        }
    }

    fn mean(&self) -> f64 {
        posterior_mean(self.model.a, self.lives, |p| self.orders(p))
    }

    fn orders(&self, p: f64) -> f64 {
        // Near p = 1 the first order is the last, and σ^(−l) would overflow.
        if p > 1.0 - 1e-7 {
            return 1.0 - self.none;
        }
        let k = self.model.k;
        let shape = f64::from(k);
        // Everything is proportional to p there, down to where the smallest numbers lose digits.
        let p = p.max(1e-280);
        let ln_sigma = (-p).ln_1p() / shape;
        let fall = -ln_sigma.exp_m1();
        let sizes: Vec<f64> = (0..k).map(|l| (-f64::from(l) * ln_sigma).exp_m1()).collect();
        let all: f64 = sizes.iter().sum();
        let growth = (fall * self.tau).ln_1p();
        let mut sum = 0.0;
        for (j, weight) in (0_u32..).zip(&self.weights) {
            let j = f64::from(j);
            // Σ_l 1 − e^(there + l·|ln σ|), by e^(a+b) − 1 = (e^a − 1) + (e^b − 1) + (e^a − 1)(e^b − 1).
            let there = (j * ln_sigma - (self.rho + j) * growth).exp_m1();
            sum -= weight * (shape * there + all * (1.0 + there));
        }
        let sigma = 1.0 - fall;
        // Roots that mirror each other have the same real part.
        for i in 1..=k / 2 {
            let twice = if 2 * i == k { 1.0 } else { 2.0 };
            let root = |n: u32| self.roots[(i * n % k) as usize];
            let (mut re, mut im) = (0.0, 0.0);
            for (l, size) in (0..k).zip(&sizes) {
                let (cos, sin) = root(l);
                re += size * cos;
                im -= size * sin;
            }
            // 1 / (1 + τ(1 − σω^i)), to the power of the rate's shape; each sub-event more is one factor more.
            let (cos, sin) = root(1);
            let (x, y) = (1.0 + self.tau * (1.0 - sigma * cos), -self.tau * sigma * sin);
            let (ln_size, angle) = (-x.hypot(y).ln(), -y.atan2(x));
            let mut size = (self.rho * ln_size).exp();
            let (mut turned, (step_sin, step_cos)) = ((self.rho * angle).sin_cos(), angle.sin_cos());
            let shrink = (ln_size + ln_sigma).exp();
            for (j, weight) in (0..k).zip(&self.weights) {
                let ((sin, cos), (root_cos, root_sin)) = (turned, root(j));
                let (phase_cos, phase_sin) =
                    (cos * root_cos - sin * root_sin, sin * root_cos + cos * root_sin);
                sum -= twice * weight * size * (re * phase_cos - im * phase_sin);
                size *= shrink;
                turned = (sin * step_cos + cos * step_sin, cos * step_cos - sin * step_sin);
            }
        }
        sum / (shape * p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_integral_agrees_with_the_sum_over_counts() {
        for (k, modified) in [(2, true), (3, false), (7, true), (12, false)] {
            let model = BetaGeometric::new([1.3, 2.8, 0.42, 0.79], k, modified).expect("positive");
            for (x, t_x, age) in [(0, 0.0, 10.0), (3, 20.0, 30.0), (40, 50.0, 52.0)] {
                let it = Summary::new(x, t_x, age).expect("in order");
                for t in [0.1, 5.0, 52.0, 400.0] {
                    let sum: f64 = model.tail_if_alive(&it, t, LEAST).iter().skip(1).rev().sum();
                    let integral = Integral::new(&model, &it, t).mean();
                    assert!((sum - integral).abs() <= 1e-9 * sum, "k {k}, x {x}, t {t}: {sum} {integral}");
                }
            }
        }
    }
}
