//! Contracts: how long subscribers stay, from what cohorts of them have done.
//!
//! A subscriber fails to renew with probability θ ~ Beta(α, β); the chance of having stayed t periods is
//! S(t) = B(α, β + t^c)/B(α, β). With c = 1 this is the shifted beta-geometric (Fader and Hardie 2007), with c free
//! the beta-discrete-Weibull (Fader, Hardie, Liu, Davin and Steenburgh 2018), in which each subscriber's own risk
//! falls (c < 1) or rises with tenure.

use crate::error::{FitError, InvalidValue};
use crate::fit::Report;
use crate::search::Problem;
use crate::special::{digamma_rise, ln_rising};
use serde::{Deserialize, Serialize};

/// The farthest renewal that is counted in a sum without end.
const FARTHEST: u32 = 200_000;

/// Subscribers with one tenure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tenure {
    /// Renewal opportunities met. Someone who failed at the first has met 1.
    pub periods: u32,
    /// Whether they renewed at the last of them; otherwise they left there.
    pub active: bool,
    /// How many subscribers.
    pub weight: f64,
}

impl Tenure {
    /// A cohort from the numbers of subscribers left after each period, the starting number first.
    #[must_use]
    pub fn cohort(alive: &[f64]) -> Vec<Self> {
        let mut rows: Vec<Self> = alive
            .windows(2)
            .zip(1..)
            .map(|(it, periods)| Self { periods, active: false, weight: it[0] - it[1] })
            .collect();
        if let (Some(last), Ok(periods)) = (alive.last(), u32::try_from(alive.len().saturating_sub(1))) {
            rows.push(Self { periods, active: true, weight: *last });
        }
        rows
    }
}

/// A model of renewals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Renewal {
    alpha: f64,
    beta: f64,
    c: f64,
}

#[derive(Serialize, Deserialize)]
struct Raw {
    alpha: f64,
    beta: f64,
    c: f64,
}

impl TryFrom<Raw> for Renewal {
    type Error = InvalidValue;

    fn try_from(raw: Raw) -> Result<Self, InvalidValue> {
        Self::beta_discrete_weibull(raw.alpha, raw.beta, raw.c)
    }
}

impl From<Renewal> for Raw {
    fn from(it: Renewal) -> Self {
        Self { alpha: it.alpha, beta: it.beta, c: it.c }
    }
}

impl Renewal {
    /// The shifted beta-geometric.
    ///
    /// # Errors
    /// Unless both shapes are positive and finite.
    pub fn shifted_beta_geometric(alpha: f64, beta: f64) -> Result<Self, InvalidValue> {
        Self::beta_discrete_weibull(alpha, beta, 1.0)
    }

    /// The beta-discrete-Weibull.
    ///
    /// # Errors
    /// Unless every parameter is positive and finite.
    pub fn beta_discrete_weibull(alpha: f64, beta: f64, c: f64) -> Result<Self, InvalidValue> {
        Ok(Self {
            alpha: InvalidValue::positive("alpha", alpha)?,
            beta: InvalidValue::positive("beta", beta)?,
            c: InvalidValue::positive("c", c)?,
        })
    }

    /// Fits the shifted beta-geometric. Where α and β have no upper limit, everybody has one renewal probability,
    /// and the model that comes back is that geometric one.
    ///
    /// # Errors
    /// With nobody, or nobody who left.
    pub fn fit_shifted_beta_geometric(subscribers: &[Tenure]) -> Result<(Self, Report), FitError> {
        Self::fit(subscribers, &["alpha", "beta"])
    }

    /// Fits the beta-discrete-Weibull. Where α and β have no upper limit, subscribers do not differ, and the model
    /// that comes back is that discrete Weibull.
    ///
    /// # Errors
    /// With nobody, or nobody who left.
    pub fn fit_beta_discrete_weibull(subscribers: &[Tenure]) -> Result<(Self, Report), FitError> {
        Self::fit(subscribers, &["alpha", "beta", "c"])
    }

