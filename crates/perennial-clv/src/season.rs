//! A calendar clock: time that runs faster in seasons in which everybody buys more.
//!
//! With one season common to all customers, replacing elapsed time by Λ(t) = ∫ season(u) du leaves every closed form
//! as it is; only ages and horizons are read off another clock.

use crate::error::InvalidValue;
use crate::history::History;
use crate::model::Model;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The mean length of a calendar year in days.
const YEAR: f64 = 365.2425;

/// How much faster purchases come in each part of the year than on average.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Season {
    /// Weights of equal parts of the year, 1 on average.
    weights: Vec<f64>,
    /// Season days from the start of the year to the start of each part, and to its end.
    elapsed: Vec<f64>,
}

impl TryFrom<Vec<f64>> for Season {
    type Error = InvalidValue;

    fn try_from(weights: Vec<f64>) -> Result<Self, InvalidValue> {
        Self::new(&weights)
    }
}

impl From<Season> for Vec<f64> {
    fn from(it: Season) -> Self {
        it.weights
    }
}

impl Season {
    /// A season from the relative rates in equal parts of the year (12 for months, 52 for weeks), the first of which
    /// starts on the first of January. Only their ratios matter.
    ///
    /// # Errors
    /// Unless there is at least one weight and all are positive and finite.
    pub fn new(weights: &[f64]) -> Result<Self, InvalidValue> {
        for it in weights {
            InvalidValue::positive("season", *it)?;
        }
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        InvalidValue::positive("season", mean)?;
        let weights: Vec<f64> = weights.iter().map(|it| it / mean).collect();
        let part = YEAR / weights.len() as f64;
        let mut elapsed = vec![0.0];
        for it in &weights {
            elapsed.push(elapsed[elapsed.len() - 1] + it * part);
        }
        Ok(Self { weights, elapsed })
    }

    /// The weights, 1 on average.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Season days since 1970-01-01 at a number of calendar days since then.
    #[must_use]
    pub fn clock(&self, day: f64) -> f64 {
        if !day.is_finite() {
            return 0.0;
        }
        let years = (day / YEAR).floor();
        let within = ((day - years * YEAR) / YEAR * self.weights.len() as f64).max(0.0);
        let index = (within as usize).min(self.weights.len() - 1);
        let part = YEAR / self.weights.len() as f64;
        years * YEAR + self.elapsed[index] + (within - index as f64) * self.weights[index] * part
    }

    /// Season days from one calendar day to another: a horizon on this clock.
    #[must_use]
    pub fn between(&self, from: i32, to: i32) -> f64 {
        self.clock(f64::from(to)) - self.clock(f64::from(from))
    }

    /// The history of a customer on this clock, as [`History::summary`] gives it on the plain one. Days must count
    /// from 1970-01-01.
    #[must_use]
    pub fn summary(&self, history: &History, cutoff: i32, days_per_unit: f64) -> Option<Summary> {
        history.summary_on(|day| self.clock(f64::from(day)), cutoff, days_per_unit)
    }

    /// Learns a season from what customers ordered in each part of the year against what a model on the plain clock
    /// expects of new customers of their ages. Parts are drawn towards 1 by `prior` orders (20 is careful), and
    /// parts that have not been seen stay at 1; give it whole years.
    ///
    /// # Errors
    /// If `parts` is 0 or over 366 or the prior is not positive.
    pub fn learn<'a>(
        parts: usize,
        histories: impl IntoIterator<Item = &'a History>,
        model: &Model,
        cutoff: i32,
        days_per_unit: f64,
        prior: f64,
    ) -> Result<Self, InvalidValue> {
        if parts == 0 || parts > 366 {
            return Err(InvalidValue::new("parts", "must lie between 1 and 366", parts, "use 12 for months"));
        }
        InvalidValue::positive("prior", prior)?;
        InvalidValue::positive("days_per_unit", days_per_unit)?;
        let part = |day: i32| {
            let share = f64::from(day).rem_euclid(YEAR) / YEAR;
            ((share * parts as f64) as usize).min(parts - 1)
        };
        let mut actual = vec![0.0; parts];
        let mut starts: BTreeMap<i32, f64> = BTreeMap::new();
        for it in histories {
            for (index, day) in it.days().take_while(|it| *it <= cutoff).enumerate() {
                if index == 0 {
                    *starts.entry(day).or_default() += 1.0;
                } else {
                    actual[part(day)] += 1.0;
                }
            }
        }
        let Some((&first, _)) = starts.first_key_value() else { return Self::new(&vec![1.0; parts]) };
        // Expected orders on each day of age, the same for all.
        let oldest = cutoff.saturating_sub(first).max(0);
        let totals: Vec<f64> = (0..=oldest)
            .map(|age| model.expected(&Summary::newborn(), f64::from(age) / days_per_unit))
            .collect();
        let mut expected = vec![0.0; parts];
        for (start, customers) in starts {
            for (age, pair) in totals.windows(2).enumerate() {
                let Some(day) = i32::try_from(age).ok().and_then(|it| start.checked_add(it + 1)) else {
                    break;
                };
                if day > cutoff {
                    break;
                }
                expected[part(day)] += customers * (pair[1] - pair[0]);
            }
        }
        // Only the shape is the season's; the level is the model's.
        let scale = actual.iter().sum::<f64>() / expected.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let ratios: Vec<f64> = actual
            .iter()
            .zip(&expected)
            .map(|(actual, expected)| (actual + prior) / (expected * scale + prior))
            .collect();
        Self::new(&ratios)
    }
}
