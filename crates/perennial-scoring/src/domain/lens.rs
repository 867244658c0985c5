//! How a model is looked through at one customer: on which clock, and with what is known from the first order on.

use perennial_clv::{InvalidValue, Model, Season, Stack, Summary};
use serde::{Deserialize, Serialize};

use super::customer::PurchaseDay;
use super::ledger::{DAYS_PER_WEEK, until};
use super::portrait::{Field, Seen};

/// The logarithm of a rate is moved by at most this, either way.
const MOST: f64 = 2.0;

/// The mean length of a year in days, as the season's clock has it.
const YEAR: f64 = 365.2425;

/// A clock, and effects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lens {
    /// The calendar clock; none for the plain one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub season: Option<Season>,
    /// What is added to the logarithm of the rate of ordering of everybody whose first order is known.
    pub constant: f64,
    /// What is added for some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
}

/// The plain clock and no effects.
pub static PLAIN: Lens = Lens { season: None, constant: 0.0, effects: Vec::new() };

/// An effect of something known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Of what.
    pub field: Field,
    /// Of which level; none for a number, of which it is the slope by its logarithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// For a number: where the effect is nought.
    #[serde(default)]
    pub center: f64,
    /// The change of the logarithm of the rate of ordering.
    pub change: f64,
    /// How many customers it was learnt from.
    pub customers: u64,
    /// The share of the group's own estimate that was kept; the rest is the workspace's.
    pub kept: f64,
}

/// The model of customers who order e^`change` times as often.
#[must_use]
pub fn moved(model: &Model, change: f64) -> Model {
    if change == 0.0 {
        return *model;
    }
    let factor = change.clamp(-MOST, MOST).exp();
    let one = |it: &Model| {
        let slower = |(name, value)| (name, if name == "alpha" { value / factor } else { value });
        Model::from_params(it.kind(), it.params().into_iter().map(slower))
    };
    // Sound parameters by a finite factor are sound parameters.
    if let Model::Stack(_) = model {
        let members = model.members().into_iter().map(|(weight, it)| Ok((weight, one(&it)?)));
        let members: Result<Vec<_>, InvalidValue> = members.collect();
        return members.and_then(|it| Stack::new(&it)).map_or(*model, Model::Stack);
    }
    one(model).unwrap_or(*model)
}

impl Effect {
    /// What it adds for a customer.
    #[must_use]
    pub fn of(&self, seen: &Seen<'_>) -> Option<f64> {
        match &self.level {
            Some(level) => (seen.level(self.field)? == level).then_some(self.change),
            None => Some(self.change * step(seen.number(self.field)?, self.center)),
        }
    }

    /// Its name: `channel=ads`, or `value`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.level {
            Some(level) => format!("{}={level}", self.field.as_str()),
            None => self.field.as_str().to_owned(),
        }
    }
}

/// How far a number lies from the centre, by its logarithm, in quarters, at most 2 either way.
#[must_use]
pub fn step(value: f64, center: f64) -> f64 {
    (((1.0 + value) / (1.0 + center)).ln().clamp(-2.0, 2.0) * 4.0).round() / 4.0
}

impl Lens {
    /// All that is added for a customer.
    #[must_use]
    pub fn change(&self, seen: Option<&Seen<'_>>) -> f64 {
        let Some(seen) = seen.filter(|_| !self.effects.is_empty()) else { return 0.0 };
        self.constant + self.effects.iter().filter_map(|it| it.of(seen)).sum::<f64>()
    }

    /// The model of a customer.
    #[must_use]
    pub fn model(&self, base: &Model, seen: Option<&Seen<'_>>) -> Model {
        moved(base, self.change(seen))
    }

    /// Weeks of the model's clock in some days from the end of a day on.
    #[must_use]
    pub fn weeks(&self, from: i32, days: f64) -> f64 {
        let days = match &self.season {
            None => days,
            Some(it) => it.clock(f64::from(from) + days) - it.clock(f64::from(from)),
        };
        days / DAYS_PER_WEEK
    }

    /// The days from the end of a day on in which some weeks of the model's clock pass.
    #[must_use]
    pub fn days(&self, from: i32, weeks: f64) -> f64 {
        let wanted = weeks * DAYS_PER_WEEK;
        let Some(season) = self.season.as_ref().filter(|_| wanted.is_finite() && wanted > 0.0) else {
            return wanted;
        };
        // Every year is as long as the next; within the last one the clock is halved upon.
        let years = (wanted / YEAR).floor() * YEAR;
        let start = f64::from(from) + years;
        let rest = wanted - years;
        let (mut low, mut high) = (0.0, YEAR);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if season.clock(start + middle) - season.clock(start) < rest {
                low = middle
            } else {
                high = middle
            }
        }
        years + high
    }

    /// The customer as the model reads it at the end of day `cutoff`, in weeks of its clock; nothing before the first
    /// purchase.
    #[must_use]
    pub fn summary(&self, days: &[PurchaseDay], cutoff: i32) -> Option<Summary> {
        let days = until(days, cutoff);
        let (first, last) = (days.first()?.day, days.last()?.day);
        let ahead = |to: i32| self.weeks(first, f64::from(to) - f64::from(first));
        let x = u32::try_from(days.len() - 1).unwrap_or(u32::MAX);
        // Rounding may not put the last purchase behind the end.
        let age = ahead(cutoff);
        Summary::new(x, ahead(last).min(age), age).ok()
    }
}
