//! What a customer is worth: expected discounted profit over a horizon, and the interval it will fall in.

mod total;

use crate::boosting::raised;
use crate::error::InvalidValue;
use crate::gamma_gamma::{GammaGamma, Spend};
use crate::model::Model;
use crate::parallel;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use total::{Sums, Total};

/// The levels of the intervals every value carries.
pub const LEVELS: [f64; 3] = [0.50, 0.80, 0.95];

/// Counts less likely than this do not show in an interval of 95 %.
const RARE: f64 = 1e-7;

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
    /// The model whose counts the intervals are made of, where it is another one: [`crate::Fit::uncertain`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Model>,
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

impl Value {
    const NOTHING: Self = {
        let none = Interval { level: 0.0, low: 0.0, high: 0.0 };
        Self {
            p_alive: 0.0,
            orders: 0.0,
            discounted_orders: 0.0,
            spend: 0.0,
            profit: 0.0,
            intervals: [none; 3],
        }
    };
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
        Ok(Self { orders, spend, horizon, rate, uncertain: None })
    }

    /// With intervals of the counts of another model, as [`crate::Fit::uncertain`] gives it: they then hold the uncertainty of the
    /// fitted parameters, too. Expectations stay those of the first one.
    #[must_use]
    pub fn with_uncertainty(self, model: Model) -> Self {
        Self { uncertain: (model != self.orders).then_some(model), ..self }
    }

    /// Values one customer; `margin` is the customer's profit per unit of net value, shrunk by the caller.
    ///
    /// The intervals are those of the predictive distribution: the number of orders N by its exact probabilities,
    /// and given N = n their sum (γ+xm)·G(pn)/G(q+px), the ratio of two gamma variables, i.e. beta prime with
    /// shapes pn and q+px, so that uncertainty about the customer's own spend is in it. Its distribution function
    /// is Paulson's normal approximation of the cube root of F (within two percent of the quantile; the exact
    /// form is [`Valuation::exact_quantile`]). Discount acts as the ratio of discounted to plain expected orders.
    /// Uncertainty of the fitted parameters is in it with [`Valuation::with_uncertainty`]. Counts are discrete and mostly nought, so an interval
    /// covers at least its level and, for rare buyers, more.
    #[must_use]
    pub fn value(&self, customer: &Summary, spent: &Spend, margin: f64) -> Value {
        self.finish(&mut self.orders_of(customer), spent, margin)
    }

    /// Values a customer of whom more is known than the model can read: who orders `factor` times as often as it expects
    /// ([`crate::Boosted::factor`]).
    #[must_use]
    pub fn value_raised(&self, customer: &Summary, spent: &Spend, margin: f64, factor: f64) -> Value {
        let mut orders = self.orders_of(customer);
        if factor != 1.0 {
            let model = self.uncertain.as_ref().unwrap_or(&self.orders);
            let mean = model.expected(customer, self.horizon);
            let counts = raised(model, customer, self.horizon, mean, factor, RARE);
            orders.sums = Sums::new(&counts, self.spend.p());
            orders.expected *= factor;
            orders.discounted *= factor;
        }
        self.finish(&mut orders, spent, margin)
    }

    /// Values many customers on every core; those with the same history share what depends on it alone. The answers
    /// are those of [`Valuation::value`], in the order of the customers.
    #[must_use]
    pub fn value_all(&self, customers: &[(Summary, Spend, f64)]) -> Vec<Value> {
        // Keys lie beside their positions: sorting must not jump about in memory.
        let mut order: Vec<(u32, u64, u64, usize)> = customers
            .iter()
            .enumerate()
            .map(|(i, (it, _, _))| (it.x(), it.age().to_bits(), it.t_x().to_bits(), i))
            .collect();
        order.sort_unstable();
        let parts = parallel::map(&order, |order| {
            let mut values = Vec::with_capacity(order.len());
            let mut known: Option<(_, Orders)> = None;
            for &(x, age, t_x, i) in order {
                let (customer, spent, margin) = &customers[i];
                let mut orders = match known.take() {
                    Some((same, orders)) if same == (x, age, t_x) => orders,
                    _ => self.orders_of(customer),
                };
                values.push(self.finish(&mut orders, spent, *margin));
                known = Some(((x, age, t_x), orders));
            }
            values
        });
        let mut values = vec![Value::NOTHING; customers.len()];
        for ((_, _, _, i), value) in order.into_iter().zip(parts.into_iter().flatten()) {
            values[i] = value;
        }
        values
    }

    /// What depends on the history alone.
    fn orders_of(&self, customer: &Summary) -> Orders {
        // What is not asked for ends at once.
        let least = if self.uncertain.is_some() { 1.0 } else { RARE };
        let it = self.orders.outlook(customer, self.horizon, self.rate, least);
        let sums = match &self.uncertain {
            Some(model) => Sums::new(&model.counts_to(customer, self.horizon, RARE), self.spend.p()),
            None => Sums::new(&it.counts, self.spend.p()),
        };
        Orders { p_alive: it.p_alive, expected: it.expected, discounted: it.discounted, sums, ends: None }
    }

    fn finish(&self, orders: &mut Orders, spent: &Spend, margin: f64) -> Value {
        let spend = self.spend.expected(spent);
        let margin = if margin.is_finite() { margin } else { 0.0 };
        let (shape, scale) = self.spend.posterior(spent);
        let ends = orders.ends(shape);
        let discount = if orders.expected > 0.0 { orders.discounted / orders.expected } else { 1.0 };
        let end = |i: usize| (ends[i] * scale).min(f64::MAX) * margin * discount;
        let interval = |level: f64, low: usize, high: usize| {
            let (low, high) = (end(low), end(high));
            // A negative margin turns the ends around.
            Interval { level, low: low.min(high), high: low.max(high) }
        };
        let [half, eighty, most] = LEVELS;
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
        let (shape, scale) = self.spend.posterior(spent);
        let total = Total::exact(&sums, shape);
        scale * total.ln_quantile(q, f64::NEG_INFINITY).exp()
    }
}

/// What a history says about the orders to come.
struct Orders {
    p_alive: f64,
    expected: f64,
    discounted: f64,
    sums: Sums,
    /// The shape of the customer's scale, and where the intervals end for a scale of 1.
    ends: Option<(f64, [f64; 6])>,
}

impl Orders {
    /// The ends of the intervals from the lowest to the highest, for a scale of 1: all customers with the same history and the
    /// same number of known values share them, whatever they spend.
    fn ends(&mut self, shape: f64) -> [f64; 6] {
        if let Some((same, ends)) = self.ends
            && same == shape
        {
            return ends;
        }
        let total = Total::new(&self.sums, shape);
        let [half, eighty, most] = LEVELS;
        // Each is sought above the one before.
        let mut below = f64::NEG_INFINITY;
        let ends = [-most, -eighty, -half, half, eighty, most].map(|level| {
            below = total.ln_quantile(0.5 + 0.5 * level, below);
            below.exp()
        });
        self.ends = Some((shape, ends));
        ends
    }
}
