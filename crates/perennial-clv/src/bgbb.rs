//! The BG/BB: purchases at discrete opportunities (donation years, boxes, events).
//!
//! At each opportunity a customer who is alive buys with probability p ~ Beta(α, β), and before each dies with
//! probability θ ~ Beta(γ, δ). Source: Fader, Hardie and Shang (2010), "Customer-Base Analysis in a Discrete-Time
//! Noncontractual Setting".

use crate::counts::Counts;
use crate::error::{FitError, InvalidValue};
use crate::fit::Report;
use crate::search::Problem;
use crate::special::{digamma_rise, ln_rising};
use serde::{Deserialize, Serialize};

/// The farthest opportunity that is counted in a sum without end.
const FARTHEST: u32 = 200_000;

/// One customer's history over opportunities: `x` purchases, the last at opportunity `t_x`, of `n`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Occasions {
    x: u32,
    t_x: u32,
    n: u32,
    weight: f64,
}

#[derive(Serialize, Deserialize)]
struct Raw {
    x: u32,
    t_x: u32,
    n: u32,
    weight: f64,
}

impl TryFrom<Raw> for Occasions {
    type Error = InvalidValue;

    fn try_from(raw: Raw) -> Result<Self, InvalidValue> {
        Self::new(raw.x, raw.t_x, raw.n, raw.weight)
    }
}

impl From<Occasions> for Raw {
    fn from(it: Occasions) -> Self {
        Self { x: it.x, t_x: it.t_x, n: it.n, weight: it.weight }
    }
}

impl Occasions {
    /// `x` purchases at `n` opportunities, the last at the `t_x`-th (0 for none), shared by `weight` customers.
    ///
    /// # Errors
    /// Unless x ≤ t_x ≤ n, t_x is 0 exactly where x is, and the weight is finite and not negative.
    pub fn new(x: u32, t_x: u32, n: u32, weight: f64) -> Result<Self, InvalidValue> {
        if x > t_x || t_x > n || (x == 0 && t_x > 0) {
            return Err(InvalidValue::new(
                "t_x",
                "must lie between x and n, and be 0 without a purchase",
                t_x,
                "count opportunities from 1, the first purchase of all not among them",
            ));
        }
        if !weight.is_finite() || weight < 0.0 {
            let remedy = "use 1 for each customer";
            return Err(InvalidValue::new("weight", "must be finite and not negative", weight, remedy));
        }
        Ok(Self { x, t_x, n, weight })
    }

    /// Purchases.
    #[must_use]
    pub fn x(&self) -> u32 {
        self.x
    }

    /// How many customers share this history.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

/// The BG/BB with its parameters, all of them shapes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawModel", into = "RawModel")]
pub struct BgBb {
    alpha: f64,
    beta: f64,
    gamma: f64,
    delta: f64,
}

#[derive(Serialize, Deserialize)]
struct RawModel {
    alpha: f64,
    beta: f64,
    gamma: f64,
    delta: f64,
}

impl TryFrom<RawModel> for BgBb {
    type Error = InvalidValue;

