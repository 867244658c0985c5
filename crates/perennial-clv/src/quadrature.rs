//! Gauss–Legendre rules, computed once from the Legendre recurrence.

use std::sync::LazyLock;

/// Nodes and weights of one rule on [0, 1].
pub(crate) struct Rule {
    /// (node, weight), ascending; the weights sum to one.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Four points: what is nearly a parabola.
pub(crate) static GAUSS_4: LazyLock<Rule> = LazyLock::new(|| Rule::new(4));
/// Eight points: smooth integrands over a short stretch.
pub(crate) static GAUSS_8: LazyLock<Rule> = LazyLock::new(|| Rule::new(8));
/// Twelve points.
pub(crate) static GAUSS_12: LazyLock<Rule> = LazyLock::new(|| Rule::new(12));
/// Twenty-four points: the rule where full precision is wanted.
pub(crate) static GAUSS_24: LazyLock<Rule> = LazyLock::new(|| Rule::new(24));

impl Rule {
    fn new(n: u32) -> Self {
        let count = f64::from(n);
        let mut points: Vec<(f64, f64)> = (0..n)
            .map(|i| {
                let mut x = (std::f64::consts::PI * (f64::from(i) + 0.75) / (count + 0.5)).cos();
                let mut slope = 1.0;
                for _ in 0..100 {
                    let (value, derivative) = legendre(n, x);
                    slope = derivative;
                    let step = value / derivative;
                    x -= step;
                    if step.abs() < 1e-16 {
                        break;
                    }
                }
                (0.5 * (1.0 + x), 1.0 / ((1.0 - x * x) * slope * slope))
            })
            .collect();
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        Self { points }
    }
}

/// The Legendre polynomial of degree n and its derivative.
fn legendre(n: u32, x: f64) -> (f64, f64) {
    let (mut before, mut here) = (1.0, x);
    for k in 2..=n {
        let k = f64::from(k);
        (before, here) = (here, ((2.0 * k - 1.0) * x * here - (k - 1.0) * before) / k);
    }
    (here, f64::from(n) * (x * here - before) / (x * x - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_exact_for_polynomials_of_twice_its_degree() {
        for (rule, degree) in [(&*GAUSS_4, 7), (&*GAUSS_8, 15), (&*GAUSS_12, 23), (&*GAUSS_24, 47)] {
            let got: f64 = rule.points.iter().map(|(x, w)| w * x.powi(degree)).sum();
            assert!((got * f64::from(degree + 1) - 1.0).abs() < 1e-13);
        }
    }
}
