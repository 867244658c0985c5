//! The one integral behind the Pareto/NBD, by Gauss–Legendre quadrature in a logarithm of time.
//!
//! K = ∫₀^τ (1 + u/A)^(−ρ) (1 + u/B)^(−s) w(u) du has no branch on which of A and B is larger, no ₂F₁ and no
//! difference of nearly equal terms; its derivatives are integrals over the same points.

use crate::quadrature::{GAUSS_8, GAUSS_12, GAUSS_24, Rule};

/// Where the integrand has fallen by e⁻⁴⁵ nothing is left to add.
const DEPTH: f64 = 45.0;

/// The end of the range of v = ln(1 + u/κ), where numbers end.
const FARTHEST: f64 = 690.0;

/// The shapes and scales of the two decays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    pub(super) rho: f64,
    pub(super) s: f64,
    /// A, the scale of the purchases.
    pub(super) of_orders: f64,
    /// B, the scale of dropping out.
    pub(super) of_dropout: f64,
}

/// One point of the quadrature.
pub(super) struct Point {
    /// A + u.
    pub(super) orders: f64,
    /// B + u.
    pub(super) dropout: f64,
    /// ln(1 + u/A).
    pub(super) ln_orders: f64,
    /// ln(1 + u/B).
    pub(super) ln_dropout: f64,
    /// (1 + u/A)^(−ρ) (1 + u/B)^(−s) du.
    pub(super) mass: f64,
}

impl Kernel {
    /// Visits the points of [0, `tau`]; `fast` takes fewer where the integrand is tame (relative error about 1e−12).
    /// `extra` is how many e-folds what is integrated changes by beyond the kernel's own.
    pub(super) fn visit(&self, tau: f64, fast: bool, extra: f64, mut f: impl FnMut(Point)) {
        let kappa = self.of_orders.min(self.of_dropout);
        let end = tau
            .min(self.of_orders * (DEPTH / self.rho).exp_m1())
            .min(self.of_dropout * (DEPTH / self.s).exp_m1());
        let reach = (end / kappa).ln_1p().min(FARTHEST);
        let depth =
            self.rho * (end / self.of_orders).ln_1p() + self.s * (end / self.of_dropout).ln_1p() + extra;
        let tame = |most_depth: f64, most_reach: f64| fast && depth <= most_depth && reach <= most_reach;
        let (rule, panels): (&Rule, f64) = if tame(3.0, 2.0) {
            (&GAUSS_8, 1.0)
        } else if tame(8.0, 3.5) {
            (&GAUSS_12, 1.0)
        } else {
            let (most_depth, most_reach) = if fast { (24.0, 5.0) } else { (13.0, 1.5) };
            (&GAUSS_24, (depth / most_depth).max(reach / most_reach).ceil().clamp(1.0, 512.0))
        };
        let width = reach / panels;
        let orders_first = self.of_orders <= self.of_dropout;
        let other = self.of_orders.max(self.of_dropout);
        let (apart, one_by_other) = (other - kappa, 1.0 / other);
        let mut panel = 0.0;
        while panel < panels {
            for &(node, weight) in &rule.points {
                let v = (panel + node) * width;
                let near = kappa * v.exp();
                let far = apart + near;
                let ln_far = (far * one_by_other).ln();
                let (ln_orders, ln_dropout, orders, dropout) =
                    if orders_first { (v, ln_far, near, far) } else { (ln_far, v, far, near) };
                let decay = (-self.rho * ln_orders - self.s * ln_dropout).exp();
                f(Point { orders, dropout, ln_orders, ln_dropout, mass: decay * weight * width * near });
            }
            panel += 1.0;
        }
    }
}