    fn try_from(raw: RawModel) -> Result<Self, InvalidValue> {
        Self::new(raw.alpha, raw.beta, raw.gamma, raw.delta)
    }
}

impl From<BgBb> for RawModel {
    fn from(it: BgBb) -> Self {
        Self { alpha: it.alpha, beta: it.beta, gamma: it.gamma, delta: it.delta }
    }
}

impl BgBb {
    /// The names of the parameters, in order.
    pub const PARAMETERS: [&'static str; 4] = ["alpha", "beta", "gamma", "delta"];

    /// The model with these parameters.
    ///
    /// # Errors
    /// Unless every parameter is positive and finite.
    pub fn new(alpha: f64, beta: f64, gamma: f64, delta: f64) -> Result<Self, InvalidValue> {
        Ok(Self {
            alpha: InvalidValue::positive("alpha", alpha)?,
            beta: InvalidValue::positive("beta", beta)?,
            gamma: InvalidValue::positive("gamma", gamma)?,
            delta: InvalidValue::positive("delta", delta)?,
        })
    }

    /// Fits by maximum likelihood to weighted histories.
    ///
    /// # Errors
    /// Without customers, opportunities or purchases.
    pub fn fit(customers: &[Occasions]) -> Result<(Self, Report), FitError> {
        let total: f64 = customers.iter().map(|it| it.weight).sum();
        if total < 2.0 {
            return Err(FitError::TooFew { have: total as usize, need: 2 });
        }
        if customers.iter().all(|it| it.n == 0) {
            return Err(FitError::NoTime);
        }
        if customers.iter().all(|it| it.x == 0) {
            return Err(FitError::NoRepeat);
        }
        let starts = [[1.0, 1.0, 1.0, 3.0], [0.5, 2.0, 0.5, 5.0], [3.0, 1.0, 0.3, 1.0]]
            .map(|it| it.map(f64::ln).to_vec());
        let add = |values: &[f64], rows: &[Occasions], sums: &mut [f64]| {
            let it = Self { alpha: values[0], beta: values[1], gamma: values[2], delta: values[3] };
            it.add(rows, sums);
        };
        let searched = Problem { names: &Self::PARAMETERS, positive: 4, add }
            .search(customers, &starts)
            .ok_or_else(|| FitError::NotFinite { model: "bg-bb".to_owned(), field: "x" })?;
        let values: Vec<f64> = searched.found.at.iter().map(|it| it.exp()).collect();
        let model = Self::new(values[0], values[1], values[2], values[3])?;
        Ok((model, Report::new(&Self::PARAMETERS, &values, 4, searched, (total, customers.len()))))
    }

    /// The logarithms of the ways a history can have come about: alive to the end, or dead after opportunity
    /// t_x + i, i = 0 … n − t_x − 1; and their derivatives by the four parameters.
    fn ways(&self, it: &Occasions) -> Vec<[f64; 5]> {
        let Self { alpha, beta, gamma, delta } = *self;
        let x = f64::from(it.x);
        // x purchases in m opportunities.
        let buying = |m: f64| {
            let both = digamma_rise(alpha + beta, m);
            let value = ln_rising(alpha, x) + ln_rising(beta, m - x) - ln_rising(alpha + beta, m);
            [value, digamma_rise(alpha, x) - both, digamma_rise(beta, m - x) - both]
        };
        // Surviving m opportunities, and dying at the next if `dies`.
        let living = |m: f64, dies: bool| {
            let tried = if dies { m + 1.0 } else { m };
            let both = digamma_rise(gamma + delta, tried);
            let value = ln_rising(delta, m) - ln_rising(gamma + delta, tried);
            let (death, by_gamma) = if dies { (gamma.ln(), 1.0 / gamma) } else { (0.0, 0.0) };
            [value + death, by_gamma - both, digamma_rise(delta, m) - both]
        };
        let way = |m: u32, dies: bool| {
            let (b, l) = (buying(f64::from(m)), living(f64::from(m), dies));
            [b[0] + l[0], b[1], b[2], l[1], l[2]]
        };
        let mut ways = vec![way(it.n, false)];
        ways.extend((it.t_x..it.n).map(|m| way(m, true)));
        ways
    }

    fn add(&self, rows: &[Occasions], sums: &mut [f64]) {
        for row in rows {
            let ways = self.ways(row);
            let most = ways.iter().map(|it| it[0]).fold(f64::NEG_INFINITY, f64::max);
            let mass: f64 = ways.iter().map(|it| (it[0] - most).exp()).sum();
            sums[0] += row.weight * (most + mass.ln());
            for it in &ways {
                let share = row.weight * (it[0] - most).exp() / mass;
                for (sum, slope) in sums[1..].iter_mut().zip(&it[1..]) {
                    *sum += share * slope;
                }
            }
        }
    }

    /// The log-likelihood of one customer's history, the weight not counted.
    #[must_use]
    pub fn ln_likelihood(&self, it: &Occasions) -> f64 {
        let mut sums = [0.0; 5];
        self.add(&[Occasions { weight: 1.0, ..*it }], &mut sums);
        sums[0]
    }

    /// The chance that the customer was still alive at the last opportunity.
    fn alive_at_end(&self, it: &Occasions) -> f64 {
        (self.ways(it)[0][0] - self.ln_likelihood(it)).exp().min(1.0)
    }

    /// The posterior of a customer who was alive at the last opportunity.
    fn posterior(&self, it: &Occasions) -> Self {
        let (x, n) = (f64::from(it.x), f64::from(it.n));
        Self { alpha: self.alpha + x, beta: self.beta + n - x, gamma: self.gamma, delta: self.delta + n }
    }

    /// P(alive) at the next opportunity.
    #[must_use]
    pub fn p_alive(&self, it: &Occasions) -> f64 {
        let next = self.posterior(it);
        self.alive_at_end(it) * next.delta / (next.gamma + next.delta)
    }

    /// Expected purchases at the next `opportunities`.
    #[must_use]
    pub fn expected(&self, it: &Occasions, opportunities: u32) -> f64 {
        self.discounted(it, opportunities, 0.0)
    }

    /// Expected purchases at the next `opportunities`, the i-th divided by (1 + `rate`)^i: DERT for a number without
    /// end ([`u32::MAX`]; at most 200,000 are counted). `rate` is per opportunity; a negative one counts as 0.
    #[must_use]
    pub fn discounted(&self, it: &Occasions, opportunities: u32, rate: f64) -> f64 {
        let next = self.posterior(it);
        let factor = if rate > 0.0 { 1.0 / (1.0 + rate) } else { 1.0 };
        let (mut survives, mut sum) = (1.0, 0.0);
        for i in 0..opportunities.min(FARTHEST) {
            let i = f64::from(i);
            survives *= factor * (next.delta + i) / (next.gamma + next.delta + i);
            sum += survives;
            if survives < 1e-18 * sum {
                break;
            }
        }
        self.alive_at_end(it) * next.alpha / (next.alpha + next.beta) * sum
    }

    /// The distribution of the number of purchases at the next `opportunities` (at most 10,000).
    #[must_use]
    pub fn counts(&self, it: &Occasions, opportunities: u32) -> Counts {
        let opportunities = opportunities.min(10_000);
        let next = self.posterior(it);
        let alive = self.alive_at_end(it);
        let mut mass = vec![0.0; opportunities as usize + 1];
        // Purchases among m opportunities are beta-binomial; m is how many the customer lives to see.
        for m in 0..=opportunities {
            let (lives, dies) = (f64::from(m), m < opportunities);
            let tried = if dies { lives + 1.0 } else { lives };
            let ln_death = if dies { next.gamma.ln() } else { 0.0 };
            let ln_seen = ln_death + ln_rising(next.delta, lives) - ln_rising(next.gamma + next.delta, tried);
            let mut ln_count = ln_rising(next.beta, lives) - ln_rising(next.alpha + next.beta, lives);
            for (x, it) in mass.iter_mut().enumerate().take(m as usize + 1) {
                *it += (ln_seen + ln_count).exp();
                let x = x as f64;
                if x < lives {
                    ln_count +=
                        ((lives - x) / (x + 1.0) * (next.alpha + x) / (next.beta + lives - x - 1.0)).ln();
                }
            }
        }
        for i in (1..mass.len()).rev() {
            mass[i - 1] += mass[i];
        }
        Counts::new(alive, mass)
    }
}
