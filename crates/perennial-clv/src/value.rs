//! What a customer is worth: expected discounted profit over a horizon, and the interval it will fall in.

use crate::counts::Counts;
use crate::error::InvalidValue;
use crate::gamma_gamma::{GammaGamma, Spend};
use crate::model::Model;
use crate::special::{beta_inc, normal_cdf};
use crate::summary::Summary;
use serde::{Deserialize, Serialize};

/// The levels of the intervals every value carries.
pub const LEVELS: [f64; 3] = [0.50, 0.80, 0.95];

/// At most this many counts carry their own term in an interval; beyond it neighbours share one.
const MOST_TERMS: usize = 48;

/// Below this many degrees of freedom the normal approximation of a sum of orders gives way to the exact form.
const FEW: f64 = 1.5;

/// How customers are valued: the models, the horizon and the discount.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Valuation {
    /// When customers order.
    pub orders: Model,
    /// What an order is worth.
    pub spend: GammaGamma,
    /// How far to look, in the models' unit of time.
    pub horizon: f64,
    /// The continuous discount rate per unit of time ([`crate::continuous_rate`]).
    pub rate: f64,
}

/// What one customer is worth from the end of the history to the horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// P(alive).
    pub p_alive: f64,
    /// Expected orders.
    pub orders: f64,
    /// Expected orders, each discounted.
    pub discounted_orders: f64,
    /// Expected net value of an order.
    pub spend: f64,
    /// Expected discounted profit: discounted orders × spend × margin.
    pub profit: f64,
    /// Equal-tailed predictive intervals of the discounted profit at [`LEVELS`].
    pub intervals: Vec<Interval>,
}

/// A range that holds with a probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The probability.
    pub level: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Valuation {
    /// Checks the horizon and the rate.
    ///
    /// # Errors
    /// Unless the horizon is positive and finite and the rate finite and not negative.
    pub fn new(orders: Model, spend: GammaGamma, horizon: f64, rate: f64) -> Result<Self, InvalidValue> {
        InvalidValue::positive("horizon", horizon)?;
        if !rate.is_finite() || rate < 0.0 {
            let remedy = "use continuous_rate(yearly, units_per_year)";
            return Err(InvalidValue::new("rate", "must be finite and not negative", rate, remedy));
        }
        Ok(Self { orders, spend, horizon, rate })
    }

    /// Values one customer; `margin` is the customer's profit per unit of net value, shrunk by the caller.
    ///
    /// The intervals are those of the predictive distribution: the number of orders N by its exact probabilities,
    /// and given N = n their sum (γ+xm)·G(pn)/G(q+px), the ratio of two gamma variables, i.e. beta prime with
    /// shapes pn and q+px, so that uncertainty about the customer's own spend is in it. Its distribution function
    /// is Paulson's normal approximation of the cube root of F (a few tenths of a percent of the quantile; the exact
    /// form is [`Valuation::exact_quantile`]). Discount acts as the ratio of discounted to plain expected orders.
    /// Uncertainty of the fitted parameters is not in it. Counts are discrete and mostly nought, so an interval
    /// covers at least its level and, for rare buyers, more.
    #[must_use]
    pub fn value(&self, customer: &Summary, spent: &Spend, margin: f64) -> Value {
        let orders = self.orders.expected(customer, self.horizon);
        let discounted_orders =
            if self.rate > 0.0 { self.orders.discounted(customer, self.horizon, self.rate) } else { orders };
        let spend = self.spend.expected(spent);
        let margin = if margin.is_finite() { margin } else { 0.0 };
        let unit = margin * if orders > 0.0 { discounted_orders / orders } else { 1.0 };
        let total = Total::new(&self.orders.counts(customer, self.horizon), &self.spend, spent);
        let mut intervals = Vec::with_capacity(LEVELS.len());
        for level in LEVELS {
            let (low, high) = (total.quantile(0.5 - 0.5 * level), total.quantile(0.5 + 0.5 * level));
            let (low, high) = (low * unit, high * unit);
            // A negative margin turns the ends around.
            intervals.push(Interval { level, low: low.min(high), high: low.max(high) });
        }
        Value {
            p_alive: self.orders.p_alive(customer),
            orders,
            discounted_orders,
            spend,
            profit: (discounted_orders * spend * margin).clamp(f64::MIN, f64::MAX),
            intervals,
        }
    }

    /// The q-quantile of undiscounted net value over the horizon from the exact mixture of beta-prime
    /// distributions: the reference for the fast intervals, a hundred times slower.
    #[must_use]
    pub fn exact_quantile(&self, customer: &Summary, spent: &Spend, q: f64) -> f64 {
        let mut total = Total::new(&self.orders.counts(customer, self.horizon), &self.spend, spent);
        total.exact = true;
        total.quantile(q)
    }
}

