//! What a customer is worth: expected discounted profit over a horizon, and the interval it will fall in.

use crate::counts::Counts;
use crate::error::InvalidValue;
use crate::gamma_gamma::{GammaGamma, Spend};
use crate::model::Model;
use crate::parallel;
use crate::special::{beta_inc, normal};
use crate::summary::Summary;
use serde::{Deserialize, Serialize};

/// The levels of the intervals every value carries.
pub const LEVELS: [f64; 3] = [0.50, 0.80, 0.95];

/// Counts less likely than this do not show in an interval of 95 %.
const RARE: f64 = 1e-7;

/// About this many counts carry their own term in an interval; beyond it neighbours share one.
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
    pub intervals: [Interval; 3],
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
    /// is Paulson's normal approximation of the cube root of F (within two percent of the quantile; the exact
    /// form is [`Valuation::exact_quantile`]). Discount acts as the ratio of discounted to plain expected orders.
    /// Uncertainty of the fitted parameters is not in it. Counts are discrete and mostly nought, so an interval
    /// covers at least its level and, for rare buyers, more.
    #[must_use]
    pub fn value(&self, customer: &Summary, spent: &Spend, margin: f64) -> Value {
        self.finish(&self.orders_of(customer), spent, margin)
    }

    /// Values many customers on every core; those with the same history share what depends on it alone. The answers
    /// are those of [`Valuation::value`], in the order of the customers.
    #[must_use]
    pub fn value_all(&self, customers: &[(Summary, Spend, f64)]) -> Vec<Value> {
        let mut order: Vec<usize> = (0..customers.len()).collect();
        let key = |i: usize| {
            let it = &customers[i].0;
            (it.x(), it.age().to_bits(), it.t_x().to_bits())
        };
        order.sort_unstable_by_key(|&i| key(i));
        let parts = parallel::map(&order, |order| {
            let mut values = Vec::with_capacity(order.len());
            let mut known: Option<(_, Orders)> = None;
            for &i in order {
                let (customer, spent, margin) = &customers[i];
                let orders = match known.take() {
                    Some((same, orders)) if same == key(i) => orders,
                    _ => self.orders_of(customer),
                };
                values.push((i, self.finish(&orders, spent, *margin)));
                known = Some((key(i), orders));
            }
            values
        });
        let mut values: Vec<Option<Value>> = vec![None; customers.len()];
        for (i, value) in parts.into_iter().flatten() {
            values[i] = Some(value);
        }
        values.into_iter().flatten().collect()
    }

    /// What depends on the history alone.
    fn orders_of(&self, customer: &Summary) -> Orders {
        let it = self.orders.outlook(customer, self.horizon, self.rate, RARE);
        let sums = Sums::new(&it.counts, self.spend.p());
        Orders { p_alive: it.p_alive, expected: it.expected, discounted: it.discounted, sums }
    }

    fn finish(&self, orders: &Orders, spent: &Spend, margin: f64) -> Value {
        let spend = self.spend.expected(spent);
        let margin = if margin.is_finite() { margin } else { 0.0 };
        let unit = margin * if orders.expected > 0.0 { orders.discounted / orders.expected } else { 1.0 };
        let total = Total::new(&orders.sums, &self.spend, spent);
        // From the lowest to the highest: each is sought above the one before.
        let [half, eighty, most] = LEVELS;
        let mut below = f64::NEG_INFINITY;
        let ends = [-most, -eighty, -half, half, eighty, most].map(|level| {
            let y = total.ln_quantile(0.5 + 0.5 * level, below);
            below = y;
            y.exp()
        });
        let interval = |level: f64, low: usize, high: usize| {
            let (low, high) = (ends[low] * unit, ends[high] * unit);
            // A negative margin turns the ends around.
            Interval { level, low: low.min(high), high: low.max(high) }
        };
        let intervals = [interval(half, 2, 3), interval(eighty, 1, 4), interval(most, 0, 5)];
        Value {
            p_alive: orders.p_alive,
            orders: orders.expected,
            discounted_orders: orders.discounted,
            spend,
            profit: (orders.discounted * spend * margin).clamp(f64::MIN, f64::MAX),
            intervals,
        }
    }

    /// The q-quantile of undiscounted net value over the horizon from the exact mixture of beta-prime
    /// distributions: the reference for the fast intervals, a hundred times slower.
    #[must_use]
    pub fn exact_quantile(&self, customer: &Summary, spent: &Spend, q: f64) -> f64 {
        let sums = Sums::new(&self.orders.counts(customer, self.horizon), self.spend.p());
        let mut total = Total::new(&sums, &self.spend, spent);
        total.exact = true;
        total.ln_quantile(q, f64::NEG_INFINITY).exp()
    }
}

/// What a history says about the orders to come.
struct Orders {
    p_alive: f64,
    expected: f64,
    discounted: f64,
    sums: Sums,
}

/// What the counts say of a sum of orders, whoever's orders they are.
struct Sums {
    /// P(N = 0).
    nothing: f64,
    /// For each count: its probability, pn, and what Paulson's form needs: (pn)^(−1/3) and 1/(9pn).
    terms: Vec<Term>,
    /// Their probability together.
    held: f64,
}

/// The predictive distribution of the sum of a random number of orders.
struct Total<'a> {
    sums: &'a Sums,
    /// The shape q + px of the customer's scale.
    shape: f64,
    /// The scale γ + xm.
    scale: f64,
    /// (shape/scale)^(1/3).
    root: f64,
    exact: bool,
}

