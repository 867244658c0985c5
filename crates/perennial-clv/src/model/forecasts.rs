//! What a model says of a customer: one question, one method.

use super::{Model, Transactions};
use crate::counts::{Counts, LEAST};
use crate::summary::Summary;

/// The longest horizon that is answered, in units of the model's own time scale; longer ones are cut to it.
const LONGEST: f64 = 1e18;

/// What is taken as known about a customer when the next order is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// The history alone: the customer may have dropped out already.
    History,
    /// The history, and that the customer is alive at its end.
    Alive,
}

impl Model {
    /// The log-likelihood of one customer's purchase times.
    #[must_use]
    pub fn ln_likelihood(&self, it: &Summary) -> f64 {
        self.inner().map_or_else(|stack| stack.ln_likelihood(it), |model| model.ln_likelihood(it))
    }

    /// P(alive): the chance that the customer has not dropped out by the end of the history.
    ///
    /// In the plain BG forms this is 1 for x = 0 by construction; do not show it to people as certainty.
    #[must_use]
    pub fn p_alive(&self, it: &Summary) -> f64 {
        self.inner().map_or_else(|stack| stack.p_alive(it), |model| model.p_alive(it))
    }

    /// P(alive) to about 1e-12, for searches.
    pub(crate) fn p_alive_fast(&self, it: &Summary) -> f64 {
        self.inner().map_or_else(|stack| stack.p_alive(it), |model| model.p_alive_fast(it))
    }

    /// ln P(alive), which stays exact where P(alive) itself underflows.
    #[must_use]
    pub fn ln_p_alive(&self, it: &Summary) -> f64 {
        self.inner().map_or_else(|stack| stack.ln_p_alive(it), |model| model.ln_p_alive(it))
    }

    /// Expected orders within `horizon` after the end of the history.
    ///
    /// A horizon that is negative or not a number counts as none; one beyond 10¹⁸ times α + T is cut to that.
    #[must_use]
    pub fn expected(&self, it: &Summary, horizon: f64) -> f64 {
        match self.inner() {
            Ok(model) => {
                finite(model.p_alive(it) * model.expected_if_alive(it, &[clean(model, it, horizon)])[0])
            }
            Err(stack) => stack.expected(it, horizon),
        }
    }

    /// [`Model::expected`] for many horizons at once, which costs little more than one.
    #[must_use]
    pub fn expected_at(&self, it: &Summary, horizons: &[f64]) -> Vec<f64> {
        match self.inner() {
            Ok(model) => {
                let alive = model.p_alive(it);
                let times: Vec<f64> = horizons.iter().map(|horizon| clean(model, it, *horizon)).collect();
                model.expected_if_alive(it, &times).iter().map(|value| finite(alive * value)).collect()
            }
            Err(stack) => {
                let mut sums = vec![0.0; horizons.len()];
                for (weight, model) in stack.members() {
                    for (sum, value) in sums.iter_mut().zip(model.expected_at(it, horizons)) {
                        *sum += weight * value;
                    }
                }
                sums
            }
        }
    }

    /// Expected orders within `horizon`, each discounted by e^(−`rate`·t) from the end of the history: DERT where
    /// the horizon is infinite. `rate` is continuous and per unit of time ([`crate::continuous_rate`]); a negative
    /// one counts as 0.
    #[must_use]
    pub fn discounted(&self, it: &Summary, horizon: f64, rate: f64) -> f64 {
        let rate = if rate > 0.0 { rate.min(1e12) } else { 0.0 };
        match self.inner() {
            Ok(model) => {
                let horizon = clean(model, it, horizon);
                finite(model.p_alive(it) * model.discounted_if_alive(it, horizon, rate))
            }
            Err(stack) => stack.discounted(it, horizon, rate),
        }
    }

    /// The distribution of the number of orders within `horizon`.
    #[must_use]
    pub fn counts(&self, it: &Summary, horizon: f64) -> Counts {
        self.counts_to(it, horizon, LEAST)
    }

