//! Purchases over time against what a model expects: how a forecast is watched.

use super::purchases::Purchases;
use crate::error::InvalidValue;
use crate::model::Model;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Standard deviations either side of the mean within which 80 % of a normal distribution lie.
const EIGHTY: f64 = 1.281_551_565_5;

/// The same for Student's t with 1, 2, 3 and 4 degrees of freedom.
const EIGHTY_OF_T: [f64; 4] = [3.077_684, 1.885_618, 1.637_744, 1.533_206];

/// How far the purchases of all together come out beside their forecast, beyond what chance explains: what no number of
/// customers averages out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The standard deviation of ln(actual / forecast).
    #[serde(rename = "level_spread")]
    pub spread: f64,
    /// What the spread is known from: the hold-outs that share no day, and one for what was thought before any. What was
    /// written before this was kept says nothing, which counts as none.
    #[serde(rename = "level_freedom", default = "none_but_one")]
    pub freedom: u32,
}

fn none_but_one() -> u32 {
    Level::untested().freedom
}

impl Level {
    /// What is thought of it before any hold-out: off by a tenth.
    #[must_use]
    pub const fn untested() -> Self {
        Self { spread: 0.1, freedom: 1 }
    }
}

/// Purchases of some customers together, foretold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Total {
    /// The expectation.
    pub expected: f64,
    /// The standard deviation of counts.
    pub deviation: f64,
    /// The level of all together.
    pub level: Level,
}

impl Total {
    /// From Σ means, Σ variances and the level ([`super::Selection::level`]).
    #[must_use]
    pub fn new(mean: f64, variance: f64, level: Level) -> Self {
        Self { expected: mean, deviation: variance.sqrt(), level }
    }

    /// The range within so many standard deviations (1.96: 95 %) as if the spread of the level were known, never below
    /// nought: narrow, to notice early that a model no longer holds.
    #[must_use]
    pub fn within(&self, deviations: f64) -> (f64, f64) {
        self.around(deviations * self.deviation.hypot(self.level.spread * self.expected))
    }

    /// The range that holds 80 %, never below nought. The spread of the level is known from a few hold-outs only, so it
    /// counts by Student's t.
    #[must_use]
    pub fn eighty_percent(&self) -> (f64, f64) {
        let place = self.level.freedom.clamp(1, 4) as usize - 1;
        let level = EIGHTY_OF_T[place] * self.level.spread * self.expected;
        self.around((EIGHTY * self.deviation).hypot(level))
    }

    fn around(&self, half: f64) -> (f64, f64) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewer_hold_outs_the_wider_what_holds_eighty_percent() {
        let width = |freedom| {
            let (low, high) = Total::new(1_000.0, 0.0, Level { spread: 0.1, freedom }).eighty_percent();
            assert!((low + high - 2_000.0).abs() < 1e-9);
            (high - low) / 200.0
        };
        let widths = [1, 2, 3, 4, 9].map(width);
        assert!((widths[0] - 3.078).abs() < 1e-3 && (widths[3] - 1.533).abs() < 1e-3, "{widths:?}");
        assert!(widths.is_sorted_by(|a, b| a >= b));
        // Counts alone are known: a normal distribution's 80 %, never below nought.
        let counts = Total::new(1.0, 4.0, Level { spread: 0.0, freedom: 1 });
        assert_eq!(counts.eighty_percent(), (0.0, 1.0 + 2.0 * EIGHTY));
    }

    #[test]
    fn what_was_kept_before_says_how_far_the_level_varies_and_no_more() {
        let before: Level = serde_json::from_str(r#"{"level_spread":0.25}"#).expect("a level");
        assert_eq!(before, Level { spread: 0.25, freedom: 1 });
    }
}
