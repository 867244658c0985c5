//! From orders to the statistics a model reads: the days on which a customer bought, and what they spent.

use crate::gamma_gamma::Spend;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The orders of one customer by day.
///
/// Orders of one day are one purchase. Values are in minor units of one currency, so that sums are exact and any
/// order of arrival, late ones and merges included, gives the same history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    days: BTreeMap<i32, Day>,
}

/// What happened on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    orders: u32,
    value: i64,
}

impl History {
    /// Nobody's orders.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an order of this day (any count of days, in the business's own time zone) and net value.
    pub fn add(&mut self, day: i32, value: i64) {
        let it = self.days.entry(day).or_default();
        it.orders = it.orders.saturating_add(1);
        it.value = it.value.saturating_add(value);
    }

    /// Takes an order back, as if it had never been: a cancellation, a full refund, an un-merge. `false` if there is
    /// no order on that day.
    pub fn remove(&mut self, day: i32, value: i64) -> bool {
        let Some(it) = self.days.get_mut(&day) else { return false };
        it.orders = it.orders.saturating_sub(1);
        it.value = it.value.saturating_sub(value);
        if it.orders == 0 {
            self.days.remove(&day);
        }
        true
    }

    /// Changes the value of an order on this day by an amount: a partial refund is negative. `false` if there is no
    /// order on that day.
    pub fn adjust(&mut self, day: i32, change: i64) -> bool {
        let Some(it) = self.days.get_mut(&day) else { return false };
        it.value = it.value.saturating_add(change);
        true
    }

    /// Takes over the orders of another customer found to be the same person.
    pub fn merge(&mut self, other: &Self) {
        for (day, theirs) in &other.days {
            let ours = self.days.entry(*day).or_default();
            ours.orders = ours.orders.saturating_add(theirs.orders);
            ours.value = ours.value.saturating_add(theirs.value);
        }
    }

    /// Whether there is no order at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// The day of the first purchase.
    #[must_use]
    pub fn first_day(&self) -> Option<i32> {
        self.days.keys().next().copied()
    }

    /// Orders in (after, until], each day once: what a hold-out counts.
    #[must_use]
    pub fn purchases_between(&self, after: i32, until: i32) -> u32 {
        if after >= until {
            return 0;
        }
        let from = std::ops::Bound::Excluded(after);
        let days = self.days.range((from, std::ops::Bound::Included(until))).count();
        u32::try_from(days).unwrap_or(u32::MAX)
    }

    /// Net value in (after, until], in minor units.
    #[must_use]
    pub fn value_between(&self, after: i32, until: i32) -> i64 {
        if after >= until {
            return 0;
        }
        let from = std::ops::Bound::Excluded(after);
        let days = self.days.range((from, std::ops::Bound::Included(until)));
        days.fold(0, |sum: i64, (_, it)| sum.saturating_add(it.value))
    }

    /// The history as a model reads it at the end of day `cutoff`, in units of `days_per_unit` days (7: weeks);
    /// nothing if the first purchase is later or the unit is not positive.
    #[must_use]
    pub fn summary(&self, cutoff: i32, days_per_unit: f64) -> Option<Summary> {
        self.summary_on(f64::from, cutoff, days_per_unit)
    }

    /// The same with ages read off another clock, which must not run backwards.
    pub(crate) fn summary_on(
        &self,
        clock: impl Fn(i32) -> f64,
        cutoff: i32,
        days_per_unit: f64,
    ) -> Option<Summary> {
        let first = self.first_day().filter(|it| *it <= cutoff)?;
        if !(days_per_unit.is_finite() && days_per_unit > 0.0) {
            return None;
        }
        let units = |from: i32, to: i32| (clock(to) - clock(from)) / days_per_unit;
        let (mut last, mut x, mut ln_gaps) = (first, 0_u32, 0.0);
        for &day in self.days.range(..=cutoff).skip(1).map(|(day, _)| day) {
            ln_gaps += units(last, day).ln();
            last = day;
            x += 1;
        }
        let it = Summary::new(x, units(first, last), units(first, cutoff)).ok()?;
        it.with_ln_gaps(ln_gaps).ok()
    }

    /// The days on which the customer bought, in order.
    pub fn days(&self) -> impl Iterator<Item = i32> + '_ {
        self.days.keys().copied()
    }

    /// The mean value of the repeat purchases until the end of day `cutoff`, divided by `minor_per_major`
    /// (100 for cents); [`Spend::UNKNOWN`] without any.
    #[must_use]
    pub fn spend(&self, cutoff: i32, minor_per_major: f64) -> Spend {
        let (mut x, mut total) = (0_u32, 0_i64);
        for (_, it) in self.days.range(..=cutoff).skip(1) {
            x += 1;
            total = total.saturating_add(it.value);
        }
        if x == 0 {
            return Spend::UNKNOWN;
        }
        Spend { x, mean: total as f64 / minor_per_major / f64::from(x) }
    }
}