    /// The same, as far as chances of at least `least`.
    pub(crate) fn counts_to(&self, it: &Summary, horizon: f64, least: f64) -> Counts {
        match self.inner() {
            Ok(model) => {
                Counts::new(model.p_alive(it), model.tail_if_alive(it, clean(model, it, horizon), least))
            }
            Err(stack) => stack.counts_to(it, horizon, least),
        }
    }

    /// P(alive), expected and discounted orders and their distribution at once, as the methods of these names give them but for a
    /// relative error of 1e-9: what they share is worked out once, and no finer than money needs.
    pub(crate) fn outlook(&self, it: &Summary, horizon: f64, rate: f64, least: f64) -> Outlook {
        match self.inner() {
            Ok(model) => {
                let (alive, horizon) = (model.p_alive_fast(it), clean(model, it, horizon));
                let (expected, discounted) = model.orders_if_alive(it, horizon, rate.max(0.0), true);
                let counts = Counts::new(alive, model.tail_if_alive(it, horizon, least));
                let (expected, discounted) = (finite(alive * expected), finite(alive * discounted));
                Outlook { p_alive: alive, expected, discounted, counts }
            }
            Err(stack) => stack.outlook(it, horizon, rate, least),
        }
    }

    /// The chance of at least one order within `horizon`.
    #[must_use]
    pub fn order_within(&self, it: &Summary, horizon: f64, given: Given) -> f64 {
        match self.inner() {
            // Not cut as expectations are: a first order may be due after more than 10¹⁸ times what has passed.
            Ok(model) => alive(model, it, given) * model.order_within_if_alive(it, horizon.max(0.0)),
            Err(stack) => stack.order_within(it, horizon, given),
        }
    }

    /// The chance that no further order ever comes.
    #[must_use]
    pub fn never_orders(&self, it: &Summary, given: Given) -> f64 {
        match self.inner() {
            Ok(model) => 1.0 - alive(model, it, given) * model.order_ever_if_alive(it),
            Err(stack) => stack.never_orders(it, given),
        }
    }

    /// The time by which the next order comes with probability `q`, counted from the end of the history; `None`
    /// if it never does with that probability.
    ///
    /// A quantile beyond the range of numbers is [`f64::MAX`]. `q` outside [0, 1) never comes.
    #[must_use]
    pub fn next_order_quantile(&self, it: &Summary, q: f64, given: Given) -> Option<f64> {
        if q <= 0.0 {
            return (q == 0.0).then_some(0.0);
        }
        let model = match self.inner() {
            Ok(model) => model,
            Err(stack) => return stack.next_order_quantile(it, q, given),
        };
        let conditional = q / alive(model, it, given);
        if conditional.is_nan() || conditional >= 1.0 {
            return None;
        }
        if conditional >= model.order_ever_at_least(it) && conditional >= model.order_ever_if_alive(it) {
            return None;
        }
        model.next_order_if_alive(it, conditional)
    }

    /// How long after the last purchase P(alive) falls below `threshold` if no further purchase comes; `None` if it
    /// never does. The age of the history does not matter, so the instant is known at the purchase.
    #[must_use]
    pub fn lapse_after(&self, it: &Summary, threshold: f64) -> Option<f64> {
        if threshold.is_nan() || threshold <= 0.0 {
            return None;
        }
        if threshold >= 1.0 {
            return Some(0.0);
        }
        self.inner()
            .map_or_else(|stack| stack.lapse_after(it, threshold), |model| model.lapse_after(it, threshold))
    }
}

/// What a history says about the orders to come.
pub(crate) struct Outlook {
    pub(crate) p_alive: f64,
    pub(crate) expected: f64,
    pub(crate) discounted: f64,
    pub(crate) counts: Counts,
}

fn alive(model: &dyn Transactions, it: &Summary, given: Given) -> f64 {
    match given {
        Given::History => model.p_alive(it),
        Given::Alive => 1.0,
    }
}

fn clean(model: &dyn Transactions, it: &Summary, horizon: f64) -> f64 {
    if horizon > 0.0 { horizon.min(LONGEST * model.scale(it)) } else { 0.0 }
}

/// Clamps rounding below zero and overflow above.
fn finite(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, f64::MAX) }
}
