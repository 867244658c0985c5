//! A layer of boosted trees over a model of transactions: the trees supply order, the model supplies level.
//!
//! Trees read more of a customer than a model's closed forms can: the last gaps beside the mean gap, what was bought lately,
//! the mean value. They learn by which factor the model's forecast was too low or too high for such customers at hold-outs
//! inside the past. All factors together leave the sum of the forecasts of the customers they are made for as it was, so
//! that how much is ordered altogether stays the model's own answer.

mod tree;

use crate::counts::Counts;
use crate::evaluate::Purchases;
use crate::model::Model;
use crate::parallel;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use tree::{Rows, Trees};

/// How many traits of a customer trees read.
const TRAITS: usize = 16;

/// The largest factor, either way.
const MOST: f64 = 3.0;

/// Days of the windows in which late purchases are counted.
const WINDOWS: [i32; 2] = [28, 91];

/// What of a trait that a customer has not.
const NONE: f64 = -9.0;

/// What trees read of one customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Traits([f64; TRAITS]);

/// What was seen of a customer at the end of a day, besides the summary: gaps, late purchases, mean value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    gaps: [f64; 2],
    lately: [f64; 2],
    value: f64,
}

impl Seen {
    pub(crate) fn new<P: Purchases>(it: &P, cutoff: i32, days_per_unit: f64) -> Self {
        let last = |until: i32| -> Option<i32> {
            let seen = it.summary(until, days_per_unit).filter(|it| it.x() > 0)?;
            Some(it.first_day()?.saturating_add((seen.t_x() * days_per_unit).round() as i32))
        };
        // The three last purchases.
        let first = it.first_day();
        let newest = last(cutoff);
        let before = newest.and_then(|day| last(day - 1).or(first));
        let third = before.filter(|day| Some(*day) > first).and_then(|day| last(day - 1).or(first));
        let gap = |to: Option<i32>, from: Option<i32>| match (to, from) {
            (Some(to), Some(from)) => f64::from(to - from) / days_per_unit,
            _ => NONE,
        };
        Self {
            gaps: [gap(newest, before), gap(before, third)],
            lately: WINDOWS.map(|days| f64::from(it.between(cutoff.saturating_sub(days), cutoff))),
            value: it.mean_value(cutoff),
        }
    }
}

impl Traits {
    /// `mean` is what the model expects within `horizon`.
    pub(crate) fn new(it: &Summary, seen: &Seen, p_alive: f64, mean: f64, horizon: f64) -> Self {
        let x = f64::from(it.x());
        let (gap, ln_gap) = if it.x() > 0 { (it.t_x() / x, it.ln_gaps() / x) } else { (NONE, NONE) };
        let regularity = if it.x() > 1 { gap.max(1e-3).ln() - ln_gap } else { NONE };
        let overdue = if it.x() > 0 { it.silence() / gap.max(1e-3) } else { NONE };
        Self([
            x,
            it.t_x(),
            it.age(),
            it.silence(),
            p_alive,
            (mean.max(1e-9) / horizon.max(1e-9)).ln(),
            it.t_x() / it.age().max(1e-9),
            gap,
            ln_gap,
            regularity,
            overdue,
            seen.gaps[0],
            seen.gaps[1],
            seen.lately[0],
            seen.lately[1],
            seen.value,
        ])
    }
}

/// Trees that learnt on hold-outs inside the past by which factor forecasts of a model are off, customer by customer.
///
/// [`Boosting::over`] lays them over the model that serves. Serialised, they are a list of questions and answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boosting(Trees);

impl Boosting {
    /// From rows with the count that came and what had been expected.
    pub(crate) fn grow(traits: &[Traits], count: &[f64], offset: &[f64]) -> Self {
        let traits: Vec<[f64; TRAITS]> = traits.iter().map(|it| it.0).collect();
        Self(Trees::grow(&Rows { traits: &traits, count, offset }))
    }

    /// The factor, before all of them are scaled to leave the sum as it is.
    pub(crate) fn factor(&self, traits: &Traits) -> f64 {
        self.0.answer(&traits.0).exp().clamp(1.0 / MOST, MOST)
    }

    /// How many trees there are.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.0.len()
    }

    /// Lays the trees over a fitted model, for forecasts over `horizon` days. The factors are scaled once, so that those
    /// of the customers known at the end of day `cutoff` leave the sum of the model's forecasts as it is; after that a
    /// forecast depends on one customer alone.
    #[must_use]
    pub fn over<P: Purchases>(
        &self,
        model: Model,
        customers: &[P],
        (cutoff, horizon): (i32, i32),
        days_per_unit: f64,
    ) -> Boosted {
        let mut it = Boosted {
            model,
            trees: self.clone(),
            level: 1.0,
            horizon: f64::from(horizon) / days_per_unit,
            days_per_unit,
        };
        let parts = parallel::map(customers, |customers| {
            let pairs = customers.iter().filter_map(|customer| it.read(customer, cutoff));
            pairs.fold((0.0, 0.0), |sums, (_, mean, factor)| (sums.0 + mean, sums.1 + mean * factor))
        });
        let (plain, boosted) = parts.iter().fold((0.0, 0.0), |sums, it| (sums.0 + it.0, sums.1 + it.1));
        if boosted > 0.0 {
            it.level = plain / boosted;
        }
        it
    }
}

/// A model with boosted trees laid over it: what [`Boosting::over`] makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boosted {
    model: Model,
    trees: Boosting,
    /// What makes all factors together leave the sum as it is.
    level: f64,
    /// In the model's unit of time.
    horizon: f64,
    days_per_unit: f64,
}

impl Boosted {
    /// The model below.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The factor by which the model's forecast of this customer is to be multiplied; nothing before the first purchase.
    pub fn factor<P: Purchases>(&self, customer: &P, cutoff: i32) -> Option<f64> {
        Some(self.level * self.read(customer, cutoff)?.2)
    }

    /// Expected orders within the horizon, and the distribution of their number; nothing before the first purchase.
    pub fn foretell<P: Purchases>(&self, customer: &P, cutoff: i32) -> Option<(f64, Counts)> {
        let (summary, mean, factor) = self.read(customer, cutoff)?;
        let factor = self.level * factor;
        Some((factor * mean, raised(&self.model, &summary, self.horizon, mean, factor, 1e-10)))
    }

    /// The summary, the model's forecast, and the factor before it is scaled.
    fn read<P: Purchases>(&self, customer: &P, cutoff: i32) -> Option<(Summary, f64, f64)> {
        let summary = customer.summary(cutoff, self.days_per_unit)?;
        let seen = Seen::new(customer, cutoff, self.days_per_unit);
        let mean = self.model.expected(&summary, self.horizon);
        let traits = Traits::new(&summary, &seen, self.model.p_alive(&summary), mean, self.horizon);
        Some((summary, mean, self.trees.factor(&traits)))
    }
}

/// A model's distribution with its mean multiplied by a factor. As far as a customer will hardly order at all, the chance of
/// ordering is multiplied; as far as one surely will, time passes faster or slower. Counts end where less than `least` is left.
pub(crate) fn raised(
    model: &Model,
    it: &Summary,
    horizon: f64,
    mean: f64,
    factor: f64,
    least: f64,
) -> Counts {
    let active = model.order_within(it, horizon, crate::model::Given::History).clamp(0.0, 1.0);
    let stretched = horizon * factor.powf(active);
    let counts = model.counts_to(it, stretched, least);
    let reached = model.expected(it, stretched);
    counts.scaled(if reached > 0.0 { factor * mean / reached } else { 1.0 })
}
