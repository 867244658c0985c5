//! The adjusted difference of two arms and its confidence sequence.
//!
//! **Estimate.** Lin's regression adjustment: a line over the covariates in each arm, both evaluated at the mean of all
//! customers (Lin, "Agnostic notes on regression adjustments", 2013). It equals the augmented inverse-propensity
//! estimator with linear outcome models, whose influence values give the variance; all of it follows from [`Moments`].
//!
//! **Interval.** The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas ("Time-uniform
//! central limit theory and asymptotic confidence sequences", Annals of Statistics 2024; the normal-mixture boundary of
//! Robbins, as in Howard et al. 2021). After n customers, uniformly over n,
//!
//! ```text
//! estimate ± sd · sqrt( 2 (n ρ² + 1) / (n² ρ²) · ln( sqrt(n ρ² + 1) / α ) )
//! ```
//!
//! covers the truth with probability 1 − α for all n at once, so looking daily and stopping when one likes is harmless.
//! ρ decides for which n the interval is narrowest; it has to be fixed before looking. [`TIGHTEST_AT`] customers: the
//! interval is then about 1.5 times as wide as one that may be looked at only once, and less than twice as wide from a
//! tenth to a hundred times that size.

use super::moments::{COVARIATES, Moments};

/// The error probability.
pub const ALPHA: f64 = 0.05;
/// The number of customers for which the interval is tightest.
pub const TIGHTEST_AT: f64 = 2_000.0;

/// An adjusted difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adjusted {
    /// Treated less held out, for one customer.
    pub difference: f64,
    /// Standard deviation of its influence values.
    pub deviation: f64,
    /// How much less variance it has than the plain difference, 0 to 1.
    pub reduction: f64,
}

/// The half-width of the confidence sequence after `n` customers, for influence values of this standard deviation.
#[must_use]
pub fn half_width(deviation: f64, n: f64) -> f64 {
    // ρ² for which the boundary is tightest at t customers, by the paper's closed approximation.
    let rho2 = (-2.0 * ALPHA.ln() + (-2.0 * ALPHA.ln() + 1.0).ln()) / TIGHTEST_AT;
    let grown = n * rho2 + 1.0;
    deviation * (2.0 * grown / (n * n * rho2) * (grown.sqrt() / ALPHA).ln()).sqrt()
}

/// The adjusted difference of the arms; `None` while an arm has fewer than two customers.
#[must_use]
pub fn adjusted(treated: &Moments, held_out: &Moments) -> Option<Adjusted> {
    if treated.n < 2.0 || held_out.n < 2.0 {
        return None;
    }
    let all = treated.with(held_out);
    let (slopes1, slopes0) = (treated.slopes(), held_out.slopes());
    // Slopes only from both arms: one alone would compare an adjusted mean with a plain one.
    let none = [0.0; COVARIATES];
    let usable = held_out.n >= 50.0 && treated.n >= 50.0;
    let (slopes1, slopes0) = if usable { (slopes1, slopes0) } else { (none, none) };
    let share = treated.n / all.n;
    let mut difference = treated.mean() - held_out.mean();
    for i in 0..COVARIATES {
        difference += slopes1[i] * (all.mean_x(i) - treated.mean_x(i));
        difference -= slopes0[i] * (all.mean_x(i) - held_out.mean_x(i));
    }
    let residual = |arm: &Moments, slopes: &[f64; COVARIATES]| {
        let explained: f64 = (0..COVARIATES).map(|i| slopes[i] * arm.cov_xy(i)).sum();
        let degrees = slopes.iter().filter(|it| **it != 0.0).count() as f64 + 1.0;
        (arm.variance() - explained).max(0.0) * arm.n / (arm.n - degrees).max(1.0)
    };
    // The variation of the effect itself over customers, where the lines differ.
    let mut effect = 0.0;
    for i in 0..COVARIATES {
        for j in 0..COVARIATES {
            effect += (slopes1[i] - slopes0[i]) * (slopes1[j] - slopes0[j]) * all.cov_xx(i, j);
        }
    }
    // A small arm with rare, skewed outcomes underestimates its own spread; the large one knows it better. Taking the
    // greater of both for it makes the interval honest from the first look on.
    let spread = |slopes1: &[f64; COVARIATES], slopes0: &[f64; COVARIATES]| {
        let (one, zero) = (residual(treated, slopes1), residual(held_out, slopes0));
        let (one, zero) = if treated.n < held_out.n { (one.max(zero), zero) } else { (one, zero.max(one)) };
        one / share + zero / (1.0 - share)
    };
    let variance = effect.max(0.0) + spread(&slopes1, &slopes0);
    let plain = spread(&none, &none);
    let reduction = if plain > 0.0 { (1.0 - variance / plain).clamp(0.0, 1.0) } else { 0.0 };
    Some(Adjusted { difference, deviation: variance.sqrt(), reduction })
}