    fn fit(subscribers: &[Tenure], names: &[&str]) -> Result<(Self, Report), FitError> {
        if let Some(it) = subscribers.iter().find(|it| !it.weight.is_finite() || it.weight < 0.0) {
            let remedy = "the number of subscribers left may not grow";
            return Err(
                InvalidValue::new("weight", "must be finite and not negative", it.weight, remedy).into()
            );
        }
        let rows: Vec<Tenure> =
            subscribers.iter().copied().filter(|it| it.weight > 0.0 && it.periods > 0).collect();
        let total: f64 = rows.iter().map(|it| it.weight).sum();
        if total < 2.0 {
            return Err(FitError::TooFew { have: total as usize, need: 2 });
        }
        if rows.iter().all(|it| it.active) {
            let remedy = "wait until somebody has left";
            return Err(InvalidValue::new("active", "cannot be true of everybody", "true", remedy).into());
        }
        let n = names.len();
        let starts: Vec<Vec<f64>> = [[1.0, 1.5, 1.0], [0.3, 1.5, 1.6], [2.0, 12.0, 0.8]]
            .map(|it: [f64; 3]| it[..n].iter().map(|it| it.ln()).collect())
            .to_vec();
        let of = |values: &[f64]| Self {
            alpha: values[0],
            beta: values[1],
            c: values.get(2).copied().unwrap_or(1.0),
        };
        let add = |values: &[f64], rows: &[Tenure], sums: &mut [f64]| of(values).add(rows, sums);
        let searched = Problem { names, positive: n, add }
            .search(&rows, &starts)
            .ok_or_else(|| FitError::NotFinite { model: "renewal".to_owned(), field: "periods" })?;
        let values: Vec<f64> = searched.found.at.iter().map(|it| it.exp()).collect();
        Ok((of(&values), Report::new(names, &values, n, searched, (total, rows.len()))))
    }

    /// ln S(t) and its derivatives by α, β and c.
    fn ln_survival(&self, t: f64) -> [f64; 4] {
        if t <= 0.0 {
            return [0.0; 4];
        }
        let Self { alpha, beta, c } = *self;
        let u = t.powf(c);
        let both = digamma_rise(alpha + beta, u);
        [
            ln_rising(beta, u) - ln_rising(alpha + beta, u),
            -both,
            digamma_rise(beta, u) - both,
            -digamma_rise(beta + u, alpha) * u * t.ln(),
        ]
    }

    /// Adds ln S(n) of those who stayed and ln(S(n−1) − S(n)) of those who left, and derivatives.
    fn add(&self, rows: &[Tenure], sums: &mut [f64]) {
        for row in rows {
            let after = self.ln_survival(f64::from(row.periods));
            if row.active {
                for (sum, it) in sums.iter_mut().zip(after) {
                    *sum += row.weight * it;
                }
                continue;
            }
            let before = self.ln_survival(f64::from(row.periods) - 1.0);
            // ln(S₀ − S₁) = ln S₀ + ln(1 − e^(ln S₁ − ln S₀)).
            let fall = (after[0] - before[0]).min(-1e-300);
            let leaving = -fall.exp_m1();
            let weight = fall.exp() / leaving;
            sums[0] += row.weight * (before[0] + leaving.ln());
            for i in 1..sums.len() {
                sums[i] += row.weight * (before[i] - weight * (after[i] - before[i]));
            }
        }
    }

    /// The log-likelihood of many subscribers.
    #[must_use]
    pub fn ln_likelihood(&self, subscribers: &[Tenure]) -> f64 {
        let mut sums = [0.0];
        self.add(subscribers, &mut sums);
        sums[0]
    }

    /// The share of a new cohort that stays at least `periods`.
    #[must_use]
    pub fn survival(&self, periods: u32) -> f64 {
        self.ln_survival(f64::from(periods))[0].exp()
    }

    /// The chance that someone who has stayed `tenure` periods renews at the next opportunity.
    #[must_use]
    pub fn retention(&self, tenure: u32) -> f64 {
        let t = f64::from(tenure);
        (self.ln_survival(t + 1.0)[0] - self.ln_survival(t)[0]).exp().min(1.0)
    }

    /// Expected further renewals within `periods` of someone who has stayed `tenure`, the i-th divided by
    /// (1 + `rate`)^i: discounted expected residual lifetime for a number without end ([`u32::MAX`]; at most 200,000
    /// are counted). `rate` is per period; a negative one counts as 0.
    #[must_use]
    pub fn residual(&self, tenure: u32, periods: u32, rate: f64) -> f64 {
        let start = self.ln_survival(f64::from(tenure))[0];
        let discount = if rate > 0.0 { rate.ln_1p() } else { 0.0 };
        let mut sum = 0.0;
        for i in 1..=periods.min(FARTHEST) {
            let i = f64::from(i);
            let term = (self.ln_survival(f64::from(tenure) + i)[0] - start - discount * i).exp();
            sum += term;
            if term < 1e-18 * sum {
                break;
            }
        }
        sum
    }

    /// The number of further renewals that someone who has stayed `tenure` reaches with probability of at least
    /// `chance` (½: the median remaining tenure).
    #[must_use]
    pub fn remaining(&self, tenure: u32, chance: f64) -> u32 {
        let start = self.ln_survival(f64::from(tenure))[0];
        let reaches =
            |i: u32| (self.ln_survival(f64::from(tenure) + f64::from(i))[0] - start).exp() >= chance;
        let (mut low, mut high) = (0_u32, 1_u32);
        while high < FARTHEST && reaches(high) {
            (low, high) = (high, high * 2);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if reaches(middle) { low = middle } else { high = middle }
        }
        low
    }
}
