//! Purchase days of many customers, as a fit reads them, and the statistics of one.

use std::collections::HashMap;

use perennial_clv::evaluate::Purchases;
use perennial_clv::{Spend, Summary};

use super::customer::PurchaseDay;
use super::portrait::{Field, Seen, Traits};
use super::refine::Person;

/// The models' unit of time is the week.
pub const DAYS_PER_WEEK: f64 = 7.0;

/// Purchase days of all customers of a workspace, one customer after the other.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    days: Vec<PurchaseDay>,
    ends: Vec<usize>,
    /// What was known at the first order, by customer; shorter where nothing is known of the last ones.
    marks: Vec<Option<Mark>>,
    /// Levels, each once.
    levels: Vec<String>,
    places: HashMap<String, u32>,
}

/// What was known at a first order, levels by their place.
#[derive(Clone, Copy, Debug)]
struct Mark {
    levels: [Option<u32>; 3],
    coupon: bool,
    units: i64,
    value: i64,
}

impl Ledger {
    /// Adds a day, of the same customer as the one before or of the next one. Days of one customer ascend.
    pub fn push(&mut self, day: PurchaseDay, is_next_customer: bool) {
        if is_next_customer || self.ends.is_empty() {
            self.ends.push(self.days.len());
        }
        self.days.push(day);
        if let Some(end) = self.ends.last_mut() {
            *end = self.days.len();
        }
    }

    /// Says what was known at the first order of the customer at a position.
    pub fn mark(&mut self, position: usize, traits: &Traits) {
        let seen = traits.seen();
        let levels = [Field::Channel, Field::Category, Field::Country]
            .map(|field| seen.level(field).and_then(|level| self.place(level)));
        if position >= self.ends.len() {
            return;
        }
        if self.marks.len() <= position {
            self.marks.resize(position + 1, None);
        }
        self.marks[position] =
            Some(Mark { levels, coupon: seen.coupon, units: seen.units, value: seen.value });
    }

    fn place(&mut self, level: &str) -> Option<u32> {
        if let Some(place) = self.places.get(level) {
            return Some(*place);
        }
        let place = u32::try_from(self.levels.len()).ok()?;
        self.levels.push(level.to_owned());
        self.places.insert(level.to_owned(), place);
        Some(place)
    }

    fn seen(&self, position: usize) -> Option<Seen<'_>> {
        let mark = self.marks.get(position)?.as_ref()?;
        let level = |place: Option<u32>| Some(self.levels.get(place? as usize)?.as_str());
        let [channel, category, country] = mark.levels.map(level);
        Some(Seen { channel, category, country, coupon: mark.coupon, units: mark.units, value: mark.value })
    }

    /// The customers, with what was known at their first orders.
    pub fn people(&self) -> impl Iterator<Item = Person<'_>> {
        self.customers().enumerate().map(|(i, days)| Person { days, seen: self.seen(i) })
    }

    /// The customers' purchase days.
    pub fn customers(&self) -> impl Iterator<Item = &[PurchaseDay]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.days[*start..*end])
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// One customer's purchase days, ascending, as an evaluation reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Days<'a>(pub &'a [PurchaseDay]);

impl Purchases for Days<'_> {
    fn first_day(&self) -> Option<i32> {
        Some(self.0.first()?.day)
    }

    fn summary(&self, cutoff: i32, days_per_unit: f64) -> Option<Summary> {
        let it = summary(self.0, cutoff)?;
        let unit = DAYS_PER_WEEK / days_per_unit;
        Summary::new(it.x(), it.t_x() * unit, it.age() * unit).ok()
    }

    fn between(&self, after: i32, until_day: i32) -> u32 {
        count_between(self.0, after, until_day)
    }

    fn mean_value(&self, cutoff: i32) -> f64 {
        let days = until(self.0, cutoff);
        earned(days, cutoff).1 as f64 / (days.len() as f64).max(1.0)
    }
}

/// More purchase days than this, and more than five times what ninety-nine in a hundred customers stay below, are no
/// person's: a till, a reseller, a robot.
const MANY_DAYS: usize = 100;

/// How many purchase days until the end of `cutoff` a customer may have and still count as a person in a fit.
#[must_use]
pub fn most_days(ledger: &Ledger, cutoff: i32) -> usize {
    let mut counts: Vec<usize> =
        ledger.customers().map(|it| until(it, cutoff).len()).filter(|it| *it > 0).collect();
    if counts.is_empty() {
        return MANY_DAYS;
    }
    let at = (counts.len() * 99).div_ceil(100) - 1;
    let (_, high, _) = counts.select_nth_unstable(at);
    MANY_DAYS.max(5 * *high)
}

/// The days until the end of `cutoff`.
#[must_use]
pub fn until(days: &[PurchaseDay], cutoff: i32) -> &[PurchaseDay] {
    &days[..days.partition_point(|it| it.day <= cutoff)]
}

/// The customer as a model of transactions reads it at the end of day `cutoff`, in weeks; nothing before the first
/// purchase. Purchases of one day are one.
#[must_use]
pub fn summary(days: &[PurchaseDay], cutoff: i32) -> Option<Summary> {
    let days = until(days, cutoff);
    let (first, last) = (days.first()?.day, days.last()?.day);
    let weeks = |from: i32, to: i32| (f64::from(to) - f64::from(from)) / DAYS_PER_WEEK;
    let x = u32::try_from(days.len() - 1).unwrap_or(u32::MAX);
    Summary::new(x, weeks(first, last), weeks(first, cutoff)).ok()
}

/// What the customer spent a repeat purchase day until the end of `cutoff`, in whole units of `minor_per_major`: what the
/// Gamma-Gamma model of the literature reads. The first purchase is left out, free ones count as nothing.
#[must_use]
pub fn spend(days: &[PurchaseDay], cutoff: i32, minor_per_major: f64) -> Spend {
    let repeats = until(days, cutoff).get(1..).unwrap_or_default();
    if repeats.is_empty() {
        return Spend::UNKNOWN;
    }
    let total = repeats.iter().fold(0_i64, |sum, it| sum.saturating_add(it.revenue));
    let x = u32::try_from(repeats.len()).unwrap_or(u32::MAX);
    Spend { x, mean: total as f64 / minor_per_major / f64::from(x) }
}

/// Profit and revenue until the end of `cutoff`, minor units.
#[must_use]
pub fn earned(days: &[PurchaseDay], cutoff: i32) -> (i64, i64) {
    until(days, cutoff).iter().fold((0, 0), |(profit, revenue): (i64, i64), it| {
        (profit.saturating_add(it.profit), revenue.saturating_add(it.revenue))
    })
}

/// Purchase days in (after, until].
#[must_use]
pub fn count_between(days: &[PurchaseDay], after: i32, until_day: i32) -> u32 {
    let count = until(days, until_day).len().saturating_sub(until(days, after).len());
    u32::try_from(count).unwrap_or(u32::MAX)
}
