//! Purchases over time against what a model expects: how a forecast is watched.

use super::purchases::Purchases;
use crate::error::InvalidValue;
use crate::model::Model;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Purchases of some customers together, foretold as a normal distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Total {
    /// The expectation.
    pub expected: f64,
    /// The standard deviation: of counts, and of the level of all together.
    pub deviation: f64,
}

impl Total {
    /// From Σ means, Σ variances and the spread of the level ([`super::Selection::level_spread`]).
    #[must_use]
    pub fn new(mean: f64, variance: f64, level_spread: f64) -> Self {
        Self { expected: mean, deviation: (variance + (level_spread * mean).powi(2)).sqrt() }
    }

    /// The range within so many standard deviations (1.2816: 80 %), never below nought.
    #[must_use]
    pub fn within(&self, deviations: f64) -> (f64, f64) {
        let half = deviations * self.deviation;
        ((self.expected - half).max(0.0), self.expected + half)
    }
}

/// One period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its last day.
    pub day: i32,
    /// Repeat purchases in it.
    pub actual: f64,
    /// What the model expects of customers of whom it knows only since when they are customers.
    pub expected: f64,
}

/// Repeat purchases in periods of `length` days until the end of day `until`, beside what the model expects of everybody
/// who was a customer by the end of day `known`, from the first day of all.
///
/// # Errors
/// Unless the periods and the unit are positive.
pub fn track<P: Purchases>(
    customers: &[P],
    model: &Model,
    (known, until): (i32, i32),
    length: i32,
    days_per_unit: f64,
) -> Result<Vec<Step>, InvalidValue> {
    InvalidValue::positive("length", f64::from(length))?;
    InvalidValue::positive("days_per_unit", days_per_unit)?;
    let mut starts: BTreeMap<i32, f64> = BTreeMap::new();
    for first in customers.iter().filter_map(Purchases::first_day).filter(|it| *it <= known) {
        *starts.entry(first).or_default() += 1.0;
    }
    let Some(&first) = starts.keys().next() else { return Ok(Vec::new()) };
    let days = until.saturating_sub(first).max(0);
    // Expected repeat purchases by age in days, the same for all.
    let by_age: Vec<f64> =
        (0..=days).map(|age| model.expected(&Summary::newborn(), f64::from(age) / days_per_unit)).collect();
    let expected_until = |day: i32| -> f64 {
        let age = |start: i32| usize::try_from(day - start).ok().and_then(|it| by_age.get(it));
        starts.range(..=day).filter_map(|(start, n)| Some(n * age(*start)?)).sum()
    };
    let mut steps = Vec::new();
    let (mut from, mut before) = (first.saturating_sub(1), 0.0);
    while from < until {
        let to = from.saturating_add(length).min(until);
        let expected = expected_until(to);
        steps.push(Step { day: to, actual: 0.0, expected: expected - before });
        (from, before) = (to, expected);
    }
    for it in customers.iter().filter(|it| it.first_day().is_some_and(|it| it <= known)) {
        let Some(own) = it.first_day() else { continue };
        let mut from = first.saturating_sub(1);
        for step in &mut steps {
            // The first purchase is no repeat purchase.
            step.actual += f64::from(it.between(from.max(own), step.day));
            from = step.day;
        }
    }
    Ok(steps)
}
