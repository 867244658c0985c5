//! Whether the model in force still holds: orders since its cutoff against what it expected, with control bands.

use std::collections::BTreeMap;

use perennial_clv::evaluate::{Level, Total};
use perennial_clv::{Rows, Summary};

use super::ledger::{Ledger, count_between, most_days, until};
use super::lens::moved;
use super::model::Finding;
use super::refine::Person;

/// Weeks looked at, at most: the latest.
const MOST_WEEKS: i32 = 52;

/// Standard deviations of a band that holds 95 %.
const BAND: f64 = 1.96;

/// Weeks outside their band that call for a new fit.
const MOST_BREACHES: usize = 3;

/// One week, or all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watched {
    /// Its last day.
    pub day: i32,
    /// Purchases of customers known at the cutoff.
    pub actual: f64,
    /// What was expected of them.
    pub expected: f64,
    /// The band.
    pub band: (f64, f64),
}

impl Watched {
    fn is_breach(&self) -> bool {
        !(self.band.0..=self.band.1).contains(&self.actual)
    }
}

/// What the watch saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The last day the model knew.
    pub cutoff: i32,
    /// Whole weeks since.
    pub weeks: Vec<Watched>,
    /// All of them together; none while no week is over.
    pub total: Option<Watched>,
    /// Weeks outside their band.
    pub breaches: usize,
    /// Whether a new fit is called for.
    pub is_drifting: bool,
}

/// Watches a model; nothing for one that makes no forecasts.
#[must_use]
pub fn watch(ledger: &Ledger, finding: &Finding, today: i32) -> Option<Drift> {
    let model = finding.fitted.as_ref()?.orders.model;
    let cutoff = finding.cutoff_day;
    let most = most_days(ledger, cutoff);
    let lens = finding.lens();
    let known: Vec<Person<'_>> =
        ledger.people().filter(|it| (1..=most).contains(&until(it.days, cutoff).len())).collect();
    // Customers whose rates differ by the same.
    let mut groups: BTreeMap<u64, Vec<Summary>> = BTreeMap::new();
    for it in &known {
        let change = lens.change(it.seen.as_ref());
        groups.entry(change.to_bits()).or_default().extend(lens.summary(it.days, cutoff));
    }
    // The first of several weeks may be left out, never a part of one.
    // Today is not over.
    let all = (today.saturating_sub(cutoff).saturating_sub(1) / 7).max(0);
    let from = (all - MOST_WEEKS).max(0);
    let ends: Vec<i32> = (from..=all).map(|week| cutoff + 7 * week).collect();
    let times: Vec<f64> = ends.iter().map(|day| lens.weeks(cutoff, f64::from(day - cutoff))).collect();
    let mut expected = vec![0.0; times.len()];
    let mut variance = 0.0;
    let whole = times.last().copied().unwrap_or_default();
    for (change, summaries) in groups {
        let model = moved(&model, f64::from_bits(change));
        for (it, weight) in Rows::new(summaries).distinct() {
            for (sum, value) in expected.iter_mut().zip(model.expected_at(&it, &times)) {
                *sum += weight * value;
            }
            variance += weight * model.counts(&it, whole).variance();
        }
    }
    let level = finding.hold_out.as_ref().map_or_else(Level::untested, |it| it.level);
    let sum: f64 = expected.last().copied().unwrap_or_default();
    // Counts of one week scatter more than Poisson's by no more than those of all weeks do.
    let dispersion = if sum > 0.0 { (variance / sum).max(1.0) } else { 1.0 };
    let count = |after: i32, day: i32| {
        known.iter().map(|it| f64::from(count_between(it.days, after, day))).sum::<f64>()
    };
    let watched = |after: i32, day: i32, mean: f64, dispersion: f64| Watched {
        day,
        actual: count(after, day),
        expected: mean,
        band: Total::new(mean, dispersion * mean, level).within(BAND),
    };
    let weeks: Vec<Watched> = ends
        .windows(2)
        .zip(expected.windows(2))
        .map(|(days, sums)| watched(days[0], days[1], sums[1] - sums[0], dispersion.min(2.0)))
        .collect();
    let total = match (ends.first(), ends.last()) {
        (Some(first), Some(last)) if first < last => {
            Some(watched(*first, *last, sum - expected[0], dispersion))
        }
        _ => None,
    };
    let breaches = weeks.iter().filter(|it| it.is_breach()).count();
    let is_drifting = breaches >= MOST_BREACHES || total.is_some_and(|it| it.is_breach());
    Some(Drift { cutoff, weeks, total, breaches, is_drifting })
}

impl Drift {
    /// The same in words.
    #[must_use]
    pub fn verdict(&self) -> String {
        let Some(total) = self.total else {
            return "no week has passed since the model was fitted".to_owned();
        };
        let off = if total.expected > 0.0 { 100.0 * (total.actual / total.expected - 1.0) } else { 0.0 };
        let weeks = self.weeks.len();
        let advice = if self.is_drifting { "fit anew" } else { "nothing to do" };
        format!(
            "{:.0} orders came of {:.0} expected ({off:+.1} %); {} of {weeks} weeks outside their band: {advice}",
            total.actual, total.expected, self.breaches
        )
    }
}