/// The predictive distribution of the sum of a random number of orders.
struct Total {
    /// P(N = 0).
    nothing: f64,
    /// For each count: its probability, pn, and what Paulson's form needs: (pn)^(−1/3) and 1/(9pn).
    terms: Vec<Term>,
    /// The shape q + px of the customer's scale.
    shape: f64,
    /// The scale γ + xm.
    scale: f64,
    exact: bool,
}

struct Term {
    chance: f64,
    pn: f64,
    inverse_root: f64,
    ninth: f64,
}

impl Total {
    fn new(counts: &Counts, spend: &GammaGamma, spent: &Spend) -> Self {
        let (shape, scale) = spend.posterior(spent);
        let stride = counts.largest().div_ceil(MOST_TERMS).max(1);
        let mut terms = Vec::with_capacity(counts.largest().min(MOST_TERMS));
        let mut n = 1;
        while n <= counts.largest() {
            let chance = counts.at_least(n) - counts.at_least(n + stride);
            // Counts far out hold nothing that any interval would see.
            if chance > 1e-9 {
                let pn = spend.p() * (n as f64 + 0.5 * (stride as f64 - 1.0));
                terms.push(Term { chance, pn, inverse_root: pn.cbrt().recip(), ninth: 1.0 / (9.0 * pn) });
            }
            n += stride;
        }
        Self { nothing: counts.exactly(0), terms, shape, scale, exact: shape < FEW }
    }

    /// P(S ≤ s).
    fn at_most(&self, s: f64) -> f64 {
        let ratio = s / self.scale;
        if self.exact {
            // From the near end: a heavy tail lies where the other share has rounded to one.
            let upper = |it: &Term| 1.0 - beta_inc(self.shape, it.pn, 1.0 / (1.0 + ratio));
            let lower = |it: &Term| beta_inc(it.pn, self.shape, ratio / (1.0 + ratio));
            let chance = |it: &Term| it.chance * if ratio > 1.0 { upper(it) } else { lower(it) };
            return self.nothing + self.terms.iter().map(chance).sum::<f64>();
        }
        // f = (S/pn) / (scale/shape) is distributed as F with 2pn and 2·shape degrees of freedom.
        let root = (ratio * self.shape).cbrt();
        let ours = 1.0 / (9.0 * self.shape);
        let mut sum = self.nothing;
        for it in &self.terms {
            let f = root * it.inverse_root;
            let z = ((1.0 - ours) * f - (1.0 - it.ninth)) / (ours * f * f + it.ninth).sqrt();
            sum += it.chance * normal_cdf(z);
        }
        sum
    }

    fn quantile(&self, q: f64) -> f64 {
        if q <= self.nothing || self.terms.is_empty() {
            return 0.0;
        }
        // Aim inside what the terms hold: the far tail was cut off.
        let held: f64 = self.nothing + self.terms.iter().map(|it| it.chance).sum::<f64>();
        let q = q.min(held * (1.0 - 1e-9));
        let middle = self.terms[0].pn / self.shape.max(1.0) * self.scale;
        let (mut low, mut high) = (middle.ln(), middle.ln());
        let mut step = 0.7;
        let (mut at_low, mut at_high) = (self.at_most(middle) - q, 0.0);
        if at_low > 0.0 {
            at_high = at_low;
            while at_low > 0.0 && low > -700.0 {
                (high, at_high) = (low, at_low);
                low -= step;
                at_low = self.at_most(low.exp()) - q;
                step *= 1.6;
            }
        } else {
            while at_high <= 0.0 && high < 700.0 {
                (low, at_low) = (high, if high > low { at_high } else { at_low });
                high += step;
                at_high = self.at_most(high.exp()) - q;
                step *= 1.6;
            }
        }
        self.refine(q, (low, at_low), (high, at_high)).exp()
    }

    /// Secant steps with the Illinois weight between two ends, until the chance or the place is exact enough.
    fn refine(&self, q: f64, (mut low, mut at_low): (f64, f64), (mut high, mut at_high): (f64, f64)) -> f64 {
        let (near, narrow) = if self.exact { (1e-13, 1e-12) } else { (2e-5 * (1.0 - q), 1e-5) };
        for _ in 0..100 {
            if high - low < narrow {
                break;
            }
            let middle = (low - at_low * (high - low) / (at_high - at_low)).clamp(low, high);
            let value = self.at_most(middle.exp()) - q;
            if value.abs() < near {
                return middle;
            }
            if value > 0.0 {
                (high, at_high) = (middle, value);
                at_low *= 0.5;
            } else {
                (low, at_low) = (middle, value);
                at_high *= 0.5;
            }
        }
        0.5 * (low + high)
    }
}