struct Term {
    chance: f64,
    pn: f64,
    inverse_root: f64,
    ninth: f64,
}

impl Sums {
    /// `p` is the shape of one order's value.
    fn new(counts: &Counts, p: f64) -> Self {
        // The counts that matter, from where almost nothing lies below to where almost nothing lies above.
        let first = (1..=counts.largest()).find(|&n| counts.at_most(n) > 1e-6).unwrap_or(1);
        let last =
            (first..=counts.largest()).take_while(|&n| counts.at_least(n) > 1e-4).last().unwrap_or(first);
        let widest = (last - first).div_ceil(MOST_TERMS).max(1);
        let mut terms = Vec::with_capacity((last - first + 1).min(2 * MOST_TERMS));
        let mut n = first;
        while n <= last {
            // Neighbours may share a term only where they differ by little.
            let stride = widest.min((n / 16).max(1));
            let chance = counts.at_least(n) - counts.at_least(n + stride);
            let pn = p * (n as f64 + 0.5 * (stride as f64 - 1.0));
            terms.push(Term { chance, pn, inverse_root: pn.cbrt().recip(), ninth: 1.0 / (9.0 * pn) });
            n += stride;
        }
        let nothing = counts.exactly(0);
        let held = nothing + terms.iter().map(|it| it.chance).sum::<f64>();
        Self { nothing, terms, held }
    }
}

impl<'a> Total<'a> {
    fn new(sums: &'a Sums, spend: &GammaGamma, spent: &Spend) -> Self {
        let (shape, scale) = spend.posterior(spent);
        Self { sums, shape, scale, root: (shape / scale).cbrt(), exact: shape < FEW }
    }

    /// P(S ≤ s) and its slope by ln s at y = ln s.
    fn at_most(&self, y: f64) -> (f64, f64) {
        if self.exact {
            return (self.exactly_at_most(y.exp() / self.scale), 0.0);
        }
        // f = (S/pn) / (scale/shape) is distributed as F with 2pn and 2·shape degrees of freedom.
        let root = self.root * (y / 3.0).exp();
        let ours = 1.0 / (9.0 * self.shape);
        let (mut sum, mut slope) = (self.sums.nothing, 0.0);
        for it in &self.sums.terms {
            let f = root * it.inverse_root;
            let variance = ours * f * f + it.ninth;
            let deviation = variance.sqrt().recip();
            let z = ((1.0 - ours) * f - (1.0 - it.ninth)) * deviation;
            let (chance, density) = normal(z);
            sum += it.chance * chance;
            // dz/d ln s = f/3 · dz/df
            slope += it.chance * density * f * ((1.0 - ours) - z * deviation * ours * f) * deviation;
        }
        (sum, slope / 3.0)
    }

    /// The same from incomplete beta functions, from the near end: a heavy tail lies where the other share has
    /// rounded to one.
    fn exactly_at_most(&self, ratio: f64) -> f64 {
        let upper = |it: &Term| 1.0 - beta_inc(self.shape, it.pn, 1.0 / (1.0 + ratio));
        let lower = |it: &Term| beta_inc(it.pn, self.shape, ratio / (1.0 + ratio));
        let chance = |it: &Term| it.chance * if ratio > 1.0 { upper(it) } else { lower(it) };
        self.sums.nothing + self.sums.terms.iter().map(chance).sum::<f64>()
    }

    /// The logarithm of the q-quantile, which is not below `below`; −∞ where it is nought. Newton steps in ln s, and
    /// halves of the bracket where they leave it.
    fn ln_quantile(&self, q: f64, below: f64) -> f64 {
        let Sums { nothing, terms, held } = self.sums;
        if q <= *nothing || terms.is_empty() {
            return f64::NEG_INFINITY;
        }
        // Aim inside what the terms hold: the far tail was cut off.
        let q = q.min(held * (1.0 - 1e-9));
        let (near, narrow) =
            if self.exact { (1e-13, 1e-12) } else { (1e-3 * (1.0 - q).min(q - nothing), 1e-6) };
        let (mut low, mut high) = (below.max(-700.0), 700.0);
        let mut y = self.guess(q).ln().clamp(-600.0, 600.0).max(low);
        for _ in 0..200 {
            let (value, slope) = self.at_most(y);
            let off = value - q;
            if off.abs() < near || high - low < narrow {
                break;
            }
            if off > 0.0 {
                high = y
            } else {
                low = y
            }
            let step = (off / slope).clamp(-2.0, 2.0);
            let newton = y - step;
            y = if slope > 0.0 && newton > low && newton < high {
                newton
            } else if high - low > 20.0 && self.exact {
                // Both ends are still far: walk before halving.
                (y - 4.0 * off.signum()).clamp(low, high)
            } else {
                0.5 * (low + high)
            };
        }
        y
    }

    /// About where the quantile lies: the mean of the count at which it falls.
    fn guess(&self, q: f64) -> f64 {
        let mut below = self.sums.nothing;
        for it in &self.sums.terms {
            below += it.chance;
            if below >= q {
                return it.pn / self.shape.max(1.0) * self.scale;
            }
        }
        self.sums.terms.last().map_or(1.0, |it| it.pn / self.shape.max(1.0) * self.scale)
    }
}
